"""Calls to AWS by boto3: one way to open a client, to try again, and to say what went wrong in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from costweir.errors import ConfigError, Error, NotAllowed, NotFound, SourceRejected, Unreachable
from costweir.sources.live.clock import wrong_clock
from costweir.sources.live.retry import Busy, Retry

#: Error codes that may pass (botocore's list of throttling and transient codes, and those of Cost Explorer).
_BUSY = frozenset({
    "LimitExceededException", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException",
    "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown", "BandwidthLimitExceeded",
    "InternalFailure", "InternalError", "InternalServerException", "InternalServerError", "ServiceUnavailable",
    "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete",
})  # fmt: skip
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket", "ResourceNotFoundException", "NotFound"})
#: The data changed between two pages, or while a file was fetched.
_MOVED = frozenset({"RequestChangedException", "InvalidNextTokenException", "412", "PreconditionFailed"})
#: The signature is of another time than that of AWS (error codes of S3, and what Signature Version 4 says).
_SKEWED_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_SKEWED = ("Signature expired", "Signature not yet current")
_WORDS_OF_DENIAL = (
    "AccessDenied", "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClient", "SignatureDoesNotMatch",
    "InvalidAccessKeyId", "AuthFailure", "NotAuthorized", "Forbidden", "InvalidToken",
)  # fmt: skip

INSTALL = "Install it: pip install 'costweir[aws]'"


@dataclass(slots=True)
class Aws:
    """A signed-in session. Credentials are those that the AWS tools find: environment, profile, role of the machine.

    `endpoint_url` replaces the address of every service, for a private endpoint or a test. `requests` counts what was
    sent, tries included.
    """

    profile: str = ""
    region: str = "us-east-1"
    endpoint_url: str = ""
    retry: Retry = field(default_factory=Retry)
    requests: int = 0
    _session: Any = None

    def client(self, service: str, region: str = "") -> Any:
        """A client of one service, which does not try again by itself. Raises ConfigError and NotAllowed."""
        try:
            boto3: Any = import_module("boto3")
            config: Any = import_module("botocore.config")
            exceptions: Any = import_module("botocore.exceptions")
        except ImportError as error:
            raise ConfigError("Reading from AWS needs the extra package boto3.", hint=INSTALL) from error
        try:
            if self._session is None:
                self._session = boto3.Session(profile_name=self.profile or None)
            client = self._session.client(
                service,
                region_name=region or self.region,
                endpoint_url=self.endpoint_url or None,
                config=config.Config(
                    retries={"total_max_attempts": 1},
                    connect_timeout=10,
                    read_timeout=60,
                    user_agent_extra="costweir",
                ),
            )
            client.meta.events.register("before-parse", _check_whole)
            return client
        except exceptions.BotoCoreError as error:
            raise _denied(str(error)) from error

    def call(self, method: Callable[..., Any], **params: object) -> Mapping[str, Any]:
        """The answer of one operation.

        Raises NotAllowed, NotFound, SourceRejected, and Unreachable when throttling or outages outlast the retries.
        """

        def once() -> Mapping[str, Any]:
            boto: Any = import_module("botocore.exceptions")
            parsers: Any = import_module("botocore.parsers")
            self.requests += 1
            try:
                return method(**params)
            except (boto.ClientError, boto.BotoCoreError, parsers.ResponseParserError) as error:
                raise told(error) from error

        return self.retry.run(once, "AWS")


def _check_whole(*, operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:
    """Refuses half an answer, and one that is no JSON where it has to be: botocore takes either for an empty one."""
    body, headers = response_dict["body"], response_dict["headers"]
    if response_dict["status_code"] >= 300 or not isinstance(body, bytes):
        return
    length = str(headers.get("content-length", ""))
    whole = "content-encoding" in headers or not length.isdigit() or int(length) == len(body)
    if whole and operation_model.service_model.resolved_protocol in ("json", "rest-json"):
        try:
            json.loads(body or b"{}")
        except ValueError:
            whole = False
    if not whole:
        raise import_module("botocore.parsers").ResponseParserError("not the whole answer")


def told(error: Exception) -> Busy | Error:
    """A failure of botocore as what it means: Busy when it may pass, else the error to raise."""
    boto: Any = import_module("botocore.exceptions")
    if isinstance(error, boto.ClientError):
        return _refused(error)
    if isinstance(
        error, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
    ):
        return _denied(str(error))
    if isinstance(error, boto.ParamValidationError):
        return SourceRejected("AWS cannot be asked like this.", hint=_line(error))
    if isinstance(error, boto.SSLError):
        return SourceRejected(
            "The certificate of AWS is not trusted.", hint=f"A proxy may be in the way. {_line(error)}"
        )
    if isinstance(error, import_module("botocore.parsers").ResponseParserError):
        return Busy("its answer broke off, or a proxy answered in its place")
    if isinstance(error, (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError)):
        return Busy(f"the connection broke off ({type(error).__name__})")
    return _denied(str(error))


def _refused(error: Any) -> Busy | Error:
    answer: Mapping[str, Any] = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said, doing = _line(answer.get("Error", {}).get("Message", "")), str(error.operation_name)
    if code in _MOVED:
        return Unreachable(
            f"The data changed while {doing} was reading it.", hint="Nothing was loaded; run it again."
        )
    if code in _BUSY or status == 429 or status >= 500:
        return Busy(f"{code or status} on {doing}")
    if code in _SKEWED_CODES or said.startswith(_SKEWED):
        return wrong_clock("AWS")
    if any(word in code for word in _WORDS_OF_DENIAL) or status in (401, 403):
        return NotAllowed(
            f"AWS refuses {doing}: {code}.",
            hint=f"Check that the credentials are current and have the policy that connect prints. It says: {said}",
        )
    if code in _MISSING:
        return NotFound(f"AWS has nothing for {doing}: {code}.", hint=said)
    if code in ("DataUnavailableException", "BillExpirationException"):
        return SourceRejected(
            f"AWS has no data for these days: {code}.",
            hint=f"Cost Explorer has to be switched on, takes a day to fill, and keeps 13 months. It says: {said}",
        )
    return SourceRejected(f"AWS refuses {doing}: {code}.", hint=f"It says: {said}")


def _denied(said: str) -> NotAllowed:
    return NotAllowed(
        "There are no AWS credentials that work here.",
        hint=f"Sign in with the AWS tools, name a profile, or give this machine a role. {_line(said)}",
    )


def _line(text: object) -> str:
    return " ".join(str(text).split())[:300]
