"""Lines come page by page on every engine, each once, in an order that two reads agree on."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from bills import line, refer, store, world

from costweir.domain.charge import CHARGE_COLUMN_NAMES
from costweir.errors import Conflict, UsageError
from costweir.queries.charge_pages import ChargesPage, ChargesRequest, read_charges
from costweir.store.warehouse import Warehouse


def walk(warehouse: Warehouse, limit: int, **given: object) -> list[ChargesPage]:
    found = [read_charges(warehouse, ChargesRequest(limit=limit, **given))]  # type: ignore[arg-type]
    while found[-1].next_cursor:
        request = ChargesRequest(limit=limit, cursor=found[-1].next_cursor, **given)  # type: ignore[arg-type]
        found.append(read_charges(warehouse, request))
    return found


def test_pages_of_any_size_hold_the_same_lines(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = [*world(size=60), *[line(x_account="twins") for _ in range(9)]]
    store(warehouse, tmp_path, rows)
    whole = [row for page in walk(warehouse, 1000) for row in page.rows]

    assert len(whole) == len(rows)
    assert sum(Decimal(str(row["billed_cost"])) for row in whole) == sum(row["billed_cost"] for row in rows)
    assert set(whole[0]) == set(CHARGE_COLUMN_NAMES)
    for limit in (4, 25):
        pages = walk(warehouse, limit)
        assert [row for page in pages for row in page.rows] == whole
        assert all(len(page.rows) == limit for page in pages[:-1])


def test_filters_days_and_plans_narrow(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = world(size=120)
    store(warehouse, tmp_path, rows)
    refer(warehouse)
    given = {"where": {"plan": ("tier_2",), "provider": ("aws", "gcp")}, "since": date(2026, 10, 1)}
    found = [row for page in walk(warehouse, 7, **given) for row in page.rows]
    kept = [
        row for row in rows
        if row["x_customer"] == "globex" and row["x_provider"] != "azure" and row["usage_date"] >= date(2026, 10, 1)
    ]  # fmt: skip
    assert len(found) == len(kept) > 0


def test_a_replaced_bill_ends_the_pages(warehouse: Warehouse, tmp_path: Path) -> None:
    store(warehouse, tmp_path, [line() for _ in range(5)])
    cursor = read_charges(warehouse, ChargesRequest(limit=2)).next_cursor
    store(warehouse, tmp_path, [line() for _ in range(4)])
    with pytest.raises(Conflict, match="changed"):
        read_charges(warehouse, ChargesRequest(limit=2, cursor=cursor))


@pytest.mark.parametrize(
    "cursor",
    ["x", "W10", "bnVsbA", "WyIyMDI2LTAxLTAxIiwwXQ", "WyIyMDI2LTAxLTAxIiwwLCJhLmIuYyJd", "é", "=", "[" * 400],
)
def test_a_made_up_cursor_is_refused(warehouse: Warehouse, cursor: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        read_charges(warehouse, ChargesRequest(cursor=cursor))
