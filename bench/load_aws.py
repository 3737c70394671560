"""How fast AWS bills are read: `python bench/load_aws.py [--rows N] [--large N] [--runs N] [--no-pandas]` prints a
Markdown table.

It writes a CUR 2.0 Parquet with 5 % and one with 100 % AI rows and a legacy CUR CSV.gz of 94 columns, stages each in
the reader's own child process, and times a row-by-row pandas script on the same CSV.gz (in a temporary environment
that uv makes). Rows per second are wall time, process start included; CPU seconds are those of the child and stay
nearly the same on a busy machine. Of several `--runs` the fastest counts, of pandas too; the two take turns.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from costweir.sources.stage import StageOptions, stage

ROOT = Path(__file__).parents[1]
#: The file that pandas reads too.
PACKED = "c.csv.gz"
HEADER = ROOT / "samples" / "aws" / "cur_legacy_anonymous.csv"

#: Bedrock lines as they are billed: product, usage type, unit, billing entity.
LINES = (
    ("Amazon Bedrock", "USE1-NovaLite-input-tokens", "1K tokens", "AWS"),
    ("Amazon Bedrock", "USE1-NovaLite-output-tokens", "1K tokens", "AWS"),
    ("Amazon Bedrock", "USE1-NovaPro-cache-read-input-token-count", "1K tokens", "AWS"),
    ("Amazon Bedrock Service", "USW2-Claude4.6Sonnet-output-tokens", "1K tokens", "AWS"),
    (
        "Claude Haiku 4.5 (Amazon Bedrock Edition)",
        "USE1-MP:USE1_input_tokens_global_standard-Units",
        "Units",
        "MP",
    ),
    (
        "Claude Haiku 4.5 (Amazon Bedrock Edition)",
        "USE1-MP:USE1_output_tokens_global_standard-Units",
        "Units",
        "MP",
    ),
)


def source(rows: int, share: int) -> str:
    """SQL for `rows` lines, `share` percent of them Bedrock; the rest are 40 sizes of servers in 20 regions."""
    listed = ", ".join(
        f"{{'product': '{product}', 'usage': '{usage}', 'unit': '{unit}', 'entity': '{entity}'}}"
        for product, usage, unit, entity in LINES
    )
    return f"""
        SELECT i, hash(i) % 100 < {share} AS ai, ([{listed}])[1 + (hash(i, 1) % {len(LINES)})::INT] AS line,
            (hash(i, 2) % 100000)::DOUBLE * 0.000137 AS cost, (hash(i, 3) % 9770)::DOUBLE * 0.37 AS quantity,
            TIMESTAMP '2026-10-01' + INTERVAL (hash(i, 4) % 744) HOUR AS started, hash(i, 5) % 50 AS account,
            hash(i, 6) % 40 AS customer, hash(i, 7) % 20 AS region
        FROM range({rows}) t(i)
    """


#: Column of the report to SQL over `source`.
FIELDS = {
    "bill_payer_account_id": "'123456789012'",
    "bill_billing_entity": "CASE WHEN ai AND line.entity = 'MP' THEN 'AWS Marketplace' ELSE 'AWS' END",
    "bill_bill_type": "'Anniversary'",
    "bill_billing_period_start_date": "TIMESTAMP '2026-10-01'",
    "bill_billing_period_end_date": "TIMESTAMP '2026-11-01'",
    "line_item_usage_account_id": "'1111' || lpad(account::VARCHAR, 8, '0')",
    "line_item_line_item_type": "'Usage'",
    "line_item_usage_start_date": "started",
    "line_item_usage_end_date": "started + INTERVAL 1 HOUR",
    "line_item_product_code": "CASE WHEN ai THEN 'AmazonBedrock' ELSE 'AmazonEC2' END",
    "line_item_usage_type": "CASE WHEN ai THEN line.usage ELSE 'R' || region || '-BoxUsage:m5.' || (i % 40) END",
    "line_item_operation": "CASE WHEN ai THEN 'InvokeModelInference' ELSE 'RunInstances' END",
    "line_item_resource_id": "'arn:aws:x:us-east-1:1111:thing/' || md5((i % 50000)::VARCHAR)",
    "line_item_usage_amount": "quantity",
    "line_item_currency_code": "'USD'",
    "line_item_unblended_rate": "'0.0000137'",
    "line_item_unblended_cost": "cost",
    "line_item_blended_cost": "cost",
    "line_item_line_item_description": "'$0.000137 per unit of ' || line.usage || ' in region ' || region",
    "pricing_public_on_demand_cost": "cost",
    "pricing_public_on_demand_rate": "'0.0000137'",
    "pricing_unit": "CASE WHEN ai THEN line.unit ELSE 'Hrs' END",
    "identity_line_item_id": "sha1(i::VARCHAR)",
    "identity_time_interval": "strftime(started, '%Y-%m-%dT%H:%M:%SZ')",
}
_PRODUCT = "CASE WHEN ai THEN line.product ELSE 'Amazon Elastic Compute Cloud' END"


def write_cur2(path: Path, rows: int, share: int) -> None:
    """A CUR 2.0 Parquet with its MAP columns."""
    nested = {
        "product": f"MAP {{'product_name': {_PRODUCT}, 'region': 'r' || region, 'servicename': 'x', 'sku': 's'}}",
        "resource_tags": "MAP {'user_customer_id': 'cust-' || customer, 'user_project_id': 'p', 'user_team': 't'}",
        "cost_category": "MAP {'unit': 'u'}",
        "discount": "MAP {'total': 0.0}",
        "line_item_iam_principal": "'arn:aws:sts::1:assumed-role/gateway/' || account",
        "product_region_code": "'us-east-' || region",
    }
    chosen = ", ".join(f"{sql} AS {name}" for name, sql in {**FIELDS, **nested}.items())
    duckdb.execute(
        f"COPY (SELECT {chosen} FROM ({source(rows, share)})) TO '{path}' (FORMAT parquet, COMPRESSION snappy)"
    )


def write_legacy(path: Path, rows: int, share: int) -> None:
    """A legacy CUR CSV.gz with the 94 columns of a real one; those that a server line fills are filled."""
    with HEADER.open(newline="") as stream:
        reader = csv.reader(stream)
        names, example = next(reader), next(reader)
    filled = {name.replace("_", ""): sql for name, sql in FIELDS.items()}
    filled |= {"productproductname": _PRODUCT, "productregion": "'us-east-1'"}
    chosen: list[str] = []
    for name, value in zip(names, example, strict=True):
        sql = filled.get(
            name.replace("/", "").lower(), "NULL" if not value else "'" + value.replace("'", "''") + "'"
        )
        chosen.append(f'{sql} AS "{name}"')
    duckdb.execute(
        f"COPY (SELECT {', '.join(chosen)} FROM ({source(rows, share)})) TO '{path}' "
        "(FORMAT csv, HEADER, COMPRESSION gzip)"
    )


PANDAS = """
import sys, time
import pandas as pd

def extract_model(usage_type):
    text = usage_type.lower()
    if "claude" in text:
        if "claude-3" in text:
            return "claude-3-opus" if "opus" in text else "claude-3-sonnet"
        return "claude-v2"
    if "titan" in text:
        return "titan-text" if "text" in text else "titan-embeddings"
    if "llama" in text:
        return "llama-2"
    return "unknown"

def extract_token_type(usage_type):
    text = usage_type.lower()
    return "input" if "input" in text else "output" if "output" in text else "other"

start = time.perf_counter()
frame = pd.read_csv(sys.argv[1], low_memory=False)
rows = []
for _, row in frame.iterrows():
    usage_type = str(row["lineItem/UsageType"])
    service = "Bedrock" if "Bedrock" in str(row["product/ProductName"]) else "other"
    rows.append({
        "date": str(row["lineItem/UsageStartDate"])[:10], "cloud_provider": "AWS", "service": service,
        "sku_description": usage_type, "model": extract_model(usage_type),
        "token_type": extract_token_type(usage_type), "usage_amount": float(row["lineItem/UsageAmount"]),
        "usage_unit": "tokens" if service == "Bedrock" else "compute_hours",
        "cost_usd": float(row["lineItem/UnblendedCost"]), "customer_id": None, "project_id": None,
    })
pd.DataFrame(rows).to_csv(sys.argv[2], index=False)
print(len(rows), time.perf_counter() - start)
"""


def cpu_seconds() -> float:
    """User and system seconds of all children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(path: Path, into: Path) -> tuple[int, int, float, float]:
    """Rows in, rows kept, seconds and CPU seconds."""
    start, used = time.perf_counter(), cpu_seconds()
    staged = stage([str(path)], into=into, options=StageOptions())
    seconds, used = time.perf_counter() - start, cpu_seconds() - used
    loads = [slot.load for slot in staged.slots]
    assert all(load.rows_in == load.rows_stored + load.rows_skipped for load in loads)
    return sum(load.rows_in for load in loads), sum(load.rows_stored for load in loads), seconds, used


def wall(run: tuple[int, int, float, float]) -> float:
    """The seconds of a run of `timed`."""
    return run[2]


def peak_mb() -> float:
    """The largest child so far, in MB; Linux counts in KB and macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def pandas_seconds(path: Path, out: Path) -> float | None:
    """The seconds of the row-by-row script without its start, or None where it cannot run."""
    script = out.with_suffix(".py")
    script.write_text(PANDAS)
    command = ["uv", "run", "--no-project", "--with", "pandas", "python", str(script), str(path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-500:], file=sys.stderr)
        return None
    return float(done.stdout.split()[1])


def compare(path: Path, size: float, seconds: float, *, rows: int, runs: int) -> None:
    """Prints the row of the pandas script on a file of `size` MB that was staged in `seconds` before."""
    times: list[tuple[float, float]] = []
    for _ in range(runs):
        burnt = cpu_seconds()
        slow = pandas_seconds(path, path.with_name("rows.csv"))
        if slow is None:
            return
        times.append((slow, cpu_seconds() - burnt))
        seconds = min(seconds, timed(path, path.with_name("in"))[2])
    slow, burnt = min(times)
    print(
        f"| the same CSV.gz, row by row in pandas | {rows:,} | | {size:.0f} | {slow:.2f} | {burnt:.2f} "
        f"| {rows / slow:,.0f} | | ({slow / seconds:.1f} x slower than {seconds:.2f} s) |",
        flush=True,
    )


def main() -> None:
    """Runs the benchmark and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each file")
    parser.add_argument("--large", type=int, default=0, help="also a CUR 2.0 Parquet of so many rows at 5 %%")
    parser.add_argument("--runs", type=int, default=1, help="of so many runs the fastest counts")
    parser.add_argument("--no-pandas", action="store_true", help="leave the pandas script out")
    asked = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.machine()}, "
        f"Python {platform.python_version()}, DuckDB {duckdb.__version__}\n"
    )
    print("| file | rows | kept | size MB | seconds | CPU s | rows/s | kept/s | largest process MB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        jobs = [
            ("CUR 2.0 Parquet, 5 % AI", "a.parquet", write_cur2, asked.rows, 5),
            ("CUR 2.0 Parquet, 100 % AI", "b.parquet", write_cur2, asked.rows, 100),
            ("CUR CSV.gz, 94 columns, 5 % AI", PACKED, write_legacy, asked.rows, 5),
        ]
        if asked.large:
            jobs.append(("CUR 2.0 Parquet, 5 % AI", "d.parquet", write_cur2, asked.large, 5))
        packed: tuple[Path, float, float] | None = None
        for title, name, write, count, share in jobs:
            path = work / name
            write(path, count, share)
            rows, kept, seconds, used = min((timed(path, work / "in") for _ in range(asked.runs)), key=wall)
            size = path.stat().st_size / 1e6
            print(
                f"| {title} | {rows:,} | {kept:,} | {size:.0f} | {seconds:.2f} | {used:.2f} | {rows / seconds:,.0f} "
                f"| {kept / seconds:,.0f} | {peak_mb():.0f} |",
                flush=True,
            )
            if name == PACKED:
                packed = (path, size, seconds)
        # After all others: pandas takes more memory than any of them, and the column shows the largest child so far.
        if packed and not asked.no_pandas:
            compare(*packed, rows=asked.rows, runs=asked.runs)


if __name__ == "__main__":
    main()
