"""What metered calls would cost at other prices, without changing one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.contract import bills

from costweir.app.rerate import CLASSES, Rerated, preview, request_for
from costweir.prices.book import Book
from costweir.queries.ask import ask
from costweir.queries.question import find_question
from costweir.store.engines.duckdb import DuckDBWarehouse

OLD = {
    "model": "m1",
    "effective": "2026-01-01",
    "known_from": "2026-01-01",
    "input": "2.00",
    "output": "10.00",
}
NEW = {**OLD, "known_from": "2026-10-20", "input": "1.00"}
BOOK = Book.load(overrides=[OLD, NEW])


@pytest.fixture
def store() -> Iterator[DuckDBWarehouse]:
    opened = DuckDBWarehouse.open(Path(":memory:"))
    opened.migrate()
    yield opened
    opened.close()


def call(number: int, **given: Any) -> dict[str, Any]:
    version = BOOK.find("m1", on=date(2026, 10, 5), known_on=date(2026, 10, 5))
    assert version is not None
    # 100 tokens in and 20 out at the old price
    priced = {"model": "m1", "settled_usd": Decimal("0.0004"), "price_version": version.version}
    return bills.call(number, **{**priced, **given})


def look(store: DuckDBWarehouse, book: Book = BOOK, **given: Any) -> list[Rerated]:
    return preview(ask(store, request_for(None, None), today=bills.TODAY), book, **given)


def test_calls_are_priced_again_when_their_price_was_corrected(store: DuckDBWarehouse) -> None:
    store.append([call(1), call(2)])

    [found] = look(store)

    assert (found.month, found.model, found.calls) == ("2026-10", "m1", 2)
    assert (found.before, found.after, found.delta) == (
        Decimal("0.0008"), Decimal("0.0006"), Decimal("-0.0002"),
    )  # fmt: skip


def test_what_was_known_then_changes_nothing(store: DuckDBWarehouse) -> None:
    store.append([call(1)])

    assert look(store, known_on=date(2026, 10, 19)) == []


def test_a_call_without_a_price_gets_the_one_that_was_learned(store: DuckDBWarehouse) -> None:
    store.append([call(1, settled_usd=None, price_version=None)])

    [found] = look(store)

    assert (found.before, found.after) == (0, Decimal("0.0003"))
    assert (found.unpriced_before, found.unpriced_after) == (1, 0)


def test_a_call_that_no_price_is_known_for_stays_unpriced_and_is_not_free(store: DuckDBWarehouse) -> None:
    store.append([call(1, model="nobody-knows-it", settled_usd=None, price_version=None)])

    [found] = look(store)

    assert (found.unpriced_before, found.unpriced_after, found.missing) == (1, 1, ("model",))


@pytest.mark.parametrize(
    "given",
    [
        {"usage_certainty": "unknown"},
        {"outcome": "cached"},
        {"outcome": "refused", "settled_usd": None},
        {"price_version": None},
        {"uncached_input_tokens": None, "text_output_tokens": None},
    ],
    ids=["usage unknown", "from the cache", "refused", "cost was reported", "no tokens"],
)
def test_what_no_price_of_ours_made_is_left_alone(store: DuckDBWarehouse, given: dict[str, Any]) -> None:
    store.append([call(1, **given)])

    assert look(store) == []


def test_a_long_context_is_priced_at_its_own_rate(store: DuckDBWarehouse) -> None:
    book = Book.load(overrides=[{**OLD, "bands": [{"above": 200000, "input": "4.00"}]}])
    for number, tokens in enumerate((200_000, 200_001, 1)):
        given = {"uncached_input_tokens": tokens, "text_output_tokens": 0}
        store.append([call(number, **given, settled_usd=None, price_version=None)])

    [found] = look(store, book)

    assert found.after == Decimal("0.400000") + Decimal("0.800004") + Decimal("0.000002")


def test_a_threshold_that_the_question_does_not_tell_apart_is_not_guessed(store: DuckDBWarehouse) -> None:
    book = Book.load(overrides=[{**OLD, "bands": [{"above": 64000, "input": "4.00"}]}])
    given = {"settled_usd": None, "price_version": None}
    store.append([call(1, **given), call(2, **given, uncached_input_tokens=50_000)])

    [found] = look(store, book)

    assert (found.unpriced_before, found.unpriced_after) == (2, 1)
    assert found.missing == ("context above 64000",)


def test_every_threshold_of_the_shipped_book_is_told_apart() -> None:
    thresholds = {0}
    for file in (files("costweir.prices") / "data").iterdir():
        rates = json.loads(file.read_text("utf-8")).get("rates", ()) if file.name.endswith(".json") else ()
        thresholds |= {band["above"] for row in rates for band in row.get("bands", ())}

    assert thresholds <= set(CLASSES)
    sql = find_question("call_prices").sql
    assert all(f"> {border} THEN {border}" in sql for border in CLASSES if border)


def test_nothing_is_stored(store: DuckDBWarehouse) -> None:
    store.append([call(1), call(2, settled_usd=None, price_version=None)])
    sql = "SELECT k.call_id AS c, k.settled_usd AS s, k.price_version AS v FROM calls AS k ORDER BY c"
    before = store.query(sql).rows

    look(store)

    assert store.query(sql).rows == before


def test_months_are_told_apart(store: DuckDBWarehouse) -> None:
    store.append([call(1), call(2, started_at=datetime.combine(date(2026, 11, 2), time(3)))])

    assert {found.month: found.calls for found in look(store)} == {"2026-10": 1, "2026-11": 1}
