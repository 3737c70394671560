"""Runs statements: those of the house in the form that psycopg wants, and questions translated from the restricted
dialect."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, LiteralString, cast

import psycopg
import sqlglot
from psycopg import sql as pgsql

from costweir.domain.charge import Kind
from costweir.store import schema
from costweir.store.engines.postgres.connections import Connection
from costweir.store.warehouse import Parameter, Table, Value

#: Parameters of an INSERT that stand for whole columns.
Columns = Mapping[str, Sequence[Value]]


@lru_cache(maxsize=512)
def transpiled(sql: str) -> str:
    """A SELECT of the restricted dialect as PostgreSQL writes it, with psycopg's parameters."""
    return sqlglot.transpile(sql, read="duckdb", write="postgres")[0]


def table(connection: Connection, sql: str, params: Mapping[str, Parameter] | None) -> Table:
    """The answer to one SELECT of the restricted dialect."""
    cursor = connection.execute(pgsql.SQL(cast("LiteralString", transpiled(sql))), dict(params or {}))
    columns = tuple(item.name for item in cursor.description or ())
    return Table(columns, tuple(cast("list[tuple[Value, ...]]", cursor.fetchall())))


def run(
    connection: Connection, statement: str, params: Mapping[str, Any] | None = None
) -> psycopg.Cursor[tuple[Any, ...]]:
    """Runs a statement of ours; `$name` becomes psycopg's `%(name)s`."""
    text = re.sub(r"\$(\w+)", r"%(\1)s", statement) if params else statement
    return connection.execute(pgsql.SQL(cast("LiteralString", text)), dict(params) if params else None)


def number(connection: Connection, statement: str, params: Mapping[str, Any] | None = None) -> int:
    """The one number that a statement gives; 0 for none."""
    row = run(connection, statement, params).fetchone()
    return int(row[0] or 0) if row else 0


def insert(connection: Connection, target: str, row: Mapping[str, Value]) -> None:
    """Adds one row."""
    marks = ", ".join(f"${name}" for name in row)
    run(connection, f"INSERT INTO {target} ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608


def unnested(
    columns: Sequence[str], kinds: Sequence[Kind], rows: Sequence[Sequence[Value]]
) -> tuple[str, dict[str, list[Value]]]:
    """A SELECT that gives `rows`, one array parameter a column: one round trip for all of them."""
    arrays = ", ".join(f"$c{number}::{schema.SQL_TYPES[kind]}[]" for number, kind in enumerate(kinds))
    params = {f"c{number}": [row[number] for row in rows] for number in range(len(columns))}
    return f"SELECT n.* FROM UNNEST({arrays}) AS n({', '.join(columns)})", params  # noqa: S608


def bytewise(statement: str) -> str:
    """Text compares by its bytes, as in every other engine, so that rows come in the same order everywhere."""
    if not statement.startswith(("CREATE TABLE", "CREATE TEMP TABLE", "ALTER TABLE")):
        return statement
    return re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', statement)
