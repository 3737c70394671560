"""Forms that change something. Only a page of ours can send one, and only for somebody who may."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from costweir.errors import NotAllowed, UsageError
from costweir.web.access import is_admin

#: A form of ours is a name and a link.
MOST_BYTES = 16 * 1024
Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Forms:
    """The word that every form carries. It lives as long as the process, and no other site can read it."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def token(self) -> str:
        """What a form has to bring back."""
        return hmac.new(self.secret, b"costweir form", hashlib.sha256).hexdigest()

    def check(self, request: Request, fields: Fields) -> None:
        """Raises NotAllowed unless one of our pages sent the form, for this machine or somebody who logged in."""
        if not _is_from_us(request):
            raise NotAllowed(
                "Another site sent this form, so nothing was changed.", hint="Send it from the page itself."
            )
        if not hmac.compare_digest(fields.get("token", "").encode(), self.token.encode()):
            raise NotAllowed(
                "This form is from before the last restart, so nothing was changed.",
                hint="Reload the page and send it again.",
            )
        if not (is_admin(request) or _is_here(request)):
            raise NotAllowed("Changing something needs a login.", hint="Open the link printed at the start.")


async def read_form(request: Request) -> Fields:
    """The fields of a small form. Raises UsageError for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise UsageError("The form is too large.", hint="Choose a shorter name or fewer filters.")
    if kind != "application/x-www-form-urlencoded":
        raise UsageError("That is not a form.", hint="Send it from the page itself.")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _is_from_us(request: Request) -> bool:
    """Whether the browser says that a page of this very address sent it; one that says nothing is refused."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host", "")
    return site == "same-origin"


def _is_here(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
