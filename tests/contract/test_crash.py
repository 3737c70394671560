"""A loader that is killed leaves the old bill or the new one, never half of either (laws L2 and L3)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import bills
import pytest
from engines import address_of

from costweir.store.warehouse import Slot, Warehouse

if TYPE_CHECKING:
    from engines import Opener

SLOT = Slot("aws", "1", "2026-10")

LOADER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {contract!r})
import bills
from costweir.store import schema
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.engines.postgres import PostgresWarehouse
from costweir.store.warehouse import Slot

address, charges, moment = sys.argv[1:4]
store = PostgresWarehouse.open(address) if "://" in address else DuckDBWarehouse.open(Path(address))

def stop(*_):
    print("now", flush=True)
    time.sleep(60)

if moment == "middle":
    original = schema.load_row
    schema.load_row = stop
rows = [bills.line(cost="9") for _ in range(3)]
store.replace(bills.load_of(Slot("aws", "1", "2026-10"), rows), charges=Path(charges))
stop()
"""


def state(warehouse: Warehouse) -> list[tuple[object, ...]]:
    tables = ("charges", "charges_daily")
    sums = [
        warehouse.query(f"SELECT COUNT(*) AS n, SUM(t.billed_cost) AS s FROM {name} AS t").rows[0]
        for name in tables
    ]
    adjusted = warehouse.query("SELECT COUNT(*) AS n, SUM(r.billed_after) AS s FROM restatements AS r").rows
    return [*sums, *adjusted, *warehouse.query("SELECT l.rows_stored AS n FROM loads AS l").rows]


@pytest.mark.parametrize("moment", ["middle", "after"])
def test_a_killed_load_is_all_or_nothing(reopen: Opener, tmp_path: Path, moment: str) -> None:
    store = reopen()
    store.migrate()
    bills.store(store, tmp_path, [bills.line(cost="1")])
    before = state(store)
    address = address_of(store, tmp_path)
    store.close()
    charges = bills.stage(tmp_path / "new.parquet", [bills.line(cost="9") for _ in range(3)])
    code = LOADER.format(contract=str(Path(__file__).parent))
    loader = subprocess.Popen(
        [sys.executable, "-c", code, address, str(charges), moment], stdout=subprocess.PIPE
    )
    assert loader.stdout is not None
    assert loader.stdout.readline() == b"now\n"
    os.kill(loader.pid, signal.SIGKILL)
    loader.wait()
    loader.stdout.close()
    time.sleep(0.2)
    store = reopen()
    after = state(store)
    rows = [bills.line(cost="9") for _ in range(3)]
    store.replace(bills.load_of(SLOT, rows), charges=charges)
    final = state(store)
    store.close()
    assert after == (before if moment == "middle" else final)
    assert [int(str(row[0])) for row in final] == [3, 1, 1, 3]
