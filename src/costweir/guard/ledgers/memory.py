"""The ledger in memory: for trials and for tests. It keeps everything until it is closed, and nothing after that."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from costweir.guard.clock import Clock
from costweir.guard.journal import Entry, Tally
from costweir.guard.ledger import (
    Ask,
    Attempt,
    Balance,
    Drift,
    Event,
    Hold,
    Refusal,
    Refused,
    Settlement,
    Terms,
)
from costweir.guard.ledgers.front import (
    Front,
    Start,
    attempt_of,
    balance_of,
    compiled,
    drifts,
    untouched,
    within,
)
from costweir.guard.meters import Counts, Key, Meter
from costweir.guard.policy import Rule, Scope
from costweir.guard.rebuild import counted, rows
from costweir.guard.weir import Weir
from costweir.guard.windows import instant


class MemoryJournal:
    """Keeps what happened in lists."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.endings: dict[int, tuple[int, Settlement, int]] = {}
        self.order: dict[int, int] = {}
        self.events: list[Event] = []
        self.refusals: list[Refused] = []
        self.suspended: dict[str, int] = {}
        self._rows = 0

    def find(self, key: Key) -> Counts | None:
        """Nothing leaves memory, so what is not there never was."""

    def parts(self, rule: Rule, scope: Scope, since: int) -> Sequence[tuple[int, Counts]]:
        """See `find`."""
        return ()

    def begin(self, meter: Meter) -> None:
        """Numbers a balance."""
        self._rows += 1
        meter.row, meter.stored = self._rows, True

    def opened(self, entry: Entry) -> None:
        """Keeps an attempt."""
        self.entries[entry.attempt] = entry

    def undone(self, entry: Entry) -> None:
        """Memory keeps everything."""

    def sent(self, entry: Entry) -> None:
        """The entry says it itself."""

    def ended(self, entry: Entry, settlement: Settlement, at: int) -> None:
        """Puts an attempt at the end of the order."""
        self._end(entry.attempt, settlement, at)

    def corrected(
        self, entry: Entry, settlement: Settlement, *, meters: Sequence[Meter], change: tuple[int, int]
    ) -> None:
        """Puts an attempt at the end of the order once more; what was told of it then stays."""
        _, before, at = self.endings[entry.attempt]
        self._end(entry.attempt, replace(settlement, call={**before.call, **settlement.call}), at)

    def refused(self, ask: Ask, refusal: Refusal, at: int) -> None:
        """Keeps a refusal."""
        self.refusals.append(Refused(ask, refusal, instant(at)))

    def tell(self, kind: str, meter: Meter | None, detail: Mapping[str, object], at: int) -> None:
        """Keeps an event."""
        name, scope, window = ("", (), "") if meter is None else (meter.rule.id, meter.scope, meter.window.id)
        self.events.append(Event(len(self.events) + 1, instant(at), kind, name, dict(scope), window, detail))

    def suspend(self, model: str, at: int) -> None:
        """Keeps when a model broke its bound."""
        self.suspended[model] = at

    def ended_entry(self, attempt: int) -> Entry | None:
        """An attempt that ended."""
        return self.entries.get(attempt) if attempt in self.endings else None

    def tallies(self) -> list[Tally]:
        """Every attempt by itself."""
        return [_tally(entry) for entry in self.entries.values()]

    def _end(self, attempt: int, settlement: Settlement, at: int) -> None:
        before = self.endings.get(attempt)
        if before is not None:
            del self.order[before[0]]
        seq = (next(reversed(self.order)) if self.order else self._last) + 1
        self._last = seq
        self.order[seq] = attempt
        self.endings[attempt] = (seq, settlement, at)

    _last = 0


class MemoryLedger(Front):
    """Implements `Ledger`."""

    def __init__(self, start: Start | None = None) -> None:
        start = start or Start()
        self._journal = MemoryJournal()
        clock = start.clock or Clock()
        policy = compiled(start.terms or Terms(), clock.now())
        # Numbers go on from the time, so that a call of an earlier run is never taken for one of this.
        first = time.time_ns() // 1_000
        weir = Weir(policy, self._journal, clock=clock.now, next_attempt=first, lease=start.lease)
        super().__init__(weir, clock)
        self._revision = start.revision

    async def reserve(self, ask: Ask, *, send: bool = False) -> Hold | Refusal:
        """Holds or refuses; see `Ledger.reserve`."""
        self.weir.expire()
        due = self.weir.policy.changes_at
        if due is not None and self.clock.now() >= due:
            await self.apply(self.weir.policy.terms, self._revision)
        return self.weir.admit(ask, sent=send)

    async def sent(self, attempt: int) -> None:
        """HELD -> SENT."""
        self.weir.sent(attempt)

    async def apply(self, terms: Terms, revision: int) -> None:
        """Makes other terms hold."""
        now = self.clock.now()
        policy = compiled(terms, now)
        anew, gone = policy.changed(self.weir.policy)
        ids = {rule.id for rule in anew}
        fresh = counted(policy, ((ids, tally) for tally in self._journal.tallies()), now=now)
        for meter in rows(fresh):
            self._journal.begin(meter)
        self.weir.swap(policy, gone, fresh)
        self._revision = revision
        self._obey_clock(terms)

    async def balances(self, scope: Mapping[str, str] | None = None) -> Sequence[Balance]:
        """Every limit of every open window, or of one scope."""
        now = self.clock.now()
        meters = [meter for meter in self.weir.gauges if _is_open(meter, now)]
        seen = {(meter.rule.id, meter.scope) for meter in meters}
        meters += untouched(self.weir.policy, now, seen)
        return [balance_of(meter) for meter in meters if within(scope, dict(meter.scope))]

    async def attempts(self, *, request_id: str = "", state: str = "", limit: int = 100) -> Sequence[Attempt]:
        """Rows, newest first."""
        found = (
            self._attempt(entry)
            for entry in reversed(self._journal.entries.values())
            if request_id in ("", entry.request_id) and state in ("", entry.state)
        )
        return [attempt for attempt, _ in zip(found, range(limit), strict=False)]

    async def verify(self) -> Sequence[Drift]:
        """Rebuilds every open balance from the attempts."""
        now = self.clock.now()
        policy = self.weir.policy
        ids = policy.by_id
        rebuilt = counted(policy, ((ids, tally) for tally in self._journal.tallies()), now=now)
        return drifts(self.weir.gauges, rebuilt, now)

    async def outbox(self, after: int, limit: int = 1_000) -> Sequence[tuple[int, Attempt]]:
        """Ended attempts in the order they ended."""
        later = [(seq, attempt) for seq, attempt in self._journal.order.items() if seq > after]
        return [(seq, self._attempt(self._journal.entries[attempt])) for seq, attempt in later[:limit]]

    async def events(self, after: int, limit: int = 1_000) -> Sequence[Event]:
        """Events in order."""
        return self._journal.events[after : after + limit]

    async def close(self) -> None:
        """Nothing is kept."""

    def _attempt(self, entry: Entry) -> Attempt:
        ending = self._journal.endings.get(entry.attempt)
        return attempt_of(entry, ending and ending[1], ending and ending[2])


def _is_open(meter: Meter, now: int) -> bool:
    meter.turn(now)
    return meter.window.end is None or meter.window.end > now


def _tally(entry: Entry) -> Tally:
    open_ = entry.state in ("HELD", "SENT")
    return Tally(
        entry.subject, entry.model, entry.provider, entry.at, settled=entry.charged, debt=entry.debt,
        held=entry.held if open_ else 0, open=int(open_), calls=int(entry.state != "RELEASED"),
    )  # fmt: skip
