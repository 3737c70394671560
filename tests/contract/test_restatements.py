"""What a later read of a bill changes stays visible, on every engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import bills
import pytest

from costweir.domain.answer import Answer
from costweir.errors import SourceRejected
from costweir.queries.ask import ask
from costweir.queries.request import Request
from costweir.store.warehouse import Slot, Warehouse

SLOT = Slot("aws", "1", "2026-10")


def read(warehouse: Warehouse, folder: Path, run: int, *rows: dict[str, Any]) -> None:
    bills.store(warehouse, folder, rows, run_id=f"run-{run}")


def changes(warehouse: Warehouse, *by: str, **given: Any) -> Answer:
    return ask(warehouse, Request("restatements", by=by, **given), today=bills.TODAY)


def shown(answer: Answer, names: Sequence[str]) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in names) for row in answer.rows]


def line(day: int, cost: str, **given: Any) -> dict[str, Any]:
    return bills.line(usage_date=date(2026, 10, day), cost=cost, **given)


def test_a_first_read_and_the_same_read_again_change_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    for run in range(3):
        read(warehouse, tmp_path, run, line(1, "1"), line(2, "2"))
    assert changes(warehouse).rows == ()


def test_a_changed_day_is_an_adjustment_and_an_unchanged_one_is_not(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    read(warehouse, tmp_path, 1, line(1, "1"), line(2, "2"), line(3, "4", x_model="tiny"))
    read(warehouse, tmp_path, 2, line(1, "1"), line(2, "2.5"), line(4, "8"))
    found = changes(warehouse, "day", "model", "change", "run")
    assert shown(found, ["day", "model", "change", "run", "billed_cost"]) == [
        ("2026-10-02", "claude-sonnet-4-6", "restated", "run-2", "0.50"),
        ("2026-10-03", "tiny", "restated", "run-2", "-4.00"),
        ("2026-10-04", "claude-sonnet-4-6", "new day", "run-2", "8.00"),
    ]
    (month,) = changes(warehouse).rows
    assert (month["month"], month["provider"], month["billed_cost"]) == ("2026-10", "aws", "4.50")
    assert (month["increased_cost"], month["decreased_cost"], month["changes"]) == ("8.50", "-4.00", 3)


def test_adjustments_and_the_first_read_add_up_to_what_is_stored(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    reads = [
        [line(day, str(cost), x_customer=customer) for day, cost, customer in rows]
        for rows in (
            [(1, 5, "acme"), (2, 7, "acme")],
            [(1, 6, "acme"), (2, 3, "acme"), (2, 4, "globex"), (3, 9, "acme")],
            [(1, 5, "acme"), (3, 2, "acme")],
        )
    ]
    for run, rows in enumerate(reads):
        read(warehouse, tmp_path, run, *rows)
    found = changes(warehouse, "day")
    assert Decimal(found.total) == 7 - 12
    assert sum(Decimal(str(row["billed_cost"])) for row in found.rows) == Decimal(found.total)
    assert shown(changes(warehouse, "run", "day"), ["run", "day", "billed_cost"]) == [
        ("run-1", "2026-10-01", "1.00"), ("run-2", "2026-10-01", "-1.00"), ("run-2", "2026-10-02", "-7.00"),
        ("run-1", "2026-10-03", "9.00"), ("run-2", "2026-10-03", "-7.00"),
    ]  # fmt: skip


def test_a_rate_that_is_learned_later_changes_the_us_dollars(warehouse: Warehouse, tmp_path: Path) -> None:
    euros = {"billing_currency": "EUR"}
    read(warehouse, tmp_path, 1, line(1, "4", rate=None, **euros), line(1, "1", x_model="tiny"))
    read(warehouse, tmp_path, 2, line(1, "4", rate=Decimal("1.5"), **euros), line(1, "1", x_model="tiny"))
    assert changes(warehouse, "currency", currency="USD").total == "6.00"
    assert changes(warehouse, "currency", currency="EUR").total == "0.00"


def test_another_reader_of_the_bill_restates_only_what_it_says_differently(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    read(warehouse, tmp_path, 1, line(1, "4", x_source="aws-cur"), line(2, "5", x_source="aws-cur"))
    read(warehouse, tmp_path, 2, line(1, "4", x_source="aws-focus"), line(2, "6", x_source="aws-focus"))
    assert shown(changes(warehouse, "source", "day"), ["source", "day", "billed_cost"]) == [
        ("aws-focus", "2026-10-02", "1.00")
    ]


def test_other_months_and_accounts_are_not_touched(warehouse: Warehouse, tmp_path: Path) -> None:
    read(warehouse, tmp_path, 1, line(1, "4"))
    read(warehouse, tmp_path, 2, line(1, "4", x_account="2"), bills.line(usage_date=date(2026, 9, 1)))
    assert changes(warehouse).rows == ()


def test_the_days_asked_for_and_the_day_of_the_read_narrow_the_answer(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    read(warehouse, tmp_path, 1, line(1, "1"), line(2, "1"))
    read(warehouse, tmp_path, 2, line(1, "2"), line(2, "4"))
    assert changes(warehouse, since=date(2026, 10, 2)).total == "3.00"
    assert changes(warehouse, where={"read_on": ("2026-11-19",)}).total == "4.00"
    assert changes(warehouse, where={"read_on": ("2026-11-18",)}).total == "0.00"


def test_a_read_that_is_refused_adjusts_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    read(warehouse, tmp_path, 1, line(1, "1"))
    broken = [line(1, "2"), line(1, "2", x_customer=None)]
    with pytest.raises(SourceRejected):
        warehouse.replace(bills.load_of(SLOT, broken), charges=bills.stage(tmp_path / "bad.parquet", broken))
    assert changes(warehouse).rows == ()
    read(warehouse, tmp_path, 2, line(1, "3"))
    assert changes(warehouse).total == "2.00"
