"""What goes wrong on the way to a provider, and whether the request may have been seen there."""

from __future__ import annotations

from typing import ClassVar, Literal

from costweir.errors import NotAllowed, Unreachable

Kind = Literal[
    "resolve", "connect", "busy", "first_byte_timeout", "idle_timeout", "total_timeout", "closed", "malformed",
    "too_large",
]  # fmt: skip


class UpstreamFault(Unreachable):
    """No whole reply came. `sent` says that the provider may have seen the request, and so may bill it."""

    code: ClassVar[str] = "upstream_unreachable"

    def __init__(self, kind: Kind, message: str, *, sent: bool) -> None:
        super().__init__(message, hint="The provider, or the way to it, failed; trying again may help.")
        self.kind: Kind = kind
        self.sent = sent


class AddressRefused(NotAllowed):
    """A provider's name stands for an address that must not be dialled. Nothing was sent."""

    code = "address_refused"
