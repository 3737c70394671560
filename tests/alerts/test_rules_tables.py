"""The tables that rules watch: what stands in a row, and that size and missing data change nothing they should not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.alerts import rulebook
from costweir.alerts.rules import matters
from costweir.alerts.rules_tables import (
    Limit,
    Watched,
    billed_budgets,
    fresh,
    limits,
    machine,
    outlooks,
    paces,
    pulls,
    quarantine,
    silence,
    usual_row,
)
from costweir.alerts.rules_text import Row, shown
from costweir.control.pulls import PullState
from costweir.guard.ledger import Terms
from costweir.guard.policy import Policy

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOW.date()
MONTH = timedelta(days=30)
COSTS = st.decimals(0, 10**6, places=4)
FACTORS = st.sampled_from([Decimal("0.001"), Decimal(7), Decimal(10**6)])
RULES = {rule.id: rule for rule in rulebook.shipped()}


def limit(usd: str = "720", **scope: str) -> Limit:
    return Limit("b", scope, Decimal(usd), "month", MONTH)


def recent(**costs: str) -> dict[str, Row]:
    return {"b": {f"cost_{name}": value for name, value in costs.items()}}


def policy(*budgets: dict[str, Any], plans: tuple[dict[str, Any], ...] = ()) -> Policy:
    return Policy.compile(Terms(budgets=budgets, plans=plans), 0)


def test_budgets_whose_pace_can_be_told() -> None:
    found = limits(
        policy(
            {"id": "day", "limit_usd": "1.00", "window": "day"},
            {"id": "month", "limit_usd": "2.00", "scope": {"customer": "acme", "model": "big"}},
            {"id": "rolling", "limit_usd": "3.00", "window": "rolling:36h"},
            {"id": "each", "limit_usd": "1.00", "scope": {"customer": "*"}},
            {"id": "session", "limit_usd": "1.00", "window": "session"},
            {"id": "ever", "limit_usd": "1.00", "window": "total"},
            {"id": "calls", "calls": 5},
            {"id": "user", "limit_usd": "1.00", "scope": {"user": "ann"}},
            plans=({"id": "tier_1", "budget_usd": "8", "session_usd": "0.50"},),
        ).rules,
        NOW,
    )
    assert {(row.id, row.window, row.span, row.usd, row.one) for row in found} == {
        ("day", "day", timedelta(days=1), Decimal(1), False),
        ("month", "month", timedelta(days=30), Decimal(2), True),
        ("rolling", "rolling:36h", timedelta(hours=36), Decimal(3), False),
    }


def test_a_day_on_which_clocks_change_is_as_long_as_it_is() -> None:
    budget = {"id": "day", "limit_usd": "1.00", "window": "day", "timezone": "Europe/Berlin"}
    [found] = limits(policy(budget).rules, datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert found.span == timedelta(hours=25)


def test_a_budget_without_calls_has_no_pace() -> None:
    assert paces([limit()], {}, long="1h", short="5m") == []
    assert paces([limit()], recent(**{"1h": "3"}), long="1h", short="5m") == []
    [row] = paces([limit()], recent(**{"1h": "20", "5m": "2"}), long="1h", short="5m")
    assert (row["times"], row["long_usd"], row["empty_hours"], row["one"]) == ("20", "20.00", "36", False)


@given(COSTS, COSTS, FACTORS)
def test_the_size_of_a_budget_changes_no_verdict_but_for_the_floor(
    long: Decimal, short: Decimal, factor: Decimal
) -> None:
    rule = RULES["spend_burn_fast"].model_copy(update={"floor": None})

    def fires(scale: Decimal) -> bool:
        spent = recent(**{"1h": str(long * scale), "5m": str(short * scale)})
        rows = paces([limit(str(720 * scale))], spent, long="1h", short="5m")
        return bool(matters(rule, rows, today=TODAY))

    assert fires(Decimal(1)) == fires(factor)


@given(COSTS, st.decimals(0, 1000, places=4))
def test_more_spend_never_ends_a_burn(cost: Decimal, more: Decimal) -> None:
    def fires(hour: Decimal) -> bool:
        rows = paces([limit()], recent(**{"1h": str(hour), "5m": str(hour)}), long="1h", short="5m")
        return bool(matters(RULES["spend_burn_fast"], rows, today=TODAY))

    assert fires(cost + more) >= fires(cost)


def days(cost: Decimal, count: int) -> dict[str, dict[date, Decimal]]:
    return {"b": {TODAY - timedelta(days=number): cost for number in range(1, count + 1)}}


def test_the_end_of_a_month() -> None:
    [row] = outlooks([limit("100")], days(Decimal(4), 30), until={"b": TODAY}, today=TODAY)
    assert (row["month"], row["projected_usd"], row["projected_share"], row["days"]) == (
        "2026-11", "120.00", "1.2", 30,
    )  # fmt: skip
    assert outlooks([limit("100")], {}, until={}, today=TODAY) == []
    weekly = Limit("b", {}, Decimal(100), "week", timedelta(days=7))
    assert outlooks([weekly], days(Decimal(4), 30), until={}, today=TODAY) == []


@given(st.decimals(0, 1000, places=2), FACTORS, st.integers(0, 40))
def test_the_size_of_a_budget_changes_no_outlook(cost: Decimal, factor: Decimal, count: int) -> None:
    rule = RULES["spend_overrun"].model_copy(update={"floor": None})
    # Cents are rounded, so that a figure right at the threshold is left out.
    if abs(cost * 30 / 100 - Decimal("1.1")) < Decimal("0.02"):
        return

    def fires(scale: Decimal) -> bool:
        rows = outlooks([limit(str(100 * scale))], days(cost * scale, count), until={"b": TODAY}, today=TODAY)
        return bool(matters(rule, rows, today=TODAY))

    assert fires(Decimal(1000)) == fires(Decimal(1000) * factor)


def test_a_usual_hour() -> None:
    daily = {TODAY - timedelta(days=number): Decimal(24) for number in range(1, 31)}
    [row] = usual_row(Decimal("3.10"), {}, daily, NOW)
    assert (row["times"], row["usual_usd"], row["days"]) == ("3.1", "1.00", 30)
    assert usual_row(None, {}, daily, NOW) == []
    assert usual_row(Decimal(5), {}, {}, NOW) == []


def test_a_member_is_known_as_far_as_data_reaches() -> None:
    rows: list[Row] = [
        {"model": "old", "billed_cost": "5.00", "first_day": "2026-11-01", "last_day": "2026-11-09"},
        {"model": "new", "billed_cost": "2.00", "first_day": "2026-11-10", "last_day": "2026-11-10"},
        {"model": "none", "billed_cost": "0.00", "first_day": None, "last_day": None},
    ]
    found = {
        row["model"]: (row["days_known"], row["history_days"], row["cost"]) for row in fresh(rows, ("model",))
    }
    assert found == {"old": (9, 9, "5.00"), "new": (0, 9, "2.00")}
    assert fresh([], ("model",)) == []


def test_what_the_guard_said_of_a_budget_is_no_news_on_a_bill() -> None:
    rows: list[Row] = [{"budget": "a", "scope": "customer+model"}, {"budget": "b", "scope": "global"}]
    found = [(row["budget"], row["metered"], row["one"]) for row in billed_budgets(rows, ["a"])]
    assert found == [("a", True, True), ("b", False, False)]


@pytest.mark.parametrize(
    ("every", "words"), [(timedelta(hours=6), "6 hours"), (timedelta(minutes=90), "90 minutes"),
                         (timedelta(minutes=60), "60 minutes")],
)  # fmt: skip
def test_a_connection_and_how_long_nobody_pulled_it(every: timedelta, words: str) -> None:
    state = PullState("a", status="ok", last_success="2026-11-20T06:00:00.000Z")
    [row] = pulls([Watched(state, every)], NOW)
    assert (row["silent_hours"], row["every"]) == ("6", words)
    assert Decimal(str(row["missed"])) * int(every.total_seconds()) == 6 * 3600
    [new] = pulls([Watched(PullState("a"), every)], NOW)
    assert (new["status"], new["missed"], new["silent_hours"]) == ("new", None, None)


def test_quarantine_machine_and_silence() -> None:
    assert [row["more"] for row in quarantine({"a": 3, "b": 1}, {"a": 1})] == [2, 1]
    assert machine(91, 100, 9) == [{"used_share": "0.91", "free_gb": "0"}]
    assert machine(0, 0, 0) == []
    assert silence(None, NOW) == []
    assert silence(NOW + timedelta(days=1), NOW) == []
    assert silence(NOW - timedelta(minutes=26), NOW)[0]["minutes"] == 26


@pytest.mark.parametrize(
    ("value", "form", "words"),
    [
        ("1234.5", "usd", "1,234.50 USD"), ("0.1", "usd", "0.10 USD"), ("0.00004", "usd", "0.00004 USD"),
        ("0.1234", "usd", "0.1234 USD"), ("0", "usd", "0.00 USD"), ("-3", "usd", "-3.00 USD"),
        ("0.056", "percent", "5.6 %"), ("1", "percent", "100 %"), ("14.44", "tenth", "14.4"), ("20.04", "tenth", "20"),
        (None, "usd", "?"), ("words", "usd", "words"), (True, "", "yes"), ("two\nlines", "", "two lines"), (7, "", "7"),
    ],
)  # fmt: skip
def test_values_in_words(value: Any, form: str, words: str) -> None:
    assert shown(value, form) == words
