"""What metered calls would cost at other prices, and the adjustments that say so beside calls that stay as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract import bills

from costweir.app.rerate import CLASSES, Adjusting, Rerated, preview, request_for, together
from costweir.app.rerate import adjust as adjusted
from costweir.domain.answer import Answer
from costweir.domain.money import decimal_text
from costweir.prices.book import Book
from costweir.queries.ask import ask
from costweir.queries.priced_calls import priced_calls
from costweir.queries.question import find_question
from costweir.queries.request import Request
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


# --- adjustments ---


def adjust(store: DuckDBWarehouse, book: Book = BOOK, *, run: str = "run-1") -> list[Rerated]:
    answer = ask(store, request_for(None, None), today=bills.TODAY)
    return together(adjusted(store, answer, book, Adjusting(run, "ann", AT)))


def spent(store: DuckDBWarehouse, *by: str, question: str = "spend") -> Answer:
    return ask(store, Request(question, by=by, basis="metered"), today=bills.TODAY)


UNPRICED: dict[str, Any] = {"settled_usd": None, "price_version": None}
AT = datetime(2026, 11, 20, 9, tzinfo=UTC)


def test_an_adjustment_is_what_was_seen_and_the_call_stays(store: DuckDBWarehouse) -> None:
    store.append([call(1), call(2, **UNPRICED), call(3, model="nobody-knows-it", **UNPRICED)])
    before = store.query("SELECT * FROM calls ORDER BY call_id").rows
    seen = [row for row in look(store) if not row.unpriced_after]
    assert adjust(store) == seen != []
    assert store.query("SELECT * FROM calls ORDER BY call_id").rows == before
    rows = store.query(
        "SELECT call_id, step, reason, usd_before, usd_after, adjusted_by, adjusted_on FROM call_adjustments ORDER BY 1"
    ).rows
    day = date(2026, 11, 20)
    assert rows == (
        ("call-1", 1, "corrected", Decimal("0.0004"), Decimal("0.0003"), "ann", day),
        ("call-2", 1, "priced", None, Decimal("0.0003"), "ann", day),
    )


def test_every_metered_answer_and_view_holds_the_adjustments(store: DuckDBWarehouse) -> None:
    store.append([call(1), call(2, **UNPRICED)])
    assert [item.reason for item in spent(store).excluded] == ["unpriced"]
    adjust(store)
    assert (spent(store).total, spent(store).excluded) == ("0.0006", ())
    assert spent(store, "session", question="sessions").total == "0.0006"
    view = "SELECT SUM(v.cost_usd) AS s, COUNT(*) AS n FROM llm_consumption AS v"
    assert store.query(view).rows == ((Decimal("0.0006"), 2),)
    changes = spent(store, "change", "day", "read_on", question="call_adjustments")
    assert [(row["change"], row["day"], row["read_on"], row["metered_cost"]) for row in changes.rows] == [
        ("priced", "2026-10-05", "2026-11-20", "0.0003"), ("corrected", "2026-10-05", "2026-11-20", "-0.0001"),
    ]  # fmt: skip


def test_done_again_nothing_is_adjusted_and_a_later_correction_is_the_next_step(
    store: DuckDBWarehouse,
) -> None:
    store.append([call(1), call(2, **UNPRICED)])
    adjust(store)
    assert (adjust(store, run="run-2"), look(store)) == ([], [])
    third = Book.load(overrides=[OLD, NEW, {**OLD, "known_from": "2026-11-01", "input": "4.00"}])
    (found,) = adjust(store, third, run="run-3")
    assert (found.before, found.after, found.calls) == (Decimal("0.0006"), Decimal("0.0012"), 2)
    steps = store.query("SELECT call_id, step, run_id FROM call_adjustments ORDER BY 1, 2").rows
    assert steps == (
        ("call-1", 1, "run-1"), ("call-1", 2, "run-3"), ("call-2", 1, "run-1"), ("call-2", 2, "run-3"),
    )  # fmt: skip
    assert spent(store).total == "0.0012"


def test_it_can_be_stopped_after_any_step_and_run_again(store: DuckDBWarehouse) -> None:
    days = [datetime.combine(date(2026, 10, day), time(3)) for day in (1, 2, 3)]
    store.append([call(number, started_at=day, **UNPRICED) for number, day in enumerate(days)])
    wanted = look(store)
    steps = adjusted(
        store, ask(store, request_for(None, None), today=bills.TODAY), BOOK, Adjusting("a", "ann", AT)
    )
    next(steps)
    assert [row.calls for row in look(store)] == [2]
    assert sum(row.calls for row in adjust(store, run="b")) == 2
    assert (look(store), spent(store).total) == ([], decimal_text(wanted[0].after))


def test_many_calls_are_read_in_pieces(store: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append([call(number, **UNPRICED) for number in range(23)])
    monkeypatch.setattr("costweir.app.rerate.priced_calls", partial(priced_calls, chunk=5))
    (found,) = adjust(store)
    assert (found.calls, spent(store).total) == (23, decimal_text(23 * Decimal("0.0003")))


@settings(max_examples=25, deadline=None)
@given(
    made=st.lists(
        st.tuples(
            st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["acme", "globex", "untagged"]),
            st.booleans(), st.integers(1, 28), st.sampled_from(["m1", "nobody-knows-it"]),
        ), max_size=12,
    )
)  # fmt: skip
def test_children_add_up_after_any_adjustment(made: list[tuple[int, int, str, bool, int, str]]) -> None:
    """Law L4, and law L6: what is asked for now is what was stored and what was adjusted, in every dimension."""
    opened = DuckDBWarehouse.open(Path(":memory:"))
    opened.migrate()
    opened.append(
        [
            call(
                number, customer=customer, model=model, uncached_input_tokens=tokens, text_output_tokens=out,
                started_at=datetime.combine(date(2026, 10, day), time(3)), **(UNPRICED if unpriced else {}),
            )
            for number, (tokens, out, customer, unpriced, day, model) in enumerate(made)
        ]
    )  # fmt: skip
    stored = sum(
        (row[0] or Decimal(0) for row in opened.query("SELECT k.settled_usd AS s FROM calls AS k").rows),
        Decimal(0),
    )
    done = adjust(opened)
    after, changes = spent(opened), spent(opened, question="call_adjustments")
    assert Decimal(after.total) == stored + Decimal(changes.total)
    assert Decimal(changes.total) == sum((row.delta for row in done), Decimal(0))
    for dimension in ("customer", "model", "day", "session"):
        for question, total in (("spend", after.total), ("call_adjustments", changes.total)):
            rows = spent(opened, dimension, question=question).rows
            assert sum((Decimal(str(row["metered_cost"])) for row in rows), Decimal(0)) == Decimal(total)
    assert adjust(opened, run="run-2") == []
    opened.close()
