"""Posts JSON to an address that is a secret itself: it is never named in an error, and no redirect is followed."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException, InvalidURL
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request

from costweir.errors import ConfigError, Error, NotAllowed, Unreachable
from costweir.sources.live.opener import opener

TIMEOUT_SECONDS = 10
MOST_READ = 64 << 10


def check_address(url: str, variable: str) -> str:
    """The address, or ConfigError that names the variable and not its value."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(char.isspace() for char in url):
        raise ConfigError(
            f"{variable} does not hold a web address.", hint="It starts with https:// or http://."
        )
    return url


def post(url: str, body: bytes, headers: Mapping[str, str], *, who: str) -> bytes:
    """Sends `body`, and gives the beginning of the answer. Raises NotAllowed when it is refused, and Unreachable for
    what may pass."""
    sent = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "costweir", **headers}
    request = Request(url, data=body, method="POST", headers=sent)  # noqa: S310 - checked by check_address
    try:
        with opener().open(request, timeout=TIMEOUT_SECONDS) as reply:
            return reply.read(MOST_READ)
    except HTTPError as error:
        error.close()
        raise _refused(error.code, who) from None
    except (InvalidURL, ValueError):
        # Their texts have the address in them.
        raise NotAllowed(f"{who} has an address that cannot be used.", hint="Check its variable.") from None
    except (URLError, HTTPException, OSError) as error:
        why = getattr(error, "reason", None) or error
        raise Unreachable(f"{who} does not answer: {why}.", hint="It is tried again later.") from None


def _refused(status: int, who: str) -> Error:
    if status in (408, 425, 429) or status >= 500:
        return Unreachable(f"{who} answered {status}.", hint="It is tried again later.")
    hint = "Check the address in its variable; a redirect is not followed."
    return NotAllowed(f"{who} refused the message with {status}.", hint=hint)
