"""What every warehouse engine promises."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import bills
import pyarrow.parquet as pq
import pytest

from costweir.domain.call import CALL_COLUMN_NAMES
from costweir.domain.charge import CHARGE_COLUMN_NAMES
from costweir.errors import CheckFailed, Conflict, SourceRejected, UsageError
from costweir.queries.ask import ask
from costweir.queries.records import quarantined_lines, stored_months, stored_slot
from costweir.queries.request import Request
from costweir.store import schema
from costweir.store.warehouse import Slot, Warehouse

if TYPE_CHECKING:
    from engines import Opener

SLOT = Slot("aws", "1", "2026-10")
UNIFIED = [
    "date", "cloud_provider", "service", "sku_description", "model", "token_type", "usage_amount", "usage_unit",
    "cost_usd", "customer_id", "project_id",
]  # fmt: skip
VIEWS = {
    "unified_costs": UNIFIED, "gcp_llm_costs": UNIFIED, "aws_llm_costs": UNIFIED, "azure_llm_costs": UNIFIED,
    "llm_consumption": [
        "timestamp", "cloud_provider", "service", "model", "operation", "input_tokens", "output_tokens",
        "total_tokens", "request_count", "cost_usd", "cost_per_1k_tokens", "customer_id", "project_id",
        "feature_name", "region", "response_time_ms", "metadata",
    ],
    "llm_consumption_daily": [
        "day", "cloud_provider", "model", "customer_id", "input_tokens", "output_tokens", "total_tokens", "cost_usd",
        "request_count",
    ],
}  # fmt: skip


def counts(warehouse: Warehouse) -> dict[str, int]:
    tables = ("charges", "charges_daily", "quarantine", "loads")
    return {
        name: int(str(warehouse.query(f"SELECT COUNT(*) AS n FROM {name}").rows[0][0])) for name in tables
    }


def billed(warehouse: Warehouse, table: str = "charges") -> Decimal:
    return Decimal(str(warehouse.query(f"SELECT COALESCE(SUM(billed_cost), 0) AS s FROM {table}").rows[0][0]))


def test_migrating_twice_changes_nothing(warehouse: Warehouse) -> None:
    warehouse.migrate()
    versions = warehouse.query("SELECT version AS v FROM schema_version ORDER BY v").rows
    assert [row[0] for row in versions] == [step.version for step in schema.migrations()]


def run_on(store: Warehouse, statement: str) -> None:
    """Writes past the port, as an earlier version did."""
    if hasattr(store, "_connection"):
        store._connection.execute(statement)
    else:
        with store._connections.transaction() as connection:  # type: ignore[attr-defined]
            connection.execute("CREATE TABLE IF NOT EXISTS charges_any PARTITION OF charges DEFAULT")
            connection.execute(statement)


def test_credits_that_are_stored_get_their_us_dollars_when_the_store_is_brought_forward(
    reopen: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, steps = reopen(), schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: steps[:2])
    store.migrate()
    old = bills.line(cost="3", x_credit_cost=Decimal(-1))
    named = {name: value for name, value in old.items() if value is not None and name != "x_credit_usd"}
    values = ", ".join(f"'{value}'" for value in named.values())
    for currency in ("USD", "EUR"):
        run_on(
            store,
            f"INSERT INTO charges ({', '.join(named)}) VALUES ({values.replace('USD', currency)})",
        )
    monkeypatch.undo()
    store.migrate()
    found = store.query(
        "SELECT f.billing_currency AS c, f.x_credit_usd AS u FROM charges_facts AS f ORDER BY c"
    ).rows
    assert found == (("EUR", None), ("USD", Decimal(-1)))
    store.close()


def test_a_store_from_the_future_is_refused(warehouse: Warehouse, reopen: Opener) -> None:
    run_on(warehouse, "INSERT INTO schema_version VALUES (999, 'future', '2030-01-01')")
    with pytest.raises(Conflict, match="schema version 999"):
        warehouse.migrate()


@pytest.mark.parametrize(("table", "names"), [("charges", CHARGE_COLUMN_NAMES), ("calls", CALL_COLUMN_NAMES)])
def test_the_migrated_tables_have_exactly_the_columns_of_the_domain(
    warehouse: Warehouse, table: str, names: tuple[str, ...]
) -> None:
    assert warehouse.query(f"SELECT * FROM {table} AS t").columns == names


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_columns_that_dashboards_know(warehouse: Warehouse, view: str) -> None:
    assert list(warehouse.query(f"SELECT v.* FROM {view} AS v").columns) == VIEWS[view]


def test_a_slot_that_is_loaded_again_replaces_itself(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = [bills.line(cost="1.000000000000000001"), bills.line(cost="-0.5", x_customer="untagged")]
    for _ in range(3):
        bills.store(warehouse, tmp_path, rows)
    assert counts(warehouse) == {"charges": 2, "charges_daily": 2, "quarantine": 0, "loads": 1}
    assert billed(warehouse) == billed(warehouse, "charges_daily") == Decimal("0.500000000000000001")


def test_another_reader_of_the_same_bill_replaces_it(warehouse: Warehouse, tmp_path: Path) -> None:
    bills.store(warehouse, tmp_path, [bills.line(cost="2", x_source="aws-cur")])
    bills.store(warehouse, tmp_path, [bills.line(cost="3", x_source="aws-focus")])
    assert billed(warehouse) == 3
    assert warehouse.query("SELECT x_source AS s FROM loads").rows == (("aws-focus",),)


def test_other_slots_stay_when_one_is_replaced(warehouse: Warehouse, tmp_path: Path) -> None:
    september = bills.line(cost="5", usage_date=date(2026, 9, 1))
    bills.store(warehouse, tmp_path, [september, bills.line(cost="7", x_account="2"), bills.line(cost="1")])
    bills.store(warehouse, tmp_path, [bills.line(cost="2")])
    assert billed(warehouse) == billed(warehouse, "charges_daily") == 14


def test_every_value_comes_back_as_it_was_staged(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = bills.world(size=60)
    bills.store(warehouse, tmp_path, rows)
    table = warehouse.query("SELECT * FROM charges AS c")
    stored = sorted(repr(sorted(record.items())) for record in table.records())

    def known(row: dict[str, object]) -> dict[str, object]:
        return {name: _as_stored(name, row[name]) for name in CHARGE_COLUMN_NAMES}

    assert stored == sorted(repr(sorted(known(row).items())) for row in rows)


def _as_stored(name: str, value: object) -> object:
    if not isinstance(value, Decimal):
        return value
    places = 12 if name in {"x_tokens", "pricing_quantity"} else 18
    return value.quantize(Decimal(1).scaleb(-places))


def test_quarantined_lines_are_kept_verbatim_and_replaced_with_their_slot(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    rows = [bills.line()]
    raw = 'a,"b\n",\\N,,=cmd|x'
    broken = bills.stage_quarantine(
        tmp_path / "q.parquet", [("a.csv", 7, "no amount", raw), ("a.csv", 9, "", "")]
    )
    charges = bills.stage(tmp_path / "c.parquet", rows)
    for _ in range(2):
        load = bills.load_of(SLOT, rows, rows_in=3, rows_quarantined=2)
        warehouse.replace(load, charges=charges, quarantine=broken)
    found = warehouse.query(
        "SELECT x_file AS f, row_number AS n, reason AS r, raw_text AS t FROM quarantine ORDER BY n"
    )
    assert found.rows == (("a.csv", 7, "no amount", raw), ("a.csv", 9, "", ""))
    assert [line["row_number"] for line in quarantined_lines(warehouse, limit=1)] == [7]
    assert [line["raw"] for line in quarantined_lines(warehouse, run_id="run-1")] == [raw, ""]
    assert quarantined_lines(warehouse, run_id="run-2") == []
    warehouse.replace(bills.load_of(SLOT, rows), charges=charges)
    assert counts(warehouse)["quarantine"] == 0
    assert [(month.period, month.loads) for month in stored_months(warehouse)] == [("2026-10", 1)]
    assert (stored_slot(warehouse, SLOT) or {})["rows_stored"] == 1


def test_lines_of_a_load_that_is_not_stored_are_kept_beside_what_is(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    rows = [bills.line()]
    charges = bills.stage(tmp_path / "c.parquet", rows)
    known = bills.stage_quarantine(tmp_path / "known.parquet", [("a.csv", 7, "no amount", "a")])
    fresh = bills.stage_quarantine(
        tmp_path / "fresh.parquet", [("b.csv", 1, "no date", "b"), ("b.csv", 2, "", "c")]
    )
    warehouse.replace(
        bills.load_of(SLOT, rows, rows_in=2, rows_quarantined=1), charges=charges, quarantine=known
    )
    before = stored_slot(warehouse, SLOT)
    for run in ("run-2", "run-3"):
        load = bills.load_of(SLOT, [], run_id=run, rows_in=2, rows_quarantined=2)
        warehouse.set_aside(load, quarantine=fresh)

    assert [(line["run_id"], line["raw"]) for line in quarantined_lines(warehouse)] == [
        ("run-3", "b"), ("run-3", "c"), ("run-1", "a")
    ]  # fmt: skip
    assert stored_slot(warehouse, SLOT) == before
    assert counts(warehouse) == {"charges": 1, "charges_daily": 1, "quarantine": 3, "loads": 1}
    with pytest.raises(CheckFailed):
        warehouse.set_aside(bills.load_of(SLOT, [], rows_in=1, rows_quarantined=1), quarantine=fresh)
    warehouse.replace(bills.load_of(SLOT, rows), charges=charges)
    assert quarantined_lines(warehouse) == []


@pytest.mark.parametrize(
    ("rows", "stated", "error"),
    [
        ([bills.line(), bills.line(x_account="2")], 2, CheckFailed),
        ([bills.line()], 2, CheckFailed),
        ([bills.line(x_customer=None)], 1, SourceRejected),
    ],
    ids=["row of another slot", "row missing", "required value missing"],
)
def test_a_load_that_does_not_fit_changes_nothing(
    warehouse: Warehouse, tmp_path: Path, rows: list[dict[str, object]], stated: int, error: type[Exception]
) -> None:
    bills.store(warehouse, tmp_path, [bills.line(cost="4")])
    before = counts(warehouse)
    load = bills.load_of(SLOT, rows, rows_in=stated, rows_stored=stated)
    with pytest.raises(error):
        warehouse.replace(load, charges=bills.stage(tmp_path / "bad.parquet", rows))
    assert counts(warehouse) == before
    assert billed(warehouse) == 4


def test_a_load_whose_counts_do_not_add_up_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = [bills.line()]
    charges = bills.stage(tmp_path / "c.parquet", rows)
    with pytest.raises(CheckFailed, match="5 rows in"):
        warehouse.replace(bills.load_of(SLOT, rows, rows_in=5, rows_skipped=3), charges=charges)
    assert counts(warehouse)["charges"] == 0


def test_a_slot_whose_period_is_no_month_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = [bills.line(x_period="2026")]
    charges = bills.stage(tmp_path / "c.parquet", rows)
    with pytest.raises(CheckFailed, match="no month"):
        warehouse.replace(bills.load_of(Slot("aws", "1", "2026"), rows), charges=charges)


def test_the_instant_of_a_load_is_stored_in_utc(warehouse: Warehouse, tmp_path: Path) -> None:
    early = bills.LOADED_AT.astimezone(timezone(timedelta(hours=9)))
    bills.store(warehouse, tmp_path, [bills.line()], loaded_at=early)
    answer = ask(warehouse, Request("spend"), today=bills.TODAY)
    assert answer.as_of == {"aws-cur2": "2026-11-19T06:00:00Z"}


def test_a_load_without_a_column_is_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    whole = pq.read_table(bills.stage(tmp_path / "whole.parquet", [bills.line()]))
    pq.write_table(whole.drop_columns(["x_customer"]), tmp_path / "bad.parquet")
    with pytest.raises(SourceRejected, match="lacks x_customer"):
        warehouse.replace(bills.load_of(SLOT, [bills.line()]), charges=tmp_path / "bad.parquet")


def test_a_slot_may_come_in_several_files(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "staged [1]*"
    folder.mkdir()
    bills.stage(folder / "a.parquet", [bills.line(cost="1")])
    bills.stage(folder / "b.parquet", [bills.line(cost="2")])
    warehouse.replace(bills.load_of(SLOT, [bills.line(), bills.line()]), charges=folder)
    assert billed(warehouse) == 3


def test_calls_are_stored_once(warehouse: Warehouse) -> None:
    assert warehouse.append([bills.call(1), bills.call(2), bills.call(2)]) == 2
    assert warehouse.append([bills.call(2), bills.call(3)]) == 1
    assert warehouse.append([]) == 0
    found = warehouse.query(
        "SELECT SUM(v.cost_usd) AS s, SUM(v.total_tokens) AS t FROM llm_consumption AS v"
    ).rows
    assert [Decimal(str(value)) for value in found[0]] == [Decimal("0.75"), 360]


def test_a_call_with_an_unknown_column_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(UsageError, match="prompt"):
        warehouse.append([bills.call(1, prompt="secret")])


def test_a_mirror_is_replaced_as_a_whole(warehouse: Warehouse) -> None:
    warehouse.mirror("plans", ["id", "price_usd"], [["a", Decimal("0.1")], ["b", None]])
    warehouse.mirror("plans", ["id", "price_usd"], [["c", Decimal("49.99")]])
    assert warehouse.query("SELECT p.id AS i, p.price_usd AS q FROM plans AS p").rows == (
        ("c", Decimal("49.99")),
    )
    warehouse.mirror("plans", ["id"], [])
    assert warehouse.query("SELECT p.id AS i FROM plans AS p").rows == ()


@pytest.mark.parametrize(
    ("table", "columns", "rows"),
    [("charges", ["id"], []), ("plans", ["nope"], []), ("customers", ["id"], [["a"], ["a"]])],
    ids=["a fact", "an unknown column", "an id twice"],
)
def test_a_mirror_that_would_spoil_answers_is_refused(
    warehouse: Warehouse, table: str, columns: list[str], rows: list[list[str]]
) -> None:
    with pytest.raises(UsageError):
        warehouse.mirror(table, columns, rows)


def test_an_answer_is_never_torn_by_a_load(warehouse: Warehouse, tmp_path: Path) -> None:
    versions = []
    for name, cost in (("a", "1"), ("b", "100")):
        rows = [bills.line(cost=cost, x_customer=customer) for customer in ("acme", "globex", "untagged")]
        versions.append((bills.load_of(SLOT, rows), bills.stage(tmp_path / f"{name}.parquet", rows)))
    warehouse.replace(versions[0][0], charges=versions[0][1])
    done = threading.Event()

    def load() -> None:
        for number in range(12):
            load, charges = versions[number % 2]
            warehouse.replace(load, charges=charges)
        done.set()

    def read() -> set[str]:
        seen: set[str] = set()
        while not done.is_set():
            answer = ask(warehouse, Request("spend", by=("customer",)), today=bills.TODAY)
            assert sum(Decimal(str(row["billed_cost"])) for row in answer.rows) == Decimal(answer.total)
            seen.add(answer.total)
        return seen

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(load)]
        for future in writers:
            future.result(60)
        for future in readers:
            assert future.result(60) <= {"3.00", "300.00"}


def test_loads_of_several_threads_all_arrive(warehouse: Warehouse, tmp_path: Path) -> None:
    def load(number: int) -> None:
        rows = [bills.line(x_account=str(number % 4))]
        charges = bills.stage(tmp_path / f"{number}.parquet", rows)
        warehouse.replace(bills.load_of(Slot("aws", str(number % 4), "2026-10"), rows), charges=charges)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load, range(12)))
    assert counts(warehouse) == {"charges": 4, "charges_daily": 4, "quarantine": 0, "loads": 4}


def test_a_closed_store_may_be_closed_again(warehouse: Warehouse) -> None:
    warehouse.close()
    warehouse.close()
