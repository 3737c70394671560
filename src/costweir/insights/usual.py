"""What an hour usually costs: the same hour of the week where weeks are known, else the mean hour of the last days.
Decimal only. Method: the mean over every such hour since the first day with spend, hours without spend included; of the
two hours that the last sixty minutes touch, the dearer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from costweir.domain.money import EXACT

#: A weekday and an hour of it, Monday 1 and UTC.
Slot = tuple[int, int]
#: Weeks that a mean of one hour of the week needs, and days that the rolling mean looks back.
LEAST_WEEKS = 4
LOOK_BACK = 7


@dataclass(frozen=True, slots=True)
class Usual:
    """What an hour usually costs, the days of history, and in words what it is compared with."""

    cost: Decimal
    days: int
    against: str


def usual_hour(by_slot: Mapping[Slot, Decimal], daily: Mapping[date, Decimal], at: datetime) -> Usual | None:
    """What the sixty minutes that end at `at` (UTC) usually cost; None without any history.

    `by_slot` is what each hour of the week cost in the days of `daily`, all of them before the day of `at`. A slot
    that has too few weeks, or never had spend, is judged by the mean hour of the last seven days.
    """
    today = at.date()
    known = [day for day, cost in daily.items() if cost and day < today]
    if not known:
        return None
    first = min(known)
    days = (today - first).days
    slots = {_slot(at), _slot(at - timedelta(hours=1))}
    means = [
        EXACT.divide(by_slot.get(slot, Decimal(0)), weeks)
        for slot in slots
        if (weeks := _count(slot[0], first, today)) >= LEAST_WEEKS
    ]
    if len(means) == len(slots) and max(means) > 0:
        return Usual(max(means), days, f"the same hour of {days // 7} weeks")
    span = min(days, LOOK_BACK)
    start = today - timedelta(days=span)
    total = sum((cost for day, cost in daily.items() if start <= day < today), Decimal(0))
    return Usual(EXACT.divide(total, span * 24), days, f"the mean hour of {span} days")


def _slot(at: datetime) -> Slot:
    return at.isoweekday(), at.hour


def _count(weekday: int, first: date, until: date) -> int:
    """How many days of that weekday there are from `first` to before `until`."""
    ahead = first + timedelta(days=(weekday - first.isoweekday()) % 7)
    return 0 if ahead >= until else ((until - ahead).days - 1) // 7 + 1
