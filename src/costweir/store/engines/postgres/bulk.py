"""Brings staged Parquet into PostgreSQL: DuckDB reads it and writes CSV into a pipe while the server takes it in, so
nothing of it lies on the disk or in memory.

CSV and not the binary form: PostgreSQL's binary numbers have base 10,000, and making them in Python takes longer than
the server needs to read decimals.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString, cast

import duckdb
from psycopg import sql as pgsql

from costweir.domain.charge import CHARGE_COLUMNS
from costweir.errors import SourceRejected, Unreachable
from costweir.store import schema, staged
from costweir.store.engines.postgres.connections import Connection
from costweir.store.engines.postgres.statements import run
from costweir.store.warehouse import Load

_CHUNK = 1 << 18
_TEXTS = tuple(column.name for column in CHARGE_COLUMNS if column.kind in ("text", "json"))


@contextmanager
def opened() -> Generator[duckdb.DuckDBPyConnection]:
    """Reads Parquet. Raises SourceRejected for files that are none."""
    with duckdb.connect() as reader:
        try:
            yield reader
        except duckdb.Error as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SourceRejected(
                f"The staged Parquet cannot be read: {said}", hint="Stage it again."
            ) from error


def copy_charges(connection: Connection, reader: duckdb.DuckDBPyConnection, files: list[str]) -> int:
    """Adds staged charges and says how many."""
    names = schema.charge_list()
    select = f"SELECT {names} FROM read_parquet($staged)"  # noqa: S608
    return _copy(connection, reader, f"charges ({names})", (select, files, _TEXTS))


def copy_quarantine(
    connection: Connection, reader: duckdb.DuckDBPyConnection, quarantine: Path, load: Load
) -> None:
    """Adds the quarantined lines of a load."""
    columns = ", ".join(schema.QUARANTINE_COLUMNS.values())
    run(
        connection,
        f"CREATE TEMP TABLE broken ON COMMIT DROP AS SELECT {columns} FROM quarantine WHERE FALSE",  # noqa: S608
    )
    select = f"SELECT {', '.join(schema.QUARANTINE_COLUMNS)} FROM read_parquet($staged)"  # noqa: S608
    texts = tuple(name for name in schema.QUARANTINE_COLUMNS if name != "row_number")
    _copy(connection, reader, f"broken ({columns})", (select, staged.parquet_files(quarantine), texts))
    run(
        connection,
        f"INSERT INTO quarantine (x_provider, x_account, x_period, x_run_id, x_source, {columns}) "  # noqa: S608
        f"SELECT $provider, $account, $period, $run, $source, {columns} FROM broken",
        {**schema.slot_params(load.slot), "run": load.run_id, "source": load.source},
    )
    run(connection, "DROP TABLE broken")


def months_of(reader: duckdb.DuckDBPyConnection, files: list[str]) -> list[tuple[int, int]]:
    """The months (year, month) that staged charges lie in."""
    found = reader.execute(
        "SELECT DISTINCT year(usage_date), month(usage_date) FROM read_parquet($staged) WHERE usage_date IS NOT NULL",
        {"staged": files},
    ).fetchall()
    return sorted((int(year), int(month)) for year, month in found)


def _copy(
    connection: Connection,
    reader: duckdb.DuckDBPyConnection,
    target: str,
    source: tuple[str, list[str], Sequence[str]],
) -> int:
    """Streams a SELECT over files into a table and says how many rows arrived. `source` is the SELECT, the files and
    the columns of text. NULL stands unquoted and every text quoted, so an empty text is not taken for NULL."""
    statement = f"COPY {target} FROM STDIN (FORMAT csv, NULL '')"
    text = pgsql.SQL(cast("LiteralString", statement))
    with connection.cursor() as cursor:
        with cursor.copy(text) as copy, _written(reader, *source) as arriving:
            while chunk := os.read(arriving, _CHUNK):
                copy.write(chunk)
        return cursor.rowcount


@contextmanager
def _written(
    reader: duckdb.DuckDBPyConnection, select: str, files: list[str], texts: Sequence[str]
) -> Generator[int]:
    """The reading end of a pipe that another thread fills; what failed there is raised here, so that half a file is
    never taken for a whole one."""
    arriving, leaving = os.pipe()
    failed: list[duckdb.Error] = []
    finished = threading.Event()
    options = f"FORMAT csv, HEADER false, NULLSTR '', FORCE_QUOTE ({', '.join(texts)}), USE_TMP_FILE false"
    params: Mapping[str, object] = {"staged": files}

    def fill() -> None:
        try:
            reader.execute(f"COPY ({select}) TO '/dev/fd/{leaving}' ({options})", params)
            finished.set()
        except duckdb.Error as error:
            failed.append(error)
        finally:
            os.close(leaving)

    writer = threading.Thread(target=fill, name="costweir-copy", daemon=True)
    writer.start()
    try:
        yield arriving
        writer.join()
        if failed:
            raise failed[0]
        if not finished.is_set():
            raise Unreachable(
                "The staged rows could not be passed on.", hint="Check free memory, then try again."
            )
    finally:
        # a writer that is still at it finds nobody reading, and ends
        os.close(arriving)
        writer.join()
