"""A folded answer still adds up, and untagged never hides in Other."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from costweir.domain.answer import Answer
from costweir.domain.money import decimal_text
from costweir.domain.period import Period
from costweir.insights.breakdown import by_member, fold, matrix, rest


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
