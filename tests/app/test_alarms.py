"""What a ledger tells is logged once, people hear of it from 80 % on, and it is over when its window is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from costweir import config
from costweir.app.weir import alarms
from costweir.app.weir.alarms import Alarm, budget_conditions, hear, still_open
from costweir.control import Control
from costweir.guard import Start
from costweir.guard.ledger import Balance, Event, Terms
from costweir.guard.ledgers.sqlite import SqliteLedger

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


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    """Settings beside a ledger in which one budget is open."""
    budget = {"id": "acme-total", "scope": {"customer": "acme"}, "limit_usd": "1.00", "window": "total"}
    ledger = SqliteLedger.open(
        tmp_path / "ledger.db", Start(Terms(budgets=[budget], customers={"acme": ""}), 1)
    )
    asyncio.run(ledger.close())
    return config.load(environ={}, overrides={"data_dir": str(tmp_path)})


def test_an_event_is_one_line_and_never_a_second(control: Control) -> None:
    lines: list[bytes] = []
    told = Told(event(1, "threshold", {**SPENT, "threshold": 50}), event(2, "threshold", SPENT))
    assert hear(control, told, lines.append) == 2
    assert hear(control, told, lines.append) == 0
    records = [json.loads(line) for line in b"".join(lines).splitlines()]
    assert [(row["event"], row["threshold"]) for row in records] == [
        ("budget_threshold", 50), ("budget_threshold", 80),
    ]  # fmt: skip


def test_people_hear_from_80_percent_on_and_of_a_block(control: Control, settings: config.Settings) -> None:
    hear(
        control,
        Told(
            event(1, "threshold", {**SPENT, "threshold": 50}), event(2, "threshold", SPENT),
            event(3, "blocked", {"request_id": "req_1", "limit": 1}),
        ),
        lambda _: None,
    )  # fmt: skip
    found = budget_conditions(control, settings)
    assert [row.event for row in found] == ["budget_threshold", "budget_blocked"]
    assert "0.81 of 1.00 USD" in found[0].text
    assert "req_1" in found[1].hint


def test_it_is_over_when_the_window_is(control: Control, settings: config.Settings) -> None:
    hear(control, Told(event(1, "threshold", SPENT, "day:2020-01-01")), lambda _: None)
    assert budget_conditions(control, settings) == []
    assert control.get(alarms.OPEN) == "{}"


class Suspended:
    """A ledger without windows, in which a model is suspended."""

    def __init__(self, *models: str) -> None:
        self.models = models

    def balances(self, scope: object = None) -> list[Balance]:
        return []

    def suspended(self) -> dict[str, datetime]:
        return dict.fromkeys(self.models, AT)


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
    held = [Alarm(**values) for values in json.loads(control.get(alarms.OPEN)).values()]
    assert [alarm.event for alarm in still_open(held, Suspended("big"))] == ["bound_broken"]
    assert still_open(held, Suspended("small")) == []
