"""Calls that are priced later, or anew: the call stays, the newest adjustment counts, and each is kept once."""

from __future__ import annotations

from decimal import Decimal

import bills

from costweir.domain.answer import Answer
from costweir.queries.ask import ask
from costweir.queries.request import Request
from costweir.store.warehouse import Warehouse


def metered(warehouse: Warehouse, question: str = "spend", *by: str) -> Answer:
    return ask(warehouse, Request(question, by=by, basis="metered"), today=bills.TODAY)


def test_an_adjustment_is_kept_once_and_the_newest_step_counts(warehouse: Warehouse) -> None:
    warehouse.append([bills.call(1), bills.call(2), bills.call(3, settled_usd=None)])
    first = [bills.adjustment(1, "0.5"), bills.adjustment(3, "2", before=None)]
    assert (warehouse.adjust(first), warehouse.adjust(first), warehouse.adjust([])) == (2, 0, 0)
    assert metered(warehouse).total == "2.75"
    assert warehouse.adjust([bills.adjustment(1, "1", step=2, before="0.5"), first[0]]) == 1
    assert metered(warehouse).total == "3.25"
    assert metered(warehouse).excluded == ()


def test_the_call_stays_as_it_was(warehouse: Warehouse) -> None:
    warehouse.append([bills.call(1), bills.call(2, settled_usd=None)])
    before = warehouse.query("SELECT * FROM calls ORDER BY call_id").rows
    warehouse.adjust([bills.adjustment(1, "9"), bills.adjustment(2, "9", before=None)])
    assert warehouse.query("SELECT * FROM calls ORDER BY call_id").rows == before


def test_what_was_settled_and_what_was_adjusted_is_the_total(warehouse: Warehouse) -> None:
    warehouse.append([bills.call(number, customer=("acme", "globex")[number % 2]) for number in range(6)])
    warehouse.adjust(
        [bills.adjustment(0, "0.125"), bills.adjustment(1, "1"), bills.adjustment(1, "3", step=2, before="1")]
    )
    changed = metered(warehouse, "call_adjustments")
    assert Decimal(changed.total) == Decimal("-0.125") + Decimal("2.75")
    assert Decimal(metered(warehouse).total) == 6 * Decimal("0.25") + Decimal(changed.total)
    rows = metered(warehouse, "call_adjustments", "customer", "change").rows
    assert {row["customer"]: (row["metered_cost"], row["adjustments"]) for row in rows} == {
        "acme": ("-0.125", 1), "globex": ("2.75", 2),
    }  # fmt: skip


def test_the_views_that_others_read_hold_it(warehouse: Warehouse) -> None:
    warehouse.append([bills.call(1), bills.call(2)])
    warehouse.adjust([bills.adjustment(1, "0.5")])
    for view in ("llm_consumption", "llm_consumption_daily"):
        rows = warehouse.query(
            f"SELECT SUM(v.cost_usd) AS s, SUM(v.request_count) AS n FROM {view} AS v"
        ).rows
        assert [tuple(map(Decimal, map(str, row))) for row in rows] == [(Decimal("0.75"), Decimal(2))]
