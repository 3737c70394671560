"""Questions that join what people set: margin, budgets, reconcile, data health and the approved models."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import bills
import pytest

from costweir.domain.answer import Answer
from costweir.queries.ask import ask
from costweir.queries.budgets import window_of
from costweir.queries.request import Request
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.warehouse import Slot

PATIENT = dict.fromkeys(("aws-cur2", "gcp-export"), timedelta(days=365))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    opened = DuckDBWarehouse.open(Path(":memory:"))
    opened.migrate()
    bills.refer(opened)
    bills.store(opened, tmp_path, [
        bills.line(cost="10", usage_date=date(2026, 9, 5)), bills.line(cost="20"),
        bills.line(cost="120", x_customer="globex"), bills.line(cost="7", x_customer="untagged"),
        bills.line(cost="1", usage_date=date(2026, 11, 3)), bills.line(cost="2", usage_date=date(2026, 11, 18)),
        bills.line(cost="3", usage_date=date(2026, 11, 18), x_customer="globex"),
    ])  # fmt: skip
    yield opened
    opened.close()


def answer(store: DuckDBWarehouse, question: str, *by: str, **given: Any) -> Answer:
    return ask(store, Request(question, by=by, **given), today=bills.TODAY, lags=PATIENT)


def column(found: Answer, *names: str) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in names) for row in found.rows]


def test_margin_is_what_a_plan_brings_in_less_what_it_costs(store: DuckDBWarehouse) -> None:
    # acme pays for two months; globex for October; quiet for September only
    found = answer(store, "margin", until=date(2026, 11, 1))
    assert column(found, "plan", "billed_cost", "revenue_usd", "margin_usd", "paying_customers") == [
        ("tier_2", "120.00", "99.00", "-21.00", 1), ("tier_1", "30.00", "147.00", "117.00", 2),
        ("untagged", "7.00", "0.00", "-7.00", 0),
    ]  # fmt: skip
    assert "In total the revenue is 246.00 USD and the margin 89.00 USD." in found.notes


def test_an_open_month_brings_in_the_share_of_its_days_that_are_over(store: DuckDBWarehouse) -> None:
    found = answer(store, "margin", since=date(2026, 11, 1))
    assert column(found, "plan", "billed_cost", "revenue_usd", "full_revenue_usd", "margin_usd") == [
        ("tier_1", "3.00", "31.033333333333333333", "49.00", "28.033333333333333333"),
        ("tier_2", "3.00", "62.70", "99.00", "59.70"),
    ]  # fmt: skip
    assert any("whole months bring in 148.00 USD" in note for note in found.notes)


def test_a_month_that_is_asked_for_in_part_brings_in_that_part(store: DuckDBWarehouse) -> None:
    found = answer(store, "margin", since=date(2026, 9, 16), until=date(2026, 10, 1))
    assert column(found, "plan", "revenue_usd", "full_revenue_usd") == [("tier_1", "49.00", "98.00")]


def test_the_totals_of_a_margin_are_of_all_plans_also_of_those_not_shown(store: DuckDBWarehouse) -> None:
    whole, shown = answer(store, "margin"), answer(store, "margin", limit=1)
    assert len(shown.rows) == 1
    assert shown.notes == whole.notes


def test_a_customer_without_a_plan_is_not_untagged(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [
        bills.line(cost="4", x_customer="initech", x_account="2"),
        bills.line(cost="2", x_customer="nobody", x_account="2"),
        bills.line(cost="1", x_customer="untagged", x_account="2"),
    ])  # fmt: skip
    found = answer(store, "spend", "plan", where={"account": ("2",)})
    assert column(found, "plan", "billed_cost") == [("no plan", "6.00"), ("untagged", "1.00")]
    found = answer(store, "margin", where={"plan": ("no plan", "untagged")})
    assert column(found, "plan", "billed_cost") == [("untagged", "8.00"), ("no plan", "6.00")]
    store.append([bills.call(1, customer="initech"), bills.call(2, customer="untagged")])
    metered = answer(store, "spend", "plan", basis="metered")
    assert column(metered, "plan", "metered_cost") == [("no plan", "0.25"), ("untagged", "0.25")]


def test_without_a_split_the_price_of_a_thousand_tokens_is_one_row(store: DuckDBWarehouse) -> None:
    (row,) = answer(store, "unit_cost").rows
    assert (row["billed_cost"], row["cost_per_1k_tokens"]) == ("163.00", "23.285714285714")


def test_a_plan_that_loses_money_in_a_month_shows_it(store: DuckDBWarehouse) -> None:
    rows = column(
        answer(store, "margin", "month", "plan", where={"plan": ("tier_2",)}),
        "month",
        "margin_usd",
        "margin_share",
    )
    assert rows == [("2026-10", "-21.00", "-0.212121212121"), ("2026-11", "59.70", "0.952153110048")]


def test_a_customer_who_paid_and_cost_nothing_is_a_row(store: DuckDBWarehouse) -> None:
    rows = column(
        answer(store, "margin", "customer", since=date(2026, 9, 1), until=date(2026, 10, 1)),
        "customer",
        "billed_cost",
        "revenue_usd",
    )
    assert rows == [("acme", "10.00", "49.00"), ("quiet", "0.00", "49.00")]


def test_a_margin_says_how_old_its_plans_are(store: DuckDBWarehouse) -> None:
    assert any(note.startswith("Customers and plans as of 20") for note in answer(store, "margin").notes)


def test_budgets_show_their_window_and_what_is_left(store: DuckDBWarehouse) -> None:
    found = answer(store, "budgets")
    rows = {row["budget"]: row for row in found.rows}
    assert [rows["acme-month"][name] for name in ("billed_cost", "left_usd", "used_share", "window_since")] == [
        "3.00", "97.00", "0.03", "2026-11-01",
    ]  # fmt: skip
    assert rows["tier-week"]["billed_cost"] == "3.00"
    assert rows["all"]["billed_cost"] == "163.00"
    assert [(item.reason, "sessions" in item.text) for item in found.excluded] == [("metered_only", True)]


def test_a_budget_for_a_customer_and_a_model_counts_what_is_both(
    store: DuckDBWarehouse, tmp_path: Path
) -> None:
    bills.store(store, tmp_path, [bills.line(cost="5", x_model="tiny", x_account="2")])
    columns = ("id", "scope_kind", "scope_id", "scope_parts", "limit_usd", "budget_window", "timezone")
    both = '{"customer": "acme", "model": "tiny"}'
    store.mirror("budgets", columns, [
        ("both", "customer+model", "acme+tiny", both, Decimal(10), "total", "UTC"),
        ("nobody", "customer+model", "a+b", both.replace("tiny", "gpt-4o-mini"), Decimal(10), "total", "UTC"),
        ("all", "global", "", "{}", Decimal(10), "total", "Europe/Berlin"),
        ("key", "customer+key", "acme+k", '{"customer": "acme", "key": "k"}', Decimal(1), "month", "UTC"),
    ])  # fmt: skip
    found = answer(store, "budgets")
    assert column(found, "budget", "scope", "scope_id", "billed_cost") == [
        ("all", "global", "", "168.00"), ("both", "customer+model", "acme+tiny", "5.00"),
        ("nobody", "customer+model", "a+b", "0.00"),
    ]  # fmt: skip
    assert [("key" in item.text, item.reason) for item in found.excluded] == [(True, "metered_only")]
    assert any("UTC days" in note and "Europe/Berlin" in note for note in found.notes)


def test_budgets_of_a_past_period_show_the_window_it_ended_in(store: DuckDBWarehouse) -> None:
    rows = {
        row["budget"]: row["billed_cost"] for row in answer(store, "budgets", until=date(2026, 11, 1)).rows
    }
    assert rows["acme-month"] == "20.00"


@pytest.mark.parametrize(
    ("window", "days"),
    [
        ("day", (date(2026, 11, 20), date(2026, 11, 21))),
        ("week", (date(2026, 11, 16), date(2026, 11, 23))),
        ("month", (date(2026, 11, 1), date(2026, 12, 1))),
        ("total", (None, None)),
        ("rolling:7d", (date(2026, 11, 14), date(2026, 11, 21))),
        ("rolling:30m", (date(2026, 11, 20), date(2026, 11, 21))),
        ("session", None),
    ],
)
def test_a_window_has_the_days_it_names(window: str, days: object) -> None:
    assert window_of(window, date(2026, 11, 20)) == days


def test_without_calls_everything_is_off_gateway(store: DuckDBWarehouse) -> None:
    found = answer(store, "reconcile")
    assert column(found, "provider", "billed_cost", "metered_cost", "remainder_cost", "cause") == [
        ("aws", "163.00", "0.00", "163.00", "off-gateway")
    ]


def test_the_remainder_between_billed_and_metered_has_a_cause(store: DuckDBWarehouse) -> None:
    store.append(
        [bills.call(1, settled_usd=Decimal(20)), bills.call(2, customer="globex", settled_usd=Decimal(100))]
    )
    store.append([bills.call(3, customer="newco", settled_usd=Decimal(4))])
    october = {"since": date(2026, 10, 1), "until": date(2026, 11, 1)}
    found = answer(store, "reconcile", "customer", **october)
    assert column(found, "customer", "remainder_cost", "cause") == [
        ("globex", "20.00", "difference"), ("acme", "0.00", "none"), ("untagged", "7.00", "off-gateway"),
        ("newco", "-4.00", "not-invoiced"),
    ]  # fmt: skip
    assert found.total == "147.00"


def test_data_health_has_a_row_for_every_account_with_its_counts(
    store: DuckDBWarehouse, tmp_path: Path
) -> None:
    day = date(2026, 11, 10)
    rows = [bills.line(cost="5", x_provider="gcp", x_account="g", x_model="unknown", usage_date=day)]
    broken = bills.stage_quarantine(tmp_path / "q.parquet", [("g.csv", 1, "no amount", "x")])
    load = bills.load_of(Slot("gcp", "g", "2026-11"), rows, rows_in=9, rows_skipped=7, rows_quarantined=1)
    store.replace(load, charges=bills.stage(tmp_path / "g.parquet", rows), quarantine=broken)
    found = ask(store, Request("data_health"), today=bills.TODAY)
    names = (
        "source",
        "account",
        "rows_in",
        "rows_stored",
        "rows_skipped",
        "rows_quarantined",
        "complete_to",
        "late",
    )
    assert column(found, *names) == [
        ("aws-cur2", "1", 7, 7, 0, 0, "2026-11-19", False), ("gcp-export", "g", 9, 1, 7, 1, "2026-11-11", True),
    ]  # fmt: skip
    assert column(found, "unknown_share", "untagged_share") == [("0", "0.042944785276"), ("1", "0")]
    assert not found.complete


def test_models_outside_the_approved_list_are_found_for_customers_that_have_one(
    store: DuckDBWarehouse,
) -> None:
    # acme may use gpt-4o-mini only; globex may use the model it uses; untagged has no list
    found = answer(store, "model_approvals")
    assert column(found, "customer", "model", "billed_cost") == [("acme", "claude-sonnet-4-6", "33.00")]
    assert found.total == "33.00"
