"""Forms that change something. Only a page of ours can send one, and only for somebody who may."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from urllib.parse import parse_qsl

from starlette.requests import Request

from costweir.errors import NotAllowed, UsageError
from costweir.web.access import Role, caller_of, is_from_us
from costweir.web.problems import TooLarge

#: A form of a few fields.
MOST_BYTES = 16 * 1024
#: Who sent a form from this machine without a login, in the audit chain.
HERE = "browser"
Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """A form that was checked: its fields, who sent it, and the request that the next page answers."""

    request: Request
    fields: Fields
    actor: str

    def get(self, name: str) -> str:
        """The field without blanks at its ends; an absent one is empty."""
        return self.fields.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Forms:
    """The word that every form carries. It lives as long as the process, and no other site can read it."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def token(self) -> str:
        """What a form has to bring back."""
        return hmac.new(self.secret, b"costweir form", hashlib.sha256).hexdigest()

    def check(self, request: Request, fields: Fields, *, role: Role = "admin") -> Sent:
        """The form. Raises NotAllowed unless one of our pages sent it, from this machine or somebody with the role."""
        if not is_from_us(request):
            raise NotAllowed(
                "Another site sent this form, so nothing was changed.", hint="Send it from the page itself."
            )
        if not hmac.compare_digest(fields.get("token", "").encode(), self.token.encode()):
            raise NotAllowed(
                "This form is from before the last restart, so nothing was changed.",
                hint="Reload the page and send it again.",
            )
        if not may_change(request, role):
            raise NotAllowed(
                f"This change needs the role {role}, so nothing was changed.",
                hint="Open the link printed at the start, or ask an administrator for the role.",
            )
        caller = caller_of(request)
        return Sent(request, fields, caller.actor if caller.known else HERE)


def may_change(request: Request, role: Role) -> bool:
    """Whether whoever asks may change what needs this role: with it, or on this machine without a login."""
    caller = caller_of(request)
    return caller.may(role) or (not caller.known and _is_here(request))


async def read_form(request: Request, *, most: int = MOST_BYTES) -> Fields:
    """The fields of a form of at most `most` bytes; a file is its text. Raises UsageError for anything else."""
    kind = request.headers.get("content-type", "")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLarge(f"The form is larger than {most // 1024} KB.", hint="Send less at once.")
    name = kind.partition(";")[0].strip().lower()
    if name == "multipart/form-data":
        return _parts(kind, body)
    if name != "application/x-www-form-urlencoded":
        raise UsageError("That is not a form.", hint="Send it from the page itself.")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _parts(kind: str, body: bytes) -> Fields:
    """The fields of a form with a file. A form is a MIME message whose head is its content type (RFC 7578)."""
    head = f"Content-Type: {kind}\r\n\r\n".encode("latin-1", "replace")
    message = message_from_bytes(head + body, _class=EmailMessage, policy=policy.HTTP)
    found: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            found[name] = _text(content)
    return found


def _text(content: bytes) -> str:
    """UTF-8 with or without its mark, else what spreadsheets on Windows write."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _is_here(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
