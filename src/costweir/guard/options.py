"""One way to serve a request beside the room that its limits leave: whether it fits, whole or with a smaller cap."""

from __future__ import annotations

from typing import Literal, NamedTuple

from costweir.guard.gauges import Match
from costweir.guard.ledger import Candidate

#: Why a strict budget does not admit a candidate at all.
Fault = Literal["price_unknown", "unbounded_request", "suspended"]


class Choice(NamedTuple):
    """The candidate that fits, with the cap that fits. `least` is what the tightest limit has left afterwards."""

    place: int
    cap: int
    held: int
    match: Match
    least: int
    clamped: bool = False


class Option(NamedTuple):
    """A candidate, and what may be held for it."""

    place: int
    candidate: Candidate
    match: Match
    room: int

    @property
    def whole(self) -> int:
        """What it holds with the cap that was asked for."""
        return self.candidate.fixed + self.candidate.cap * self.candidate.output_rate

    def cap_that_fits(self) -> int | None:
        """The largest cap within the room, None where that is below the floor."""
        candidate = self.candidate
        left = self.room - candidate.fixed
        if left < 0:
            return None
        cap = (
            candidate.cap if not candidate.output_rate else min(candidate.cap, left // candidate.output_rate)
        )
        return cap if cap >= candidate.floor else None

    def choice(self, cap: int) -> Choice:
        """Takes it with a cap."""
        held = self.candidate.fixed + cap * self.candidate.output_rate
        least = self.match.room()[2] - held
        return Choice(self.place, cap, held, self.match, least, cap < self.candidate.cap)
