"""Charges as a FOCUS 1.2 file, for other machines.

Cells keep what the bill says: a text that a spreadsheet would take for a formula is not changed here, as it
is in the CSV that people download.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import TextIO, cast

from costweir.domain.charge import CHARGE_COLUMN_NAMES, CHARGE_COLUMNS
from costweir.queries.focus_row import FOCUS_COLUMNS, OWN_COLUMNS, Row, focus_row
from costweir.store.warehouse import Parameter, Reader, Value, Warehouse

#: FOCUS columns that are derived here, by the kind of their cells; others have that of their charge column.
_DERIVED: Mapping[str, str] = {
    "BillingPeriodStart": "instant",
    "BillingPeriodEnd": "instant",
    "CommitmentDiscountQuantity": "quantity",
    "PricingCurrencyContractedUnitPrice": "money",
    "PricingCurrencyEffectiveCost": "money",
    "PricingCurrencyListUnitPrice": "money",
}
_PARQUET: Mapping[str, str] = {
    "money": "DECIMAL(38, 18)",
    "quantity": "DECIMAL(38, 12)",
    "instant": "TIMESTAMP",
    "bool": "BOOLEAN",
    "int": "BIGINT",
}


def focus_rows(
    warehouse: Warehouse, *, since: date | None = None, until: date | None = None, provider: str = ""
) -> Iterator[Row]:
    """The charges of the UTC days from `since` (inclusive) to `until` (exclusive) as FOCUS 1.2 rows of texts.

    The order is fixed and None is an empty cell. One snapshot is read day by day, so memory does not grow
    with the period.

    `provider` is a provider code such as aws. Raises Unreachable when the store does not answer.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(warehouse.snapshot())
        for day in _days(reader, since, until, provider):
            for charge in _charges(reader, day, provider):
                yield focus_row(charge)


def write_focus(
    warehouse: Warehouse,
    path: Path,
    *,
    since: date | None = None,
    until: date | None = None,
    provider: str = "",
) -> Path:
    """Writes the rows of `focus_rows` to `path` and returns it: Parquet for `.parquet`, gzip for `.gz`, or
    CSV (UTF-8, comma, an empty cell for null). The file appears when it is complete and replaces an older
    one.
    """
    partial = path.with_name(path.name + ".partial")
    table = path.with_name(path.name + ".csv.partial") if path.suffix == ".parquet" else partial
    try:
        with _opened(table, compressed=path.suffix == ".gz") as lines:
            writer = csv.DictWriter(lines, [*FOCUS_COLUMNS, *OWN_COLUMNS.values()], lineterminator="\n")
            writer.writeheader()
            writer.writerows(focus_rows(warehouse, since=since, until=until, provider=provider))
        if path.suffix == ".parquet":
            _to_parquet(table, partial)
        partial.replace(path)
    finally:
        for left in {table, partial}:
            left.unlink(missing_ok=True)
    return path


def _opened(path: Path, *, compressed: bool) -> TextIO:
    if compressed:
        # no time in the header, so that the same charges give the same bytes
        binary = gzip.GzipFile(path, "wb", mtime=0)
        return io.TextIOWrapper(cast("io.BufferedWriter", binary), encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


def _to_parquet(table: Path, out: Path) -> None:
    import duckdb

    kinds = {OWN_COLUMNS.get(column.name, column.focus): column.kind for column in CHARGE_COLUMNS}
    kinds |= _DERIVED
    names = (*FOCUS_COLUMNS, *OWN_COLUMNS.values())
    columns = ", ".join(f"'{name}': '{_PARQUET.get(kinds.get(name, 'text'), 'VARCHAR')}'" for name in names)
    target = str(out).replace("'", "''")
    rows = f"SELECT * FROM read_csv($table, header = true, nullstr = '', columns = {{{columns}}})"  # noqa: S608
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            f"COPY ({rows}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)", {"table": str(table)}
        )


def _where(since: date | None, until: date | None, provider: str) -> tuple[str, dict[str, Parameter]]:
    tests: list[str] = []
    params: dict[str, Parameter] = {}
    for test, name, value in (
        ("usage_date >= $since", "since", since),
        ("usage_date < $until", "until", until),
        ("x_provider = $provider", "provider", provider or None),
    ):
        if value is not None:
            tests.append(test)
            params[name] = value
    return ("WHERE " + " AND ".join(tests) if tests else ""), params


def _days(reader: Reader, since: date | None, until: date | None, provider: str) -> list[date]:
    where, params = _where(since, until, provider)
    query = f"SELECT usage_date FROM charges {where} GROUP BY usage_date ORDER BY usage_date"  # noqa: S608
    return [cast("date", row[0]) for row in reader.query(query, params).rows]


def _charges(reader: Reader, day: date, provider: str) -> Iterator[Mapping[str, Value]]:
    where, params = _where(day, day + timedelta(days=1), provider)
    # every column that tells two lines of one day apart, so that the order is the same on every engine
    order = (
        "x_provider, x_account, x_period, charge_period_start, charge_category, sku_id, x_usage_type, "
        "resource_id, sub_account_id, charge_description, tags, billed_cost, consumed_quantity, x_file"
    )
    names = ", ".join(CHARGE_COLUMN_NAMES)
    query = f"SELECT {names} FROM charges {where} ORDER BY {order}"  # noqa: S608
    yield from reader.query(query, params).records()
