"""One small sample world in DuckDB, PostgreSQL and ClickHouse, and what Grafana does to a query before it is sent."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from costweir.app import LocalDesk, open_desk
from costweir.config import Settings, load
from costweir.demo import write_world
from costweir.domain.period import Month
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.engines.postgres import PostgresWarehouse, months

sys.path.append(str(Path(__file__).parents[1] / "contract"))

TODAY = date(2026, 11, 20)
#: In the middle of a day on both ends: panels show whole days all the same.
SINCE = datetime(2026, 9, 20, 5, 30, tzinfo=UTC)
UNTIL = datetime(2026, 11, 20, 13, 10, tzinfo=UTC)
#: What is stored, and what panels read.
TABLES = (
    "charges", "charges_daily", "loads", "calls", "call_adjustments", "restatements", "customers", "plans", "budgets",
    "customer_approved_models", "mirrors",
)  # fmt: skip
READ = (
    "charges_daily", "charges_facts", "calls_facts", "restatements_facts", "adjustments_facts", "customers", "plans",
    "customer_approved_models", "loads",
)  # fmt: skip

Rows = list[tuple[Any, ...]]
Run = Callable[[str], tuple[list[str], Rows]]


@dataclass(frozen=True)
class Engine:
    """Something that runs the SQL of panels; `plugin` is the data source whose macros it is given."""

    name: str
    plugin: str
    run: Run


@contextmanager
def small_world(folder: Path) -> Iterator[tuple[LocalDesk, Settings]]:
    """A small part of the sample world with calls, later prices and approved models besides."""
    written = write_world(folder / "world", today=TODAY, scale=0.03)
    with (written.out / "costweir.toml").open("a", encoding="utf-8") as file:
        file.write(f'[[approved_models]]\ncustomer = "{written.customers[0].id}"\nmodels = ["gpt-5-mini"]\n')
    settings = load(
        path=written.out / "costweir.toml", environ={}, overrides={"data_dir": str(folder / "data")}
    )
    with open_desk(settings) as desk:
        assert isinstance(desk, LocalDesk)
        for path in written.pull_paths:
            desk.pull_files([str(path)], sample=True)
        calls = list(_calls([customer.id for customer in written.customers]))
        desk.warehouse.append(calls)
        desk.warehouse.adjust([_adjustment(call, number) for number, call in enumerate(calls[:12])])
        yield desk, settings


def _calls(customers: Sequence[str]) -> Iterator[dict[str, Any]]:
    pick = random.Random(7)
    models = {"anthropic": "claude-sonnet-4-6", "openai": "gpt-5-mini", "gcp": "gemini-2.5-pro"}
    for number in range(700):
        day = TODAY - timedelta(days=pick.randrange(45))
        started = datetime.combine(day, time(pick.randrange(24), pick.randrange(60)))
        provider = pick.choice(sorted(models))
        unpriced = number % 29 == 0
        yield {
            "call_id": f"c{number:04d}", "started_at": started, "provider": provider, "model": models[provider],
            "ended_at": started + timedelta(seconds=2), "duration_ms": 2000,
            "customer": pick.choice([*customers[:8], "untagged"]), "project": pick.choice(["search", "untagged"]),
            "feature": pick.choice(["chat", "untagged"]), "session_id": f"s{pick.randrange(90)}", "key_id": "k1",
            "query_type": pick.choice(["lookup", "report", None]), "outcome": "ok", "usage_certainty": "reported",
            "settled_usd": None if unpriced else Decimal(pick.randrange(1, 10**9)).scaleb(-9),
            "uncached_input_tokens": pick.randrange(4000), "text_output_tokens": pick.randrange(900),
            "usage_date": day, "usage_hour": started.hour, "iso_dow": day.isoweekday(), "usage_month": f"{day:%Y-%m}",
        }  # fmt: skip


def _adjustment(call: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {
        "call_id": call["call_id"], "step": 1, "run_id": "r1",
        "reason": "corrected" if call["settled_usd"] else "priced",
        "usd_before": call["settled_usd"], "usd_after": Decimal(number + 1).scaleb(-3), "price_version_before": None,
        "price_version_after": "book-2", "adjusted_by": "ann",
        "adjusted_at": datetime.combine(date(2026, 11, 19), time(6)),
        "adjusted_on": date(2026, 11, 19),
    }  # fmt: skip


def duckdb_engine(store: DuckDBWarehouse) -> Engine:
    """The store of the sample world itself."""

    def run(sql: str) -> tuple[list[str], Rows]:
        found = store.query(sql)
        return list(found.columns), [tuple(row) for row in found.rows]

    return Engine("duckdb", "duckdb", run)


def fill_postgres(store: DuckDBWarehouse, address: str) -> None:
    """Makes the tables in an empty database and copies every row."""
    facts = PostgresWarehouse.open(address)
    facts.migrate()
    facts.close()
    with psycopg.connect(address, autocommit=True) as connection:
        for table in months.TABLES:
            found = store.query(f"SELECT DISTINCT usage_month FROM {table}")
            months.make(connection, table, [Month.parse(str(row[0])) for row in found.rows])
        for table in TABLES:
            found = store.query(f"SELECT * FROM {table}")
            connection.execute(f"DELETE FROM {table}")  # type: ignore[arg-type]
            with connection.cursor().copy(
                f"COPY {table} ({', '.join(found.columns)}) FROM STDIN"  # type: ignore[arg-type]
            ) as copy:
                for row in found.rows:
                    copy.write_row(row)
        connection.execute("ANALYZE")


def postgres_run(address: str, *, before: Sequence[str] = ()) -> tuple[psycopg.Connection[Any], Run]:
    """A connection, and what runs a query on it as the plugin does: simple protocol, no parameters."""
    connection = psycopg.connect(address, autocommit=True)
    for statement in before:
        connection.execute(statement)  # type: ignore[arg-type]

    def run(sql: str) -> tuple[list[str], Rows]:
        cursor = connection.execute(sql.encode(), prepare=False)
        return [column.name for column in cursor.description or ()], cursor.fetchall()

    return connection, run


@contextmanager
def chdb_engine(store: DuckDBWarehouse, folder: Path) -> Iterator[Engine]:
    """ClickHouse inside this process, with everything that panels read copied in from Parquet."""
    from chdb.session import Session

    session = Session()
    for name in READ:
        path = folder / f"{name}.parquet"
        found = store.query(f"SELECT * FROM {name}")
        _write_parquet(store, name, path)
        assert found.rows, f"{name} is empty"
        session.query(f"CREATE TABLE {name} ENGINE = Memory AS SELECT * FROM file('{path}', Parquet)")

    def run(sql: str) -> tuple[list[str], Rows]:
        # the data source sets join_use_nulls, see its provisioning
        text = str(session.query(f"{sql} SETTINGS join_use_nulls = 1", "JSONCompactStrings"))
        found = json.loads(text)
        kinds = [column["type"] for column in found["meta"]]
        names = [column["name"] for column in found["meta"]]
        return names, [tuple(map(_value, kinds, row)) for row in found["data"]]

    try:
        yield Engine("clickhouse", "grafana-clickhouse-datasource", run)
    finally:
        session.close()


def _write_parquet(store: DuckDBWarehouse, name: str, path: Path) -> None:
    with store._cursor() as cursor:
        cursor.execute(f"COPY (SELECT * FROM {name}) TO '{path}' (FORMAT parquet)")


def _value(kind: str, text: str | None) -> Any:
    kind = re.sub(r"^(Nullable|LowCardinality)\((.*)\)$", r"\2", kind)
    if text is None or text == "ᴺᵁᴸᴸ":
        return None
    if kind.startswith(("Decimal", "Int", "UInt")):
        return Decimal(text)
    if kind.startswith("Float"):
        return float(text)
    if kind == "Bool":
        return text == "true"
    return text


def filled(
    sql: str,
    plugin: str,
    chosen: Mapping[str, Sequence[str] | None],
    *,
    since: datetime = SINCE,
    until: datetime = UNTIL,
) -> str:
    """The query as Grafana sends it. `chosen` has the picked values of a list; None is All, which is inserted as the
    list's own all value, and no value is one empty text."""

    def value(match: re.Match[str]) -> str:
        picked = chosen.get(match[1])
        if picked is None or not picked:
            return "''"
        return ",".join("'" + item.replace("'", "''") + "'" for item in picked)

    def days(match: re.Match[str]) -> str:
        column = match[2]
        if plugin == "grafana-clickhouse-datasource":
            assert match[1] == "dateFilter"
            return f"{column} >= toDate('{since:%Y-%m-%d}') AND {column} <= toDate('{until:%Y-%m-%d}')"
        assert match[1] == "timeFilter"
        if plugin == "duckdb":
            return f"{column} BETWEEN DATE '{since:%Y-%m-%d}' AND DATE '{until:%Y-%m-%d}'"
        return f"{column} BETWEEN '{since:%Y-%m-%dT%H:%M:%S.%f}Z' AND '{until:%Y-%m-%dT%H:%M:%S}Z'"

    text = re.sub(r"\$\{(\w+):sqlstring\}", value, sql)
    text = re.sub(r"\$__(\w+)\(([\w.]+)\)", days, text)
    text = text.replace("${__from:date:iso}", f"{since:%Y-%m-%dT%H:%M:%S.000Z}")
    text = text.replace("${__to:date:iso}", f"{until:%Y-%m-%dT%H:%M:%S.000Z}").replace(
        "${dataset}", "costweir"
    )
    assert "$" not in text, text
    return text


def address(
    template: str,
    chosen: Mapping[str, Sequence[str] | None],
    *,
    since: datetime = SINCE,
    until: datetime = UNTIL,
) -> str:
    """The path that the Infinity data source asks for. All is inserted as the list's all value, a star, for which its
    macro writes nothing."""
    text = re.sub(r"\$\{(\w+):csv\}", lambda match: ",".join(chosen.get(match[1]) or ("*",)), template)

    def combined(match: re.Match[str]) -> str:
        prefix, suffix, between, *values = match[1].split(",")
        return "" if values == ["*"] else between.join(f"{prefix}{value}{suffix}" for value in values)

    text = re.sub(r"\$__combineValues\(([^)]*)\)", combined, text)
    text = text.replace("${__timeFrom:date:YYYY-MM-DD}", f"{since:%Y-%m-%d}")
    text = text.replace("${__timeTo:date:YYYY-MM-DD}", f"{until:%Y-%m-%d}")
    assert "$" not in text, text
    return text
