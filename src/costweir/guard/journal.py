"""What the weir tells, and what it asks of what was told before. A journal that keeps this in its order can rebuild
every balance from the attempts alone (law L3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from costweir.guard.ledger import Ask, Candidate, Certainty, Refusal, Settlement, State, Subject
from costweir.guard.meters import Counts, Key, Meter, Pace
from costweir.guard.policy import Rule, Scope


class Entry:
    """One attempt as the weir knows it. `at` is when it was admitted: its windows are those of that instant."""

    __slots__ = (
        "at", "attempt", "certainty", "charged", "debt", "held", "lease", "meters", "model", "paces", "price_version",
        "provider", "request_id", "state", "subject", "tokens",
    )  # fmt: skip

    def __init__(self, attempt: int, ask: Ask, candidate: Candidate, *, held: int, at: int) -> None:
        self.attempt = attempt
        self.request_id = ask.request_id
        self.subject = ask.subject
        self.model = candidate.model
        self.provider = candidate.provider
        self.price_version = candidate.price_version
        self.tokens = candidate.tokens
        self.held = held
        self.at = at
        self.lease = 0
        self.state: State = "HELD"
        self.charged = 0
        self.debt = 0
        self.certainty: Certainty | Literal[""] = ""
        self.meters: Sequence[Meter] = ()
        self.paces: Sequence[Pace] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """What attempts of one subject, model and provider add up to, over a time in which no window begins or ends; or
    how that changed."""

    subject: Subject
    model: str
    provider: str
    at: int
    settled: int = 0
    held: int = 0
    debt: int = 0
    open: int = 0
    calls: int = 0


class Journal(Protocol):
    """Keeps what happened. Every method returns at once, on the weir's own thread."""

    def find(self, key: Key) -> Counts | None:
        """The balance under that key, None where there is none."""
        ...

    def parts(self, rule: Rule, scope: Scope, since: int) -> Sequence[tuple[int, Counts]]:
        """The parts of a rolling window that began at `since` or later or hold something, oldest first, with their
        starts."""
        ...

    def begin(self, meter: Meter) -> None:
        """A balance begins with what its meter holds; sets the meter's `row`."""
        ...

    def opened(self, entry: Entry) -> None:
        """An attempt holds room in its meters."""
        ...

    def undone(self, entry: Entry) -> None:
        """An attempt that was opened could not be kept, and nobody was told of it."""
        ...

    def sent(self, entry: Entry) -> None:
        """HELD became SENT."""
        ...

    def ended(self, entry: Entry, settlement: Settlement, at: int) -> None:
        """An attempt ended; its meters were told."""
        ...

    def corrected(
        self, entry: Entry, settlement: Settlement, *, meters: Sequence[Meter], change: tuple[int, int]
    ) -> None:
        """UNCERTAIN became SETTLED; what the meters hold changed by (charged, debt)."""
        ...

    def refused(self, ask: Ask, refusal: Refusal, at: int) -> None:
        """A request was not admitted."""
        ...

    def tell(self, kind: str, meter: Meter | None, detail: Mapping[str, object], at: int) -> None:
        """Something that is told once; the meter's `told` and `blocked` are kept with it."""
        ...

    def suspend(self, model: str, at: int) -> None:
        """A model broke its bound; with the instant 0 it may be used again."""
        ...

    def ended_entry(self, attempt: int) -> Entry | None:
        """An attempt that ended, without its meters."""
        ...


Tallies = Iterable[Tally]
