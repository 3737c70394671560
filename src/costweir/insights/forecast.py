"""Where the month will end: a weekday mean, with a range from how wrong it was before. Decimal only.

Method, stated so that a reader can redo it: each coming day costs the mean of its weekday over the last 28
complete days. The 80 % range is the 10th to 90th percentile of the relative error that this method had from
earlier starting days over the same number of days ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from costweir.domain.money import EXACT
from costweir.domain.period import Month

#: Days of history without which no forecast is made, and days that the weekday means look back.
LEAST_DAYS = 14
LOOK_BACK = 28
METHOD = (
    "weekday mean of the last 28 complete days; "
    "80% range from the errors of earlier forecasts over as many days"
)
_CENT = Decimal("0.01")
_ZERO = Decimal(0)
#: Half width used while there are too few earlier forecasts to measure: 1.2816 standard deviations is 80 %
#: of a normal.
_NORMAL_80 = Decimal("1.2816")
_LEAST_ORIGINS = 6


@dataclass(frozen=True, slots=True)
class DayRange:
    """The running total expected at the end of one coming day, with its 80 % range."""

    day: date
    expected: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Miss:
    """What the same method would have said for an earlier month on the same day of the month, and what
    came."""

    month: Month
    forecast: Decimal
    actual: Decimal

    @property
    def error(self) -> Decimal:
        """Size of the error as a ratio of what came: 0.048 is 4.8 %."""
        return _ZERO if self.actual == 0 else abs(self.forecast - self.actual) / abs(self.actual)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Amounts in the currency of the series, rounded to cents. Empty `cone` means that the month is over."""

    month: Month
    expected: Decimal
    low: Decimal
    high: Decimal
    cone: tuple[DayRange, ...]
    misses: tuple[Miss, ...]
    method: str = METHOD


@dataclass(frozen=True, slots=True)
class NotYet:
    """Too little history: a forecast is possible from `day` on."""

    day: date


def forecast(daily: Mapping[date, Decimal], *, complete_until: date, month: Month) -> Forecast | NotYet:
    """The end of `month` from exact daily amounts. A day that is missing inside the history cost nothing.

    Only days before `complete_until` count as known; what has arrived of later days is replaced by its
    expectation, unless more has arrived already. Returns `NotYet` with fewer than 14 complete days.
    """
    known = {day: amount for day, amount in daily.items() if day < complete_until}
    if not known:
        return NotYet(max(complete_until, month.first) + timedelta(days=LEAST_DAYS))
    first = min(known)
    if (complete_until - first).days < LEAST_DAYS:
        return NotYet(first + timedelta(days=LEAST_DAYS))
    misses = _misses(known, first=first, complete_until=complete_until, month=month)
    ahead = _days(max(complete_until, month.first), month.following.first)
    spent = _sum(known, month.first, min(complete_until, month.following.first))
    means = _weekday_means(known, first, complete_until)
    if not ahead:
        total = spent.quantize(_CENT, context=EXACT)
        return Forecast(month, total, total, total, (), misses)
    low_share, high_share = _shares(known, first=first, until=complete_until, horizon=len(ahead))
    cone: list[DayRange] = []
    running = expected = spent
    for day in ahead:
        coming = max(means[day.weekday()], daily.get(day, _ZERO))
        expected += coming
        ahead_sum = expected - running
        low, high = running + ahead_sum * low_share, running + ahead_sum * high_share
        cone.append(DayRange(day, _cents(expected), _cents(low), _cents(high)))
    return Forecast(month, cone[-1].expected, cone[-1].low, cone[-1].high, tuple(cone), misses)


def outlook(
    daily: Mapping[date, Decimal], *, complete_until: date, month: Month
) -> tuple[Decimal, int] | None:
    """The end of the month by the method of `forecast` without its range, and the days of history it rests on; with
    few days every weekday counts as its mean of what is known. None without a complete day. Much cheaper than a
    forecast, so that a thousand budgets can be looked at."""
    known = {day: amount for day, amount in daily.items() if day < complete_until}
    if not known:
        return None
    first = min(known)
    total = _sum(known, month.first, min(complete_until, month.following.first))
    means = _weekday_means(known, first, complete_until)
    seen = {
        day.weekday() for day in _days(max(first, complete_until - timedelta(days=LOOK_BACK)), complete_until)
    }
    spread = sum(means, _ZERO) / len(seen)
    for day in _days(max(complete_until, month.first), month.following.first):
        mean = means[day.weekday()] if day.weekday() in seen else spread
        total = EXACT.add(total, max(mean, daily.get(day, _ZERO)))
    return _cents(total), (complete_until - first).days


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, context=EXACT)


@lru_cache(maxsize=256)
def _days(first: date, until: date) -> tuple[date, ...]:
    return tuple(first + timedelta(days=step) for step in range(max((until - first).days, 0)))


def _sum(daily: Mapping[date, Decimal], since: date, until: date) -> Decimal:
    total = _ZERO
    for day in _days(since, until):
        total = EXACT.add(total, daily.get(day, _ZERO))
    return total


def _weekday_means(daily: Mapping[date, Decimal], first: date, until: date) -> list[Decimal]:
    """Mean amount of each weekday, Monday first, over the last 28 days before `until`."""
    start = max(first, until - timedelta(days=LOOK_BACK))
    sums, counts = [_ZERO] * 7, [0] * 7
    for day in _days(start, until):
        sums[day.weekday()] += daily.get(day, _ZERO)
        counts[day.weekday()] += 1
    return [total / times if times else _ZERO for total, times in zip(sums, counts, strict=True)]


def _expected(daily: Mapping[date, Decimal], first: date, *, origin: date, until: date) -> Decimal:
    means = _weekday_means(daily, first, origin)
    return sum((means[day.weekday()] for day in _days(origin, until)), _ZERO)


def _shares(
    daily: Mapping[date, Decimal], *, first: date, until: date, horizon: int
) -> tuple[Decimal, Decimal]:
    """Low and high multiple of the expected remainder, from every earlier origin with `horizon` known days
    after it."""
    shares: list[Decimal] = []
    origin = until - timedelta(days=horizon)
    while (origin - first).days >= LOOK_BACK and len(shares) < 120:
        guess = _expected(daily, first, origin=origin, until=origin + timedelta(days=horizon))
        if guess > 0:
            shares.append(_sum(daily, origin, origin + timedelta(days=horizon)) / guess)
        origin -= timedelta(days=3)
    if len(shares) >= _LEAST_ORIGINS:
        return min(_quantile(shares, Decimal("0.1")), Decimal(1)), max(
            _quantile(shares, Decimal("0.9")), Decimal(1)
        )
    return _shares_from_days(daily, first=first, until=until, horizon=horizon)


def _shares_from_days(
    daily: Mapping[date, Decimal], *, first: date, until: date, horizon: int
) -> tuple[Decimal, Decimal]:
    """The same while history is short: the spread of single days around their weekday mean, over `horizon`
    days."""
    means = _weekday_means(daily, first, until)
    days = _days(max(first, until - timedelta(days=LOOK_BACK)), until)
    squares = sum(((daily.get(day, _ZERO) - means[day.weekday()]) ** 2 for day in days), _ZERO)
    average = sum(means, _ZERO) / 7
    if average <= 0:
        return Decimal(1), Decimal(1)
    freedom = max(len(days) - 7, 1)
    spread = _NORMAL_80 * (squares / freedom).sqrt() / average / Decimal(horizon).sqrt()
    return max(Decimal(1) - spread, _ZERO), Decimal(1) + spread


def _quantile(values: Sequence[Decimal], share: Decimal) -> Decimal:
    """Linear interpolation between the two nearest order statistics."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _misses(
    daily: Mapping[date, Decimal], *, first: date, complete_until: date, month: Month
) -> tuple[Miss, ...]:
    """The last three months as they would have been forecast on the same day of the month, oldest first."""
    offset = min(max((complete_until - month.first).days, 0), month.days)
    found: list[Miss] = []
    past = month.previous
    while len(found) < 3 and past.following.first <= complete_until:
        origin = past.first + timedelta(days=min(offset, past.days))
        if (origin - first).days < LEAST_DAYS or past.first < first:
            break
        spent = _sum(daily, past.first, origin)
        guess = spent + _expected(daily, first, origin=origin, until=past.following.first)
        found.append(Miss(past, _cents(guess), _sum(daily, past.first, past.following.first)))
        past = past.previous
    return tuple(reversed(found))
