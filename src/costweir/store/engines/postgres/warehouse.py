"""The shared warehouse on PostgreSQL. A replace is one transaction (law L2)."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg

from costweir.domain.charge import Kind
from costweir.domain.period import Month
from costweir.errors import CheckFailed, Conflict, Error, NotFound, StoreLocked
from costweir.store import aging, remapping, restating, schema, staged
from costweir.store.engines.postgres import bulk, months
from costweir.store.engines.postgres.connections import Connection, Connections
from costweir.store.engines.postgres.statements import bytewise, insert, number, run, table, unnested
from costweir.store.warehouse import Capabilities, Load, Parameter, Reader, Remap, Slot, Table, Value

_LOG = logging.getLogger("costweir.store")
CAPABILITIES = Capabilities(
    dialect="postgres", max_decimal_digits=131072, transactions=True, many_processes=True, reads_parquet=False
)
#: Locks of the database, under a number of our own: who migrates, who makes a partition (3), who adds calls, who
#: mirrors, and who changes or is about to load a slot.
_MIGRATING = "SELECT pg_advisory_xact_lock(7310925, 1)"
_APPENDING = "SELECT pg_advisory_xact_lock(7310925, 2)"
_MIRRORING = "SELECT pg_advisory_xact_lock(7310925, 4)"
_HASHED = "hashtext($provider || ' ' || $account || ' ' || $period)"
_CHANGING = f"SELECT pg_advisory_xact_lock(7310926, {_HASHED})"
_CLAIM = f"SELECT pg_advisory_lock(7310927, {_HASHED})"
_DISCLAIM = f"SELECT pg_advisory_unlock(7310927, {_HASHED})"
#: How long a load waits for another one of the same slot.
_CLAIM_PATIENCE = "SET lock_timeout = '120s'"
#: Each with the migration that made its table.
_INDEXES = (
    (1, "CREATE INDEX IF NOT EXISTS charges_slot ON charges (x_provider, x_account, x_period)"),
    (1, "CREATE INDEX IF NOT EXISTS charges_daily_slot ON charges_daily (x_provider, x_account, x_period)"),
    (1, "CREATE INDEX IF NOT EXISTS charges_daily_date ON charges_daily (usage_date)"),
    # a table by months can hold an id once a day at most; `append` looks whether it is there on any day
    (1, "CREATE UNIQUE INDEX IF NOT EXISTS calls_id ON calls (call_id, usage_date)"),
    (6, "CREATE UNIQUE INDEX IF NOT EXISTS call_adjustments_step ON call_adjustments (call_id, step)"),
)
#: Of some tables, those that a load of so many rows (times `_LARGE_PART`) changed much, or that were never looked at.
_GROWN = (
    "SELECT n FROM UNNEST($names::TEXT[]) AS n JOIN pg_class AS c ON c.oid = to_regclass(n) "
    "WHERE c.reltuples < $rows"
)
_LARGE_PART = 5
_MAY_WRITE = "SELECT CASE WHEN has_table_privilege('charges', 'INSERT, DELETE') THEN 1 ELSE 0 END"


class PostgresWarehouse:
    """Implements `costweir.store.warehouse.Warehouse`."""

    def __init__(self, connections: Connections, *, read_only: bool = False, reader: str = "") -> None:
        self._connections = connections
        self._read_only = read_only
        self._reader = reader
        self._layout: months.Layout = "partitions"

    @classmethod
    def open(
        cls, url: str, *, password: str | None = None, read_only: bool = False, reader: str = ""
    ) -> PostgresWarehouse:
        """Connects to `postgresql://...`; what the address leaves out is taken from the variables of PostgreSQL
        itself. `reader` is a role that may read everything after `migrate`, which the caller runs.

        Raises Unreachable when nobody answers and ConfigError for an address that cannot be understood."""
        connections = Connections(url, password=password, read_only=read_only)
        with connections.transaction() as connection:
            run(connection, "SELECT 1")
        return cls(connections, read_only=read_only, reader=reader)

    @property
    def capabilities(self) -> Capabilities:
        """What PostgreSQL can do."""
        return CAPABILITIES

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written: it was opened so, or the role may only read. Known after `migrate`."""
        return self._read_only

    def about(self) -> tuple[str, bool]:
        """What and where the database is, in one line for people, and whether it holds no store yet."""
        with self._connections.transaction() as connection:
            (server,) = run(connection, "SHOW server_version").fetchall()[0]
            new = not _version(connection)
            extension = run(connection, months.EXTENSION_VERSION).fetchone()
            (role,) = run(connection, "SELECT CURRENT_USER").fetchall()[0]
        with_extension = f" with TimescaleDB {extension[0]}" if extension else ""
        text = (
            f"PostgreSQL {str(server).split(' ')[0]}{with_extension} at {self._connections.place} as {role}"
        )
        return text, new

    def migrate(self) -> None:
        """Applies every pending migration in one transaction. Processes that start at the same time wait for each
        other; one that may only read needs a store that is current already."""
        with self._connections.transaction() as connection:
            applied = _version(connection)
            if applied:
                self._layout = months.layout_for(connection, new=False)
                self._read_only = self._read_only or not number(connection, _MAY_WRITE)
        if self._read_only:
            _check_current(applied)
            return
        if schema.pending(applied):
            self._bring_forward()
        self._grant()

    def _bring_forward(self) -> None:
        with self._connections.transaction() as connection:
            layout = months.layout_for(connection, new=not _version(connection))
        try:
            with self._connections.transaction() as connection:
                _migrate(connection, layout)
        except Error as error:
            if layout != "timescale":
                raise
            # an extension that does not do what is asked of it must not keep anybody from their bills
            _LOG.warning("TimescaleDB is not used, months are partitions instead: %s", error.message)
            with self._connections.transaction() as connection:
                _migrate(connection, "partitions")
        with self._connections.transaction() as connection:
            # another process may have been first, and chosen
            self._layout = months.layout_for(connection, new=False)

    def _grant(self) -> None:
        """Lets the reading role read what there is, and what later versions add."""
        if not self._reader:
            return
        with self._connections.transaction() as connection:
            known = number(
                connection, "SELECT COUNT(*) FROM pg_roles WHERE rolname = $role", {"role": self._reader}
            )
            if not known:
                raise NotFound(
                    f"The database has no role {self._reader!r}, which store.reader_role names.",
                    hint="Create it first; docs/storage.md shows how.",
                )
            role = '"' + self._reader.replace('"', '""') + '"'
            may = "SELECT CASE WHEN has_table_privilege($role, $last, 'SELECT') THEN 1 ELSE 0 END"
            if not number(connection, may, {"role": self._reader, "last": "kept"}):
                schema_name = str(run(connection, "SELECT quote_ident(current_schema())").fetchall()[0][0])
                run(connection, f"GRANT USAGE ON SCHEMA {schema_name} TO {role}")
                run(connection, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema_name} TO {role}")
                run(
                    connection,
                    f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema_name} GRANT SELECT ON TABLES TO {role}",
                )

    @contextmanager
    def claim(self, slot: Slot) -> Generator[None]:
        """Keeps other processes from loading the same slot; see the port."""
        params = schema.slot_params(slot)
        with self._connections.alone() as connection:
            run(connection, _CLAIM_PATIENCE)
            try:
                run(connection, _CLAIM, params)
            except psycopg.errors.LockNotAvailable:
                raise StoreLocked(
                    f"Another process is loading {slot.provider} {slot.account} {slot.period}.",
                    hint="Try again when it is done.",
                ) from None
            try:
                yield
            finally:
                run(connection, _DISCLAIM, params)
                run(connection, "RESET lock_timeout")

    def replace(self, load: Load, *, charges: Path, quarantine: Path | None = None) -> None:
        """Swaps one slot in one transaction; see the port."""
        slot = schema.slot_params(load.slot)
        with bulk.opened() as reader:
            files = staged.parquet_files(charges)
            staged.check_columns(reader, files)
            found = staged.row_count(reader, files, slot)
            staged.check_counts(load, found, staged.quarantine_count(reader, quarantine))
            touched = [Month(*pair) for pair in bulk.months_of(reader, files)]
            self._make_months("charges", touched)
            with self._connections.transaction() as connection:
                run(connection, _CHANGING, slot)
                earlier = run(connection, restating.EARLIER_LOAD, slot).fetchone()
                if earlier is not None:
                    run(connection, restating.REMEMBER[0])
                    run(connection, restating.REMEMBER[1], slot)
                for name in schema.SLOT_TABLES:
                    run(connection, f"DELETE FROM {name} WHERE {schema.SLOT_FILTER}", slot)  # noqa: S608
                stored = bulk.copy_charges(connection, reader, files)
                if stored != found:
                    raise CheckFailed(
                        f"{found} charges were staged and {stored} arrived.", hint="Load it again."
                    )
                if quarantine is not None:
                    bulk.copy_quarantine(connection, reader, quarantine, load)
                run(connection, schema.rollup_statement(), slot)
                run(connection, aging.DROP_OLD, slot)
                if earlier is not None:
                    run(connection, restating.RESTATE, restating.parameters(load, earlier))
                    run(connection, restating.FORGET)
                insert(connection, "loads", schema.load_row(load))
        self._analyze("charges", touched, found)

    def set_aside(self, load: Load, *, quarantine: Path) -> None:
        """Keeps lines of a load that is not stored, in one transaction; see the port."""
        slot = schema.slot_params(load.slot)
        with bulk.opened() as reader:
            staged.check_aside(load, staged.quarantine_count(reader, quarantine))
            with self._connections.transaction() as connection:
                run(connection, _CHANGING, slot)
                run(connection, schema.DROP_ASIDE, slot)
                bulk.copy_quarantine(connection, reader, quarantine, load)

    def remap(self, remap: Remap) -> None:
        """Gives stored lines another meaning in one transaction; see the port."""
        slot = schema.slot_params(remap.slot)
        rows = remapping.rows(remap.moves)
        with self._connections.transaction() as connection:
            run(connection, _CHANGING, slot)
            run(connection, restating.REMEMBER[0])
            run(connection, restating.REMEMBER[1], slot)
            run(connection, bytewise(remapping.CREATE))
            _add(connection, "moves", list(remapping.COLUMNS), (list(remapping.COLUMNS.values()), rows))
            remapping.check_count(remap, run(connection, remapping.UPDATE, slot).rowcount)
            run(connection, remapping.DROP_ROLLUP, slot)
            run(connection, schema.rollup_statement(), slot)
            load, _, reader = run(connection, restating.EARLIER_LOAD, slot).fetchall()[0]
            run(connection, restating.RESTATE, remapping.restating(remap, str(load), str(reader)))
            run(connection, restating.FORGET)
            run(connection, remapping.FORGET)
            run(connection, remapping.NOTE, {**slot, "run": remap.run_id})

    def mirror(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Replaces a reference table in one transaction and notes when."""
        kinds = schema.check_mirror(table, columns, rows)
        with self._connections.transaction() as connection:
            run(connection, _MIRRORING)
            run(connection, f"DELETE FROM {table}")  # noqa: S608
            if rows:
                _add(connection, table, columns, (kinds, rows))
            run(connection, "DELETE FROM mirrors WHERE table_name = $name", {"name": table})
            insert(connection, "mirrors", {"table_name": table, "mirrored_at": _now()})

    def append(self, calls: Sequence[Mapping[str, Value]]) -> int:
        """Adds the calls whose `call_id` is new, in one transaction. Raises UsageError for an unknown
        column."""
        fresh = schema.distinct_calls(calls)
        if not fresh:
            return 0
        columns = list(dict.fromkeys(name for call in fresh for name in call))
        kinds: list[Kind] = [schema.CALL_KINDS[name] for name in columns]
        rows = [[call.get(name) for name in columns] for call in fresh]
        days = {day for call in fresh if isinstance(day := call.get("usage_date"), date)}
        self._make_months("calls", sorted({Month.of(day) for day in days}))
        with self._connections.transaction() as connection:
            # the unique index alone would take the same id on another day
            run(connection, _APPENDING)
            # and a call begins once, so only the months from there on have to be looked through
            source, params = unnested(columns, kinds, rows)
            known = "SELECT 1 FROM calls AS k WHERE k.call_id = n.call_id AND k.usage_date >= $since"
            statement = f"INSERT INTO calls ({', '.join(columns)}) {source} WHERE NOT EXISTS ({known})"
            return run(connection, statement, {**params, "since": min(days, default=date.min)}).rowcount

    def adjust(self, adjustments: Sequence[Mapping[str, Value]]) -> int:
        """Adds the later prices that are not there yet, in one transaction."""
        fresh = schema.distinct_adjustments(adjustments)
        if not fresh:
            return 0
        kinds = schema.ADJUSTMENT_KINDS
        rows = [[row.get(name) for name in kinds] for row in fresh]
        with self._connections.transaction() as connection:
            known = "ON CONFLICT (call_id, step) DO NOTHING"
            return _add(connection, "call_adjustments", list(kinds), (list(kinds.values()), rows), known)

    def expire(self, facts: aging.Facts, *, before: date) -> int:
        """Lets the lines or calls before a month go, in one transaction; see the port."""
        aging.check(before)
        with self._connections.transaction() as connection:
            run(connection, _MIGRATING)
            old = number(connection, aging.count(facts), {"before": before})
            if old:
                for statement in aging.first(facts):
                    run(connection, statement, {"before": before})
                months.drop_before(connection, facts, before, self._layout)
                for statement, params in aging.note(facts, before, _now()):
                    run(connection, statement, params)
            return old

    def query(self, sql: str, params: Mapping[str, Parameter] | None = None) -> Table:
        """Runs one SELECT in its own transaction."""
        with self._connections.transaction() as connection:
            return table(connection, sql, params)

    @contextmanager
    def snapshot(self) -> Generator[Reader]:
        """A reader inside one read-only repeatable-read transaction."""
        with self._connections.transaction() as connection:
            run(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield _Snapshot(connection)

    def close(self) -> None:
        """Closes every idle connection. A second call does nothing."""
        self._connections.close()

    def _make_months(self, name: str, wanted: Sequence[Month]) -> None:
        if self._layout == "timescale":
            return
        with self._connections.transaction() as connection:
            absent = months.missing(connection, name, wanted)
        if absent:
            with self._connections.transaction() as connection:
                months.make(connection, name, absent)

    def _analyze(self, name: str, touched: Sequence[Month], rows: int) -> None:
        """New figures for the planner, after a load and where it was a large part of what is there; the server itself
        sees to the rest."""
        named = [f"{name}_daily", *months.touched(name, touched, self._layout)]
        with self._connections.alone() as connection:
            known = run(connection, _GROWN, {"names": named, "rows": rows * _LARGE_PART}).fetchall()
            for (found,) in known:
                run(connection, f"ANALYZE {found}")


class _Snapshot:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def query(self, sql: str, params: Mapping[str, Parameter] | None = None) -> Table:
        return table(self._connection, sql, params)


def _add(
    connection: Connection, target: str, columns: Sequence[str],
    values: tuple[Sequence[Kind], Sequence[Sequence[Value]]], more: str = "",
) -> int:  # fmt: skip
    """Adds rows (their kinds, and the rows) in one statement and says how many went in."""
    source, params = unnested(columns, *values)
    return run(connection, f"INSERT INTO {target} ({', '.join(columns)}) {source} {more}", params).rowcount


def _migrate(connection: Connection, layout: months.Layout) -> None:
    """Applies what is pending, in the transaction of `connection`."""
    run(connection, _MIGRATING)
    run(connection, schema.VERSION_TABLE)
    applied = _version(connection)
    steps = schema.pending(applied)
    for step in steps:
        for statement in step.statements:
            run(connection, months.partitioned(bytewise(statement), layout))
        if step.version == 1 and layout == "timescale":
            for statement in months.timescale_statements("hypertables"):
                run(connection, statement)
        insert(
            connection, "schema_version", {"version": step.version, "title": step.title, "applied_at": _now()}
        )
    for since, statement in _INDEXES if steps else ():
        if since <= steps[-1].version:
            run(connection, statement)
    if not applied and layout == "timescale":
        for statement in months.timescale_statements("aggregate"):
            run(connection, statement)


def _version(connection: Connection) -> int:
    if not number(connection, "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('schema_version')"):
        return 0
    return number(connection, "SELECT COALESCE(MAX(version), 0) FROM schema_version")


def _check_current(applied: int) -> None:
    if not applied:
        raise NotFound(
            "The database holds no store yet.", hint="Load a bill first: costweir pull files PATH."
        )
    if schema.pending(applied):
        raise Conflict(
            "The store has an older schema and may only be read.",
            hint="Open it once with a role that may write.",
        )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
