"""Every rule fires, does not fire, and is silent without data; and what holds for any of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.alerts import rulebook
from costweir.alerts.rules import holds, matters
from costweir.alerts.rules_data import Rule
from costweir.alerts.rules_text import names_in
from costweir.control.incidents import Condition
from costweir.domain.answer import Cell

TODAY = date(2026, 11, 20)
BUDGET: Mapping[str, Cell] = {
    "budget": "acme-day", "scope": "customer=acme", "who": "acme-day (customer=acme)", "window": "day:2026-11-20",
    "limit_usd": "10.00", "one": True,
}  # fmt: skip
TRAFFIC: Mapping[str, Cell] = {
    "provider": "openai", "model": "gpt-4o", "calls_5m": 100, "failed_5m": 6, "provider_failed_5m": 60,
    "slower_than_10s_5m": 6,
}  # fmt: skip
PACE: Mapping[str, Cell] = {
    **BUDGET, "window": "month", "long_usd": "31.00", "short_usd": "9.00", "empty_hours": "50",
}  # fmt: skip
FRESH: Mapping[str, Cell] = {
    "model": "o9", "cost": "6.00", "first_day": "2026-11-20", "last_day": "2026-11-20", "history_days": 9,
}  # fmt: skip

#: A row that each rule fires for, and what makes it silent.
CASES: Mapping[str, tuple[dict[str, Cell], dict[str, Cell]]] = {
    "budget_threshold": (
        {**BUDGET, "kind": "threshold", "threshold": 80, "spent_usd": "8.10"}, {"threshold": 50},
    ),
    "budget_blocked": ({**BUDGET, "kind": "blocked", "request_id": "req_1"}, {"kind": "threshold"}),
    "bound_broken": (
        {"kind": "bound_broken", "model": "big", "debt_usd": "0.005", "request_id": "req_1"}, {"kind": "blocked"},
    ),
    "enforcement_failed": (
        {**BUDGET, "beyond_usd": "0.01", "spent_usd": "10.01", "mode": "strict"}, {"beyond_usd": "0.00"},
    ),
    "budget_exceeded": (
        {**BUDGET, "used_share": "1", "spent_usd": "10.00", "mode": "observe"}, {"mode": "strict"},
    ),
    "billed_threshold": (
        {"budget": "gcp-month", "scope": "provider", "scope_id": "gcp", "window": "month",
         "window_since": "2026-11-01", "used_share": "0.8",
         "billed_cost": "80.00", "limit_usd": "100.00", "metered": False}, {"metered": True},
    ),
    "billed_exceeded": (
        {"budget": "gcp-month", "scope": "provider", "scope_id": "gcp", "window": "month",
         "window_since": "2026-11-01", "used_share": "1.01",
         "billed_cost": "101.00", "limit_usd": "100.00", "metered": True}, {"used_share": "1"},
    ),
    "spend_burn_fast": ({**PACE, "times": "14.41"}, {"long_usd": "4.99"}),
    "spend_burn_medium": ({**PACE, "times": "6.01"}, {"times": "6"}),
    "spend_burn_slow": ({**PACE, "times": "1.51"}, {"long_usd": "9.99"}),
    "spend_overrun": (
        {**BUDGET, "month": "2026-11", "projected_usd": "11.20", "projected_share": "1.12", "used_share": "0.9",
         "days": 7}, {"days": 6},
    ),
    "spend_rate": ({"cost_1h": "100.01", "calls_1h": 7}, {"cost_1h": "100.00"}),
    "spend_spike": (
        {"cost_1h": "30.10", "usual_usd": "10.00", "times": "3.01", "days": 30,
         "against": "the same hour of 4 weeks"}, {"times": "3"},
    ),
    "new_model": ({**FRESH, "days_known": 0}, {"days_known": 2}),
    "new_model_billed": ({**FRESH, "days_known": 1}, {"history_days": 6}),
    "unapproved_model": (
        {"customer": "acme", "model": "o9", "unapproved_cost": "10.01", "unapproved": True}, {"unapproved": False},
    ),
    "unapproved_model_billed": (
        {"customer": "acme", "model": "o9", "day": "2026-11-19", "billed_cost": "10.01"}, {"billed_cost": "10"},
    ),
    "runaway_session": (
        {"customer": "acme", "session": "s1", "cost_1d": "0.31", "calls_1h": 1, "calls_1d": 40},
        {"session": "untagged"},
    ),
    "token_rate": ({"tokens_15m": "9000001"}, {"tokens_15m": "9000000"}),
    "high_latency": ({**TRAFFIC, "slower_than_10s_share": "0.06"}, {"calls_5m": 19}),
    "error_spike": ({**TRAFFIC, "failed_share": "0.06"}, {"failed_share": "0.05"}),
    "provider_down": ({**TRAFFIC, "provider_failed_share": "0.6"}, {"provider_failed_share": "0.5"}),
    "unpriced_calls": ({"provider": "openai", "model": "o9", "unpriced_calls": 1}, {"unpriced_calls": 0}),
    "run_failed": (
        {"id": "aws", "status": "failed", "note": "The key is expired.", "advice": "Renew it."}, {"status": "ok"},
    ),
    "source_late": (
        {"id": "aws", "status": "ok", "missed": "4.1", "silent_hours": "24.6", "every": "6 hours",
         "silence": "was last pulled at 2026-11-19"}, {"missed": "3", "silent_hours": "18"},
    ),
    "late_data": ({"source": "aws-cur", "late": True, "sentence": "aws-cur is complete to 2026-11-13 only."},
                  {"late": False}),
    "quarantine_grew": ({"source": "aws-cur", "lines": 3, "more": 2}, {"more": 0}),
    "unknown_skus": (
        {"provider": "aws", "unknown_share": "0.021", "unknown_cost": "10.00", "unknown_lines": 4},
        {"unknown_cost": "9.99"},
    ),
    "untagged_spend": (
        {"provider": "aws", "untagged_customer_share": "0.21", "untagged_customer_cost": "50.00"},
        {"untagged_customer_share": "0.20"},
    ),
    "disk_low": ({"used_share": "0.91", "free_gb": "3.12"}, {"used_share": "0.9"}),
    "rules_blind": ({"minutes": 16, "rules": "error_spike, provider_down"}, {"minutes": 15}),
    "nobody_watched": ({"minutes": 16, "since": "2026-11-20 02:00 UTC"}, {"minutes": 15}),
}  # fmt: skip
WATCHED = {rule.id: rule for rule in rulebook.overlaid(()).watched()}
JUDGED = [rule for rule in WATCHED.values() if rule.when]
judged = pytest.mark.parametrize("rule", JUDGED, ids=lambda rule: rule.id)


def told(rule: Rule, *rows: Mapping[str, Cell]) -> list[Condition]:
    return matters(rule, rows, today=TODAY)


def test_every_rule_has_its_case() -> None:
    assert {rule.id for rule in JUDGED} == set(CASES)


@judged
def test_a_rule_fires_and_says_what_where_and_how_bad(rule: Rule) -> None:
    [found] = told(rule, CASES[rule.id][0])
    assert found.key.startswith(rule.name)
    assert found.severity in (rule.severity, rule.milder)
    assert found.team == rule.team
    assert found.subject
    for text in (found.text, found.hint, found.link, found.subject, found.period):
        assert "{" not in text
        assert "?" not in text.replace("?id=", "").replace("?basis=", "").replace("?customer=", "")
    assert found.hint
    assert found.link.startswith("/")


@judged
def test_a_rule_does_not_fire(rule: Rule) -> None:
    row, change = CASES[rule.id]
    assert told(rule, {**row, **change}) == []


@judged
def test_a_rule_is_silent_without_data(rule: Rule) -> None:
    row = CASES[rule.id][0]
    assert told(rule) == []
    assert told(rule, dict.fromkeys(row)) == []
    needed = {test.field for test in rule.when}
    needed |= {part.field for part in (rule.floor, rule.least) if part is not None}
    for name in needed:
        assert told(rule, {**row, name: None}) == [], f"it fires without {name}"
        assert told(rule, {key: value for key, value in row.items() if key != name}) == []


@judged
def test_a_case_has_what_the_texts_name(rule: Rule) -> None:
    for text in (rule.text, rule.hint, rule.subject):
        assert set(names_in(text)) <= set(CASES[rule.id][0]), rule.id


def beyond(rule: Rule, row: Mapping[str, Cell], step: Decimal) -> dict[str, Cell] | None:
    """The row further beyond the threshold of the first test; None where that is a word."""
    first = rule.when[0]
    if first.threshold is None:
        return None
    value = Decimal(str(row[first.field]))
    moved = value - step if first.below is not None else value + step
    return {**row, first.field: format(moved, "f")}


@given(data=st.data())
@pytest.mark.parametrize("rule", [rule for rule in JUDGED if rule.when[0].threshold is not None and
                                  sum(test.field == rule.when[0].field for test in rule.when) == 1],
                         ids=lambda rule: rule.id)  # fmt: skip
def test_what_fires_also_fires_when_it_is_worse(rule: Rule, data: st.DataObject) -> None:
    step = data.draw(st.decimals(0, 10**9, places=6))
    row = beyond(rule, CASES[rule.id][0], step)
    assert row is not None
    assert holds(rule, row)


@given(st.lists(st.decimals(0, 200, places=2), min_size=1, max_size=40))
def test_a_rising_value_crosses_a_threshold_once_under_one_key(steps: list[Decimal]) -> None:
    row, _ = CASES["spend_rate"]
    firing = [bool(told(WATCHED["spend_rate"], {**row, "cost_1h": str(value)})) for value in sorted(steps)]
    assert firing == sorted(firing)
    keys = {
        condition.key
        for value in steps
        for condition in told(WATCHED["spend_rate"], {**row, "cost_1h": str(value)})
    }
    assert len(keys) <= 1


@given(st.one_of(st.none(), st.booleans(), st.text(max_size=8), st.just("NaN"), st.just("Infinity")))
def test_what_is_no_number_passes_no_comparison(value: Cell) -> None:
    if isinstance(value, str) and value.strip().replace(".", "", 1).replace("-", "", 1).isdigit():
        return
    assert told(WATCHED["spend_rate"], {"cost_1h": value, "calls_1h": 1}) == []


def test_each_threshold_of_each_window_is_a_matter_of_its_own() -> None:
    row, _ = CASES["budget_threshold"]
    rows = [
        {**row, "threshold": step, "window": window}
        for step in (80, 95, 100)
        for window in ("day:2026-11-19", "day:2026-11-20")
    ]
    found = told(WATCHED["budget_threshold"], *rows)
    assert len({(condition.key, condition.period) for condition in found}) == 6


def test_a_thousand_matters_are_told_as_a_few_and_how_many_more() -> None:
    rule, (row, _) = WATCHED["runaway_session"], CASES["runaway_session"]
    found = told(rule, *({**row, "session": f"s{number}"} for number in range(1000)))
    assert len(found) == rule.most + 1
    assert found[-1].subject == "900 more"


def test_one_customer_alone_wakes_nobody_at_night() -> None:
    rule, (row, _) = WATCHED["spend_burn_fast"], CASES["spend_burn_fast"]
    assert [told(rule, {**row, "one": one})[0].severity for one in (True, False)] == ["warning", "critical"]


def test_a_name_in_a_link_cannot_leave_its_place() -> None:
    row: dict[str, Cell] = {**CASES["runaway_session"][0], "session": "../a?b&c=d#e", "customer": "x&y\n"}
    [found] = told(WATCHED["runaway_session"], row)
    assert found.link == "/live/sessions/..%2Fa%3Fb%26c%3Dd%23e?customer=x%26y"


def test_values_have_their_unit() -> None:
    def shown(name: str) -> tuple[str, str]:
        [found] = told(WATCHED[name], CASES[name][0])
        return found.value, found.limit

    assert shown("budget_threshold") == ("8.10 USD", "10.00 USD")
    assert shown("error_spike") == ("6 %", "5 %")
    assert shown("spend_rate") == ("100.01 USD", "100.00 USD")
    assert shown("spend_burn_fast") == ("14.4", "14.4")
    assert shown("spend_spike") == ("30.10 USD", "10.00 USD")
    assert shown("late_data") == ("", "")
