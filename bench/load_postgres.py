"""How fast a bill is loaded into PostgreSQL: `python bench/load_postgres.py [--rows N] [--url URL]` prints a Markdown
table.

It stages one bill as Parquet with every column that real bills fill, and loads it into an empty database and again over
itself, beside the embedded DuckDB. Without `--url` it starts the PostgreSQL of the development environment with the
settings it comes with, on this machine. Seconds are wall time and grow with what else the machine does; CPU seconds, of
this process and of the server's process for this connection, hardly do.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "contract"))

import bills
from engines import fresh_database, postgres_server

from costweir.queries.ask import ask
from costweir.queries.request import Request
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.engines.postgres import PostgresWarehouse
from costweir.store.warehouse import Load, Slot, Warehouse

#: Different lines that the bill repeats.
DIFFERENT = 4_000
SLOT = Slot("aws", "1", "2026-10")


def staged(folder: Path, rows: int) -> tuple[Path, Load]:
    """The bill as Parquet, and the load that it is."""
    lines = []
    for number, line in enumerate(bills.world(size=DIFFERENT)):
        day = line["usage_date"].replace(year=2026, month=10, day=1 + number % 31)
        lines.append(
            {
                **line, "x_provider": "aws", "x_account": "1", "x_period": "2026-10", "x_source": "aws-cur2",
                "usage_date": day, "usage_month": "2026-10", "iso_dow": day.isoweekday(), "region_id": "us-east-1",
                "tags": '{"customer_id":"acme","project":"search","team":"a"}', "sku_id": f"SKU{number % 90}",
                "resource_id": "arn:aws:bedrock:us-east-1:123456789012:inference-profile/abc", "x_file": "cur.parquet",
                "x_mapping_rule": "bedrock-claude", "x_line_service": "AmazonBedrock",
                "x_line_text": "USE1-Claude-input", "x_line_unit": "1K tokens",
                "x_line_quantity": line["pricing_quantity"],
            }
        )  # fmt: skip
    few, many = folder / "few.parquet", folder / "many.parquet"
    bills.stage(few, lines)
    times = -(-rows // DIFFERENT)
    duckdb.execute(
        f"COPY (SELECT t.* FROM read_parquet('{few}') AS t, range({times}) LIMIT {rows}) "
        f"TO '{many}' (FORMAT parquet, COMPRESSION zstd)"
    )
    return many, bills.load_of(SLOT, lines[:1], rows_in=rows, rows_stored=rows)


def server_cpu(store: Warehouse) -> float:
    """CPU seconds of the server's process behind the connection that is used next; 0 where there is none here."""
    if not isinstance(store, PostgresWarehouse):
        return 0
    process = Path(f"/proc/{store.query('SELECT pg_backend_pid() AS p').rows[0][0]}/stat")
    fields = process.read_text().rpartition(")")[2].split() if process.exists() else ["0"] * 13
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(store: Warehouse, work: Callable[[], object]) -> tuple[float, float, float]:
    """Wall seconds, and CPU seconds here and in the server."""
    wall, cpu, server = time.perf_counter(), time.process_time(), server_cpu(store)
    work()
    return time.perf_counter() - wall, time.process_time() - cpu, server_cpu(store) - server


def measure(name: str, store: Warehouse, charges: Path, load: Load) -> None:
    """Two loads and two questions, as rows of the table."""
    store.migrate()
    works: dict[str, Callable[[], object]] = {
        "into an empty store": lambda: store.replace(load, charges=charges),
        "again, over itself": lambda: store.replace(load, charges=charges),
        "spend by model and day (roll-up)": lambda: ask(store, Request("spend", ("model", "day"))),
        "spend by region (lines)": lambda: ask(store, Request("spend", ("region",))),
    }
    for text, work in works.items():
        wall, cpu, server = timed(store, work)
        rate = f"{load.rows_stored / wall:,.0f}" if "store" in text or "again" in text else ""
        print(f"| {name} | {text} | {wall:.2f} s | {cpu:.2f} s | {server:.2f} s | {rate} |", flush=True)


def main() -> None:
    """Measures both engines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--url", default="", help="An empty database; it is filled.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        charges, load = staged(folder, given.rows)
        print(
            "| engine | what | wall | CPU here | CPU of the server | rows a second |\n|---|---|---:|---:|---:|---:|"
        )
        store: Warehouse = DuckDBWarehouse.open(folder / "facts.duckdb")
        measure("DuckDB", store, charges, load)
        store.close()
        if given.url:
            store = PostgresWarehouse.open(given.url)
            measure("PostgreSQL", store, charges, load)
            store.close()
            return
        with postgres_server(hurry=False) as uri:
            store = PostgresWarehouse.open(fresh_database(uri))
            measure("PostgreSQL", store, charges, load)
            store.close()


if __name__ == "__main__":
    main()
