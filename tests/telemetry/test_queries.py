"""The saved queries: each is of its dialect, asks for fields that are there, and ours gives the catalogue's answer."""

from __future__ import annotations

import re
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from costweir import config
from costweir.app.desk import LocalDesk
from costweir.queries.request import Request
from costweir.telemetry.logs_page import schema
from costweir.telemetry.queries import files

DOCS = Path(__file__).parents[2] / "docs"
#: What is no field of a line but a word or column of Insights and of Log Analytics.
INSIGHTS = frozenset(
    {
        "fields",
        "filter",
        "parse",
        "stats",
        "sort",
        "limit",
        "as",
        "by",
        "and",
        "desc",
        "bin",
        "sum",
        "count",
        "max",
        "cost",
        "tokens",
        "calls",
        "refusals",
        "latest",
        "cost_usd_sum",
        "h",
        "message",
        "timestamp",
    }
)


def made(project: str = "my-project") -> dict[str, str]:
    environ = {"GCP_PROJECT_ID": project} if project else {}
    return dict(files(config.load(environ=environ, overrides={"data_dir": "/nowhere"}), ""))


def named(suffix: str, beginning: str = "") -> list[str]:
    return [name for name in made() if name.endswith(suffix) and name.startswith(f"queries/{beginning}")]


def test_every_file_is_in_the_documentation_and_says_what_it_is_for() -> None:
    page = (DOCS / "logs.md").read_text(encoding="utf-8")
    for name, text in made().items():
        assert f"`{name.removeprefix('queries/')}`" in page
        assert text.startswith(("-- ", "# ", "// "))
        assert text.endswith("\n")


def test_the_project_is_the_one_that_is_set_and_a_word_for_people_without() -> None:
    assert "$project" not in "".join(made().values())
    assert "`my-project.costweir_logs" in made()["queries/bigquery-calls-refusals.sql"]
    assert "`PROJECT.costweir_logs" in made("")["queries/bigquery-calls-refusals.sql"]
    assert made() == made()


def test_there_is_one_for_each_cloud_and_for_our_own_store() -> None:
    for beginning in (
        "gcp-logging-sink",
        "bigquery-",
        "cloudwatch-cost-by-provider",
        "azure-cost-by-provider",
        "store-",
    ):
        assert any(name.startswith(f"queries/{beginning}") for name in made())


@pytest.mark.parametrize("name", named(".sql", "bigquery"))
def test_sql_for_bigquery_is_bigquerys(name: str) -> None:
    (statement,) = sqlglot.parse(made()[name], dialect="bigquery")
    assert isinstance(statement, exp.Select)
    assert statement.find(exp.Where)
    for column in statement.find_all(exp.Dot, exp.Column):
        text = column.sql("bigquery")
        if text.startswith("jsonPayload."):
            assert text.removeprefix("jsonPayload.") in schema()["fields"], text


@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
def test_sql_for_our_store_is_of_both_dialects(dialect: str) -> None:
    (statement,) = sqlglot.parse(made()["queries/store-top-models-of-the-week.sql"], dialect=dialect)
    assert isinstance(statement, exp.Select)


@pytest.mark.parametrize("name", named(".txt"))
def test_insights_asks_for_fields_that_the_log_has(name: str) -> None:
    lines = [line for line in made()[name].splitlines() if not line.startswith("#")]
    assert lines[0].startswith("fields ")
    assert all(line.startswith("| ") for line in lines[1:])
    text = " ".join(lines)
    event = re.search(r'event_type = "(\w+)"', text)
    assert event is not None
    assert event[1] in schema()["events"]
    plain = re.sub(
        r"\"[^\"']*\"", " ", re.sub(r"'([^']*)'", lambda found: re.sub(r"\W+", " ", found[1]), text)
    )
    words = set(re.findall(r"[a-z_]+", plain)) - INSIGHTS
    assert words - schema()["fields"].keys() == set()
    own = set(schema()["events"][event[1]]["fields"]) | {"service", "event_type", "trace_id"}
    assert words <= own


@pytest.mark.parametrize("name", named(".kql"))
def test_kql_asks_for_fields_that_the_log_has(name: str) -> None:
    text = made()[name]
    fields = set(re.findall(r"\bline\.(\w+)", text))
    event = re.search(r'line\.event_type\) == "(\w+)"', text)
    assert event is not None
    own = set(schema()["events"][event[1]]["fields"]) | {"service", "event_type"}
    assert fields <= own
    assert text.count("(") == text.count(")")
    assert 'ContainerAppName_s == "costweir"' in text


def test_the_sink_filters_on_the_name_that_every_line_has() -> None:
    text = made()["queries/gcp-logging-sink.md"]
    assert 'jsonPayload.service="costweir"' in text
    assert "--use-partitioned-tables" in text


def test_the_top_models_are_those_of_the_catalogue(tmp_path: Path) -> None:
    """On the bills of the contract suite, as if today were the day after the last of them."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
    from bills import store, world

    settings = config.load(environ={}, overrides={"data_dir": str(tmp_path / "data")})
    with LocalDesk(settings) as desk:
        store(desk.warehouse, tmp_path, world(size=200))
        days = [str(row["day"]) for row in desk.ask(Request("spend", by=("day",), basis="billed")).rows]
        last = date.fromisoformat(max(days))
        answer = desk.ask(
            Request(
                "spend", by=("model", "provider"), since=last - timedelta(days=6), until=last + timedelta(days=1),
                limit=10, basis="billed", where={"ai": ("yes",)},
            )
        )  # fmt: skip
    wanted = [
        (row["model"], row["provider"], Decimal(str(row["billed_cost"])), row["lines"]) for row in answer.rows
    ]
    assert wanted
    today = last + timedelta(days=1)
    text = made()["queries/store-top-models-of-the-week.sql"].replace("CURRENT_DATE", f"DATE '{today}'")
    with duckdb.connect(str(tmp_path / "data" / "facts.duckdb"), read_only=True) as connection:
        found = connection.execute(text).fetchall()
    assert [row[2] for row in found] == [row[2] for row in wanted]
    assert {row[:2]: (row[2], row[3]) for row in found} == {row[:2]: (row[2], row[3]) for row in wanted}
