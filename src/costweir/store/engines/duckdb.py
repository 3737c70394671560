"""Facts in one DuckDB file. One process may write it; every thread of that process gets its own cursor."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

import duckdb
import msgspec

from costweir.domain.charge import Kind
from costweir.errors import (
    Conflict,
    Error,
    NotFound,
    SourceRejected,
    StoreLocked,
    Unreachable,
)
from costweir.store import aging, remapping, restating, schema, staged
from costweir.store.warehouse import Capabilities, Load, Parameter, Reader, Remap, Slot, Table, Value

CAPABILITIES = Capabilities(
    dialect="duckdb", max_decimal_digits=38, transactions=True, many_processes=False, reads_parquet=True
)
#: Calls on their way into the store, beside it.
_CALLS = ("calls-", ".ndjson")
_IN_MEMORY = ":memory:"
#: How long to wait for another process to let go of the file, in seconds.
_LOCK_PATIENCE = 2.0
_LOCK_STEP = 0.1
#: A commit that finds the disk full fails as a transaction; writers never meet, so it fails for nothing else.
_NO_ROOM = (
    duckdb.IOException,
    duckdb.FatalException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
)


class DuckDBWarehouse:
    """The embedded warehouse. Implements `costweir.store.warehouse.Warehouse`."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, *, folder: Path | None, read_only: bool
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._read_only = read_only
        self._writing = threading.Lock()
        self._closed = False

    @classmethod
    def open(
        cls, path: Path, *, read_only: bool = False, memory_limit: str = "600MB", threads: int | None = None
    ) -> DuckDBWarehouse:
        """Opens or creates the file. `memory_limit` is DuckDB's own, for example `600MB`; what does not fit
        spills into a folder beside the file. Raises StoreLocked when another process holds the file and
        NotFound when it shall only be read and does not exist. The caller runs `migrate`."""
        if read_only and not path.exists():
            raise NotFound(
                f"There is no store at {path}.", hint="Load a bill first: costweir pull files PATH."
            )
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            # keeping the order of the file would hold back finished row groups in memory
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        if threads is not None:
            config["threads"] = threads
        connection = _connect(path, read_only=read_only, config=config)
        if read_only or str(path) == _IN_MEMORY:
            return cls(connection, folder=None, read_only=read_only)
        # Who holds the file is alone here: what lies beside it is of a process that was killed.
        for left in path.parent.glob("*".join(_CALLS)):
            left.unlink(missing_ok=True)
        return cls(connection, folder=path.parent, read_only=read_only)

    @property
    def capabilities(self) -> Capabilities:
        """What DuckDB can do."""
        return CAPABILITIES

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading."""
        return self._read_only

    def migrate(self) -> None:
        """Applies every pending migration in one transaction. A read-only store has to be current already."""
        with self._writing, _translated(), self._cursor() as cursor:
            if self._read_only:
                if schema.pending(_version(cursor)):
                    raise Conflict(
                        "The store has an older schema and is opened read-only.",
                        hint="Open it for writing once.",
                    )
                return
            steps = schema.pending(_version(cursor))
            if not steps:
                return
            with _transaction(cursor):
                cursor.execute(schema.VERSION_TABLE)
                for step in steps:
                    for statement in step.statements:
                        cursor.execute(statement)
                    cursor.execute(
                        "INSERT INTO schema_version VALUES ($version, $title, $at)",
                        {"version": step.version, "title": step.title, "at": _now()},
                    )

    @contextmanager
    def claim(self, slot: Slot) -> Generator[None]:
        """Nothing to do: no other process can write this file."""
        yield

    def replace(self, load: Load, *, charges: Path, quarantine: Path | None = None) -> None:
        """Swaps one slot in one transaction; see the port."""
        files = staged.parquet_files(charges)
        slot = schema.slot_params(load.slot)
        names = schema.charge_list()
        with self._writing, _translated(), self._cursor() as cursor, _transaction(cursor):
            staged.check_columns(cursor, files)
            found = staged.row_count(cursor, files, slot)
            staged.check_counts(load, found, staged.quarantine_count(cursor, quarantine))
            earlier = cursor.execute(restating.EARLIER_LOAD, slot).fetchone()
            if earlier is not None:
                cursor.execute(restating.REMEMBER[0])
                cursor.execute(restating.REMEMBER[1], slot)
            for table in schema.SLOT_TABLES:
                cursor.execute(f"DELETE FROM {table} WHERE {schema.SLOT_FILTER}", slot)  # noqa: S608
            cursor.execute(
                f"INSERT INTO charges ({names}) SELECT {names} FROM read_parquet($staged)",  # noqa: S608
                {"staged": files},
            )
            _insert_quarantine(cursor, load, quarantine)
            cursor.execute(schema.rollup_statement(), slot)
            cursor.execute(aging.DROP_OLD, slot)
            if earlier is not None:
                cursor.execute(restating.RESTATE, restating.parameters(load, earlier))
                cursor.execute(restating.FORGET)
            _insert(cursor, "loads", schema.load_row(load))

    def set_aside(self, load: Load, *, quarantine: Path) -> None:
        """Keeps lines of a load that is not stored, in one transaction; see the port."""
        with self._writing, _translated(), self._cursor() as cursor, _transaction(cursor):
            staged.check_aside(load, staged.quarantine_count(cursor, quarantine))
            cursor.execute(schema.DROP_ASIDE, schema.slot_params(load.slot))
            _insert_quarantine(cursor, load, quarantine)

    def remap(self, remap: Remap) -> None:
        """Gives stored lines another meaning in one transaction; see the port."""
        slot = schema.slot_params(remap.slot)
        source, params = _unnest(
            list(remapping.COLUMNS), list(remapping.COLUMNS.values()), remapping.rows(remap.moves)
        )
        with self._writing, _translated(), self._cursor() as cursor, _transaction(cursor):
            cursor.execute(restating.REMEMBER[0])
            cursor.execute(restating.REMEMBER[1], slot)
            cursor.execute(remapping.CREATE)
            cursor.execute(f"INSERT INTO moves {source}", params)
            remapping.check_count(remap, _count(cursor, remapping.UPDATE, slot))
            cursor.execute(remapping.DROP_ROLLUP, slot)
            cursor.execute(schema.rollup_statement(), slot)
            load, _, reader = cursor.execute(restating.EARLIER_LOAD, slot).fetchall()[0]
            cursor.execute(restating.RESTATE, remapping.restating(remap, str(load), str(reader)))
            cursor.execute(restating.FORGET)
            cursor.execute(remapping.FORGET)
            cursor.execute(remapping.NOTE, {**slot, "run": remap.run_id})

    def mirror(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Replaces a reference table in one transaction and notes when."""
        kinds = schema.check_mirror(table, columns, rows)
        with self._writing, _translated(), self._cursor() as cursor, _transaction(cursor):
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608
            if rows:
                source, params = _unnest(columns, kinds, rows)
                cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) {source}", params)
            cursor.execute("DELETE FROM mirrors WHERE table_name = $name", {"name": table})
            _insert(cursor, "mirrors", {"table_name": table, "mirrored_at": _now()})

    def append(self, calls: Sequence[Mapping[str, Value]]) -> int:
        """Adds the calls whose `call_id` is new, in one transaction. Raises UsageError for an unknown
        column."""
        fresh = schema.distinct_calls(calls)
        if not fresh:
            return 0
        columns = list(dict.fromkeys(name for call in fresh for name in call))
        lines = msgspec.json.Encoder().encode_lines(fresh)
        # A file that DuckDB reads itself takes half the time of parameters.
        with (
            self._writing,
            _translated(),
            NamedTemporaryFile(dir=self._folder, prefix=_CALLS[0], suffix=_CALLS[1]) as file,
        ):
            file.write(lines)
            file.flush()
            source, params = _lines(columns, Path(file.name), max(map(len, lines.split(b"\n"))))
            with self._cursor() as cursor, _transaction(cursor):
                return _count(
                    cursor,
                    f"INSERT INTO calls ({', '.join(columns)}) SELECT n.* FROM ({source}) AS n "  # noqa: S608
                    "WHERE NOT EXISTS "
                    "(SELECT 1 FROM calls AS k WHERE k.call_id = n.call_id AND k.started_at >= $since)",
                    # a call begins once, so only the calls from there on have to be looked through
                    {**params, "since": schema.first_start(fresh)},
                )

    def adjust(self, adjustments: Sequence[Mapping[str, Value]]) -> int:
        """Adds the later prices that are not there yet, in one transaction."""
        fresh = schema.distinct_adjustments(adjustments)
        if not fresh:
            return 0
        kinds = schema.ADJUSTMENT_KINDS
        rows = [[row.get(name) for name in kinds] for row in fresh]
        source, params = _unnest(list(kinds), list(kinds.values()), rows)
        with self._writing, _translated(), self._cursor() as cursor, _transaction(cursor):
            return _count(
                cursor,
                f"INSERT INTO call_adjustments ({', '.join(kinds)}) SELECT n.* FROM ({source}) AS n "  # noqa: S608
                "WHERE NOT EXISTS "
                "(SELECT 1 FROM call_adjustments AS a WHERE a.call_id = n.call_id AND a.step = n.step)",
                params,
            )

    def expire(self, facts: aging.Facts, *, before: date) -> int:
        """Lets the lines or calls before a month go, in one transaction; see the port."""
        aging.check(before)
        bound = {"before": before}
        with self._writing, _translated(), self._cursor() as cursor, _transaction(cursor):
            old = _count(cursor, aging.count(facts), bound)
            if old:
                for statement in aging.first(facts):
                    cursor.execute(statement, bound)
                cursor.execute(f"DELETE FROM {facts} WHERE usage_date < $before", bound)  # noqa: S608
                for statement, params in aging.note(facts, before, _now()):
                    cursor.execute(statement, dict(params))
            return old

    def query(self, sql: str, params: Mapping[str, Parameter] | None = None) -> Table:
        """Runs one SELECT on its own cursor."""
        with _translated(), self._cursor() as cursor:
            return _table(cursor, sql, params)

    @contextmanager
    def snapshot(self) -> Generator[Reader]:
        """A reader inside one transaction."""
        with self._cursor() as cursor:
            with _translated():
                cursor.execute("BEGIN TRANSACTION")
            try:
                yield _Snapshot(cursor)
            finally:
                with _translated():
                    cursor.execute("ROLLBACK")

    def close(self) -> None:
        """Closes the file once no write is under way."""
        with self._writing:
            if not self._closed:
                self._closed = True
                self._connection.close()

    @contextmanager
    def _cursor(self) -> Generator[duckdb.DuckDBPyConnection]:
        if self._closed:
            raise Unreachable("The store is closed.", hint="Open it again.")
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()


class _Snapshot:
    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor

    def query(self, sql: str, params: Mapping[str, Parameter] | None = None) -> Table:
        with _translated():
            return _table(self._cursor, sql, params)


def _connect(
    path: Path, *, read_only: bool, config: dict[str, str | bool | int | float | list[str]]
) -> duckdb.DuckDBPyConnection:
    patience = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=config)
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise Unreachable(
                    f"The store {path} cannot be opened: {_first_line(error)}",
                    hint="Check that the path is a Costweir store and can be read and written.",
                ) from error
            if time.monotonic() > patience:
                raise StoreLocked(
                    f"Another process holds the store {path}.",
                    hint="A running server answers for it; stop it, or let the command go through it.",
                ) from error
        except duckdb.SerializationException as error:
            raise Conflict(
                f"The store {path} cannot be read by this version of DuckDB.",
                hint="Use the version of Costweir that wrote it, or a newer one.",
            ) from error
        time.sleep(_LOCK_STEP)


@contextmanager
def _translated() -> Generator[None]:
    """Turns what DuckDB raises into the errors of the house."""
    try:
        yield
    except (*_NO_ROOM, OSError) as error:
        raise Unreachable(
            f"The store could not finish: {_first_line(error)}",
            hint="Check free disk space and memory, then try again.",
        ) from error
    except (duckdb.ConstraintException, duckdb.ConversionException) as error:
        raise SourceRejected(
            f"The staged rows do not fit the schema: {_first_line(error)}", hint="Nothing of them was stored."
        ) from error
    except duckdb.Error as error:
        raise Error(
            f"The store refused a statement: {_first_line(error)}", hint="This is a fault; report it."
        ) from error


@contextmanager
def _transaction(cursor: duckdb.DuckDBPyConnection) -> Generator[None]:
    cursor.execute("BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        # after a fatal error or a failed commit there is no transaction left, and the first error is
        # the one to show
        with _quietly():
            cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")


@contextmanager
def _quietly() -> Generator[None]:
    try:
        yield
    except duckdb.Error:
        return


def _version(cursor: duckdb.DuckDBPyConnection) -> int:
    there = _count(cursor, "SELECT COUNT(*) FROM duckdb_tables() WHERE table_name = 'schema_version'", {})
    return _count(cursor, "SELECT COALESCE(MAX(version), 0) FROM schema_version", {}) if there else 0


def _insert_quarantine(cursor: duckdb.DuckDBPyConnection, load: Load, quarantine: Path | None) -> None:
    if quarantine is None:
        return
    targets = ", ".join(schema.QUARANTINE_COLUMNS.values())
    sources = ", ".join(schema.QUARANTINE_COLUMNS)
    params = {"staged": staged.parquet_files(quarantine), "run": load.run_id, "source": load.source}
    cursor.execute(
        f"INSERT INTO quarantine (x_provider, x_account, x_period, x_run_id, x_source, {targets}) "  # noqa: S608
        f"SELECT $provider, $account, $period, $run, $source, {sources} FROM read_parquet($staged)",
        {**params, **schema.slot_params(load.slot)},
    )


def _insert(cursor: duckdb.DuckDBPyConnection, table: str, row: Mapping[str, Value]) -> None:
    names = ", ".join(row)
    marks = ", ".join(f"${name}" for name in row)
    cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", dict(row))  # noqa: S608


def _unnest(
    columns: Sequence[str], kinds: Sequence[Kind], rows: Sequence[Sequence[Value]]
) -> tuple[str, dict[str, list[Value]]]:
    """A SELECT that gives `rows`, one list parameter a column: far fewer round trips than a statement a
    row."""
    parts = [
        f"UNNEST(CAST($c{number} AS {schema.SQL_TYPES[kind]}[])) AS {name}"
        for number, (name, kind) in enumerate(zip(columns, kinds, strict=True))
    ]
    params = {f"c{number}": [row[number] for row in rows] for number in range(len(columns))}
    return f"SELECT {', '.join(parts)}", params


def _lines(columns: Sequence[str], path: Path, longest: int) -> tuple[str, dict[str, Value]]:
    """A SELECT that gives the calls of a file with a JSON object in each line."""
    kinds = ", ".join(f"{name}: '{schema.SQL_TYPES[schema.CALL_KINDS[name]]}'" for name in columns)
    reading = (
        f"read_json($path, format = 'newline_delimited', columns = {{{kinds}}}, maximum_object_size = $size)"
    )
    return (
        f"SELECT {', '.join(columns)} FROM {reading}",  # noqa: S608
        # twice this is what every thread reads at once
        {"path": str(path), "size": max(longest + 1, 262_144)},
    )


def _count(cursor: duckdb.DuckDBPyConnection, sql: str, params: Mapping[str, Any]) -> int:
    row = cursor.execute(sql, dict(params)).fetchone()
    return int(row[0]) if row else 0


def _table(cursor: duckdb.DuckDBPyConnection, sql: str, params: Mapping[str, Parameter] | None) -> Table:
    result = cursor.execute(sql, dict(params) if params else None)
    columns = tuple(str(item[0]) for item in result.description or ())
    return Table(columns, tuple(cast("list[tuple[Value, ...]]", result.fetchall())))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
