"""The whole catalogue on every engine: the same request gives the same Answer, to the last digit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import bills
import pytest
from engines import opener

from costweir.errors import UsageError
from costweir.queries.ask import ask
from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.question import Question, catalogue
from costweir.queries.request import Request
from costweir.store.warehouse import Warehouse

LAGS = {"aws-cur2": timedelta(days=365)}
WHERES: tuple[dict[str, tuple[str, ...]], ...] = (
    {},
    {"customer": ("acme", "untagged")},
    {"model": ("unknown", "gpt-4o-mini"), "provider": ("aws", "gcp")},
    {"plan": ("tier_1", "untagged"), "month": ("2026-10", "2026-11")},
    {"region": ("us-east-1", "unknown"), "day": ("2026-10-05",)},
)


@pytest.fixture(scope="module")
def engines(
    postgres: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Warehouse]]:
    """The same world in every engine: two currencies, one without a rate, credits, taxes, quarantine and calls."""
    folder: Path = tmp_path_factory.mktemp("world")
    rows = bills.world(size=400)
    rows += [
        bills.line(cost="3.5", billing_currency="EUR", rate=None, x_provider="gcp", x_account="eu"),
        bills.line(cost="8", billing_currency="EUR", x_provider="gcp", x_account="eu"),
    ]
    opened: dict[str, Warehouse] = {}
    for name in ("duckdb", "postgres"):
        store = opener(name, folder, postgres)()
        store.migrate()
        bills.refer(store)
        bills.store(store, folder, [{**row, **bills.half(row)} for row in rows if row["usage_hour"] < 20])
        bills.store(store, folder, rows, run_id="run-2")
        store.append([bills.call(number, customer=("acme", "globex")[number % 2]) for number in range(20)])
        store.append([bills.call(99, settled_usd=None), bills.call(98, settled_usd=None)])
        store.adjust([bills.adjustment(3, "0.5"), bills.adjustment(4, "0.125"), bills.adjustment(98, "2")])
        opened[name] = store
    yield opened
    for store in opened.values():
        store.close()


def requests_of(question: Question) -> Iterator[Request]:
    """The default, every dimension alone, pairs, filters, days and limits."""
    for basis in question.basis:
        facts = "calls" if basis == "metered" else "charges"
        facts = "adjustments" if question.needs == "adjustments" else facts
        usable = [name for name in question.dimensions if DIMENSION_TABLE[name].sql(facts)]
        splits: list[tuple[str, ...]] = [
            (),
            *((name,) for name in usable),
            tuple(usable[:4]),
            tuple(usable[-3:]),
        ]
        if basis != question.basis[0]:
            splits = splits[:: max(1, len(splits) // 4)]
        for number, by in enumerate(splits):
            where = WHERES[number % len(WHERES)]
            fits = all(name in question.filters and DIMENSION_TABLE[name].sql(facts) for name in where)
            yield Request(
                question.id, by, where if fits else {}, date(2026, 9, 10) if number % 3 == 1 else None,
                date(2026, 11, 1) if number % 3 else None, (None, 2, None, 5)[number % 4], basis,
                "EUR" if number % 7 == 3 and basis == "billed" else "",
            )  # fmt: skip


def told(warehouse: Warehouse, request: Request) -> dict[str, Any]:
    found = ask(warehouse, request, today=bills.TODAY, lags=LAGS).to_json()
    notes = [note for note in found["notes"] if " as of " not in note]  # type: ignore[attr-defined]
    return {**found, "notes": notes}


@pytest.mark.engine
@pytest.mark.parametrize("question", catalogue(), ids=lambda question: question.id)
def test_every_engine_gives_the_same_answer_and_its_children_add_up(
    engines: dict[str, Warehouse], question: Question
) -> None:
    rows = 0
    for request in requests_of(question):
        answers = {name: told(store, request) for name, store in engines.items()}
        assert answers["postgres"] == answers["duckdb"], request
        assert_adds_up(answers["duckdb"], request.limit or question.limit)
        assert all(set(request.by or question.by) <= set(row) for row in answers["duckdb"]["rows"])
        rows += len(answers["duckdb"]["rows"])
    assert rows


def assert_adds_up(answer: dict[str, Any], limit: int | None) -> None:
    shown = sum((Decimal(row[f"{answer['basis']}_cost"]) for row in answer["rows"]), Decimal(0))
    assert shown + Decimal(answer["other"]) == Decimal(answer["total"])
    assert answer["other"] == "0.00" or len(answer["rows"]) == limit


@pytest.mark.parametrize("question", catalogue(), ids=lambda question: question.id)
def test_a_dimension_that_does_not_apply_is_refused_with_what_does(
    engines: dict[str, Warehouse], question: Question
) -> None:
    for name in DIMENSION_TABLE:
        if name not in question.dimensions:
            with pytest.raises(UsageError, match="does not apply") as caught:
                ask(engines["duckdb"], Request(question.id, (name,)), today=bills.TODAY)
            assert caught.value.hint.endswith(".")
