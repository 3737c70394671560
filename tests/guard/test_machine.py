"""Laws L1, L2, L3 and L10 as a state machine: any order of calls, edits, crashes and clocks, beside an oracle that adds
up a plain list of attempts."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from guard_world import CENT, House, budget, candidate
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from costweir.guard.ledger import Hold, Subject, Terms, usd
from costweir.guard.windows import DAY, SECOND

CUSTOMERS = ("acme", "zeta")
SUBJECTS = tuple(
    Subject(customer=customer, key="k1", session=session) for customer in CUSTOMERS for session in ("s1", "")
)
LIMITS = st.sampled_from([0, 50, 120, 300, 1_000]).map(lambda cents: cents * CENT)
OPEN = ("HELD", "SENT")


@dataclass
class Row:
    """An attempt, as the oracle knows it."""

    subject: Subject
    model: str
    at: int
    held: int
    state: str
    charged: int = 0
    debt: int = 0

    @property
    def used(self) -> int:
        return self.held if self.state in OPEN else self.charged + self.debt


@dataclass
class Limit:
    """A strict budget, as the oracle knows it: who it is about, and since when it counts at an instant."""

    id: str
    window: str
    limit: int
    scope: dict[str, str] = field(default_factory=dict[str, str])

    def definition(self) -> dict[str, object]:
        return budget(self.id, usd(self.limit), window=self.window, scope=self.scope)

    def counts(self, row: Row, *, subject: Subject, model: str, now: int) -> bool:
        """True when a row uses room that a call of this subject would use."""
        for kind, wanted in self.scope.items():
            if (row.model if kind == "model" else getattr(row.subject, kind)) != wanted:
                return False
        if self.window == "session":
            if (row.subject.customer, row.subject.session) != (subject.customer, subject.session):
                return False
            # Calls without a session share the one of their key and day.
            return bool(subject.session) or (row.subject.key == subject.key and row.at // DAY == now // DAY)
        if self.window == "day":
            return row.at // DAY == now // DAY
        if self.window == "rolling:60m":
            return row.at > now - 3_600 * SECOND or row.state in OPEN
        return True

    def meets(self, subject: Subject, model: str) -> bool:
        return all(
            (model if kind == "model" else getattr(subject, kind)) == wanted
            for kind, wanted in self.scope.items()
        )


class Weirs(RuleBasedStateMachine):
    """One ledger, poked at random."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="weir-"))
        self.house = House(self.kind, self.folder)
        self.rows: dict[int, Row] = {}
        self.limits: list[Limit] = []

    def teardown(self) -> None:
        try:
            assert self.house.drifts() == []
        finally:
            self.house.close()
            shutil.rmtree(self.folder)

    # -- what people do

    @initialize(limits=st.lists(LIMITS, min_size=5, max_size=5))
    def begin(self, limits: list[int]) -> None:
        kinds: list[tuple[str, dict[str, str]]] = [
            ("day", {}), ("total", {"customer": "acme"}), ("session", {}), ("rolling:60m", {"model": "big"}),
            ("day", {"customer": "zeta", "session": "s1"}),
        ]  # fmt: skip
        self.limits = [
            Limit(f"b{number}", window, limit, scope)
            for number, ((window, scope), limit) in enumerate(zip(kinds, limits, strict=True))
        ]
        self._apply()

    @rule(place=st.integers(0, 9), limit=LIMITS)
    def edit_a_limit(self, place: int, limit: int) -> None:
        if self.limits:
            self.limits[place % len(self.limits)].limit = limit
            self._apply()

    @rule(place=st.integers(0, 9))
    def drop_a_budget(self, place: int) -> None:
        if self.limits:
            del self.limits[place % len(self.limits)]
            self._apply()

    @rule(
        name=st.sampled_from(["n1", "n2"]), window=st.sampled_from(["day", "total", "session", "rolling:60m"]),
        scope=st.sampled_from([{}, {"customer": "acme"}, {"model": "small"}, {"session": "s1"}]), limit=LIMITS,
    )  # fmt: skip
    def set_a_budget(self, name: str, window: str, scope: dict[str, str], limit: int) -> None:
        self.limits = [one for one in self.limits if one.id != name]
        self.limits.append(Limit(name, window, limit, scope))
        self._apply()

    # -- what calls do

    @rule(
        subject=st.sampled_from(SUBJECTS), fixed=st.integers(0, 60), rate=st.integers(0, 3), cap=st.integers(0, 30),
        floor=st.integers(0, 30), send=st.booleans(), no_degrade=st.booleans(), stand_in=st.booleans(),
    )  # fmt: skip
    def reserve(
        self, subject: Subject, fixed: int, rate: int, cap: int, floor: int, send: bool, no_degrade: bool,
        stand_in: bool,
    ) -> None:  # fmt: skip
        options = [candidate(fixed * CENT, rate=rate * CENT, cap=cap, floor=min(cap, floor))]
        if stand_in:
            options.append(
                candidate(
                    fixed * CENT // 2, model="small", rate=rate * CENT // 2, cap=cap, floor=min(cap, floor)
                )
            )
        answer = self.house.reserve(*options, subject=subject, send=send, no_degrade=no_degrade)
        now = self._now()
        if isinstance(answer, Hold):
            chosen = options[answer.choice]
            assert answer.held == chosen.fixed + answer.cap * chosen.output_rate
            assert chosen.floor <= answer.cap <= chosen.cap
            for limit in self.limits:
                if limit.meets(subject, chosen.model):
                    # L1, admission
                    assert self._used(limit, subject, chosen.model, now) + answer.held <= limit.limit, limit
            state = "SENT" if send else "HELD"
            self.rows[answer.attempt] = Row(subject, chosen.model, now, answer.held, state)
            return
        if stand_in:
            return
        # No phantom block: what was refused does not even fit with the smallest cap. A rolling window may count one
        # part more than it is long.
        least = options[0].fixed + options[0].floor * options[0].output_rate
        assert any(
            self._used(limit, subject, "big", now, slack=61 * SECOND) + least > limit.limit
            for limit in self.limits
            if limit.meets(subject, "big")
        ), answer

    @precondition(lambda self: self.rows)
    @rule(place=st.integers(0, 99), cost=st.one_of(st.none(), st.integers(0, 60)))
    def settle(self, place: int, cost: int | None) -> None:
        attempt, row = self._pick(place)
        before = (row.state, row.charged, row.debt)
        amount = None if cost is None else min(cost * CENT, row.held)
        done = self.house.settle(attempt, amount)
        if row.state in OPEN or (row.state == "UNCERTAIN" and amount is not None):
            row.state = "UNCERTAIN" if amount is None else "SETTLED"
            row.charged = row.held if amount is None else amount
            assert not done.repeated
        else:
            # L2: a repeat changes nothing.
            assert done.repeated
            assert before == (row.state, done.charged, done.debt)
        # L1, bound; L10
        assert type(done.charged) is int
        assert done.charged == row.charged <= row.held

    @precondition(lambda self: self.rows)
    @rule(place=st.integers(0, 99))
    def release(self, place: int) -> None:
        attempt, row = self._pick(place)
        assert self.house.ledger.release(attempt, "refused", {}) == (row.state in OPEN)
        if row.state in OPEN:
            row.state = "RELEASED"

    @precondition(lambda self: self.rows)
    @rule(place=st.integers(0, 99))
    def send(self, place: int) -> None:
        attempt, row = self._pick(place)
        if row.state == "HELD":
            self.house.run(self.house.ledger.sent(attempt))
            row.state = "SENT"

    # -- what happens to machines

    @rule(seconds=st.sampled_from([1, 30, 600, 3_000, 3_540, 40_000, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.house.hands.sleep(seconds)
        self.house.ledger.weir.expire()
        for row in self.rows.values():
            if row.state in OPEN and self._now() - row.at >= 600 * SECOND:
                row.charged = 0 if row.state == "HELD" else row.held
                row.state = "RELEASED" if row.state == "HELD" else "UNCERTAIN"

    @rule(seconds=st.sampled_from([-100_000, -5, 100_000]))
    def somebody_sets_the_clock(self, seconds: int) -> None:
        self.house.hands.step(seconds)

    @precondition(lambda self: self.kind == "sqlite")
    @rule()
    def restart(self) -> None:
        self.house.restart()
        self._end_open_ones()

    @precondition(lambda self: self.kind == "sqlite")
    @rule()
    def crash(self) -> None:
        self.house.crash()
        kept = {one.attempt: one for one in self.house.run(self.house.ledger.attempts(limit=10_000))}
        for attempt, row in self.rows.items():
            # L3: whoever had a hold finds it again, and what was lost is charged more, never less.
            one = kept[attempt]
            assert one.held == row.held
            if (one.state, one.charged) != (row.state, row.charged):
                assert one.state in (
                    "UNCERTAIN",
                    "RELEASED" if row.state in ("HELD", "RELEASED") else "UNCERTAIN",
                )
                assert one.charged >= row.charged
            row.state, row.charged, row.debt = one.state, one.charged, one.debt

    # -- what has to hold at all times

    @invariant()
    def balances_are_what_the_attempts_add_up_to(self) -> None:
        now = self._now()
        for balance in self.house.run(self.house.ledger.balances()):
            limit = next(one for one in self.limits if one.id == balance.budget_id)
            subject = Subject(
                customer=balance.scope.get("customer", ""), key=balance.scope.get("key", ""),
                session=balance.scope.get("session", ""),
            )  # fmt: skip
            assert balance.limit == limit.limit
            if limit.window == "rolling:60m":
                continue
            if limit.window == "session" and not subject.session and balance.window_id != _session_of(now):
                continue
            rows = [
                row for row in self.rows.values() if limit.counts(row, subject=subject, model="", now=now)
            ]
            assert balance.held == sum(row.held for row in rows if row.state in OPEN), balance
            assert balance.settled == sum(row.charged for row in rows), balance
            assert balance.open_holds == sum(row.state in OPEN for row in rows)

    # -- the oracle

    def _now(self) -> int:
        return self.house.ledger.clock.now()

    def _apply(self) -> None:
        self.house.apply(Terms(budgets=[limit.definition() for limit in self.limits]))

    def _used(self, limit: Limit, subject: Subject, model: str, now: int, slack: int = 0) -> int:
        earlier = now - slack if limit.window.startswith("rolling") else now
        return sum(
            row.used
            for row in self.rows.values()
            if limit.counts(row, subject=subject, model=model, now=earlier) and row.state != "RELEASED"
        )

    def _pick(self, place: int) -> tuple[int, Row]:
        attempts = list(self.rows)
        attempt = attempts[place % len(attempts)]
        return attempt, self.rows[attempt]

    def _end_open_ones(self) -> None:
        for row in self.rows.values():
            if row.state in OPEN:
                row.charged = 0 if row.state == "HELD" else row.held
                row.state = "RELEASED" if row.state == "HELD" else "UNCERTAIN"


def _session_of(now: int) -> str:
    from costweir.guard.windows import instant

    return f"session:{instant(now):%Y-%m-%d}"


class FileWeirs(Weirs):
    """The same, with a file that can crash."""

    kind = "sqlite"


TestMemory = Weirs.TestCase
TestMemory.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestFile = FileWeirs.TestCase
TestFile.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
