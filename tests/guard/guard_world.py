"""What the tests of the guard share: a clock that is set by hand, ledgers of both kinds, and short ways to ask."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from costweir.guard import Start
from costweir.guard.clock import Clock
from costweir.guard.ledger import (
    Ask,
    Balance,
    Candidate,
    Drift,
    Hold,
    Refusal,
    Settled,
    Settlement,
    Subject,
    Terms,
)
from costweir.guard.ledgers.memory import MemoryLedger
from costweir.guard.ledgers.sqlite import SqliteLedger
from costweir.guard.windows import SECOND

#: 2026-11-21 12:00 UTC, a Saturday.
NOON = 1_795_262_400 * SECOND
USD = 1_000_000_000
CENT = USD // 100
KINDS = ("memory", "sqlite")
Result = TypeVar("Result")


class Hands:
    """The machine's clock and what really passed, each moved by hand."""

    def __init__(self, wall: int = NOON) -> None:
        self.wall = wall
        self.passed = 0

    def sleep(self, seconds: int) -> None:
        """Time goes by."""
        self.wall += seconds * SECOND
        self.passed += seconds * SECOND

    def step(self, seconds: int) -> None:
        """Somebody sets the clock."""
        self.wall += seconds * SECOND

    def clock(self) -> Clock:
        """A clock that shows it."""
        return Clock(wall=lambda: self.wall, passed=lambda: self.passed)


def terms(*budgets: Mapping[str, Any], **others: Any) -> Terms:
    """Terms with these budgets."""
    return Terms(budgets=budgets, **others)


def budget(name: str, usd: str = "1.00", *, window: str = "day", **others: Any) -> dict[str, Any]:
    """A budget for everything, unless `scope` is given."""
    return {"id": name, "limit_usd": usd, "window": window, **others}


def candidate(
    usd_nano: int = 10 * CENT,
    *,
    model: str = "big",
    rate: int = 0,
    cap: int = 0,
    floor: int | None = None,
    **others: Any,
) -> Candidate:
    """A candidate that holds `usd_nano` besides its output."""
    return Candidate(
        model, "up", usd_nano, rate, cap, cap if floor is None else floor, others.pop("tokens", 10), **others
    )


def ask(
    *candidates: Candidate, subject: Subject | None = None, no_degrade: bool = False, request: str = "r"
) -> Ask:
    """A request of acme's, unless somebody else is named."""
    return Ask(
        request, subject or Subject(customer="acme", key="k1"), candidates or (candidate(),), no_degrade
    )


def held(answer: Hold | Refusal) -> Hold:
    """The hold, or a failure that shows the refusal."""
    assert isinstance(answer, Hold), answer
    return answer


def refused(answer: Hold | Refusal) -> Refusal:
    """The refusal, or a failure that shows the hold."""
    assert isinstance(answer, Refusal), answer
    return answer


#: What a crash leaves of a ledger. The log is copied first, so that the file is never older than it was.
FILES = ("ledger.db", "ledger.db-wal", "ledger.db-log0", "ledger.db-log1")


class House:
    """A ledger on its own event loop, for tests that are not asynchronous themselves."""

    def __init__(
        self, kind: str, folder: Path, terms: Terms | None = None, *, hands: Hands | None = None
    ) -> None:
        self.kind = kind
        self.folder = folder
        self.hands = hands or Hands()
        self.runner = asyncio.Runner()
        self.lease = 600
        self.closed = False
        self.terms = terms or Terms()
        self.revision = 1
        self.ledger = self._made(terms)

    def _made(self, terms: Terms | None) -> MemoryLedger | SqliteLedger:
        start = Start(terms, self.revision, self.hands.clock(), lease=self.lease * SECOND)
        if self.kind == "memory":
            return MemoryLedger(start)
        return SqliteLedger.open(self.folder / "ledger.db", start)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Runs something to its end."""
        return self.runner.run(work)

    def reserve(self, *candidates: Candidate, send: bool = True, **others: Any) -> Hold | Refusal:
        """Asks for a hold."""
        return self.run(self.ledger.reserve(ask(*candidates, **others), send=send))

    def reserve_all(self, asks: Sequence[Ask]) -> list[Hold | Refusal]:
        """Asks for many at once."""

        async def all_of_them() -> list[Hold | Refusal]:
            return await asyncio.gather(*(self.ledger.reserve(one, send=True) for one in asks))

        return self.run(all_of_them())

    def settle(self, hold: Hold | int, cost: int | None, **others: Any) -> Settled:
        """Says what an attempt cost."""
        attempt = hold if isinstance(hold, int) else hold.attempt
        certainty = "unknown" if cost is None else "reported"
        return self.ledger.settle(attempt, Settlement(cost, certainty, **others))

    def release(self, hold: Hold) -> bool:
        """Gives a hold back."""
        return self.ledger.release(hold.attempt, "refused", {})

    def apply(self, terms: Terms) -> None:
        """Makes other terms hold."""
        self.terms = terms
        self.revision += 1
        self.run(self.ledger.apply(terms, self.revision))

    def balances(self, **scope: str) -> dict[str, Balance]:
        """The balances by budget; the last one of several members."""
        return {one.budget_id: one for one in self.run(self.ledger.balances(scope))}

    def drifts(self) -> Sequence[Drift]:
        """What `verify` finds."""
        return self.run(self.ledger.verify())

    def states(self) -> list[str]:
        """The states of the attempts, oldest first."""
        return [one.state for one in reversed(self.run(self.ledger.attempts(limit=10_000)))]

    def events(self, kind: str) -> list[Mapping[str, object]]:
        """What was told of that kind."""
        return [event.detail for event in self.run(self.ledger.events(0)) if event.kind == kind]

    def close(self) -> None:
        """Closes the ledger in peace; a second call does nothing."""
        if self.closed:
            return
        self.closed = True
        self.run(self.ledger.close())
        self.runner.close()

    def restart(self, terms: Terms | None = None) -> None:
        """Closes and opens the file again."""
        self.run(self.ledger.close())
        self.ledger = self._made(terms or self.terms)

    def crash(self) -> None:
        """Goes on from the files as they are now, as after kill -9: what was not written is lost."""
        copy = self.folder / "copy"
        copy.mkdir()
        for name in FILES:
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, copy / name)
        self.run(self.ledger.close())
        for path in self.folder.glob("ledger.db*"):
            path.unlink()
        for path in copy.iterdir():
            path.rename(self.folder / path.name)
        copy.rmdir()
        self.ledger = self._made(self.terms)
