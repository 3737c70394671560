"""What the ledger's file says of the moment: spend by minute, the feed, one session step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from costweir.guard import Start, open_ledger
from costweir.guard.ledger import Ask, Candidate, Hold, Settlement, Subject, Terms
from costweir.guard.ledgers.live import Cursor, Live
from costweir.guard.ledgers.reader import LedgerReader

CENT = 10_000_000
BUDGET = {"id": "acme-day", "scope": {"customer": "acme"}, "limit_usd": "1.00", "window": "day"}


def ask(name: str, *, session: str = "s_1", customer: str = "acme", output: int = 1_000) -> Ask:
    """An answer of at most `output` tokens at $0.0001 a token."""
    candidate = Candidate("big", "up1", CENT, 100_000, output, output, 50, "v1")
    return Ask(name, Subject(customer=customer, session=session, feature="chat"), (candidate,))


async def write(folder: Path) -> None:
    start = Start(terms=Terms(budgets=[BUDGET]), revision=1)
    ledger = open_ledger("sqlite:ledger.db", folder=folder, start=start)
    for name, cost, session in (("r1", 3 * CENT, "s_1"), ("r2", 4 * CENT, "s_1"), ("r3", 5 * CENT, "s_2")):
        hold = await ledger.reserve(ask(name, session=session), send=True)
        assert isinstance(hold, Hold)
        ledger.settle(hold.attempt, Settlement(cost, "reported", 12, {"input": 7, "output": 5}))
    gone = await ledger.reserve(ask("r4"), send=True)
    assert isinstance(gone, Hold)
    ledger.release(gone.attempt, "refused", {})
    assert isinstance(await ledger.reserve(ask("open"), send=True), Hold)
    await ledger.reserve(ask("over", output=20_000))
    await ledger.close()


def done(work: Coroutine[Any, Any, None]) -> None:
    """Runs it in a thread: browser tests leave an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    done(write(tmp_path))
    with LedgerReader(tmp_path / "ledger.db") as reader:
        yield Live(reader)


def now() -> datetime:
    return datetime.now(UTC)


def test_the_pulse_is_what_ended_and_what_is_open(live: Live) -> None:
    pulse = live.pulse(now())
    assert (pulse.spent, pulse.calls) == (12 * CENT, 3), "what was given back is no call"
    assert pulse.per_hour == 12 * CENT * 12, "five minutes are a twelfth of an hour"
    assert (pulse.open_calls, pulse.held, pulse.blocked) == (1, 11 * CENT, 1)
    assert len(pulse.minutes) == 60


def test_what_is_over_is_in_no_rate(live: Live) -> None:
    pulse = live.pulse(now() + timedelta(minutes=7))
    assert (pulse.per_hour, pulse.spent) == (0, 12 * CENT)
    assert live.pulse(now() + timedelta(hours=2)).spent == 0


def test_usual_needs_a_day_to_compare_with(live: Live) -> None:
    assert live.usual(now()) is None
    assert live.usual(now() + timedelta(days=1, minutes=30)) is None
    assert (
        live.usual(now() + timedelta(days=1, hours=1)) == 0 or live.usual(now() + timedelta(days=1)) is None
    )


def test_a_feed_gives_each_call_once(live: Live) -> None:
    ended, refused, reached = live.feed(Cursor(), 100)
    assert [row.request_id for row in ended] == ["r4", "r3", "r2", "r1"]
    assert [row.refusal.request_id for row in refused] == ["over"]
    assert reached == live.cursor() == Cursor.read(reached.text)
    assert live.feed(reached, 100) == ([], [], reached)
    newest, _, _ = live.feed(Cursor(), 1)
    assert [row.request_id for row in newest] == ["r4"], "what does not fit is the oldest"


def test_a_cursor_is_two_numbers_or_none() -> None:
    assert Cursor.read("12.3") == Cursor(12, 3)
    for text in ("", "12", "a.b", "1.²", "-1.2", "1.2.3"):
        assert Cursor.read(text) is None


def test_a_session_adds_up_step_by_step(live: Live) -> None:
    steps = live.steps("acme", "s_1", now=now())
    assert [(step.attempt.request_id, step.running) for step in steps] == [
        ("r1", 3 * CENT), ("r2", 7 * CENT), ("r4", 7 * CENT), ("open", 7 * CENT),
    ]  # fmt: skip
    newest = live.steps("acme", "s_1", now=now(), limit=1)
    assert [step.running for step in newest] == [7 * CENT], "a shorter list still starts with what was before"
    models, features = live.parts("acme", "s_1", now=now())
    assert [(part.name, part.calls, part.spent) for part in models] == [("big", 3, 7 * CENT)]
    assert [part.name for part in features] == ["chat"]
    assert dict(live.tokens("acme", "s_1", now=now())) == {"input": 14, "output": 10}
    assert live.steps("other", "s_1", now=now()) == [], "a session belongs to its customer"
    assert live.customers_of("s_1") == ["acme"]
    total = live.total("acme", "s_1", now=now())
    assert total is not None
    assert (total.calls, total.settled, total.held, total.open_calls) == (3, 7 * CENT, 11 * CENT, 1)
    assert live.total("acme", "never", now=now()) is None


def test_calls_are_chosen_and_paged(live: Live) -> None:
    everything = live.calls()
    assert [row.request_id for row in everything] == ["open", "r4", "r3", "r2", "r1"]
    assert [row.request_id for row in live.calls(session="s_2")] == ["r3"]
    assert [row.request_id for row in live.calls(state="SENT")] == ["open"]
    assert live.calls(customer="nobody") == []
    assert [row.refusal.request_id for _, row in live.refusals(customer="acme", session="s_1")] == ["over"]
    assert live.refusals(session="s_2") == live.refusals(customer="other") == live.refusals(before=1) == []
    assert [row.request_id for row in live.calls(before=everything[1].attempt, limit=1)] == ["r3"]


def test_an_empty_ledger_is_quiet(tmp_path: Path) -> None:
    async def made() -> None:
        await open_ledger("sqlite:ledger.db", folder=tmp_path, start=Start(terms=Terms(), revision=1)).close()

    done(made())
    with LedgerReader(tmp_path / "ledger.db") as reader:
        quiet = Live(reader)
        assert quiet.pulse(now()).spent == 0
        assert quiet.cursor() == Cursor()
        assert quiet.usual(now()) is None
        assert quiet.steps("", "none", now=now()) == []
