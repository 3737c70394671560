"""Every SQL panel of every board, run on DuckDB, PostgreSQL and ClickHouse: it shows the catalogue's answer."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "web"))

from api_server import ADMIN, GENEROUS, running
from boards_world import (
    SINCE,
    TODAY,
    UNTIL,
    Engine,
    address,
    chdb_engine,
    duckdb_engine,
    fill_postgres,
    filled,
    postgres_run,
    small_world,
)
from engines import fresh_database, postgres_server

from costweir.app.desk import LocalDesk
from costweir.app.office import DeskOffice
from costweir.config import Settings
from costweir.queries.ask import ask
from costweir.queries.panels import REST, Marks, PanelQuestion, members_sql, panel_sql
from costweir.queries.request import Request
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.telemetry.grafana import api
from costweir.telemetry.grafana.board import Board, Panel, boards
from costweir.telemetry.grafana.foundation import target_fields
from costweir.telemetry.grafana.marks import marks_of
from costweir.telemetry.grafana.sets import STORES
from costweir.web.access import Access, Keys
from costweir.web.api import Writes, api_routes
from costweir.web.app import create_app

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("boards"), pytest.mark.timeout(300)]

CHOICES = ("provider", "model", "customer", "project")
MARKS: dict[str, Any] = {
    "duckdb": Marks("duckdb", "$__timeFilter({column})", "${{{name}:sqlstring}}"),
    "postgres": STORES["postgres"].marks,
    "clickhouse": STORES["clickhouse"].marks,
}
PANELS = [
    (board, panel)
    for board in boards()
    for panel in board.panels
    if panel.ask and panel.question(board.choices).one_query
]
Chosen = Mapping[str, tuple[str, ...] | None]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalDesk, Settings]]:
    with small_world(tmp_path_factory.mktemp("boards")) as opened:
        yield opened


@pytest.fixture(scope="session")
def store(world: tuple[LocalDesk, Settings]) -> DuckDBWarehouse:
    assert isinstance(world[0].warehouse, DuckDBWarehouse)
    return world[0].warehouse


@pytest.fixture(scope="session")
def site(world: tuple[LocalDesk, Settings]) -> Iterator[str]:
    """The API over the same desk, behind a real server."""
    desk, settings = world
    office = DeskOffice(desk, settings)
    writes = Writes(load=desk.load, adopt=desk.adopt, export=desk.export)
    routes = api_routes(desk, writes=writes, ready=desk.not_ready, office=office)
    app = Access(
        create_app(desk, routes=routes, office=office), keys=Keys(ADMIN), open_reading=True, tokens=office.token,
        limits=GENEROUS,
    )  # fmt: skip
    with running(app) as url:
        yield url


@pytest.fixture(scope="session")
def engines(store: DuckDBWarehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Engine]]:
    """The same rows three times; PostgreSQL is read as the role of the data source would be."""
    with ExitStack() as stack:
        database = fresh_database(stack.enter_context(postgres_server()))
        fill_postgres(store, database)
        connection, run = postgres_run(database)
        stack.callback(connection.close)
        clickhouse = stack.enter_context(chdb_engine(store, tmp_path_factory.mktemp("parquet")))
        yield [duckdb_engine(store), Engine("postgres", STORES["postgres"].plugin, run), clickhouse]


@pytest.fixture(scope="session")
def picks(store: DuckDBWarehouse) -> list[Chosen]:
    """All; of each list one, several and none; and two lists together."""
    found: list[Chosen] = [{}]
    for name in CHOICES:
        answer = ask(store, Request("spend", (name,), since=SINCE.date()), today=TODAY)
        largest = [str(row[name]) for row in answer.rows]
        missing = "untagged" if "untagged" in largest else "unknown" if "unknown" in largest else largest[-1]
        found += [{name: (largest[0],)}, {name: (largest[1], missing, "o'hara")}, {name: ()}]
    found.append({"provider": (str(found[1]["provider"][0]),), "customer": ("untagged",)})  # type: ignore[index]
    return found


def wanted(store: DuckDBWarehouse, question: PanelQuestion, chosen: Chosen) -> list[dict[str, Any]]:
    """The catalogue's rows with the columns of the panel."""
    where = dict(question.where)
    where |= {name: values for name, values in chosen.items() if values and name in question.open_choices()}
    cut = question.limit if question.shape == "table" and question.top is None else None
    request = Request(
        question.question, question.by, where, SINCE.date(), UNTIL.date() + timedelta(days=1), cut, question.on, "USD"
    )  # fmt: skip
    rows = ask(store, request, today=TODAY).rows
    return [{name: row[name] for name in question.kinds()} for row in rows]


def same(kind: str, got: Any, expected: Any) -> bool:
    if expected is None or got is None:
        return got is None and expected is None
    if kind == "ratio":
        return math.isclose(float(got), float(expected), rel_tol=1e-9, abs_tol=1e-11)
    if kind in ("money", "quantity", "int"):
        return Decimal(str(got)) == Decimal(str(expected))
    if kind == "bool":
        return bool(int(got)) == expected
    if kind == "day":
        return str(got)[:10] == str(expected)[:10]
    return str(got) == str(expected)


def folded(question: PanelQuestion, rows: list[dict[str, Any]]) -> dict[tuple[str, ...], Decimal]:
    """The rows of a question with a name, with the members beyond the largest as one."""
    *time, name = question.by
    (column,) = (question.column(item) for item in question.columns)
    weight: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        weight[row[name]] += Decimal(row[column])
    ranked = sorted(weight, key=lambda item: (-weight[item], item))
    kept = set(ranked[: question.top]) if question.top is not None else set(ranked)
    sums: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        member = row[name] if row[name] in kept else REST
        sums[(*(str(row[item]) for item in time), str(member))] += Decimal(row[column])
    return dict(sums)


def check(engine: Engine, question: PanelQuestion, rows: list[dict[str, Any]], sql: str) -> None:
    names, got = engine.run(sql)
    if question.shape == "series" and len(question.by) == 2:
        assert names == ["time", "metric", "value"]
        found = {(str(time)[:10], str(member)): Decimal(str(value)) for time, member, value in got}
        assert len(found) == len(got)
        assert found == folded(question, rows)
        assert [str(row[0]) for row in got] == sorted(str(row[0]) for row in got)
        return
    if question.top is not None:
        found = {(str(member),): Decimal(str(value)) for member, value in got}
        assert found == folded(question, rows)
        return
    kinds = question.kinds()
    if question.shape == "number" and not rows:
        # the catalogue has no row where there is no line; a figure on a board is then zero
        rows = [dict.fromkeys(kinds, "0")]
    shown = ["time", *list(kinds)[1:]] if question.shape == "series" else list(kinds)
    assert names == shown
    assert len(got) == len(rows)
    for line, expected in zip(got, rows, strict=True):
        for (name, kind), value in zip(kinds.items(), line, strict=True):
            assert same(str(kind), value, expected[name]), (engine.name, name, value, expected)


@pytest.mark.parametrize(
    ("board", "panel"), PANELS, ids=[f"{board.slug}-{panel.key}" for board, panel in PANELS]
)
def test_a_panel_shows_the_answer_of_the_catalogue(
    store: DuckDBWarehouse, engines: list[Engine], picks: list[Chosen], board: Board, panel: Panel
) -> None:
    question = panel.question(board.choices)
    assert wanted(store, question, {}), "the panel is empty on the sample world"
    templates = {engine.name: panel_sql(question, MARKS[engine.name]) for engine in engines}
    seen: set[str] = set()
    for chosen in picks:
        first = filled(templates["duckdb"], "duckdb", chosen)
        if first in seen:
            continue
        seen.add(first)
        rows = wanted(store, question, chosen)
        for engine in engines:
            check(engine, question, rows, filled(templates[engine.name], engine.plugin, chosen))


def test_no_value_in_a_list_is_the_same_as_all(store: DuckDBWarehouse) -> None:
    for board, panel in PANELS:
        sql = panel_sql(panel.question(board.choices), MARKS["postgres"])
        plugin = STORES["postgres"].plugin
        everything = filled(sql, plugin, {})
        assert filled(sql, plugin, dict.fromkeys(CHOICES, ())) == everything


@pytest.mark.parametrize("name", CHOICES)
def test_a_list_holds_every_member_the_unnamed_ones_too(
    store: DuckDBWarehouse, engines: list[Engine], name: str
) -> None:
    request = Request(
        "spend", (name,), since=SINCE.date(), until=UNTIL.date() + timedelta(days=1), currency="USD"
    )
    expected = [row[name] for row in ask(store, request, today=TODAY).rows]
    assert {"untagged", "unknown"} & set(expected) or name == "provider"
    for engine in engines:
        names, got = engine.run(filled(members_sql("billed", name, MARKS[engine.name]), engine.plugin, {}))
        assert names == ["member"]
        assert [row[0] for row in got] == expected


def test_marks_say_what_was_changed_and_when(engines: list[Engine]) -> None:
    seen: list[list[tuple[str, ...]]] = []
    for engine in engines[1:]:
        found: list[tuple[str, ...]] = []
        for mark in marks_of(STORES[engine.name]):
            sql = str(target_fields(mark.target)["rawSql"])
            names, rows = engine.run(filled(sql, engine.plugin, {}, until=UNTIL + timedelta(days=400)))
            assert names == ["time", "text", "tags"]
            found += [(str(row[0])[:10], str(row[1]), str(row[2])) for row in rows]
        seen.append(found)
    assert seen[0] == seen[1]
    assert ("2026-11-19", "openai", "call_adjustments") in seen[0]
    assert {"restatements", "call_adjustments", "aws-cur2", "gcp-export"} <= {tags for _, _, tags in seen[0]}


ASKED = [(board, panel) for board in boards() for panel in board.panels if panel.ask]


@pytest.mark.parametrize(
    ("board", "panel"), ASKED, ids=[f"{board.slug}-{panel.key}" for board, panel in ASKED]
)
def test_the_api_answers_a_panel_with_every_column(
    site: str, store: DuckDBWarehouse, picks: list[Chosen], board: Board, panel: Panel
) -> None:
    question = panel.question(board.choices)
    template = api.address(question)
    for chosen in (picks[0], picks[1], picks[2], picks[-1]):
        reply = httpx2.get(site + address(template, chosen), timeout=30)
        assert reply.status_code == 200, reply.text
        rows = reply.json()["rows"]
        wanted = {column.selector for column in api.columns(question)}
        assert all(wanted <= row.keys() for row in rows)
        if chosen is picks[0]:
            assert rows, "the panel is empty on the sample world"
        where = {
            name: values for name, values in chosen.items() if values and name in question.open_choices()
        }
        same_days = {"since": SINCE.date(), "until": UNTIL.date() + timedelta(days=1)}
        told = ask(
            store,
            Request(question.question, question.by, where, basis=question.basis, **same_days),
            today=TODAY,
        )
        assert reply.json()["total"] == told.total or question.question == "budgets"
