"""Stored lines can be given another meaning, on every engine: money stays where it is, what moved stays visible, and a
process that is killed on the way leaves all of it or nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bills
import pytest
from engines import address_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costweir.domain.answer import Answer
from costweir.errors import Conflict
from costweir.queries.ask import ask
from costweir.queries.charge_pages import ChargesRequest, read_charges
from costweir.queries.mapped_lines import mapped_lines
from costweir.queries.request import Request
from costweir.store.remapping import MEANT
from costweir.store.warehouse import Move, Remap, Slot, Value, Warehouse

if TYPE_CHECKING:
    from engines import Opener

SLOT = Slot("aws", "1", "2026-10")
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
TEXT = "USE1-Odd-Units"


def odd(cost: str, **given: Any) -> dict[str, Any]:
    """A line that no rule knows; three units of it."""
    unknown = {
        "x_model": "unknown", "x_token_class": "other", "x_direction": None, "x_tokens": None, "x_line_text": TEXT,
        "x_line_unit": "Units", "pricing_quantity": Decimal(3), "x_consumed_quantity": Decimal(3),
        "consumed_quantity": Decimal(3), "x_consumed_unit": "Units", "consumed_unit": "Units",
    }  # fmt: skip
    return bills.line(cost=cost, **{**unknown, **given})


def moves(
    warehouse: Warehouse, slot: Slot = SLOT, *, tokens: int | None = 1000, **meaning: Value
) -> list[Move]:
    """The lines of the odd text with another meaning."""
    found = [item for item in mapped_lines(warehouse, [TEXT]) if item.slot == slot]
    return [
        Move(item.found, {**{name: item.found[name] for name in MEANT}, **meaning}, tokens, item.lines)
        for item in found
    ]


def remap(warehouse: Warehouse, *, run: str = "remap-1", **meaning: Any) -> None:
    warehouse.remap(Remap(run, SLOT, AT, moves(warehouse, **meaning)))


def answer(warehouse: Warehouse, question: str, *by: str) -> Answer:
    return ask(warehouse, Request(question, by=by), today=bills.TODAY)


def by_model(warehouse: Warehouse) -> dict[str, str]:
    return {str(row["model"]): str(row["billed_cost"]) for row in answer(warehouse, "spend", "model").rows}


def test_the_lines_move_to_their_model_and_no_total_changes(warehouse: Warehouse, tmp_path: Path) -> None:
    bills.store(
        warehouse, tmp_path, [odd("2"), odd("0.5", usage_date=date(2026, 10, 6)), bills.line(cost="4")]
    )
    before = answer(warehouse, "spend").total
    remap(warehouse, x_model="odd-1", x_token_class="input")
    assert by_model(warehouse) == {"claude-sonnet-4-6": "4.00", "odd-1": "2.50"}
    assert answer(warehouse, "spend").total == before
    assert answer(warehouse, "unknown_skus").rows == ()


def test_tokens_are_counted_from_the_units_and_forgotten_again(warehouse: Warehouse, tmp_path: Path) -> None:
    bills.store(warehouse, tmp_path, [odd("2"), odd("1", charge_category="Tax")])
    columns = (
        "SELECT c.x_tokens AS t, c.consumed_quantity AS q, c.consumed_unit AS u FROM charges AS c "
        "ORDER BY c.charge_category DESC"
    )
    before = warehouse.query(columns).rows
    remap(warehouse, x_model="odd-1")
    assert warehouse.query(columns).rows == (
        (Decimal(3000), Decimal(3000), "Tokens"),
        (None, Decimal(3), "Units"),
    )  # fmt: skip
    remap(warehouse, run="remap-2", x_model="unknown", tokens=None)
    assert warehouse.query(columns).rows == before


def test_what_moved_is_in_the_history_and_adds_up_to_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    bills.store(warehouse, tmp_path, [odd("2"), bills.line(cost="4")])
    remap(warehouse, x_model="odd-1", x_token_class="input")
    found = answer(warehouse, "restatements", "day", "model", "token_class", "change", "run", "read_on")
    assert [
        (
            row["model"],
            row["token_class"],
            row["change"],
            row["run"],
            row["read_on"],
            row["billed_cost"],
            row["tokens"],
        )
        for row in found.rows
    ] == [
        ("odd-1", "input", "remapped", "remap-1", "2026-11-20", "2.00", "3000"),
        ("unknown", "other", "remapped", "remap-1", "2026-11-20", "-2.00", "0"),
    ]
    assert found.total == "0.00"


def test_a_change_of_token_class_alone_is_visible_too(warehouse: Warehouse, tmp_path: Path) -> None:
    bills.store(warehouse, tmp_path, [odd("2")])
    remap(warehouse, x_token_class="output", tokens=None)
    rows = answer(warehouse, "restatements", "token_class").rows
    assert {row["token_class"]: row["billed_cost"] for row in rows} == {"output": "2.00", "other": "-2.00"}


def test_the_load_stays_as_it_was_and_other_slots_too(warehouse: Warehouse, tmp_path: Path) -> None:
    bills.store(
        warehouse, tmp_path, [odd("2"), odd("8", x_account="2"), odd("1", usage_date=date(2026, 9, 3))]
    )
    loads = (
        "SELECT l.x_account AS a, l.x_period AS p, l.x_run_id AS r, l.rows_in AS n, l.billed_total AS b "
        "FROM loads AS l ORDER BY a, p"
    )
    before = warehouse.query(loads).rows
    remap(warehouse, x_model="odd-1")
    assert warehouse.query(loads).rows == before
    assert by_model(warehouse) == {"unknown": "9.00", "odd-1": "2.00"}


def test_lines_that_changed_meanwhile_are_left_alone(warehouse: Warehouse, tmp_path: Path) -> None:
    bills.store(warehouse, tmp_path, [odd("2")])
    seen = moves(warehouse, x_model="odd-1")
    bills.store(warehouse, tmp_path, [odd("2"), odd("3")])
    before = by_model(warehouse)
    with pytest.raises(Conflict, match="1 lines of aws 1 2026-10 were to change and 2 were found"):
        warehouse.remap(Remap("remap-1", SLOT, AT, seen))
    assert by_model(warehouse) == before
    assert all(row["change"] != "remapped" for row in answer(warehouse, "restatements", "change").rows)


def test_a_bill_that_is_read_again_after_a_remap_restates_nothing_that_is_equal(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    rows = [odd("2"), bills.line(cost="4")]
    bills.store(warehouse, tmp_path, rows)
    remap(warehouse, x_model="odd-1")
    again = [{**rows[0], "x_model": "odd-1", "x_tokens": Decimal(3000)}, rows[1]]
    bills.store(warehouse, tmp_path, again, run_id="run-2")
    assert [row["run"] for row in answer(warehouse, "restatements", "run").rows] == ["remap-1"]


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 999), model=st.sampled_from(["odd-1", "unknown"]),
    token_class=st.sampled_from(["input", "output", "image"]), tokens=st.sampled_from([None, 1, 1000]),
)  # fmt: skip
def test_no_meaning_changes_any_sum(
    warehouse: Warehouse, tmp_path: Path, seed: int, model: str, token_class: str, tokens: int | None
) -> None:
    """Law L6: whatever the meaning, every other dimension adds up to what it did, to the last digit."""
    rows = [
        {**row, "x_line_text": TEXT if number % 3 else "other"}
        for number, row in enumerate(bills.world(seed, 40))
    ]
    bills.store(warehouse, tmp_path, rows)
    dimensions = ("provider", "customer", "day", "category", "currency", "account", "ai")
    sums = {name: sorted(_cells(answer(warehouse, "spend", name), name)) for name in dimensions}
    for slot in {item.slot for item in mapped_lines(warehouse, [TEXT])}:
        changed = moves(warehouse, slot, tokens=tokens, x_model=model, x_token_class=token_class)
        warehouse.remap(Remap("remap-1", slot, AT, changed))
    assert {name: sorted(_cells(answer(warehouse, "spend", name), name)) for name in dimensions} == sums
    remapped = ask(warehouse, Request("restatements", where={"change": ("remapped",)}), today=bills.TODAY)
    assert Decimal(remapped.total) == 0


def _cells(found: Answer, name: str) -> list[tuple[str, str]]:
    return [(str(row[name]), str(row["billed_cost"])) for row in found.rows]


def test_a_remap_ends_the_pages_of_lines(warehouse: Warehouse, tmp_path: Path) -> None:
    """Lines stand in an order that their meaning is part of, so a page after it could miss some."""
    bills.store(warehouse, tmp_path, [odd("2") for _ in range(5)])
    cursor = read_charges(warehouse, ChargesRequest(limit=2)).next_cursor
    remap(warehouse, tokens=None, x_tier="batch")
    with pytest.raises(Conflict, match="changed"):
        read_charges(warehouse, ChargesRequest(limit=2, cursor=cursor))


REMAPPER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, {contract!r})
import test_remap
from costweir.store import schema
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.engines.postgres import PostgresWarehouse

address, moment = sys.argv[1:3]
store = PostgresWarehouse.open(address) if "://" in address else DuckDBWarehouse.open(Path(address))

def stop(*_):
    print("now", flush=True)
    time.sleep(60)

if moment == "middle":
    schema.rollup_statement = stop
test_remap.remap(store, x_model="odd-1")
stop()
"""


def _state(warehouse: Warehouse) -> Sequence[Sequence[object]]:
    columns = {
        "charges": "c.x_model AS m, c.billed_cost AS b, c.x_tokens AS t",
        "charges_daily": "c.x_model AS m, c.billed_cost AS b, c.x_tokens AS t",
        "restatements": "c.x_model AS m, c.billed_after AS b, c.billed_before AS t",
    }
    return [
        warehouse.query(f"SELECT {names} FROM {table} AS c ORDER BY m, b").rows
        for table, names in columns.items()
    ]


@pytest.mark.parametrize("moment", ["middle", "after"])
def test_a_killed_remap_is_all_or_nothing_and_done_again_it_is_whole(
    reopen: Opener, tmp_path: Path, moment: str
) -> None:
    store = reopen()
    store.migrate()
    bills.store(store, tmp_path, [odd("2"), odd("3", usage_date=date(2026, 10, 9)), bills.line(cost="4")])
    before = _state(store)
    address = address_of(store, tmp_path)
    store.close()
    code = REMAPPER.format(contract=str(Path(__file__).parent))
    worker = subprocess.Popen([sys.executable, "-c", code, address, moment], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"now\n"
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    store = reopen()
    after = _state(store)
    if moment == "middle":
        assert after == before
        remap(store, x_model="odd-1")
    final = _state(store)
    assert by_model(store) == {"claude-sonnet-4-6": "4.00", "odd-1": "5.00"}
    store.close()
    assert after == (before if moment == "middle" else final)
    assert [len(item) for item in final] == [3, 3, 4]
