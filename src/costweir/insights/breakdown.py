"""A long answer folded for the eye: a few named members, Other and untagged, which still add up to the total
(law L4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costweir.domain.answer import Answer, Cell
from costweir.domain.charge import UNTAGGED
from costweir.domain.money import EXACT

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """`named` (largest first), `other` with how many members it holds, `untagged`; they add up to `total`.

    `others` is None when the answer itself had cut off members, so that their number is not known.
    """

    named: tuple[tuple[str, Decimal], ...]
    other: Decimal
    others: int | None
    untagged: Decimal | None
    total: Decimal


def cost_field(answer: Answer) -> str:
    """Name of the money column of the answer: `billed_cost`, `effective_cost`, ..."""
    return f"{answer.basis}_cost"


def cost(row: Mapping[str, Cell], field: str) -> Decimal:
    """The amount of one row; a row without an amount counts as zero in a sum (it is shown as unpriced)."""
    value = row.get(field)
    return ZERO if value is None else Decimal(str(value))


def fold(answer: Answer, dimension: str, *, named: int) -> Breakdown:
    """Keeps the `named` largest members of `dimension` and sums the rest. `untagged` never hides in Other."""
    return pick(answer, dimension, largest(answer, dimension)[:named])


def largest(answer: Answer, dimension: str) -> list[str]:
    """The members of `dimension` without `untagged`, largest first."""
    amounts = by_member(answer, dimension)
    return sorted((name for name in amounts if name != UNTAGGED), key=lambda name: (-amounts[name], name))


def pick(answer: Answer, dimension: str, members: Sequence[str]) -> Breakdown:
    """Keeps these members in this order and sums the rest, for one page of a long list."""
    amounts = by_member(answer, dimension)
    untagged = amounts.pop(UNTAGGED, None)
    shown = tuple((name, amounts.pop(name)) for name in members)
    cut = Decimal(answer.other)
    other = EXACT.add(add(amounts.values()), cut)
    return Breakdown(shown, other, None if cut else len(amounts), untagged, Decimal(answer.total))


def left(answer: Answer, rows: Sequence[Mapping[str, Cell]]) -> Decimal:
    """What of the total is not in `rows`, which are some of the answer's own."""
    field = cost_field(answer)
    return EXACT.subtract(Decimal(answer.total), add(cost(row, field) for row in rows))


def besides(amounts: Mapping[str, Decimal], members: Collection[str]) -> Decimal:
    """What the members have that are not among `members`."""
    return add(amount for name, amount in amounts.items() if name not in members)


def tally(answer: Answer, field: str) -> int:
    """The whole number `field` of all rows together; a row without it counts as zero."""
    return sum(int(str(row.get(field) or 0)) for row in answer.rows)


def excluded_rows(answer: Answer, reason: str) -> int:
    """How many lines the answer left out for this reason."""
    return sum(item.rows for item in answer.excluded if item.reason == reason)


def quantity(answer: Answer, field: str) -> Decimal:
    """The exact quantity `field` of all rows together, such as tokens."""
    return add(Decimal(str(row.get(field) or 0)) for row in answer.rows)


def through(answer: Answer, last: date) -> Decimal:
    """The amount of an answer by day up to and with the day `last`."""
    return add(amount for day, amount in by_member(answer, "day").items() if day <= last.isoformat())


def within(daily: Mapping[date, Decimal], first: date, last: date) -> Decimal:
    """The amount of the days from `first` to `last`, both inclusive."""
    return add(amount for day, amount in daily.items() if first <= day <= last)


def running(daily: Mapping[date, Decimal], days: Sequence[date]) -> dict[date, Decimal]:
    """The amount from the first of `days` up to each of them; a day without an amount adds nothing."""
    total, found = ZERO, dict[date, Decimal]()
    for day in days:
        total = EXACT.add(total, daily.get(day, ZERO))
        found[day] = total
    return found


def gathered(amounts: Mapping[str, Decimal], place: Mapping[str, int], count: int) -> tuple[Decimal, ...]:
    """One amount for each of `count` buckets; `place` says in which bucket a day lies, others are left out."""
    filled = [ZERO] * count
    for when, amount in amounts.items():
        if when in place:
            filled[place[when]] = EXACT.add(filled[place[when]], amount)
    return tuple(filled)


def add(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def by_member(answer: Answer, dimension: str, *, field: str = "") -> dict[str, Decimal]:
    """Amount per member of `dimension`, or the exact quantity `field` such as `tokens`."""
    field = field or cost_field(answer)
    found: dict[str, Decimal] = {}
    for row in answer.rows:
        member = str(row.get(dimension) or UNTAGGED)
        found[member] = EXACT.add(found.get(member, ZERO), cost(row, field))
    return found


def matrix(answer: Answer, dimension: str, over: str) -> dict[str, dict[str, Decimal]]:
    """Amount per member of `dimension` and per value of `over` (a day or month): `{member: {when:
    amount}}`."""
    field = cost_field(answer)
    found: dict[str, dict[str, Decimal]] = {}
    for row in answer.rows:
        member, when = str(row.get(dimension) or UNTAGGED), str(row[over])
        cells = found.setdefault(member, {})
        cells[when] = EXACT.add(cells.get(when, ZERO), cost(row, field))
    return found


def rest(total: Mapping[str, Decimal], parts: Sequence[Mapping[str, Decimal]]) -> dict[str, Decimal]:
    """What is left of each value of `total` after taking the parts away: the series of Other."""
    left = dict(total)
    for part in parts:
        for when, amount in part.items():
            left[when] = EXACT.subtract(left.get(when, ZERO), amount)
    return left
