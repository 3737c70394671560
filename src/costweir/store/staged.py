"""Checks on staged Parquet before any of it is stored: the right columns, the right slot, the stated number
of rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from costweir.domain.charge import CHARGE_COLUMN_NAMES
from costweir.domain.period import Month
from costweir.errors import CheckFailed, NotFound, SourceRejected
from costweir.store import schema
from costweir.store.warehouse import Load


def parquet_files(path: Path) -> list[str]:
    """The files of a staged path: itself, or every `*.parquet` in a folder. Names are never patterns."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise NotFound(f"There is no staged Parquet at {path}.", hint="Stage the files again.")
    return [str(file).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]") for file in files]


def check_columns(reader: duckdb.DuckDBPyConnection, files: list[str]) -> None:
    """Raises SourceRejected unless the files have exactly the columns of a charge."""
    described = reader.execute("DESCRIBE SELECT * FROM read_parquet($staged)", {"staged": files}).fetchall()
    names = {str(row[0]) for row in described}
    missing = [name for name in CHARGE_COLUMN_NAMES if name not in names]
    extra = sorted(names.difference(CHARGE_COLUMN_NAMES))
    if missing or extra:
        what = f"lacks {missing[0]}" if missing else f"has an unknown column {extra[0]}"
        raise SourceRejected(f"The staged Parquet {what}.", hint="Nothing of it was stored.")


def row_count(reader: duckdb.DuckDBPyConnection, files: list[str], slot: Mapping[str, str]) -> int:
    """How many rows are staged. Raises CheckFailed when some belong to another slot."""
    row = reader.execute(
        f"SELECT COUNT(*), COUNT(CASE WHEN {schema.SLOT_FILTER} THEN 1 END) FROM read_parquet($staged)",  # noqa: S608
        {"staged": files, **slot},
    ).fetchone()
    found, inside = (int(row[0]), int(row[1])) if row else (0, 0)
    if found != inside:
        raise CheckFailed(
            f"{found - inside} staged charges belong to another slot.", hint="Nothing was stored."
        )
    return found


def quarantine_count(reader: duckdb.DuckDBPyConnection, quarantine: Path | None) -> int:
    """How many quarantined lines are staged."""
    if quarantine is None:
        return 0
    files = {"staged": parquet_files(quarantine)}
    row = reader.execute("SELECT COUNT(*) FROM read_parquet($staged)", files).fetchone()
    return int(row[0]) if row else 0


def check_counts(load: Load, charges: int, quarantined: int) -> None:
    """Raises CheckFailed unless the staged rows are as many as the load states, none was dropped (law L7), and the
    period of the slot is a month."""
    try:
        Month.parse(load.slot.period)
    except ValueError as error:
        raise CheckFailed(
            f"The period of the load is no month: {error}.", hint="Nothing was stored."
        ) from error
    if load.rows_in != load.rows_stored + load.rows_skipped + load.rows_quarantined:
        raise CheckFailed(
            f"The load states {load.rows_in} rows in, which are not those stored, skipped and quarantined.",
            hint="Nothing was stored.",
        )
    _check_count("charges", charges, load.rows_stored)
    check_aside(load, quarantined)


def check_aside(load: Load, quarantined: int) -> None:
    """Raises CheckFailed unless as many lines are set aside as the load states."""
    _check_count("quarantined lines", quarantined, load.rows_quarantined)


def _check_count(what: str, found: int, stated: int) -> None:
    if found != stated:
        text = f"The load states {stated} {what} and {found} were staged."
        raise CheckFailed(text, hint="Nothing was stored.")
