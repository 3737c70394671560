"""`costweir ledger` and `costweir budget` on files that a ledger wrote."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from costweir.app.terms import read_terms
from costweir.control import Control
from costweir.guard import Start
from costweir.guard.ledger import Ask, Candidate, Hold, Settlement, Subject
from costweir.guard.ledgers.sqlite import SqliteLedger

CONFIG = """
plans = [ { id = "tier_1", price_usd = "49", budget_usd = "8", session_usd = "0.50", session_calls = 100 } ]
customers = [ { id = "acme", plan = "tier_1" }, { id = "zeta", plan = "tier_1" } ]
budgets = [ { id = "acme-day", scope = { customer = "acme" }, limit_usd = "1.00", window = "day" } ]
"""
BALANCE = {
    "budget_id", "scope", "window_id", "limit_usd", "settled_usd", "held_usd", "debt_usd", "remaining_usd",
    "open_holds",
}  # fmt: skip
ATTEMPT = {
    "attempt_id", "request_id", "state", "model", "held_usd", "settled_usd", "usage", "price_version", "created_at",
}  # fmt: skip


@pytest.fixture
def calls(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three calls of acme at ten cents, one of them without usage and one still open, and one of zeta."""
    config = home / "costweir.toml"
    config.write_text(CONFIG)
    monkeypatch.setenv("COSTWEIR_CONFIG", str(config))
    from costweir.config import load

    settings = load(path=config, overrides={})
    with Control.open(settings.control_path) as control:
        control.sync(settings)
        terms, revision = read_terms(control)
    asyncio.run(_call(settings.data_dir / "ledger.db", Start(terms, revision, durability="process")))
    return settings.data_dir / "ledger.db"


async def _call(path: Path, start: Start) -> None:
    ledger = SqliteLedger.open(path, start)
    endings = (("acme", 90_000_000), ("acme", None), ("zeta", 50_000_000), ("acme", -1))
    for number, (customer, cost) in enumerate(endings):
        candidate = Candidate("big", "up", 100_000_000, 0, 0, 0, 10, "v1")
        hold = await ledger.reserve(
            Ask(f"req_{number}", Subject(customer, session="s"), (candidate,)), send=True
        )
        assert isinstance(hold, Hold)
        if cost != -1:
            ledger.settle(hold.attempt, Settlement(cost, "unknown" if cost is None else "reported"))
    await ledger.close()


def test_balances_have_the_fields_of_the_contract(cli: Any, calls: Path) -> None:
    done = cli("ledger", "balances", "--json")
    rows = {(row["budget_id"], row["scope"].get("customer")): row for row in done.json["rows"]}
    acme = rows["acme-day", "acme"]

    assert done.code == 0
    assert done.json["schema"] == "costweir.ledger_balances/1"
    assert acme.keys() >= BALANCE
    assert (acme["limit_usd"], acme["settled_usd"], acme["held_usd"]) == ("1.00", "0.19", "0.10")
    assert (acme["debt_usd"], acme["remaining_usd"], acme["open_holds"]) == ("0.00", "0.71", 1)
    assert rows["plan:tier_1:month", "zeta"]["remaining_usd"] == "7.95"


def test_balances_of_one_scope(cli: Any, calls: Path) -> None:
    rows = cli("ledger", "balances", "--scope", "customer=zeta", "--json").json["rows"]

    assert {row["budget_id"] for row in rows} == {"plan:tier_1:month", "plan:tier_1:session"}
    assert cli("ledger", "balances", "--scope", "customer=nobody").code == 0


@pytest.mark.parametrize(
    ("given", "said"), [("custmer=acme", "did you mean customer?"), ("zork=1", "the kinds are")]
)
def test_a_scope_of_no_kind_is_refused_with_the_nearest(cli: Any, calls: Path, given: str, said: str) -> None:
    done = cli("ledger", "balances", "--scope", given, "--json")

    assert done.code == 2
    assert said in done.error["message"]


def test_people_see_the_first_balances_and_how_many_more_there_are(cli: Any, calls: Path) -> None:
    every = cli("ledger", "balances", "--json").json["rows"]
    few = cli("ledger", "balances", "--limit", "1")

    assert [("session" in row["scope"]) for row in every] == sorted(
        "session" in row["scope"] for row in every
    )
    assert f"{len(every) - 1} more; --all" in few.err
    assert len(cli("ledger", "balances", "--all", "--csv").out.splitlines()) == 1 + len(every)


def test_a_damaged_file_is_no_passing_trouble(cli: Any, calls: Path) -> None:
    with sqlite3.connect(calls) as kept:
        kept.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept.close()
    whole = calls.read_bytes()
    calls.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    done = cli("ledger", "verify", "--json")

    assert done.code == 1
    assert (done.error["transient"], "damaged" in done.error["message"]) == (False, True)
    assert "backup" in done.error["hint"]


def test_attempts_have_the_fields_of_the_contract(cli: Any, calls: Path) -> None:
    rows = cli("ledger", "attempts", "--json").json["rows"]

    assert all(row.keys() >= ATTEMPT for row in rows)
    assert [row["request_id"] for row in rows] == ["req_3", "req_2", "req_1", "req_0"]
    assert [row["state"] for row in rows] == ["SENT", "SETTLED", "UNCERTAIN", "SETTLED"]
    assert [row["settled_usd"] for row in rows] == ["0.00", "0.05", "0.10", "0.09"]
    assert [row["usage"] for row in rows] == ["unknown", "reported", "unknown", "reported"]
    assert all(row["attempt_id"].startswith("att_") and row["created_at"].endswith("Z") for row in rows)


def test_attempts_of_a_request_and_in_a_state(cli: Any, calls: Path) -> None:
    assert len(cli("ledger", "attempts", "--request", "req_2", "--json").json["rows"]) == 1
    assert len(cli("ledger", "attempts", "--state", "settled", "--json").json["rows"]) == 2
    assert len(cli("ledger", "attempts", "--limit", "1", "--json").json["rows"]) == 1


def test_verify_says_that_all_is_equal(cli: Any, calls: Path) -> None:
    done = cli("ledger", "verify", "--json")

    assert done.code == 0
    assert done.json["ok"] is True


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE balances SET settled = settled - 1 WHERE budget = 'acme-day'",
        "UPDATE attempts SET charged = 1 WHERE request_id = 'req_0'",
        "DELETE FROM attempts WHERE request_id = 'req_0'",
        "DELETE FROM balances WHERE budget = 'acme-day'",
    ],
)
def test_verify_finds_what_does_not_add_up(cli: Any, calls: Path, harm: str) -> None:
    with sqlite3.connect(calls) as connection:
        connection.execute(harm)
    connection.close()
    done = cli("ledger", "verify", "--json")

    assert done.code == 5
    assert done.error["code"] == "check_failed"
    assert "acme-day" in {row["budget_id"] for row in done.json["rows"]}


def test_without_a_ledger_nothing_is_shown(cli: Any) -> None:
    assert cli("ledger", "balances", "--json").json["rows"] == []
    assert cli("ledger", "attempts").code == 0
    assert cli("ledger", "verify").code == 0


def test_a_ledger_in_memory_cannot_be_read(cli: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "memory.toml").write_text('ledger = { url = "memory:" }')
    monkeypatch.setenv("COSTWEIR_CONFIG", str(home / "memory.toml"))

    done = cli("ledger", "balances", "--json")
    assert done.code == 1
    assert "in the running gateway" in done.error["message"]


def test_the_clock_is_confirmed_only_on_purpose(cli: Any) -> None:
    assert cli("ledger", "clock").code == 2
    assert cli("ledger", "clock", "--confirm").code == 0


# -- budgets


def test_a_budget_is_set_changed_listed_and_removed(cli: Any, home: Path) -> None:
    assert (
        cli("budget", "set", "b", "--scope", "customer=acme", "--limit-usd", "1.50", "--window", "day").code
        == 0
    )
    assert cli("budget", "set", "b", "--calls", "7", "--thresholds", "60,95").code == 0
    row = cli("budget", "list", "--json").json["rows"][0]

    assert (row["id"], row["scope"], row["limit_usd"]) == ("b", {"customer": "acme"}, "1.50")
    assert (row["window"], row["calls"], row["thresholds"], row["origin"]) == ("day", 7, [60, 95], "user")
    assert cli("budget", "remove", "b").code == 0
    assert cli("budget", "list", "--json").json["rows"] == []
    assert cli("budget", "remove", "b").code == 1
    actions = [row["action"] for row in cli("audit", "list", "--json").json["rows"]]
    assert actions == ["budget.delete", "budget.put", "budget.put"]


def test_a_budget_that_expires_is_then_as_it_was(cli: Any, home: Path) -> None:
    cli("budget", "set", "b", "--limit-usd", "1")
    cli("budget", "set", "b", "--limit-usd", "5", "--expires", "2h")
    cli("budget", "set", "b", "--limit-usd", "9", "--expires", "1h")
    with Control.open(home / "data" / "control.db", read_only=True) as control:
        terms, _ = read_terms(control)
    from costweir.guard.policy import Policy
    from costweir.guard.windows import nanoseconds

    now = datetime.now(UTC)
    limits = [
        Policy.compile(terms, nanoseconds(now + timedelta(minutes=minutes))).rules[0].limit
        for minutes in (30, 90, 180)
    ]
    assert limits == [9 * 10**9, 10**9, 10**9]


def test_plans_make_budgets(cli: Any, calls: Path) -> None:
    rows = {row["id"]: row for row in cli("budget", "list", "--json").json["rows"]}

    assert rows["plan:tier_1:month"]["each"] == ["customer"]
    assert rows["plan:tier_1:session"]["thresholds"] == [60, 80, 95, 100]
    assert "each customer, each session" in cli("budget", "list").out


@pytest.mark.parametrize(
    "words",
    [
        ("set", "b"), ("set", "b", "--limit-usd", "much"), ("set", "b", "--limit-usd", "1", "--window", "year"),
        ("set", "b", "--limit-usd", "1", "--scope", "planet=earth"),
        ("set", "b", "--limit-usd", "1", "--thresholds", "x"),
        ("set", "b", "--limit-usd", "1", "--expires", "soon"), ("freeze", "--scope", "acme"),
    ],
)  # fmt: skip
def test_what_is_no_budget_is_refused(cli: Any, home: Path, words: tuple[str, ...]) -> None:
    assert cli("budget", *words).code == 2
    assert cli("budget", "list", "--json").json["rows"] == []


def test_a_budget_of_the_configuration_file_stays(cli: Any, calls: Path) -> None:
    assert cli("budget", "set", "acme-day", "--limit-usd", "9").code == 1
    assert cli("budget", "remove", "acme-day").code == 1


def test_a_dry_run_sets_nothing(cli: Any, home: Path) -> None:
    done = cli("budget", "set", "b", "--limit-usd", "1", "--dry-run", "--json")

    assert done.json["limit_usd"] == "1"
    assert cli("budget", "list", "--json").json["rows"] == []


def test_a_preview_says_what_a_limit_would_have_refused(cli: Any, calls: Path) -> None:
    tight = cli("budget", "preview", "new", "--scope", "customer=acme", "--limit-usd", "0.25", "--json").json

    assert tight["schema"] == "costweir.budget_preview/1"
    assert (tight["calls"], tight["blocked_calls"], tight["blocked_customers"]) == (4, 1, 1)
    assert tight["rows"] == [{"customer": "acme", "blocked_calls": 1, "blocked_usd": "0.00"}]
    wide = cli("budget", "preview", "new", "--limit-usd", "100", "--json").json
    assert (wide["blocked_calls"], wide["blocked_usd"], wide["cost_usd"]) == (0, "0.00", "0.24")
    each = cli("budget", "preview", "new", "--scope", "customer=*", "--limit-usd", "0.10", "--json").json
    assert {row["customer"]: row["blocked_calls"] for row in each["rows"]} == {"acme": 2}
    assert json.loads(json.dumps(cli("budget", "list", "--json").json))["rows"] != []


def test_a_preview_without_calls_refuses_none(cli: Any, home: Path) -> None:
    assert cli("budget", "preview", "new", "--limit-usd", "1", "--json").json["blocked_calls"] == 0


def test_what_is_frozen_is_listed_until_it_thaws(cli: Any, home: Path) -> None:
    assert cli("budget", "freeze", "--scope", "session=s1", "--reason", "it loops").code == 0
    rows = cli("budget", "freeze", "--list", "--json").json["rows"]

    assert [(row["scope"], row["reason"]) for row in rows] == [({"session": "s1"}, "it loops")]
    assert cli("budget", "freeze", "--off").code == 1
    assert cli("budget", "freeze", "--scope", "session=s1", "--off").code == 0
    assert cli("budget", "freeze", "--list", "--json").json["rows"] == []


def test_a_model_is_lifted(cli: Any, home: Path) -> None:
    assert cli("budget", "lift", "big").code == 0
    with Control.open(home / "data" / "control.db", read_only=True) as control:
        assert set(control.stops.lifted()) == {"big"}
