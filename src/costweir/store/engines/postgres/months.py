"""The months of the two long tables. Each is a partition of its own, so that a question about a month reads that month,
and letting an old one go is dropping a table. Where TimescaleDB is installed it does the same with its chunks.

A partition is made in a short transaction of its own and then attached: that keeps no reader waiting, while `CREATE
TABLE ... PARTITION OF` would.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from importlib import resources
from typing import Literal

from costweir.domain.period import Month
from costweir.store.engines.postgres.connections import Connection
from costweir.store.engines.postgres.statements import number, run

Layout = Literal["partitions", "timescale"]
#: The tables that are kept by month, all by their `usage_date`.
TABLES = ("charges", "calls")
#: Two processes that make the same partition wait for each other.
_ONE_MAKER = "SELECT pg_advisory_xact_lock(7310925, 3)"
EXTENSION_VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
_EXTENSION = "SELECT COUNT(*) FROM pg_extension WHERE extname = 'timescaledb'"
_NATIVE = "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('calls') AND relkind = 'p'"
#: How long dropping a month waits for readers of the table before it gives up; questions that begin wait as long.
_SHORT_WAIT = "SET LOCAL lock_timeout = '5s'"


def partitioned(statement: str, layout: Layout) -> str:
    """The statement that makes a table, as it is for a table by months."""
    made = re.match(r"CREATE TABLE (\w+) \(", statement)
    if made is None or made[1] not in TABLES or layout != "partitions":
        return statement
    return f"{statement} PARTITION BY RANGE (usage_date)"


def layout_for(connection: Connection, *, new: bool) -> Layout:
    """How the months are kept; a new store takes TimescaleDB where it is installed, and an old one stays as it is."""
    if new:
        return "timescale" if number(connection, _EXTENSION) else "partitions"
    return "partitions" if number(connection, _NATIVE) else "timescale"


@cache
def timescale_statements(name: str) -> tuple[str, ...]:
    """The statements of one file in the folder `timescale`."""
    text = (resources.files("costweir.store.engines.postgres") / "timescale" / f"{name}.sql").read_text(
        "utf-8"
    )
    code = re.sub(r"^--.*$", "", text, flags=re.MULTILINE)
    return tuple(part.strip() for part in re.split(r";\s*$", code, flags=re.MULTILINE) if part.strip())


def missing(connection: Connection, table: str, months: Iterable[Month]) -> list[Month]:
    """The months that have no partition yet."""
    there = set(partitions(connection, table))
    return [month for month in months if _name(table, month) not in there]


def make(connection: Connection, table: str, months: Sequence[Month]) -> None:
    """Makes the partitions of `months`, in the transaction of `connection`."""
    run(connection, _ONE_MAKER)
    for month in missing(connection, table, months):
        name, bounds = _name(table, month), f"FROM ('{month}-01') TO ('{month.following}-01')"
        run(connection, f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
        run(connection, f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}")


def touched(table: str, months: Sequence[Month], layout: Layout) -> list[str]:
    """The tables that hold the rows of `months`."""
    return [_name(table, month) for month in months] if layout == "partitions" else [table]


def partitions(connection: Connection, table: str) -> list[str]:
    """The partitions of a table, oldest first."""
    query = (
        "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = to_regclass($parent) ORDER BY c.relname"
    )
    return [str(row[0]) for row in run(connection, query, {"parent": table}).fetchall()]


def drop_before(connection: Connection, table: str, before: date, layout: Layout) -> None:
    """Lets go of every row before `before`, whole months at once. Raises what waiting too long for readers raises."""
    run(connection, _SHORT_WAIT)
    if layout == "timescale":
        for statement in timescale_statements("retention"):
            run(connection, statement, {"facts": table, "before": before})
    else:
        old = [name for name in partitions(connection, table) if name < _name(table, Month.of(before))]
        for name in old:
            run(connection, f"DROP TABLE {name}")
    run(connection, f"DELETE FROM {table} WHERE usage_date < $before", {"before": before})  # noqa: S608


def _name(table: str, month: Month) -> str:
    return f"{table}_{month}".replace("-", "_")
