"""Facts in PostgreSQL, for installations with more than one process. A replace is one transaction (law
L2)."""

from __future__ import annotations

import queue
import re
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString, cast

import duckdb
import psycopg
import sqlglot
from psycopg import sql as pgsql

from costweir.errors import Conflict, Error, SourceRejected, Unreachable
from costweir.store import remapping, restating, schema, staged
from costweir.store.warehouse import Capabilities, Load, Parameter, Reader, Remap, Table, Value

CAPABILITIES = Capabilities(
    dialect="postgres", max_decimal_digits=131072, transactions=True, many_processes=True, reads_parquet=False
)
#: Connections kept open when nobody uses them.
_IDLE = 4
_CHUNK = 1 << 20
#: Replaces of all processes wait for each other, else two of one slot would both stay.
_ONE_WRITER = "SELECT pg_advisory_xact_lock(7310925)"
#: Each with the migration that made its table.
_INDEXES = (
    (1, "CREATE INDEX IF NOT EXISTS charges_slot ON charges (x_provider, x_account, x_period)"),
    (1, "CREATE INDEX IF NOT EXISTS charges_daily_slot ON charges_daily (x_provider, x_account, x_period)"),
    (1, "CREATE INDEX IF NOT EXISTS charges_daily_date ON charges_daily (usage_date)"),
    (1, "CREATE UNIQUE INDEX IF NOT EXISTS calls_id ON calls (call_id)"),
    (6, "CREATE UNIQUE INDEX IF NOT EXISTS call_adjustments_step ON call_adjustments (call_id, step)"),
)

Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresWarehouse:
    """The shared warehouse. Implements `costweir.store.warehouse.Warehouse`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue(_IDLE)
        self._closed = False

    @classmethod
    def open(cls, url: str) -> PostgresWarehouse:
        """Connects to `postgresql://...`. Raises Unreachable when nobody answers. The caller runs
        `migrate`."""
        warehouse = cls(url)
        warehouse.query("SELECT 1 AS alive")
        return warehouse

    @property
    def capabilities(self) -> Capabilities:
        """What PostgreSQL can do."""
        return CAPABILITIES

    def migrate(self) -> None:
        """Applies every pending migration in one transaction."""
        with self._transaction() as connection:
            _run(connection, _ONE_WRITER)
            _run(connection, schema.VERSION_TABLE)
            row = _run(connection, "SELECT COALESCE(MAX(version), 0) FROM schema_version").fetchone()
            steps = schema.pending(int(row[0]) if row else 0)
            for step in steps:
                for statement in step.statements:
                    _run(connection, _bytewise(statement))
                _run(
                    connection, "INSERT INTO schema_version VALUES ($version, $title, $at)",
                    {"version": step.version, "title": step.title, "at": _now()},
                )  # fmt: skip
            for since, statement in _INDEXES if steps else ():
                if since <= steps[-1].version:
                    _run(connection, statement)

    def replace(self, load: Load, *, charges: Path, quarantine: Path | None = None) -> None:
        """Swaps one slot in one transaction; see the port."""
        slot = schema.slot_params(load.slot)
        with duckdb.connect() as reader, tempfile.TemporaryDirectory() as folder:
            with _readable():
                files = staged.parquet_files(charges)
                staged.check_columns(reader, files)
                found = staged.row_count(reader, files, slot)
                lines = staged.quarantine_count(reader, quarantine)
                staged.check_counts(load, found, lines)
                facts = _to_csv(reader, schema.charge_list(), files, folder)
                broken = _quarantine_csv(reader, quarantine, folder) if quarantine else None
            with self._transaction() as connection:
                _run(connection, _ONE_WRITER)
                earlier = _run(connection, restating.EARLIER_LOAD, slot).fetchone()
                if earlier is not None:
                    _run(connection, restating.REMEMBER[0])
                    _run(connection, restating.REMEMBER[1], slot)
                for table in schema.SLOT_TABLES:
                    _run(connection, f"DELETE FROM {table} WHERE {schema.SLOT_FILTER}", slot)  # noqa: S608
                _copy(connection, f"charges ({schema.charge_list()})", facts)
                if broken is not None:
                    _copy_quarantine(connection, broken, load)
                _run(connection, schema.rollup_statement(), slot)
                if earlier is not None:
                    _run(connection, restating.RESTATE, restating.parameters(load, earlier))
                    _run(connection, restating.FORGET)
                _insert(connection, "loads", schema.load_row(load))
                for table in ("charges", "charges_daily"):
                    _run(connection, f"ANALYZE {table}")

    def set_aside(self, load: Load, *, quarantine: Path) -> None:
        """Keeps lines of a load that is not stored, in one transaction; see the port."""
        with duckdb.connect() as reader, tempfile.TemporaryDirectory() as folder:
            with _readable():
                staged.check_aside(load, staged.quarantine_count(reader, quarantine))
                broken = _quarantine_csv(reader, quarantine, folder)
            with self._transaction() as connection:
                _run(connection, _ONE_WRITER)
                _run(connection, schema.DROP_ASIDE, schema.slot_params(load.slot))
                _copy_quarantine(connection, broken, load)

    def remap(self, remap: Remap) -> None:
        """Gives stored lines another meaning in one transaction; see the port."""
        slot = schema.slot_params(remap.slot)
        with self._transaction() as connection:
            _run(connection, _ONE_WRITER)
            _run(connection, restating.REMEMBER[0])
            _run(connection, restating.REMEMBER[1], slot)
            _run(connection, _bytewise(remapping.CREATE))
            for row in remapping.rows(remap.moves):
                _insert(connection, "moves", dict(zip(remapping.COLUMNS, row, strict=True)))
            remapping.check_count(remap, _run(connection, remapping.UPDATE, slot).rowcount)
            _run(connection, remapping.DROP_ROLLUP, slot)
            _run(connection, schema.rollup_statement(), slot)
            load, _, reader = _run(connection, restating.EARLIER_LOAD, slot).fetchall()[0]
            _run(connection, restating.RESTATE, remapping.restating(remap, str(load), str(reader)))
            _run(connection, restating.FORGET)
            _run(connection, remapping.FORGET)
            _run(connection, remapping.NOTE, {**slot, "run": remap.run_id})

    def mirror(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Replaces a reference table in one transaction and notes when."""
        schema.check_mirror(table, columns, rows)
        with self._transaction() as connection:
            _run(connection, _ONE_WRITER)
            _run(connection, f"DELETE FROM {table}")  # noqa: S608
            for row in rows:
                _insert(connection, table, dict(zip(columns, row, strict=True)))
            _run(connection, "DELETE FROM mirrors WHERE table_name = $name", {"name": table})
            _insert(connection, "mirrors", {"table_name": table, "mirrored_at": _now()})

    def append(self, calls: Sequence[Mapping[str, Value]]) -> int:
        """Adds the calls whose `call_id` is new, in one transaction. Raises UsageError for an unknown
        column."""
        fresh = schema.distinct_calls(calls)
        new = 0
        with self._transaction() as connection:
            for call in fresh:
                new += _insert(connection, "calls", call, "ON CONFLICT (call_id) DO NOTHING")
        return new

    def adjust(self, adjustments: Sequence[Mapping[str, Value]]) -> int:
        """Adds the later prices that are not there yet, in one transaction."""
        new = 0
        with self._transaction() as connection:
            for row in schema.distinct_adjustments(adjustments):
                new += _insert(connection, "call_adjustments", row, "ON CONFLICT (call_id, step) DO NOTHING")
        return new

    def query(self, sql: str, params: Mapping[str, Parameter] | None = None) -> Table:
        """Runs one SELECT in its own transaction."""
        with self._transaction() as connection:
            return _table(connection, sql, params)

    @contextmanager
    def snapshot(self) -> Generator[Reader]:
        """A reader inside one read-only repeatable-read transaction."""
        with self._transaction() as connection:
            _run(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield _Snapshot(connection)

    def close(self) -> None:
        """Closes every idle connection. A second call does nothing."""
        self._closed = True
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _transaction(self) -> Generator[Connection]:
        if self._closed:
            raise Unreachable("The store is closed.", hint="Open it again.")
        with _translated():
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = psycopg.connect(self._url)
            try:
                with connection.transaction():
                    yield connection
            except BaseException:
                connection.close()
                raise
            try:
                self._idle.put_nowait(connection)
            except queue.Full:
                connection.close()


class _Snapshot:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def query(self, sql: str, params: Mapping[str, Parameter] | None = None) -> Table:
        return _table(self._connection, sql, params)


@lru_cache(maxsize=512)
def transpiled(sql: str) -> str:
    """A SELECT of the restricted dialect as PostgreSQL writes it, with psycopg's parameters."""
    return sqlglot.transpile(sql, read="duckdb", write="postgres")[0]


def _table(connection: Connection, sql: str, params: Mapping[str, Parameter] | None) -> Table:
    cursor = connection.execute(pgsql.SQL(cast("LiteralString", transpiled(sql))), dict(params or {}))
    columns = tuple(item.name for item in cursor.description or ())
    return Table(columns, tuple(cast("list[tuple[Value, ...]]", cursor.fetchall())))


def _run(
    connection: Connection, statement: str, params: Mapping[str, Value] | None = None
) -> psycopg.Cursor[tuple[Any, ...]]:
    """Runs a statement of ours; `$name` becomes psycopg's `%(name)s`."""
    text = re.sub(r"\$(\w+)", r"%(\1)s", statement) if params else statement
    return connection.execute(pgsql.SQL(cast("LiteralString", text)), dict(params) if params else None)


def _insert(connection: Connection, table: str, row: Mapping[str, Value], more: str = "") -> int:
    marks = ", ".join(f"${name}" for name in row)
    return _run(connection, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) {more}", row).rowcount  # noqa: S608


def _bytewise(statement: str) -> str:
    """Text compares by its bytes, as in every other engine, so that rows come in the same order
    everywhere."""
    if not statement.startswith(("CREATE TABLE", "CREATE TEMP TABLE")):
        return statement
    return re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', statement)


def _to_csv(reader: duckdb.DuckDBPyConnection, columns: str, files: list[str], folder: str) -> Path:
    target = Path(folder) / f"{len(list(Path(folder).iterdir()))}.csv"
    # NULL stands unquoted and every text quoted, so an empty text is not taken for NULL
    reader.execute(
        f"COPY (SELECT {columns} FROM read_parquet($staged)) TO '{target}' "  # noqa: S608
        "(FORMAT csv, HEADER false, NULLSTR '', FORCE_QUOTE *)",
        {"staged": files},
    )
    return target


def _quarantine_csv(reader: duckdb.DuckDBPyConnection, quarantine: Path, folder: str) -> Path:
    return _to_csv(reader, ", ".join(schema.QUARANTINE_COLUMNS), staged.parquet_files(quarantine), folder)


def _copy(connection: Connection, target: str, source: Path) -> None:
    statement = f"COPY {target} FROM STDIN (FORMAT csv, NULL '')"
    text = pgsql.SQL(cast("LiteralString", statement))
    with source.open("rb") as file, connection.cursor() as cursor, cursor.copy(text) as copy:
        while chunk := file.read(_CHUNK):
            copy.write(chunk)


def _copy_quarantine(connection: Connection, source: Path, load: Load) -> None:
    columns = ", ".join(schema.QUARANTINE_COLUMNS.values())
    _run(
        connection,
        f"CREATE TEMP TABLE broken ON COMMIT DROP AS SELECT {columns} FROM quarantine WHERE FALSE",  # noqa: S608
    )
    _copy(connection, f"broken ({columns})", source)
    _run(
        connection,
        f"INSERT INTO quarantine (x_provider, x_account, x_period, x_run_id, x_source, {columns}) "  # noqa: S608
        f"SELECT $provider, $account, $period, $run, $source, {columns} FROM broken",
        {**schema.slot_params(load.slot), "run": load.run_id, "source": load.source},
    )


@contextmanager
def _readable() -> Generator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise SourceRejected(
            f"The staged Parquet cannot be read: {_first_line(error)}", hint="Stage it again."
        ) from error


@contextmanager
def _translated() -> Generator[None]:
    """Turns what psycopg raises into the errors of the house."""
    try:
        yield
    except psycopg.errors.SerializationFailure as error:
        raise Conflict("PostgreSQL refused a concurrent write.", hint="Try again.") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unreachable(
            f"PostgreSQL does not answer: {_first_line(error)}",
            hint="Check the address and that the server runs.",
        ) from error
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        raise SourceRejected(
            f"The rows do not fit the schema: {_first_line(error)}", hint="Nothing of them was stored."
        ) from error
    except psycopg.Error as error:
        raise Error(
            f"PostgreSQL refused a statement: {_first_line(error)}", hint="This is a fault; report it."
        ) from error


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
