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
    # acme pays for three months; globex from October on; quiet for September only
    assert column(answer(store, "margin"), "plan", "billed_cost", "revenue_usd", "margin_usd", "paying_customers") == [
        ("tier_2", "123.00", "198.00", "75.00", 1), ("tier_1", "33.00", "196.00", "163.00", 2),
        ("untagged", "7.00", "0.00", "-7.00", 0),
    ]  # fmt: skip


def test_a_plan_that_loses_money_in_a_month_shows_it(store: DuckDBWarehouse) -> None:
    rows = column(
        answer(store, "margin", "month", "plan", where={"plan": ("tier_2",)}),
        "month",
        "margin_usd",
        "margin_share",
    )
    assert rows == [("2026-10", "-21.00", "-0.212121212121"), ("2026-11", "96.00", "0.969696969697")]


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
    rows = [bills.line(cost="5", x_provider="gcp", x_account="g", x_model="unknown")]
    broken = bills.stage_quarantine(tmp_path / "q.parquet", [("g.csv", 1, "no amount", "x")])
    load = bills.load_of(Slot("gcp", "g", "2026-10"), rows, rows_in=9, rows_skipped=7, rows_quarantined=1)
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
        ("aws-cur2", "1", 7, 7, 0, 0, "2026-11-19", False), ("gcp-export", "g", 9, 1, 7, 1, "2026-10-06", True),
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
