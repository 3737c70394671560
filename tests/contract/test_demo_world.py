"""The sample world in DuckDB and in PostgreSQL: every question, with every filter set to all, one, several and no value
that is there, has the same Answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

import bills
import pytest
from engines import fresh_database

from costweir.app.desk import LocalDesk
from costweir.app.pull import Pull, pull_files
from costweir.cli.demo import sample_of
from costweir.config import load
from costweir.demo import write_world
from costweir.domain.answer import Answer
from costweir.queries.ask import ask
from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.question import Question, catalogue
from costweir.queries.request import Request

pytestmark = pytest.mark.xdist_group("demo-world")

TODAY = date(2026, 11, 20)
#: The bills of the last four months are enough.
FIRST = "2026-08"
#: The filters that dashboards have; every other one takes turns.
VARIABLES = ("provider", "model", "customer", "project")
#: A value of each kind that no row has.
ABSENT = {"text": "not-there", "day": "2001-01-01", "month": "2001-01", "int": "77"}
MODES = ("one", "several", "nothing that is there")


@pytest.fixture(scope="module")
def desks(
    postgres: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, LocalDesk]]:
    """A twentieth of the sample world, read once and loaded into both stores, with calls beside it."""
    folder = tmp_path_factory.mktemp("worlds")
    world = write_world(folder / "bills", today=TODAY, scale=0.05)
    urls = {"duckdb": "duckdb:facts.duckdb", "postgres": fresh_database(postgres())}
    opened: dict[str, LocalDesk] = {}
    for name, url in urls.items():
        settings = load(
            environ={"HOME": str(folder), "COSTWEIR_STORE__URL": url}, overrides={"data_dir": str(folder)}
        )
        opened[name] = LocalDesk(settings)

    def both(job: Mapping[str, Any]) -> list[Mapping[str, object]]:
        recent = [slot for slot in job["slots"] if slot["slot"][2] >= FIRST]
        return [row for desk in opened.values() for row in desk.load({**job, "slots": recent})]

    for desk in opened.values():
        desk.adopt(json.loads(json.dumps(sample_of(world), default=str)))
    for path in world.pull_paths:
        rows = pull_files(settings, Pull((str(path),), sample=True), load=both)
        assert {row["status"] for row in rows} == {"loaded"}
    for desk in opened.values():
        desk.warehouse.append([metered(number) for number in range(60)])
        desk.warehouse.adjust([bills.adjustment(3, "0.5"), bills.adjustment(4, "0.125")])
    yield opened
    for desk in opened.values():
        desk.close()


def metered(number: int) -> dict[str, Any]:
    started = datetime.combine(date(2026, 11, 1 + number % 18), time(number % 24))
    provider, model = [("aws", "claude-sonnet-4-6"), ("gcp", "gemini-2.5-flash"), ("azure", "unknown")][
        number % 3
    ]
    return bills.call(
        number, started_at=started, provider=provider, model=model, session_id=f"s{number % 7}",
        customer=("blue-heron-health", "aster-bank", "untagged")[number % 3], feature=("chat", "untagged")[number % 2],
        settled_usd=None if number % 11 == 0 else bills.Decimal(number).scaleb(-3),
    )  # fmt: skip


def members(desk: LocalDesk, question: Question, name: str) -> list[str]:
    """Members of a dimension, taken from the answer of the question itself."""
    if name not in question.dimensions:
        return ["x"]
    found = ask(desk.warehouse, Request(question.id, (name,)), today=TODAY).rows
    return sorted({str(row[name]) for row in found})


def told(desk: LocalDesk, request: Request) -> dict[str, Any]:
    answer: Answer = ask(desk.warehouse, request, today=TODAY)
    found = answer.to_json()
    notes = [note for note in answer.notes if " as of " not in note]
    return {**found, "notes": notes, "as_of": {}}


def requests_of(question: Question, desk: LocalDesk) -> Iterator[Request]:
    """No filter, then each filter; those of dashboards in every mode and over a time range as well."""
    yield Request(question.id)
    yield Request(question.id, (), {name: () for name in VARIABLES if name in question.filters})
    facts = "calls" if question.basis[0] == "metered" else "charges"
    usable = [name for name in question.filters if DIMENSION_TABLE[name].sql(facts)]
    for number, name in enumerate(usable):
        values = members(desk, question, name)
        chosen = {
            "one": values[:1],
            "several": values[:3],
            "nothing that is there": [ABSENT[DIMENSION_TABLE[name].kind]],
        }
        for mode in MODES if name in VARIABLES else (MODES[number % 3],):
            since = date(2026, 9, 1) if number % 2 else None
            if chosen[mode]:
                yield Request(question.id, (), {name: tuple(chosen[mode])}, since)


@pytest.mark.engine
@pytest.mark.parametrize("question", catalogue(), ids=lambda question: question.id)
def test_every_filter_gives_the_same_answer_on_both_engines(
    desks: dict[str, LocalDesk], question: Question
) -> None:
    asked = 0
    for request in requests_of(question, desks["duckdb"]):
        answers = {name: told(desk, request) for name, desk in desks.items()}
        assert answers["postgres"] == answers["duckdb"], request
        asked += 1
    assert asked > 1
