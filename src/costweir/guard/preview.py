"""What a limit would have refused: attempts that were made, put before the weir once more, under one budget."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from costweir.guard.journal import Entry
from costweir.guard.ledger import (
    Ask,
    Attempt,
    Candidate,
    Hold,
    Record,
    Refusal,
    Settlement,
    Terms,
)
from costweir.guard.meters import Counts, Key, Meter
from costweir.guard.policy import Policy, Rule, Scope
from costweir.guard.weir import Weir
from costweir.guard.windows import nanoseconds

#: Long enough for any stream that is replayed.
_FOREVER = 1 << 60


@dataclass(slots=True)
class Preview:
    """What was replayed, and how much of it would not have been sent. Amounts are nano-dollars that calls cost."""

    since: datetime
    until: datetime
    calls: int = 0
    cost: int = 0
    blocked: int = 0
    blocked_cost: int = 0
    first_blocked_at: datetime | None = None
    by_customer: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Blocked calls and what they cost, by customer."""
    windows: int = 0
    """Windows of members in which something would have been blocked."""


def replay(
    attempts: Iterable[Attempt], budget: Record, preview: Preview, *, customers: Mapping[str, str]
) -> Preview:
    """Puts attempts, oldest first, before a weir that has this budget only; adds to `preview`.

    Each holds what it held and is settled when it ended, so the decision is the weir's own. It would not have clamped
    or degraded, and callers do not change their ways because of a refusal.
    """
    now = nanoseconds(preview.since)
    policy = Policy.compile(Terms(budgets=[budget], customers=customers, sessions_per_hour=_FOREVER), now)
    clock = _Clock(now)
    weir = Weir(policy, _Silence(), clock=clock, next_attempt=1, lease=_FOREVER)
    ending: list[tuple[int, int, int]] = []
    met: set[tuple[Scope, str]] = set()
    for one in attempts:
        clock.now = nanoseconds(one.created_at)
        while ending and ending[0][0] <= clock.now:
            _, number, cost = heapq.heappop(ending)
            weir.settle(number, Settlement(cost, "reported"))
        # What it cost beyond its hold is held here, so that nothing is suspended on the way.
        cost = one.charged + one.debt
        candidate = Candidate(one.model, one.provider, max(one.held, cost), 0, 0, 0, sum(one.usage.values()))
        answer = weir.admit(Ask(one.request_id, one.subject, (candidate,)), sent=True)
        preview.calls += 1
        preview.cost += cost
        if isinstance(answer, Hold):
            end = clock.now if one.ended_at is None else nanoseconds(one.ended_at)
            heapq.heappush(ending, (end, answer.attempt, cost))
        else:
            met.add((tuple(answer.scope.items()), answer.window_id))
            _block(preview, one, cost)
    preview.windows = len(met)
    return preview


def _block(preview: Preview, one: Attempt, cost: int) -> None:
    preview.blocked += 1
    preview.blocked_cost += cost
    preview.first_blocked_at = preview.first_blocked_at or one.created_at
    calls = preview.by_customer.setdefault(one.subject.customer, [0, 0])
    calls[0] += 1
    calls[1] += cost


class _Clock:
    """Shows the time of the attempt that is looked at."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class _Silence:
    """A journal that keeps nothing."""

    def find(self, key: Key) -> Counts | None: ...

    def parts(self, rule: Rule, scope: Scope, since: int) -> Sequence[tuple[int, Counts]]:
        return ()

    def begin(self, meter: Meter) -> None:
        meter.stored = True

    def opened(self, entry: Entry) -> None: ...

    def undone(self, entry: Entry) -> None: ...

    def sent(self, entry: Entry) -> None: ...

    def ended(self, entry: Entry, settlement: Settlement, at: int) -> None: ...

    def corrected(
        self, entry: Entry, settlement: Settlement, *, meters: Sequence[Meter], change: tuple[int, int]
    ) -> None: ...

    def refused(self, ask: Ask, refusal: Refusal, at: int) -> None: ...

    def tell(self, kind: str, meter: Meter | None, detail: Mapping[str, object], at: int) -> None: ...

    def suspend(self, model: str, at: int) -> None: ...

    def ended_entry(self, attempt: int) -> Entry | None: ...
