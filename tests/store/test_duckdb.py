"""What is particular to the embedded engine: one process writes, files are refused with a reason, memory is bounded."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import bills
import pytest

from costweir.errors import Conflict, Error, NotFound, StoreLocked, Unreachable
from costweir.store.engines.duckdb import DuckDBWarehouse

HOLDER = """
import sys, time
from pathlib import Path
from costweir.store.engines.duckdb import DuckDBWarehouse
store = DuckDBWarehouse.open(Path(sys.argv[1])); store.migrate()
print("held", flush=True)
time.sleep(float(sys.argv[2]))
store.close()
"""


def hold(path: Path, seconds: float) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), str(seconds)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_a_store_that_another_process_holds_is_locked(tmp_path: Path) -> None:
    holder = hold(tmp_path / "facts.duckdb", 60)
    try:
        with pytest.raises(StoreLocked) as caught:
            DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    finally:
        holder.kill()
        holder.communicate()
    assert caught.value.transient
    assert "server" in caught.value.hint


def test_a_lock_that_is_let_go_soon_is_waited_for(tmp_path: Path) -> None:
    holder = hold(tmp_path / "facts.duckdb", 0.5)
    store = DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    store.migrate()
    store.close()
    holder.communicate()


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "facts.duckdb"
    path.write_text("this is a shopping list, not a database" * 100)
    with pytest.raises(Unreachable, match="cannot be opened"):
        DuckDBWarehouse.open(path)


def test_reading_a_store_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        DuckDBWarehouse.open(tmp_path / "facts.duckdb", read_only=True)
    assert "costweir pull files" in caught.value.hint


def test_a_store_opened_for_reading_takes_no_write(tmp_path: Path) -> None:
    store = DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    store.migrate()
    store.close()
    reader = DuckDBWarehouse.open(tmp_path / "facts.duckdb", read_only=True)
    reader.migrate()
    with pytest.raises(Error):
        bills.store(reader, tmp_path, [bills.line()])
    assert reader.query("SELECT COUNT(*) AS n FROM charges AS c").rows == ((0,),)
    reader.close()


def test_a_new_file_cannot_be_read_only(tmp_path: Path) -> None:
    path = tmp_path / "facts.duckdb"
    DuckDBWarehouse.open(path).close()
    reader = DuckDBWarehouse.open(path, read_only=True)
    with pytest.raises(Conflict, match="older schema"):
        reader.migrate()
    reader.close()


def test_a_closed_store_answers_nothing(tmp_path: Path) -> None:
    store = DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    store.close()
    with pytest.raises(Unreachable, match="closed"):
        store.query("SELECT 1 AS one")


def test_the_schema_comments_name_the_focus_column(tmp_path: Path) -> None:
    store = DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    store.migrate()
    sql = "SELECT comment AS c FROM duckdb_columns() WHERE table_name = 'charges' AND column_name = 'effective_cost'"
    assert str(store.query(sql).rows[0][0]).startswith("FOCUS EffectiveCost: ")
    store.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import bills
from costweir.errors import Unreachable
from costweir.store.engines.duckdb import DuckDBWarehouse

folder = Path(sys.argv[2])
rows = [bills.line(cost="9", tags=f"{n * 7919:x}" * 200) for n in range(4000)]
charges = bills.stage(folder / "new.parquet", rows)
store = DuckDBWarehouse.open(folder / "facts.duckdb")
size = (folder / "facts.duckdb").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, size + 4096))
try:
    store.replace(bills.load_of(bills.Slot("aws", "1", "2026-10"), rows), charges=charges)
except Unreachable as error:
    print(error.hint)
"""


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    store = DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    store.migrate()
    bills.store(store, tmp_path, [bills.line(cost="4")])
    store.close()
    code = [sys.executable, "-c", FULL_DISK, str(Path(bills.__file__).parent), str(tmp_path)]
    result = subprocess.run(code, capture_output=True, text=True, check=False)
    assert "free disk space" in result.stdout, result.stderr
    store = DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    assert store.query("SELECT SUM(c.billed_cost) AS s, COUNT(*) AS n FROM charges AS c").rows == ((4, 1),)
    store.close()


def test_parquet_with_a_wrong_type_changes_nothing(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    store = DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    store.migrate()
    bills.store(store, tmp_path, [bills.line(cost="4")])
    good = pq.read_table(bills.stage(tmp_path / "c.parquet", [bills.line()]))
    column = good.column_names.index("billed_cost")
    pq.write_table(good.set_column(column, "billed_cost", pa.array(["a lot"])), tmp_path / "bad.parquet")
    load = bills.load_of(bills.Slot("aws", "1", "2026-10"), [bills.line()])
    with pytest.raises(Error, match="schema"):
        store.replace(load, charges=tmp_path / "bad.parquet")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "c.parquet").read_bytes()[:500])
    with pytest.raises(Error):
        store.replace(load, charges=tmp_path / "torn.parquet")
    assert store.query("SELECT SUM(c.billed_cost) AS s FROM charges AS c").rows[0][0] == 4
    store.close()


def test_a_call_is_stored_to_the_letter(tmp_path: Path) -> None:
    """Calls go through a file of text; what is in them must come out as it went in (law L10)."""
    store = DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    store.migrate()
    texts = ['a "quoted" \\ name', "two\nlines,\ttabs", "日本 🌊", "null", "", "{[", "\u2028"]
    amounts = [Decimal("0.000000000000000001"), Decimal("12345678901234567890.123456789012345678"), None]
    starts = [
        datetime.fromisoformat(at) for at in ("2026-10-05T12:00:00.000001", "1999-12-31T23:59:59.999999")
    ]
    calls = [
        bills.call(
            number, customer=text, settled_usd=amounts[number % 3], duration_ms=2**62 + number,
            started_at=starts[number % 2],
        )
        for number, text in enumerate(texts)
    ]  # fmt: skip
    # Columns may differ from call to call.
    calls.append(bills.call(99, request_id="r99"))

    assert store.append(calls) == len(calls)
    assert store.append(calls) == 0
    wanted = [(c["customer"], c["settled_usd"], c.get("duration_ms"), c["started_at"]) for c in calls]
    found = store.query(
        "SELECT customer, settled_usd, duration_ms, started_at FROM calls ORDER BY length(call_id), call_id"
    )
    assert list(found.rows) == wanted
    assert not list(tmp_path.glob("*.ndjson"))
    store.close()


def test_what_a_killed_process_left_beside_the_store_goes(tmp_path: Path) -> None:
    left = tmp_path / "calls-abc.ndjson"
    left.write_text("{}")

    with contextlib.closing(DuckDBWarehouse.open(tmp_path / "facts.duckdb")):
        assert not left.exists()
