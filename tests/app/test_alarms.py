"""What a ledger tells is logged once, the alert rules see it while it holds, and it is over when its window is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costweir import config
from costweir.alerts import rulebook
from costweir.alerts.rules import matters
from costweir.app.weir import alarms
from costweir.app.weir.alarms import Matter, guard_tables, hear, held, still_open
from costweir.control import Control
from costweir.control.incidents import Condition
from costweir.guard import Start
from costweir.guard.ledger import NANO, Ask, Balance, Candidate, Event, Hold, Settlement, Subject, Terms
from costweir.guard.ledgers.sqlite import SqliteLedger
from costweir.guard.policy import Policy

AT = datetime(2026, 11, 21, tzinfo=UTC)
WINDOW = "total"
SPENT = {"threshold": 80, "limit": 1_000_000_000, "spent": 810_000_000}


class Told:
    """A ledger's events."""

    def __init__(self, *events: Event) -> None:
        self.all = events

    def events(self, after: int, limit: int = 1_000) -> Sequence[Event]:
        return [event for event in self.all if event.seq > after][:limit]


def event(seq: int, kind: str, detail: dict[str, Any], window: str = WINDOW) -> Event:
    return Event(seq, AT, kind, "acme-total", {"customer": "acme"}, window, detail)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with Control.open(tmp_path / "control.db") as opened:
        yield opened


def told(tables: dict[str, Any]) -> list[Condition]:
    """What the rules of budgets say of these tables."""
    found: list[Condition] = []
    for rule in rulebook.overlaid(()).watched():
        if rule.watch is not None and rule.watch.table in ("events", "balances"):
            rows = tables.get(rule.watch.table, [])
            rows = [row for row in rows if not rule.watch.kind or row["kind"] == rule.watch.kind]
            found += matters(rule, rows, today=AT.date())
    return found


class Desk:
    """A ledger file with one budget of a dollar, in which calls are settled."""

    def __init__(
        self, folder: Path, *, mode: str = "strict", window: str = "total", limit: str = "1.00"
    ) -> None:
        budget = {
            "id": "acme", "scope": {"customer": "acme"}, "limit_usd": limit, "window": window, "mode": mode,
        }  # fmt: skip
        self.settings = config.load(environ={}, overrides={"data_dir": str(folder)})
        self.ledger = SqliteLedger.open(
            folder / "ledger.db", Start(Terms(budgets=[budget], customers={"acme": ""}), 1)
        )

    async def spend(self, usd: str, *, hold: str = "", model: str = "m") -> bool:
        """One call; true when it was let through."""
        cost, kept = int(Decimal(usd) * NANO), int(Decimal(hold or usd) * NANO)
        ask = Ask(
            f"req-{usd}-{hold}", Subject(customer="acme"), (Candidate(model, "up", kept, 0, 1, 1, 1, "p"),)
        )
        found = await self.ledger.reserve(ask, send=True)
        if not isinstance(found, Hold):
            return False
        self.ledger.settle(found.attempt, Settlement(cost, "reported"))
        return True


def spent(desk: Desk, *calls: tuple[str, str]) -> list[bool]:
    """Whether each call, as what it costs and what is held for it, was let through."""

    async def run() -> list[bool]:
        found = [await desk.spend(cost, hold=hold) for cost, hold in calls]
        await desk.ledger.close()
        return found

    return asyncio.run(run())


def heard(control: Control, desk: Desk) -> list[Condition]:
    """What is told after the events were heard."""
    path = desk.settings.ledger_path
    assert path is not None
    with alarms.LedgerReader(path) as reader:
        hear(control, reader, lambda _: None)
    return told(guard_tables(control, desk.settings))


def test_an_event_is_one_line_and_never_a_second(control: Control) -> None:
    lines: list[bytes] = []
    source = Told(event(1, "threshold", {**SPENT, "threshold": 50}), event(2, "threshold", SPENT))
    assert hear(control, source, lines.append) == 2
    assert hear(control, source, lines.append) == 0
    records = [json.loads(line) for line in b"".join(lines).splitlines()]
    assert [(row["event_type"], row["threshold"]) for row in records] == [
        ("budget_threshold", 50), ("budget_threshold", 80),
    ]  # fmt: skip


def test_people_hear_from_80_percent_on(control: Control, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert spent(desk, ("0.60", ""), ("0.21", "")) == [True, True]
    [found] = heard(control, desk)
    assert (found.event, found.severity) == ("budget_threshold", "warning")
    assert found.text == "acme (customer=acme) has spent 80 % of its limit: 0.81 of 1.00 USD in total."
    assert {matter.threshold for matter in held(control)} == {50, 80}


def test_a_strict_budget_that_refuses_is_no_more_than_a_note(control: Control, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert spent(desk, ("1.00", ""), ("0.50", "")) == [True, False]
    found = heard(control, desk)
    assert {(row.event, row.severity) for row in found} == {
        ("budget_threshold", "warning"), ("budget_blocked", "info"),
    }  # fmt: skip
    [blocked] = [row for row in found if row.event == "budget_blocked"]
    assert blocked.link.startswith("/why/req-")


def test_spend_beyond_a_strict_budget_is_an_emergency(control: Control, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert spent(desk, ("1.30", "1.00")) == [True]
    found = {row.event: row for row in heard(control, desk)}
    assert found["enforcement_failed"].severity == "critical"
    assert "0.30 USD more than its limit of 1.00 USD" in found["enforcement_failed"].text
    assert found["bound_broken"].subject == "m"
    assert "budget_exceeded" not in found


def test_spend_beyond_a_budget_that_observes_is_told_as_such(control: Control, tmp_path: Path) -> None:
    desk = Desk(tmp_path, mode="observe")
    assert spent(desk, ("1.00", ""), ("0.50", "")) == [True, True]
    found = {row.event: row for row in heard(control, desk)}
    assert found["budget_exceeded"].severity == "critical"
    assert "refuses nothing" in found["budget_exceeded"].text
    assert "enforcement_failed" not in found


def test_the_cap_of_a_session_is_no_matter_of_its_own(control: Control, tmp_path: Path) -> None:
    desk = Desk(tmp_path, window="session")
    assert spent(desk, ("0.90", ""), ("0.50", "")) == [True, False]
    assert heard(control, desk) == []
    assert held(control) == []


def test_a_part_of_a_rolling_window_is_the_window_to_people(control: Control, tmp_path: Path) -> None:
    desk = Desk(tmp_path, window="rolling:1h")
    assert spent(desk, ("0.90", ""), ("0.50", "")) == [True, False]
    found = heard(control, desk)
    assert {row.period for row in found} == {"rolling:1h"}
    assert {row.event for row in found} == {"budget_threshold", "budget_blocked"}


def test_without_a_ledger_nothing_is_told(control: Control, tmp_path: Path) -> None:
    settings = config.load(environ={}, overrides={"data_dir": str(tmp_path)})
    hear(control, Told(event(1, "threshold", SPENT)), lambda _: None)
    assert guard_tables(control, settings) == {}


def test_it_is_over_when_the_window_is(control: Control, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    spent(desk)
    hear(control, Told(event(1, "threshold", SPENT, "day:2020-01-01")), lambda _: None)
    assert told(guard_tables(control, desk.settings)) == []
    assert control.get(alarms.OPEN) == "[]"


class Kept:
    """A ledger with one balance, in which models are suspended."""

    def __init__(self, *models: str, settled: int = 0, limit: int = NANO, window: str = WINDOW) -> None:
        self.models = models
        self.balance = Balance("acme-total", {"customer": "acme"}, window, limit, settled, 0, 0, 0)

    def balances(self, scope: object = None) -> list[Balance]:
        return [self.balance]

    def suspended(self) -> dict[str, datetime]:
        return dict.fromkeys(self.models, AT)

    def policy(self) -> Policy:
        return Policy(Terms(), ())


def kinds(control: Control, ledger: Kept) -> list[str]:
    return [matter.kind for matter in still_open(held(control), ledger)[0]]


def test_a_raised_limit_ends_what_was_told(control: Control) -> None:
    blocked = event(2, "blocked", {"request_id": "req_1", "limit": NANO})
    hear(control, Told(event(1, "threshold", SPENT), blocked), lambda _: None)
    assert kinds(control, Kept(settled=810_000_000)) == ["threshold", "blocked"]
    assert kinds(control, Kept(settled=810_000_000, limit=2 * NANO)) == []


def test_a_rolling_window_lets_calls_through_again(control: Control) -> None:
    blocked = event(1, "blocked", {"request_id": "req_1", "limit": NANO}, "rolling:1h@29")
    hear(control, Told(blocked), lambda _: None)
    assert kinds(control, Kept(settled=NANO, window="rolling:1h")) == ["blocked"]
    assert kinds(control, Kept(settled=NANO // 2, window="rolling:1h")) == []


def test_a_model_that_broke_its_bound_is_a_matter_until_it_is_lifted(control: Control) -> None:
    detail = {
        "model": "big",
        "debt": 5_000_000,
        "held": 1,
        "request_id": "req_1",
        "attempt": 1,
        "provider": "up",
    }
    hear(control, Told(Event(1, AT, "bound_broken", "", {}, "", detail)), lambda _: None)
    assert kinds(control, Kept("big")) == ["bound_broken"]
    assert kinds(control, Kept("small")) == []


def test_a_matter_survives_being_kept() -> None:
    matter = Matter("threshold", "b", "customer=é", "total", 80, 1, 2, one=True)
    assert (
        Matter(**json.loads(json.dumps({name: getattr(matter, name) for name in Matter.__slots__}))) == matter
    )
