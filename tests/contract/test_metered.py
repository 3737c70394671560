"""A store with calls and no bill, on every engine: its months, and what plans bring in against what calls cost."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

from bills import call, refer

from costweir.queries.ask import ask
from costweir.queries.records import metered_months, stored_months
from costweir.queries.request import Request
from costweir.store.warehouse import Warehouse

TODAY = date(2026, 11, 15)


def filled(warehouse: Warehouse) -> None:
    """Calls of September and November, two of them without a price."""
    refer(warehouse)
    days = (date(2026, 9, 30), date(2026, 11, 1), date(2026, 11, 14))
    whens = [datetime.combine(day, time(23)) for day in days]
    warehouse.append([call(n, started_at=when, plan_tier="tier_1") for n, when in enumerate(whens * 4)])
    warehouse.append([call(100 + n, started_at=whens[0], settled_usd=None) for n in range(2)])


def test_the_months_of_calls_are_found_where_no_invoice_is(warehouse: Warehouse) -> None:
    assert metered_months(warehouse) == []
    filled(warehouse)
    assert stored_months(warehouse) == []
    assert metered_months(warehouse) == ["2026-09", "2026-11"]


def test_without_a_bill_margin_is_over_calls_and_every_month_between_them(warehouse: Warehouse) -> None:
    filled(warehouse)
    answer = ask(warehouse, Request("margin", by=("month",)), today=TODAY)
    rows = {str(row["month"]): row for row in answer.rows}
    assert (answer.basis, answer.total) == ("metered", "3.00")
    assert sorted(rows) == ["2026-09", "2026-10", "2026-11"]
    assert [rows[month]["metered_cost"] for month in sorted(rows)] == ["1.00", "0.00", "2.00"]
    for row in rows.values():
        revenue, cost = Decimal(str(row["revenue_usd"])), Decimal(str(row["metered_cost"]))
        assert revenue > 0
        assert Decimal(str(row["margin_usd"])) == revenue - cost
    assert Decimal(str(rows["2026-11"]["revenue_usd"])) < Decimal(str(rows["2026-11"]["full_revenue_usd"]))
    assert [item.reason for item in answer.excluded] == ["unpriced"]


def test_days_asked_for_narrow_the_months_of_calls(warehouse: Warehouse) -> None:
    filled(warehouse)
    asked = Request("margin", by=("month",), since=date(2026, 11, 1), until=date(2026, 12, 1))
    answer = ask(warehouse, asked, today=TODAY)
    assert [row["month"] for row in answer.rows] == ["2026-11"]
