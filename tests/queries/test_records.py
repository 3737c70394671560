"""What the store says about itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import bills
import pytest

from costweir.queries.records import (
    StoredMonth,
    metered_months,
    quarantined_lines,
    stored_months,
    stored_slot,
)
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.warehouse import Slot

OCTOBER = Slot("aws", "1", "2026-10")


@pytest.fixture
def store() -> Iterator[DuckDBWarehouse]:
    opened = DuckDBWarehouse.open(Path(":memory:"))
    opened.migrate()
    yield opened
    opened.close()


def test_an_empty_store_has_no_records(store: DuckDBWarehouse) -> None:
    assert (stored_months(store), stored_slot(store, OCTOBER), quarantined_lines(store)) == ([], None, [])


def test_months_count_their_loads_and_say_which_are_a_sample(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [bills.line(usage_date=date(2026, 9, 1)), bills.line()])
    bills.store(store, tmp_path, [bills.line(x_account="2")], sample=True)
    assert stored_months(store) == [StoredMonth("2026-09", 1, 0), StoredMonth("2026-10", 2, 1)]


def test_a_slot_says_what_its_load_said(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [bills.line(cost="2.5")], content_hash="c", rules_hash="r")
    found = stored_slot(store, OCTOBER)
    assert found == {
        "content_hash": "c", "rules_hash": "r", "first_day": None, "last_day": date(2026, 10, 5),
        "x_source": "aws-cur2", "rows_stored": 1, "billed_total": Decimal("2.5"), "total_currency": "USD",
    }  # fmt: skip


def test_quarantined_lines_are_those_of_the_newest_run_first(store: DuckDBWarehouse, tmp_path: Path) -> None:
    for number, period in ((1, "2026-09"), (2, "2026-10")):
        slot = Slot("aws", "1", period)
        broken = bills.stage_quarantine(tmp_path / "q.parquet", [("a.csv", 7, "no amount", "raw")] * number)
        load = bills.load_of(slot, [], run_id=f"run-{number}", rows_in=number, rows_quarantined=number)
        store.replace(load, charges=bills.stage(tmp_path / "c.parquet", []), quarantine=broken)
    lines = quarantined_lines(store)
    assert [line["run_id"] for line in lines] == ["run-2", "run-2", "run-1"]
    assert lines[2] == {
        "run_id": "run-1", "source": "aws-cur2", "account": "1", "period": "2026-09", "file": "a.csv",
        "row_number": 7, "reason": "no amount", "raw": "raw",
    }  # fmt: skip
    assert len(quarantined_lines(store, run_id="run-2", limit=1)) == 1


def test_months_of_calls_are_named_once_each_and_oldest_first(store: DuckDBWarehouse) -> None:
    assert metered_months(store) == []
    days = (date(2026, 11, 2), date(2026, 9, 30), date(2026, 11, 30))
    store.append([bills.call(n, started_at=datetime.combine(day, time(9))) for n, day in enumerate(days)])
    assert metered_months(store) == ["2026-09", "2026-11"]
