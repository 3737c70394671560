"""What a reply says about itself, in whichever wire format it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from costweir.domain.usage import Usage


# Made for every call, so it is frozen by agreement only.
@dataclass(slots=True)
class Reply:
    """`usage` is None when it is missing or cannot be true: then nobody knows what the call cost (law L5).

    `tier` and `routing` are words of the price book; `model` is the one that the provider says it used.
    """

    usage: Usage | None = None
    finish: str = ""
    model: str = ""
    tier: str = "standard"
    routing: str = ""
    response_id: str = ""


class StreamReader(Protocol):
    """Gathers the usage out of a stream."""

    def feed(self, data: bytes, /) -> None:
        """The data of one server-sent event."""
        ...

    def reply(self) -> Reply:
        """What the stream said, once it has ended."""
        ...
