"""Old lines and calls go, on every engine, and no total that is answered from their sums by day moves (law L6)."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import bills
import pytest

from costweir.errors import UsageError
from costweir.queries.ask import ask
from costweir.queries.request import Request
from costweir.store.warehouse import Move, Remap, Slot, Warehouse

if TYPE_CHECKING:
    from engines import Opener

BEFORE = date(2026, 10, 1)
OLD, NEW = date(2026, 9, 28), date(2026, 10, 2)
SLOT = Slot("aws", "1", "2026-10")


def lines() -> list[dict[str, object]]:
    """One bill with lines of two months, as bills that end in the middle of a day have them."""
    return [
        bills.line(cost="3", usage_date=OLD, x_period="2026-10"),
        bills.line(cost="0.5", usage_date=OLD, x_period="2026-10", x_model="unknown"),
        bills.line(cost="7", usage_date=NEW),
    ]


def total(warehouse: Warehouse, question: str = "spend", **more: object) -> str:
    return ask(warehouse, Request(question, **more), today=bills.TODAY).total  # type: ignore[arg-type]


def count(warehouse: Warehouse, table: str) -> int:
    return int(str(warehouse.query(f"SELECT COUNT(*) AS n FROM {table}").rows[0][0]))


def test_lines_go_and_every_total_of_the_roll_up_stays(warehouse: Warehouse, tmp_path: Path) -> None:
    bills.store(warehouse, tmp_path, lines())
    before = total(warehouse)
    by_model = ask(warehouse, Request("spend", by=("model", "month")), today=bills.TODAY).rows

    assert warehouse.expire("charges", before=BEFORE) == 2
    assert warehouse.expire("charges", before=BEFORE) == 0

    assert count(warehouse, "charges") == 1
    assert total(warehouse) == before == "10.50"
    assert ask(warehouse, Request("spend", by=("model", "month")), today=bills.TODAY).rows == by_model


def test_an_answer_that_needs_lines_that_are_gone_says_so(warehouse: Warehouse, tmp_path: Path) -> None:
    bills.store(warehouse, tmp_path, lines())
    warehouse.expire("charges", before=BEFORE)

    asked = Request("spend", by=("region",))
    answer = ask(warehouse, asked, today=bills.TODAY)
    assert (answer.total, answer.other, answer.complete) == ("10.50", "3.50", False)
    assert "Bill lines before 2026-10-01 were let go; only sums by day are left." in answer.notes
    late = ask(warehouse, Request("spend", by=("region",), since=BEFORE), today=bills.TODAY)
    assert not any("let go" in note for note in late.notes)


def test_a_bill_that_is_loaded_again_fills_its_sums_and_keeps_the_lines_of_kept_days(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    bills.store(warehouse, tmp_path, lines())
    warehouse.expire("charges", before=BEFORE)
    bills.store(warehouse, tmp_path, [*lines(), bills.line(cost="1", usage_date=OLD, x_period="2026-10")])

    assert total(warehouse) == "11.50"
    assert count(warehouse, "charges") == 1


def test_a_change_of_meaning_leaves_the_sums_of_lines_that_are_gone(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    from costweir.store.remapping import FOUND, MEANT

    bills.store(warehouse, tmp_path, lines())
    warehouse.expire("charges", before=BEFORE)
    found = warehouse.query(f"SELECT {', '.join(FOUND)} FROM charges").records()[0]
    meaning = {name: found[name] for name in MEANT} | {"x_model": "nova-pro"}
    warehouse.remap(Remap("r1", SLOT, bills.LOADED_AT, [Move(found, meaning, None, 1)]))

    answer = ask(warehouse, Request("spend", by=("model",)), today=bills.TODAY)
    costs = {str(row["model"]): row["billed_cost"] for row in answer.rows}
    assert costs == {"nova-pro": "7.00", "claude-sonnet-4-6": "3.00", "unknown": "0.50"}


def test_calls_go_and_their_sums_by_day_stay_with_the_prices_they_had(warehouse: Warehouse) -> None:
    when = {day: datetime.combine(day, time(9)) for day in (OLD, NEW)}
    warehouse.append([bills.call(number, started_at=when[OLD]) for number in range(3)])
    warehouse.append(
        [bills.call(9, started_at=when[NEW]), bills.call(4, started_at=when[OLD], settled_usd=None)]
    )
    warehouse.adjust([bills.adjustment(1, "1.25"), bills.adjustment(9, "0.5")])

    def daily() -> object:
        return warehouse.query(
            "SELECT d.day, d.model, d.total_tokens, d.cost_usd, d.request_count "
            "FROM llm_consumption_daily AS d ORDER BY d.day"
        ).rows

    before = daily()
    assert warehouse.expire("calls", before=BEFORE) == 4

    assert daily() == before
    assert (count(warehouse, "calls"), count(warehouse, "call_adjustments")) == (1, 1)
    answer = ask(warehouse, Request("sessions"), today=bills.TODAY)
    assert any("Calls before 2026-10-01 were let go" in note for note in answer.notes)
    assert Decimal(answer.total) == Decimal("0.5")


def test_months_go_as_a_whole(warehouse: Warehouse) -> None:
    with pytest.raises(UsageError, match="first day"):
        warehouse.expire("calls", before=date(2026, 10, 2))


def test_what_went_stays_away_from_a_store_that_is_opened_again(reopen: Opener, tmp_path: Path) -> None:
    store = reopen()
    store.migrate()
    bills.store(store, tmp_path, lines())
    store.expire("charges", before=BEFORE)
    store.close()
    again = reopen()
    again.migrate()
    assert total(again) == "10.50"
    assert count(again, "kept") == 1
    again.close()
