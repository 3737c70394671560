"""What an hour usually costs: of the week where weeks are known, of the last days before that."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from costweir.insights.usual import usual_hour

#: A Friday.
AT = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


def flat(days: int, cost: int = 24) -> dict[date, Decimal]:
    return {AT.date() - timedelta(days=number): Decimal(cost) for number in range(1, days + 1)}


def test_nothing_is_usual_without_history() -> None:
    assert usual_hour({}, {}, AT) is None
    assert usual_hour({}, {AT.date(): Decimal(5)}, AT) is None


def test_with_few_weeks_it_is_the_mean_hour_of_the_last_days() -> None:
    told = usual_hour({(5, 12): Decimal(9)}, flat(10), AT)
    assert told is not None
    assert (told.cost, told.days, told.against) == (1, 10, "the mean hour of 7 days")
    young = usual_hour({}, flat(2), AT)
    assert young is not None
    assert (young.cost, young.against) == (1, "the mean hour of 2 days")


def test_with_four_weeks_it_is_the_dearer_of_the_two_hours_that_the_last_one_touches() -> None:
    slots = {(5, 11): Decimal(8), (5, 12): Decimal(20)}
    told = usual_hour(slots, flat(28), AT)
    assert told is not None
    assert (told.cost, told.against) == (5, "the same hour of 4 weeks")


def test_hours_without_spend_count_in_their_mean() -> None:
    told = usual_hour({(5, 12): Decimal(8)}, {AT.date() - timedelta(days=56): Decimal(8)}, AT)
    assert told is not None
    assert told.cost == 1


def test_an_hour_that_never_had_spend_is_judged_by_the_mean() -> None:
    told = usual_hour({(1, 3): Decimal(500)}, flat(30), AT)
    assert told is not None
    assert told.against == "the mean hour of 7 days"


def test_just_after_midnight_the_hour_before_is_of_another_day() -> None:
    at = datetime(2026, 11, 20, 0, 10, tzinfo=UTC)
    told = usual_hour({(4, 23): Decimal(12)}, flat(28), at)
    assert told is not None
    assert told.cost == 3


@given(st.integers(1, 80), st.integers(1, 10**6), st.integers(0, 10**4))
def test_it_scales_with_the_spend(days: int, factor: int, slot: int) -> None:
    slots = {(5, 12): Decimal(slot)}
    one = usual_hour(slots, flat(days), AT)
    many = usual_hour({key: cost * factor for key, cost in slots.items()}, flat(days, 24 * factor), AT)
    assert one is not None
    assert many is not None
    assert many.against == one.against
    assert abs(many.cost - one.cost * factor) <= Decimal("1e-18") * factor * max(one.cost, Decimal(1))
