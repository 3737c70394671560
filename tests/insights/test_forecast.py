"""The forecast says its range, its past errors, and when it cannot say anything."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from costweir.domain.period import Month
from costweir.insights.forecast import Forecast, NotYet, forecast, outlook

NOVEMBER = Month(2026, 11)


def weekly(first: date, until: date, *, weekday: str = "10", weekend: str = "4") -> dict[date, Decimal]:
    days = (first + timedelta(days=step) for step in range((until - first).days))
    return {day: Decimal(weekday if day.weekday() < 5 else weekend) for day in days}


def test_a_steady_week_is_forecast_exactly_and_without_spread() -> None:
    known = date(2026, 11, 19)
    answer = forecast(weekly(date(2026, 5, 1), known), complete_until=known, month=NOVEMBER)
    whole = sum(weekly(date(2026, 11, 1), date(2026, 12, 1)).values())
    assert isinstance(answer, Forecast)
    assert (answer.low, answer.expected, answer.high) == (whole, whole, whole)
    assert [miss.error for miss in answer.misses] == [0, 0, 0]
    assert [str(miss.month) for miss in answer.misses] == ["2026-08", "2026-09", "2026-10"]
    assert [step.day for step in answer.cone] == [date(2026, 11, day) for day in range(19, 31)]


def test_under_fourteen_days_it_says_from_when() -> None:
    answer = forecast(
        weekly(date(2026, 11, 11), date(2026, 11, 19)), complete_until=date(2026, 11, 19), month=NOVEMBER
    )
    assert answer == NotYet(date(2026, 11, 25))


def test_with_no_history_it_says_from_when() -> None:
    assert forecast({}, complete_until=date(2026, 11, 5), month=NOVEMBER) == NotYet(date(2026, 11, 19))


def test_a_month_that_is_over_is_its_own_sum() -> None:
    daily = weekly(date(2026, 9, 1), date(2026, 12, 1))
    answer = forecast(daily, complete_until=date(2026, 12, 1), month=NOVEMBER)
    assert isinstance(answer, Forecast)
    assert answer.cone == ()
    assert answer.expected == sum(weekly(date(2026, 11, 1), date(2026, 12, 1)).values())


def test_a_provisional_day_counts_as_its_expectation_until_it_has_more() -> None:
    known = date(2026, 11, 19)
    steady = weekly(date(2026, 5, 1), known)
    plain = forecast(steady, complete_until=known, month=NOVEMBER)
    partial = forecast({**steady, known: Decimal(1)}, complete_until=known, month=NOVEMBER)
    dearer = forecast({**steady, known: Decimal(60)}, complete_until=known, month=NOVEMBER)
    assert isinstance(plain, Forecast)
    assert isinstance(partial, Forecast)
    assert isinstance(dearer, Forecast)
    assert partial.expected == plain.expected
    assert dearer.expected == plain.expected + 50


def test_short_history_still_gets_a_range_from_the_spread_of_its_days() -> None:
    first, known = date(2026, 10, 30), date(2026, 11, 19)
    daily = weekly(first, known)
    for step, day in enumerate(sorted(daily)):
        daily[day] += step % 3
    answer = forecast(daily, complete_until=known, month=NOVEMBER)
    assert isinstance(answer, Forecast)
    assert answer.low < answer.expected < answer.high


@given(st.lists(st.decimals(min_value=0, max_value=1000, places=4), min_size=30, max_size=200))
def test_the_range_contains_the_expectation_and_starts_at_what_is_spent(amounts: list[Decimal]) -> None:
    known = date(2026, 11, 19)
    daily = {known - timedelta(days=len(amounts) - step): amount for step, amount in enumerate(amounts)}
    answer = forecast(daily, complete_until=known, month=NOVEMBER)
    assert isinstance(answer, Forecast)
    spent = sum((amount for day, amount in daily.items() if day >= NOVEMBER.first), Decimal(0))
    cent = Decimal("0.01")
    assert spent - cent <= answer.low <= answer.expected <= answer.high
    assert all(step.low <= step.expected <= step.high for step in answer.cone)


def test_the_outlook_is_the_forecast_without_its_range() -> None:
    daily = {date(2026, 9, 1) + timedelta(days=number): Decimal(10 + number % 7) for number in range(75)}
    until = date(2026, 11, 15)
    told = outlook(daily, complete_until=until, month=Month(2026, 11))
    whole = forecast(daily, complete_until=until, month=Month(2026, 11))
    assert isinstance(whole, Forecast)
    assert told == (whole.expected, 75)


def test_an_outlook_of_a_few_days_spreads_their_mean() -> None:
    daily = {date(2026, 11, day): Decimal(3) for day in (2, 3, 4)}
    assert outlook(daily, complete_until=date(2026, 11, 5), month=Month(2026, 11)) == (Decimal("87.00"), 3)
    assert outlook({}, complete_until=date(2026, 11, 5), month=Month(2026, 11)) is None
    assert outlook(daily, complete_until=date(2026, 11, 2), month=Month(2026, 11)) is None
