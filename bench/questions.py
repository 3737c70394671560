"""Times every catalogue question on synthetic charges that were loaded through `replace`, and prints a Markdown table.

    .venv/bin/python bench/questions.py --rows 10000000

The bill is hourly: `--lines-an-hour` distinct combinations of customer, model, token class and so on, on every hour
of thirteen months until the rows are reached. Staging runs in a child process, so the peak memory is the loader's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb

from costweir.domain.charge import CHARGE_COLUMNS
from costweir.domain.period import Month
from costweir.queries.ask import ask
from costweir.queries.question import Question, catalogue
from costweir.queries.request import Request
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.schema import SQL_TYPES
from costweir.store.warehouse import Load, Slot

TODAY = date(2026, 11, 20)
MONTHS = 13
LIMITS_MS = {"rollup": 150, "charges": 1500}

#: Columns that are not empty, as DuckDB expressions over `n` (combination), `h` (hour) and the month `$month`.
VALUES = {
    "billing_account_id": "'1234'", "billing_currency": "'USD'", "billing_period_start": "$first",
    "billing_period_end": "$last", "charge_category": "CASE WHEN n % 97 = 0 THEN 'Tax' ELSE 'Usage' END",
    "charge_description": "'Usage of SKU ' || (n % 400)", "charge_period_start": "$first + INTERVAL (h) HOUR",
    "sub_account_id": "'acct-' || (n % 30)", "service_name": "'service-' || (n % 9)", "sku_id": "'sku-' || (n % 400)",
    "region_id": "'region-' || (n % 7)", "resource_id": "'profile/' || (n % 250)",
    "pricing_quantity": "(n % 991) / 10.0", "pricing_unit": "'1K tokens'", "consumed_unit": "'Tokens'",
    "tags": "'{\"customer\": \"c' || (n % 200) || '\", \"team\": \"t' || (n % 11) || '\"}'",
    "billed_cost": "cost", "effective_cost": "cost", "list_cost": "cost", "contracted_cost": "cost",
    "x_billed_usd": "cost", "x_effective_usd": "cost", "x_list_usd": "cost", "x_contracted_usd": "cost",
    "x_credit_cost": "0", "x_credit_usd": "0", "x_provider": "$provider", "x_source": "$provider || '-export'",
    "x_account": "'1234'",
    "x_period": "$month", "x_run_id": "'run'", "x_file": "'bill.parquet'", "x_usage_type": "'USE1-' || (n % 400)",
    "x_is_ai": "TRUE", "x_model": "CASE WHEN n % 50 = 0 THEN 'unknown' ELSE 'model-' || (n % 24) END",
    "x_model_developer": "'developer-' || (n % 6)",
    "x_token_class": "['input', 'output', 'cache_read', 'cache_write', 'other'][1 + n % 5]",
    "x_direction": "['input', 'output', 'input', 'input', NULL][1 + n % 5]", "x_tier": "'standard'",
    "x_tokens": "CASE WHEN n % 5 = 4 THEN NULL ELSE 1000 + (n * 31 + h * 17) % 90000 END",
    "x_mapping_rule": "'rule-' || (n % 80)", "x_mapping_confidence": "'high'",
    "x_customer": "CASE WHEN n % 40 = 0 THEN 'untagged' ELSE 'customer-' || (n % 200) END",
    "x_customer_rule": "'tag:customer'", "x_project": "'project-' || (n % 13)", "x_feature": "'feature-' || (n % 8)",
    "usage_date": "CAST($first + INTERVAL (h) HOUR AS DATE)", "usage_hour": "h % 24",
    "iso_dow": "isodow($first + INTERVAL (h) HOUR)", "usage_month": "$month",
}  # fmt: skip


def slots() -> Iterator[tuple[str, Month]]:
    month = Month.of(TODAY)
    for _ in range(MONTHS):
        yield from ((provider, month) for provider in ("aws", "gcp", "azure"))
        month = month.previous


def stage(target: Path, provider: str, month: Month, an_hour: int) -> int:
    """Writes one slot and returns how many rows it has."""
    columns = ", ".join(
        f"CAST({VALUES.get(item.name, 'NULL')} AS {SQL_TYPES[item.kind]}) AS {item.name}"
        for item in CHARGE_COLUMNS
    )
    days = min(month.days, (TODAY - month.first).days)
    with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        row = connection.execute(
            f"COPY (WITH base AS (SELECT h, n, (1 + (n * 7919 + h * 104729) % 1000003) / 100000000.0 AS cost "
            f"FROM range({days * 24}) AS hours(h), range({an_hour}) AS combos(n)) "
            f"SELECT {columns} FROM base ORDER BY h) TO '{target}' (FORMAT parquet)",
            {"first": month.first, "last": month.following.first, "month": str(month), "provider": provider},
        ).fetchone()
    return int(row[0]) if row else 0


def load(store: DuckDBWarehouse, folder: Path, rows: int) -> dict[str, float]:
    hours = sum(min(month.days, (TODAY - month.first).days) * 24 for _, month in slots())
    an_hour = max(1, round(rows / hours))
    stored, seconds = 0, 0.0
    for provider, month in slots():
        target = folder / "slot.parquet"
        code = [sys.executable, __file__, "--stage", str(target), provider, str(month), str(an_hour)]
        count = int(subprocess.run(code, check=True, capture_output=True, text=True).stdout)
        days = min(month.days, (TODAY - month.first).days)
        item = Load(
            run_id="run", source=f"{provider}-export", slot=Slot(provider, "1234", str(month)),
            loaded_at=datetime(2026, 11, 20, tzinfo=UTC), rows_in=count, rows_stored=count, rows_skipped=0,
            rows_quarantined=0, billed_total=Decimal(0), file_total=Decimal(0), currency="USD", content_hash="",
            last_day=date(month.year, month.number, days), sample=True,
        )  # fmt: skip
        started = time.perf_counter()
        store.replace(item, charges=target)
        seconds += time.perf_counter() - started
        stored += count
    again = time.perf_counter()
    store.replace(item, charges=target)
    return {"rows": stored, "seconds": seconds, "again": time.perf_counter() - again}


def requests(question: Question) -> Iterator[tuple[str, Request]]:
    """What pages ask: the default, a month, a customer, a series, and once a dimension that only raw rows have."""
    month = {"since": date(2026, 10, 1), "until": date(2026, 11, 1)}
    yield "all months", Request(question.id)
    yield "one month", Request(question.id, **month)
    if "customer" in question.filters:
        yield "one customer", Request(question.id, where={"customer": ("customer-7",)})
    if "day" in question.dimensions and "provider" in question.dimensions:
        yield "by day and provider", Request(question.id, ("day", "provider"))
    if "customer" in question.dimensions and "model" in question.dimensions:
        yield "by customer and model, top 20", Request(question.id, ("customer", "model"), limit=20)
    if "region" in question.dimensions:
        yield "by region", Request(question.id, ("region",))


def time_of(store: DuckDBWarehouse, request: Request, repeats: int) -> tuple[list[float], float]:
    """Wall times in order, and the mean processor time over all threads, in milliseconds."""
    ask(store, request, today=TODAY)
    times: list[float] = []
    used = time.process_time()
    for _ in range(repeats):
        started = time.perf_counter()
        ask(store, request, today=TODAY)
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times), (time.process_time() - used) * 1000 / repeats


def report(store: DuckDBWarehouse, repeats: int) -> int:
    slow = 0
    print(
        "| question | asked | facts | p50 ms | p95 ms | limit | processor ms |\n|---|---|---|---:|---:|---:|---:|"
    )
    for question in catalogue():
        for label, request in requests(question):
            raw = question.needs == "charges" or "region" in request.by
            facts = "calls" if question.needs == "calls" else "charges" if raw else "rollup"
            times, used = time_of(store, request, max(5, repeats // 3) if raw else repeats)
            p50, p95 = times[len(times) // 2], times[min(len(times) - 1, round(len(times) * 0.95))]
            limit = LIMITS_MS.get(facts, 150)
            slow += p95 > limit
            mark = "" if p95 <= limit else " **over**"
            print(
                f"| {question.id} | {label} | {facts} | {p50:.0f} | {p95:.0f}{mark} | {limit} | {used:.0f} |",
                flush=True,
            )
    return slow


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="folder to keep the store in, and to use again")
    parser.add_argument("--stage", nargs=4)
    given = parser.parse_args()
    if given.stage:
        target, provider, month, an_hour = given.stage
        print(stage(Path(target), provider, Month.parse(month), int(an_hour)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        home = given.keep or Path(folder)
        path = home / "facts.duckdb"
        there = path.exists()
        store = DuckDBWarehouse.open(path, threads=2)
        store.migrate()
        figures: dict[str, object] = {
            "machine": platform.platform(), "cores": os.cpu_count(), "duckdb": duckdb.__version__,
            "load average before": os.getloadavg(),
        }  # fmt: skip
        if not there:
            done = load(store, Path(folder), given.rows)
            figures |= {
                "rows loaded": int(done["rows"]), "rows a second": round(done["rows"] / done["seconds"]),
                "seconds to load the last slot again": round(done["again"], 2),
                "peak memory of the loader, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }  # fmt: skip
        figures["charges"] = store.query("SELECT COUNT(*) AS n FROM charges AS c").rows[0][0]
        figures["rows in the roll-up"] = store.query("SELECT COUNT(*) AS n FROM charges_daily AS c").rows[0][
            0
        ]
        print("```json\n" + json.dumps(figures, indent=1) + "\n```\n")
        slow = report(store, given.repeats)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        store.close()
        size = path.stat().st_size / 1e6
        print(f"\nStore {size:.0f} MB; peak memory with the questions {peak} MB; {slow} over their limit.")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
