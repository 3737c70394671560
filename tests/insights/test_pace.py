"""How fast a budget goes, whatever its size."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from costweir.insights.pace import Burnt, pace

HOUR, MONTH = timedelta(hours=1), timedelta(days=30)
SHORT = timedelta(minutes=5)
COSTS = st.decimals(0, 10**6, places=6)


def of(limit: str, long: str, short: str) -> Decimal:
    told = pace(Decimal(limit), MONTH, long=Burnt(Decimal(long), HOUR), short=Burnt(Decimal(short), SHORT))
    assert told is not None
    return told.times


def test_a_budget_that_lasts_exactly_burns_once() -> None:
    assert of("720", "1", "1") == 1
    assert of("15000", "300", "25") == Decimal("14.4")


def test_a_burst_that_is_over_is_over() -> None:
    assert of("720", "100", "0") == 0


def test_the_hours_until_it_is_used_up() -> None:
    told = pace(Decimal(15000), MONTH, long=Burnt(Decimal(300), HOUR), short=Burnt(Decimal(25), SHORT))
    assert told is not None
    assert told.empty_hours == 50


def test_there_is_no_pace_without_money_or_within_one_window() -> None:
    burnt = Burnt(Decimal(1), HOUR)
    assert pace(Decimal(0), MONTH, long=burnt, short=burnt) is None
    assert pace(Decimal(5), HOUR, long=burnt, short=burnt) is None
    idle = pace(Decimal(5), MONTH, long=Burnt(Decimal(0), HOUR), short=Burnt(Decimal(0), SHORT))
    assert idle is not None
    assert (idle.times, idle.empty_hours) == (0, None)


@given(COSTS, COSTS, st.integers(1, 10**6))
def test_a_budget_ten_times_as_large_with_ten_times_the_spend_is_as_fast(
    long: Decimal, short: Decimal, factor: int
) -> None:
    one = pace(Decimal(720), MONTH, long=Burnt(long, HOUR), short=Burnt(short, SHORT))
    many = pace(
        Decimal(720) * factor, MONTH, long=Burnt(long * factor, HOUR), short=Burnt(short * factor, SHORT)
    )
    assert one is not None
    assert many is not None
    assert abs(one.times - many.times) <= Decimal("1e-18") * max(one.times, Decimal(1))


@given(COSTS, COSTS, st.decimals(0, 1000, places=6))
def test_more_spend_never_burns_slower(long: Decimal, short: Decimal, more: Decimal) -> None:
    def times(extra: Decimal) -> Decimal:
        told = pace(Decimal(720), MONTH, long=Burnt(long + extra, HOUR), short=Burnt(short + extra, SHORT))
        assert told is not None
        return told.times

    assert times(more) >= times(Decimal(0))
