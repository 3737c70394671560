"""One POST of JSON to Azure's management API: how long to wait, and what went wrong in one sentence.

The token goes to the configured host and nowhere else, and numbers of an answer are Decimal, never floats.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlsplit

from costweir.errors import ConfigError, NotAllowed, SourceRejected, Unreachable
from costweir.sources.live.azure_login import Token, facts
from costweir.sources.live.opener import opener
from costweir.sources.live.retry import Busy, Retry

_TIMEOUT_SECONDS = 120
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_WHO = "Azure Cost Management"
#: A longer wait than this is left to the next run.
_LONGEST = timedelta(minutes=15)


class Refused(SourceRejected):
    """Azure understood the request and refused it as wrong (400)."""

    def __init__(self, said: str) -> None:
        super().__init__(
            f"Azure refused the query: {said}",
            hint="Check the scope and the days; the agreement may not know this grouping.",
        )


@dataclass(slots=True)
class Rest:
    """Posts to `endpoint`. `posts` counts the requests, of which there may be `most`; `waited` adds up the waiting.

    A 429 is waited for as long as its largest header says, because a shorter wait is answered with another 429.
    """

    endpoint: str
    token: Token
    sleep: Callable[[timedelta], None]
    most: int | None = None
    posts: int = 0
    waited: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if not parts.hostname or (parts.scheme != "https" and parts.hostname not in _LOOPBACK):
            raise ConfigError(
                f"The address {self.endpoint!r} does not start with https://.",
                hint="A token is never sent over an open line; http:// is only for this machine.",
            )

    def post(self, url: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        """The JSON object that Azure answers. `url` is a path below the endpoint, or the link to a next page.

        Raises Refused for 400, NotAllowed for 401, 403 and 404, SourceRejected for an answer that is no JSON object
        or a link that leads elsewhere, and Unreachable for the rest.
        """
        target = self._target(url)
        retry = Retry(longest=_LONGEST, sleep=self._wait)
        raw = retry.run(lambda: self._once(target, body), _WHO)
        if not isinstance(raw, dict):
            raise SourceRejected("Azure's answer is not a JSON object.", hint="Check address and proxy.")
        return cast("Mapping[str, Any]", raw)

    def _wait(self, time: timedelta) -> None:
        self.waited += time
        self.sleep(time)

    def _target(self, url: str) -> str:
        if url.startswith("/"):
            return self.endpoint.rstrip("/") + url
        mine, its = urlsplit(self.endpoint), urlsplit(url)
        if (its.scheme, its.netloc.lower()) != (mine.scheme, mine.netloc.lower()):
            raise SourceRejected(
                f"Azure's next page lies on {its.netloc or url!r}, not on {mine.netloc}.",
                hint="The token is not sent there; check the address of this source.",
            )
        return url

    def _once(self, target: str, body: Mapping[str, object]) -> object:
        if self.most is not None and self.posts >= self.most:
            raise SourceRejected(
                f"The pull needs more than {self.most} requests.", hint="Raise max_pages, or pull fewer days."
            )
        self.posts += 1
        headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310  # https, checked above
            target, data=json.dumps(body).encode(), headers=headers, method="POST"
        )
        try:
            with opener().open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return json.loads(answer.read(), parse_float=Decimal)
        except urllib.error.HTTPError as error:
            with error:
                raise _told(error.code, dict(error.headers), error.read()) from None
        except (OSError, http.client.HTTPException) as error:
            raise Busy(f"the connection broke off ({type(error).__name__})") from error
        except ValueError as error:
            raise Busy("its answer broke off") from error


def _told(status: int, headers: Mapping[str, str], raw: bytes) -> Exception:
    said = _sentence(raw) or f"status {status}"
    if status in _TRANSIENT:
        after = _after(headers)
        if after is not None and after > _LONGEST:
            return Unreachable(
                f"Azure asks to wait {after.total_seconds() / 60:.0f} minutes before the next query.",
                hint="Nothing was loaded or lost; the next run fetches the same days again.",
            )
        return Busy(f"status {status}", after)
    if status == 400:
        return Refused(said)
    if status == 401:
        return NotAllowed(
            "Azure does not accept the token.", hint=f"The credentials may have expired: renew them. {said}"
        )
    if status == 403:
        return NotAllowed(
            "The credentials may not read the costs of this scope.",
            hint=f"Give them the role Cost Management Reader on it. {said}",
        )
    if status == 404:
        return NotAllowed("There is no such scope, or it may not be seen.", hint=f"Check the scope. {said}")
    return SourceRejected(f"Azure answered with status {status}.", hint=said)


def _after(headers: Mapping[str, str]) -> timedelta | None:
    """The largest of the waiting times that the headers ask for, as seconds or hh:mm:ss."""
    given = {name.lower(): text.strip() for name, text in headers.items()}
    found: list[timedelta] = []
    for name in facts()["query"]["wait_headers"]:
        parts = given.get(name, "").split(":")
        if len(parts) in (1, 3) and all(
            part.isascii() and part.isdigit() and len(part) < 9 for part in parts
        ):
            hours, minutes, seconds = map(int, ["0", "0", *parts][-3:])
            found.append(timedelta(hours=hours, minutes=minutes, seconds=seconds))
    return max(found, default=None)


def _sentence(raw: bytes) -> str:
    try:
        found: Any = json.loads(raw)
        text = str(found["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = raw[:200].decode("utf-8", errors="replace")
        # A page for a browser says nothing here.
        text = "" if text.lstrip().startswith("<") else text
    return " ".join(text.split())[:600]
