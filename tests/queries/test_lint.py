"""The lint flags what engines disagree on, and the whole catalogue passes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import resources

import pytest

from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.lint import lint
from costweir.queries.question import Question, catalogue, part
from costweir.queries.render import Filter, Selection, fill

BAD = {
    "SELECT f.x_model AS m, SUM(f.c) AS s FROM t AS f GROUP BY ALL ORDER BY s": "GROUP BY ALL",
    "SELECT f.x_model AS m, SUM(f.c) AS s FROM t AS f GROUP BY 1 ORDER BY m": "GROUP BY by number",
    "SELECT f.x_model AS m FROM t AS f ORDER BY 1": "ORDER BY by number",
    "SELECT hour(f.started) AS h FROM t AS f": "HOUR",
    "SELECT isodow(f.d) AS h FROM t AS f": "no function",
    "SELECT date_trunc('day', f.d) AS h FROM t AS f": "no function",
    "SELECT ROUND(f.c, 2) AS r FROM t AS f": "ROUND",
    "SELECT SUM(f.c) FILTER (WHERE f.d) AS s FROM t AS f": "FILTER",
    "SELECT f.m AS m FROM t AS f QUALIFY ROW_NUMBER() OVER (ORDER BY f.c) = 1": "QUALIFY",
    "SELECT SUM(f.billed_cost) AS billed_cost FROM t AS f": "alias billed_cost",
    "SELECT SUM(f.c) / SUM(f.t) AS s FROM t AS f": "Division",
    "SELECT f.c AS s FROM t AS f WHERE f.d > CURRENT_DATE - INTERVAL 7 DAY": "Dates",
    "SELECT f.c AS s FROM t AS f WHERE f.m ILIKE 'a'": "ILIKE",
    "SELECT f.c AS s FROM t AS f WHERE f.m LIKE '%a'": "LIKE",
    "SELECT * FROM t AS f": "star",
    "SELECT f.c AS s FROM t AS f WHERE f.m NOT IN (SELECT a.model FROM approved AS a)": "NOT IN",
    "SELECT q.s AS s FROM (SELECT f.c AS s FROM t AS f ORDER BY f.c) AS q": "derived table",
    "SELECT f.m AS m, SUM(f.c) AS s FROM t AS f GROUP BY f.m": "total order",
    "SELECT f.m AS m FROM t AS f LIMIT 5": "total order",
    "SELECT f.c AS s FROM t AS f JOIN u AS g USING (id)": "USING",
    "SELECT DISTINCT ON (f.m) f.c AS s FROM t AS f": "DISTINCT ON",
    "DELETE FROM charges": "not one SELECT",
    "SELECT f.c AS s FROM t AS f; SELECT 1 AS o": "not one SELECT",
    "SELECT FROM WHERE": "cannot be read",
}


@pytest.mark.parametrize("sql", BAD)
def test_sql_that_engines_disagree_on_is_flagged(sql: str) -> None:
    assert any(BAD[sql] in sentence for sentence in lint(sql)), lint(sql)


def test_restricted_sql_passes() -> None:
    sql = (
        "WITH g AS (SELECT f.x_model AS d_model, "
        "SUM(CASE WHEN f.x_has_tokens = TRUE THEN f.billed_cost ELSE 0 END) AS m_cost "
        "FROM charges_daily AS f WHERE f.usage_date >= $since "
        "AND NOT EXISTS (SELECT 1 FROM plans AS p WHERE p.id = f.x_model) "
        "GROUP BY f.x_model) SELECT g.d_model AS d_name, COALESCE(g.m_cost, 0) AS m_sum, COUNT(*) AS m_rows FROM g "
        "GROUP BY g.d_model, g.m_cost ORDER BY m_sum DESC, d_name LIMIT 5"
    )
    assert lint(sql) == []


def selections(question: Question) -> Iterator[Selection]:
    for basis in question.basis:
        billed = ("rollup", "charges") if question.needs == "rollup" else ("charges",)
        if question.needs == "restatements":
            billed = ("restatements",)
        metered = ("adjustments",) if question.needs == "adjustments" else ("calls",)
        for facts in metered if basis == "metered" else billed:
            usable = tuple(
                DIMENSION_TABLE[name] for name in question.dimensions if DIMENSION_TABLE[name].sql(facts)
            )
            for cost, currency in (("billed_cost", "EUR"), ("x_billed_usd", "USD")):
                yield Selection(facts, basis, usable, Filter({}), question.only, cost, currency, 5)


@pytest.mark.parametrize("question", catalogue(), ids=lambda question: question.id)
def test_every_question_is_written_in_the_restricted_dialect(question: Question) -> None:
    statements = {fill(question.sql, selection)[0] for selection in selections(question)}
    assert statements
    for sql in statements:
        assert lint(sql) == [], sql


@pytest.mark.parametrize(
    "name", [file.name[:-4] for file in (resources.files("costweir.queries") / "parts").iterdir()]
)
def test_every_shared_part_is_written_in_the_restricted_dialect(name: str) -> None:
    selection = Selection("rollup", "billed", (), Filter({}))
    assert lint(fill(part(name), selection)[0]) == []


def test_a_question_on_duckdb_does_not_load_sqlglot() -> None:
    code = (
        "import sys; from pathlib import Path; from costweir.store.engines.duckdb import DuckDBWarehouse;"
        "from costweir.queries.ask import ask; from costweir.queries.request import Request;"
        "w = DuckDBWarehouse.open(Path(':memory:')); w.migrate(); ask(w, Request('spend'));"
        "sys.exit('sqlglot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
