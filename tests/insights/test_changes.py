"""The drivers of a change add up to the change, to the last digit."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.domain.money import EXACT
from costweir.insights.changes import Changes, Line, explain, movers

MEMBERS = (("aws", "claude"), ("gcp", "gemini"), ("openai", "gpt"), ("azure", "gpt"))
CLASSES = ("input", "output", "cache_read", "other")


def line(member: tuple[str, ...], token_class: str, cost: str, quantity: str = "0") -> Line:
    return Line((*member, token_class), member, Decimal(cost), Decimal(quantity))


lines = st.lists(
    st.builds(
        lambda member, token_class, cost, quantity: Line((*member, token_class), member, cost, quantity),
        st.sampled_from(MEMBERS),
        st.sampled_from(CLASSES),
        st.decimals(min_value=-1000, max_value=100000, places=18, allow_nan=False),
        st.decimals(min_value=0, max_value=10**12, places=3, allow_nan=False),
    ),
    max_size=14,
)


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(EXACT.add, amounts, Decimal(0))


def total(changes: Changes) -> Decimal:
    return exact_sum(amount for _, amount in changes.drivers)


@given(lines, lines)
def test_drivers_add_up_exactly_to_the_change(before: list[Line], after: list[Line]) -> None:
    changes = explain(before, after)
    paid = exact_sum(row.cost for row in after), exact_sum(row.cost for row in before)
    assert changes.change == EXACT.subtract(*paid)
    assert total(changes) == changes.change


@given(lines, lines)
def test_movers_add_up_exactly_to_the_change(before: list[Line], after: list[Line]) -> None:
    assert exact_sum(mover.change for mover in movers(before, after)) == explain(before, after).change


def test_twice_the_tokens_at_the_same_prices_is_volume_alone() -> None:
    claude = ("aws", "claude")
    changes = explain([line(claude, "input", "30", "1000")], [line(claude, "input", "60", "2000")])
    assert changes.drivers == (("volume", Decimal(30)),)


def test_the_same_tokens_at_a_lower_price_is_price_alone() -> None:
    claude = ("aws", "claude")
    changes = explain([line(claude, "input", "30", "1000")], [line(claude, "input", "24", "1000")])
    assert changes.drivers == (("price", Decimal(-6)),)


def test_tokens_that_move_to_a_dearer_model_are_mix_alone() -> None:
    cheap, dear = ("gcp", "flash"), ("gcp", "pro")
    before = [line(cheap, "input", "10", "1000"), line(dear, "input", "40", "1000")]
    after = [line(cheap, "input", "5", "500"), line(dear, "input", "60", "1500")]
    assert explain(before, after).drivers == (("mix", Decimal(15)),)


def test_members_of_one_period_only_are_new_and_gone() -> None:
    old, fresh = ("aws", "titan"), ("aws", "nova")
    changes = explain([line(old, "input", "7", "10")], [line(fresh, "input", "9", "10")])
    assert (changes.new, changes.gone, changes.change) == (Decimal(9), Decimal(-7), Decimal(2))


def test_a_fee_without_tokens_is_uncounted_and_not_volume() -> None:
    capacity = ("azure", "gpt")
    changes = explain([line(capacity, "other", "100")], [line(capacity, "other", "130")])
    assert changes.drivers == (("uncounted", Decimal(30)),)


def test_a_token_class_seen_first_at_a_known_model_is_mix_and_not_price() -> None:
    claude = ("aws", "claude")
    before = [line(claude, "input", "30", "1000")]
    after = [line(claude, "input", "30", "1000"), line(claude, "cache_write", "4", "100")]
    changes = explain(before, after)
    assert changes.price == 0
    assert changes.volume + changes.mix == Decimal(4)


@pytest.mark.parametrize(("before", "after"), [([], []), ([line(("aws", "x"), "input", "0", "0")], [])])
def test_nothing_spent_has_no_driver(before: list[Line], after: list[Line]) -> None:
    assert explain(before, after).drivers == ()
