"""A folded answer still adds up, and untagged never hides in Other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from costweir.domain.answer import Answer, Excluded
from costweir.domain.money import decimal_text
from costweir.domain.period import Period
from costweir.insights.breakdown import (
    besides,
    by_member,
    excluded_rows,
    fold,
    gathered,
    largest,
    left,
    matrix,
    pick,
    quantity,
    rest,
    running,
    tally,
    through,
    within,
)


def answer(rows: list[tuple[str, Decimal]], other: Decimal = Decimal(0)) -> Answer:
    total = sum((amount for _, amount in rows), other)
    return Answer(
        query_id="q", question="spend", basis="billed", currency="USD", period=Period(),
        rows=tuple(
            {"customer": name, "day": "2026-11-01", "billed_cost": decimal_text(amount)}
            for name, amount in rows
        ),
        total=decimal_text(total), other=decimal_text(other),
    )  # fmt: skip


amounts = st.decimals(min_value=-100, max_value=10000, places=12)
names = st.sampled_from(["untagged", *(f"customer-{number}" for number in range(9))])


@given(st.lists(st.tuples(names, amounts), unique_by=lambda row: row[0]), amounts, st.integers(0, 7))
def test_named_other_and_untagged_add_up_to_the_total(
    rows: list[tuple[str, Decimal]], cut: Decimal, named: int
) -> None:
    folded = fold(answer(rows, cut), "customer", named=named)
    parts = sum((amount for _, amount in folded.named), folded.other) + (folded.untagged or 0)
    assert parts == folded.total
    assert "untagged" not in [name for name, _ in folded.named]
    assert len(folded.named) <= named


def test_the_largest_are_named_and_the_rest_is_counted() -> None:
    rows = [("a", Decimal(1)), ("untagged", Decimal(9)), ("b", Decimal(5)), ("c", Decimal(2))]
    folded = fold(answer(rows), "customer", named=2)
    assert folded.named == (("b", Decimal("5.00")), ("c", Decimal("2.00")))
    assert (folded.other, folded.others, folded.untagged) == (Decimal("1.00"), 1, Decimal("9.00"))


def test_members_that_the_answer_cut_off_are_not_counted() -> None:
    assert fold(answer([("a", Decimal(1))], Decimal(3)), "customer", named=5).others is None


def test_the_series_of_other_is_the_day_less_the_named_series() -> None:
    found = matrix(answer([("a", Decimal(1)), ("b", Decimal(2))]), "customer", "day")
    assert rest({"2026-11-01": Decimal(5)}, list(found.values())) == {"2026-11-01": Decimal("2.00")}
    assert by_member(answer([("a", Decimal(1))]), "customer") == {"a": Decimal("1.00")}


# --- pages of a long answer ---

MEMBERS = st.lists(st.tuples(names, amounts), unique_by=lambda row: row[0], max_size=12)


@given(MEMBERS, amounts, st.integers(0, 12), st.integers(1, 5))
def test_each_page_adds_up_to_the_total(
    rows: list[tuple[str, Decimal]], cut: Decimal, start: int, size: int
) -> None:
    found = answer(rows, cut)
    members = largest(found, "customer")[start : start + size]
    parts = pick(found, "customer", members)
    assert [name for name, _ in parts.named] == members
    assert sum((amount for _, amount in parts.named), parts.other) + (parts.untagged or 0) == parts.total
    shown = [row for row in found.rows if row["customer"] in (*members, "untagged")]
    assert left(found, shown) == parts.other


@given(MEMBERS)
def test_all_pages_together_are_the_answer(rows: list[tuple[str, Decimal]]) -> None:
    found = answer(rows)
    assert sorted(largest(found, "customer")) == sorted(name for name, _ in rows if name != "untagged")
    assert left(found, found.rows) == 0
    assert besides(by_member(found, "customer"), ()) == Decimal(found.total)
    assert quantity(found, "billed_cost") == Decimal(found.total)
    assert through(found, date(2026, 11, 1)) == Decimal(found.total)
    assert through(found, date(2026, 10, 31)) == 0


def test_whole_numbers_and_left_out_lines_are_counted() -> None:
    found = replace(
        answer([("a", Decimal(1))]),
        rows=({"lines": 3}, {"lines": "4"}, {"lines": None}, {}),
        excluded=(
            Excluded("quarantined", "", rows=2),
            Excluded("other", "", rows=9),
            Excluded("quarantined", "", rows=1),
        ),
    )
    assert tally(found, "lines") == 7
    assert excluded_rows(found, "quarantined") == 3


DAILY = st.dictionaries(
    st.dates(date(2026, 1, 1), date(2026, 3, 1)), st.decimals(-9, 99, places=4), max_size=20
)


@given(DAILY)
def test_a_running_total_ends_with_the_amount_of_its_days(daily: dict[date, Decimal]) -> None:
    first, last = date(2026, 1, 10), date(2026, 2, 10)
    days = [first + timedelta(days=step) for step in range((last - first).days + 1)]
    totals = running(daily, days)
    assert list(totals) == days
    assert totals[last] == within(daily, first, last)


@given(DAILY, st.integers(1, 5))
def test_buckets_hold_what_lies_in_them_and_no_more(daily: dict[date, Decimal], count: int) -> None:
    amounts = {day.isoformat(): amount for day, amount in daily.items()}
    place = {day: int(day[-2:]) % count for day in amounts if day < "2026-02"}
    filled = gathered(amounts, place, count)
    assert len(filled) == count
    assert sum(filled) == sum(amounts[day] for day in place)
