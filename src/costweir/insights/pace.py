"""How fast a budget goes: its burn over a long and a short window, as multiples of the pace at which it would last
exactly as long as its window. Decimal only; the method is that of burn rates for objectives, with money for errors.

One means that the budget ends with its window, which is the plan and no failure; a month that begins with all of it
spent in an hour burns 720 times too fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

from costweir.domain.money import EXACT

_TENTH = Decimal("0.1")
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Pace:
    """`times` is the slower of the two burns, so that a burst that is over is over; exact, not rounded. `empty_hours`
    is how long the whole limit lasts at the rate of the long window, empty while nothing is spent."""

    times: Decimal
    empty_hours: Decimal | None


@dataclass(frozen=True, slots=True)
class Burnt:
    """What was spent in the time that just passed."""

    cost: Decimal
    span: timedelta


def pace(limit: Decimal, window: timedelta, *, long: Burnt, short: Burnt) -> Pace | None:
    """The pace of a limit for a window. None for a limit of nothing, and for a window no longer than the long one: its
    threshold says it sooner."""
    if limit <= 0 or window <= long.span or not long.span or not short.span:
        return None
    times = min(_times(limit, window, burnt) for burnt in (long, short))
    hours = None
    if long.cost > 0:
        rate = EXACT.divide(long.cost * _HOUR, _seconds(long.span))
        hours = EXACT.divide(limit, rate).quantize(_TENTH, ROUND_HALF_UP)
    return Pace(times, hours)


def _times(limit: Decimal, window: timedelta, burnt: Burnt) -> Decimal:
    return EXACT.divide(burnt.cost * _seconds(window), limit * _seconds(burnt.span))


def _seconds(span: timedelta) -> int:
    return span.days * 86_400 + span.seconds
