"""A small HTTPS client for provider APIs that answer JSON: GET only, one host only, numbers as exact decimals.

The key goes into one header of requests to the configured host and nowhere else: no redirect is followed, and it is cut
out of every message.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import cast
from urllib.parse import urlencode, urlsplit

from costweir.errors import ConfigError, NotAllowed, NotFound, SourceRejected
from costweir.sources.live.opener import opener
from costweir.sources.live.retry import Busy, Retry

_TIMEOUT = 60
_LARGEST = 64 << 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
Params = Sequence[tuple[str, str]]


@dataclass(slots=True)
class JsonApi:
    """One provider's API. `secret` is the key inside `headers`; it is never shown. `requests` counts what was sent."""

    who: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    secret: str = field(repr=False)
    retry: Retry = field(default_factory=Retry)
    requests: int = 0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        if not parts.hostname or parts.username or not (parts.scheme == "https" or local):
            raise ConfigError(
                f"The address of {self.who} has to start with https://.",
                hint="A key is never sent over an open line; http:// is only for this machine.",
            )

    def get(self, path: str, params: Params = ()) -> Mapping[str, object]:
        """The JSON object at `path`, with Decimal for every number that is not whole.

        Raises NotAllowed for a key that is wrong, expired or too weak, NotFound for a path that does not exist,
        SourceRejected for any other refusal and for an answer that is no JSON object, and Unreachable when throttling,
        outages or cut connections outlast the retries.
        """
        url = self.url.rstrip("/") + path + (f"?{urlencode(params)}" if params else "")
        text = self.retry.run(lambda: self._read(url), self.who)
        try:
            found = cast("object", json.loads(text, parse_float=Decimal, parse_constant=_no_number))
        except ValueError as error:
            raise SourceRejected(
                f"{self.who} answered {path} with something that is no JSON.",
                hint="A proxy on the way may have answered; try the address from this machine.",
            ) from error
        if not isinstance(found, dict):
            raise unknown_shape(self.who, path, "it is not an object")
        return cast("Mapping[str, object]", found)

    def _read(self, url: str) -> bytes:
        self.requests += 1
        request = urllib.request.Request(url, headers=dict(self.headers), method="GET")  # noqa: S310
        try:
            with opener().open(request, timeout=_TIMEOUT) as answer:
                reply = cast("HTTPResponse", answer)
                body = reply.read(_LARGEST + 1)
                if reply.length and len(body) <= _LARGEST:
                    raise Busy("the answer was cut off")
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise SourceRejected(
                    f"The certificate of {self.who} is not trusted: {error.reason.verify_message}.",
                    hint="A proxy may be in the way; add its certificate authority to this machine.",
                ) from error
            raise Busy(f"no connection ({self._clean(str(error.reason))})") from error
        except (HTTPException, OSError) as error:
            raise Busy(f"the connection broke off ({type(error).__name__})") from error
        if len(body) > _LARGEST:
            raise unknown_shape(self.who, urlsplit(url).path, "it is larger than 64 MB")
        return body

    def _refused(self, error: urllib.error.HTTPError) -> Exception:
        said = self._said(error)
        quoted = f" It says: {said}" if said else ""
        path = urlsplit(error.url).path
        if error.code == 429 or error.code >= 500 or error.code == 408:
            return Busy(f"status {error.code}", _after(error.headers))
        if error.code in (401, 403):
            return NotAllowed(
                f"{self.who} refuses the key for {path} (status {error.code}).",
                hint=f"It has to be an organisation's admin key that has not expired.{quoted}",
            )
        if error.code == 404:
            return NotFound(f"{self.who} has no {path}.", hint=f"Check the address.{quoted}")
        if 300 <= error.code < 400:
            return SourceRejected(
                f"{self.who} redirects {path} to another address, which is not followed.",
                hint="Give the final address; the key is sent to no other host.",
            )
        return SourceRejected(
            f"{self.who} refuses the request for {path} (status {error.code}).",
            hint=f"Its API may have changed.{quoted}",
        )

    def _said(self, error: urllib.error.HTTPError) -> str:
        """The provider's own sentence, one line without the key."""
        try:
            body = cast("object", json.loads(error.read(1 << 16)))
        except (ValueError, OSError, HTTPException):
            return ""
        inner: object = cast("dict[str, object]", body).get("error") if isinstance(body, dict) else None
        message: object = (
            cast("dict[str, object]", inner).get("message") if isinstance(inner, dict) else inner
        )
        return self._clean(" ".join(str(message).split())[:300]) if message else ""

    def _clean(self, text: str) -> str:
        return text.replace(self.secret, "[key]") if self.secret else text


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _after(headers: Message) -> timedelta | None:
    """What Retry-After asks for, in seconds or as a date."""
    text = (headers.get("retry-after") or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 9:
        return timedelta(seconds=int(text))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(moment - datetime.now(UTC), timedelta(0))


def unknown_shape(who: str, what: str, why: str) -> SourceRejected:
    """The one sentence for an answer that is not as documented."""
    return SourceRejected(
        f"{who} answered {what} in a shape that is not known: {why}.",
        hint="Nothing was loaded. Its API may have changed; look for a newer Costweir, or export a file meanwhile.",
    )
