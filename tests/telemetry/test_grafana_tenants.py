"""A tenant sees its own rows through every panel and nobody else's: by a bound token, and by PostgreSQL's own rules.

The oracle is a second world in which everybody else has other names and other money: what a tenant sees has to be the
same in both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "web"))

from api_server import Site, site
from bills import TODAY, store
from boards_world import address, duckdb_engine, fill_postgres, filled, postgres_run
from engines import fresh_database, postgres_server
from test_api_bound import MINE, NAMES, bills, calls, check

from costweir.config import load
from costweir.queries.ask import ask
from costweir.queries.panels import panel_sql
from costweir.queries.request import Request
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.telemetry import grafana
from costweir.telemetry.grafana.board import boards
from costweir.telemetry.grafana.sets import STORES

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("tenants"), pytest.mark.timeout(300)]

SINCE, UNTIL = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC)
PICKS: tuple[Mapping[str, tuple[str, ...]], ...] = (
    {}, {"provider": ("aws", "gcp")}, {"customer": ("globex", "hooli", MINE)}, {"model": ("unknown",), "customer": ()},
    {"customer": ("x') OR ('' = '",)},
)  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    with ExitStack() as stack:
        found: list[Site] = []
        for other in (False, True):
            folder = tmp_path_factory.mktemp("world")
            item = stack.enter_context(site(folder, size=0))
            store(item.desk.warehouse, folder, bills(other=other))
            item.desk.warehouse.append(calls(other=other))
            found.append(item)
        yield found[0], found[1]


@pytest.fixture(scope="module")
def rendered() -> Mapping[str, str]:
    return grafana.files(load(path=None, environ={}, overrides={}), "")


def targets(rendered: Mapping[str, str], folder: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every query of every panel and list of the boards in a folder."""
    for path, text in rendered.items():
        if path.startswith(f"grafana/{folder}/"):
            sheet = json.loads(text)
            for panel in sheet["panels"]:
                for target in panel.get("targets", ()):
                    yield path, panel["title"], target
            for variable in sheet["templating"]["list"]:
                query = variable.get("query")
                if isinstance(query, dict) and "infinityQuery" in query:
                    yield path, variable["name"], query["infinityQuery"]


def test_a_bound_token_gets_only_its_own_rows_through_every_panel_for_tenants(
    pair: tuple[Site, Site], rendered: Mapping[str, str]
) -> None:
    tokens = [item.token(customer=MINE) for item in pair]
    asked = 0
    for path, title, target in targets(rendered, "dashboards-tenant"):
        assert target["type"] == "json", (path, title)
        for chosen in PICKS[:2]:
            url = address(target["url"], chosen, since=SINCE, until=UNTIL)
            first, second = (
                item.call("GET", url, token=token) for item, token in zip(pair, tokens, strict=True)
            )
            assert first.status == 200, (path, title, first.text)
            check(first, second)
            for row in first.json["rows"]:
                assert row.get("customer", MINE) == MINE
        asked += 1
    assert asked > 40


def test_a_bound_token_is_refused_or_gets_its_own_rows_through_every_other_panel(
    pair: tuple[Site, Site], rendered: Mapping[str, str]
) -> None:
    tokens = [item.token(customer=MINE) for item in pair]
    statuses: set[int] = set()
    for path, title, target in targets(rendered, "dashboards-api"):
        if target.get("type") != "json":
            continue
        for chosen in PICKS[:3]:
            url = address(target["url"], chosen, since=SINCE, until=UNTIL).replace(" ", "%20")
            first, second = (
                item.call("GET", url, token=token) for item, token in zip(pair, tokens, strict=True)
            )
            assert first.status in (200, 403), (path, title, first.text)
            if first.status == 200:
                check(first, second)
            statuses.add(first.status)
    assert statuses == {200, 403}


@pytest.fixture(scope="module")
def databases(pair: tuple[Site, Site], rendered: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Both worlds in PostgreSQL, with the rules for tenants, a tenant, a stranger and a reader."""
    with postgres_server() as server:
        found: list[str] = []
        for item in pair:
            assert isinstance(item.desk.warehouse, DuckDBWarehouse)
            database = fresh_database(server)
            fill_postgres(item.desk.warehouse, database)
            with psycopg.connect(database, autocommit=True) as connection:
                for _ in range(2):
                    connection.execute(rendered["grafana/setup/tenants.sql"].encode())
                for role, group in (("acme_boards", "costweir_tenant"), ("stranger", "costweir_tenant")):
                    if not found:
                        connection.execute(f"CREATE ROLE {role} LOGIN IN ROLE {group}".encode())
                if not found:
                    connection.execute(b"CREATE ROLE reader LOGIN IN ROLE pg_read_all_data")
                connection.execute(b"INSERT INTO costweir_grafana.tenants VALUES ('acme_boards', 'acme')")
            found.append(database)
        yield found[0], found[1]


def as_role(database: str, role: str) -> str:
    return f"{database}{'&' if '?' in database else '?'}user={role}"


def questions() -> Iterator[tuple[str, Any]]:
    for board in boards():
        for panel in board.panels:
            if panel.ask and panel.question(board.choices).one_query:
                yield f"{board.slug}/{panel.key}", panel.question(board.choices)


#: About every customer together, from a table that names none.
CLOSED = {"reconciliation/restated"}


def test_postgres_shows_a_tenant_its_own_rows_through_every_panel(
    pair: tuple[Site, Site], databases: tuple[str, str]
) -> None:
    desk = pair[0].desk
    plugin = STORES["postgres"].plugin
    marks = STORES["postgres"].marks
    assert marks is not None
    opened = [postgres_run(as_role(database, "acme_boards")) for database in databases]
    asked = 0
    for key, question in questions():
        sql = panel_sql(question, marks)
        if key in CLOSED:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                opened[0][1](filled(sql, plugin, {}, since=SINCE, until=UNTIL))
            continue
        for chosen in PICKS:
            text = filled(sql, plugin, chosen, since=SINCE, until=UNTIL)
            first, second = (run(text) for _, run in opened)
            assert first == second, (key, chosen)
            assert not any(name in repr(first) for name in NAMES), key
        if question.shape == "number" and "customer" in question.asked.filters:
            where = {**question.where, "customer": (MINE,)}
            request = Request(question.question, (), where, SINCE.date(), UNTIL.date(), basis=question.on)
            rows = ask(desk.warehouse, request, today=TODAY).rows
            column = question.column(question.columns[0])
            got = opened[0][1](filled(sql, plugin, {}, since=SINCE, until=UNTIL))[1]
            assert str(rows[0][column]).rstrip("0") == str(got[0][0]).rstrip("0")
        asked += 1
    assert asked > 50
    for connection, _ in opened:
        connection.close()


def test_postgres_keeps_what_is_of_everybody_from_tenants(databases: tuple[str, str]) -> None:
    with psycopg.connect(databases[0]) as connection:
        months = connection.execute(
            b"SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid AND c.relkind = 'r'"
        ).fetchall()
    closed = ["loads", "quarantine", "budgets", "plans", "restatements", *(name for (name,) in months)]
    assert any(name.startswith("charges_") for name in closed)
    with psycopg.connect(as_role(databases[0], "acme_boards"), autocommit=True) as connection:
        for table in closed:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {table}".encode())


def test_postgres_gives_nothing_to_a_member_that_no_row_names_and_all_to_others(
    pair: tuple[Site, Site], databases: tuple[str, str]
) -> None:
    count = b"SELECT COUNT(*) FROM charges_facts"
    with psycopg.connect(as_role(databases[0], "stranger")) as connection:
        assert connection.execute(count).fetchone() == (0,)
        assert connection.execute(b"SELECT COUNT(*) FROM calls_facts").fetchone() == (0,)
    rows = duckdb_engine(pair[0].desk.warehouse).run("SELECT COUNT(*) FROM charges_facts")[1]  # type: ignore[arg-type]
    for role in ("reader", ""):
        database = as_role(databases[0], role) if role else databases[0]
        with psycopg.connect(database) as connection:
            assert connection.execute(count).fetchone() == rows[0]


def test_a_tenant_cannot_take_on_another_name(databases: tuple[str, str]) -> None:
    with psycopg.connect(as_role(databases[0], "acme_boards"), autocommit=True) as connection:
        connection.execute(b"SET ROLE costweir_tenant")
        found = connection.execute(b"SELECT DISTINCT x_customer FROM charges_facts").fetchall()
        assert found == [(MINE,)]
        for statement in (
            b"SELECT * FROM costweir_grafana.tenants",
            b"INSERT INTO costweir_grafana.tenants VALUES ('acme_boards', 'globex')",
            b"DELETE FROM charges_daily",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement)
