"""A long answer folded for the eye: a few named members, Other and untagged, which still add up to the total
(law L4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    amounts = by_member(answer, dimension)
    untagged = amounts.pop(UNTAGGED, None)
    tagged = list(amounts.items())
    tagged.sort(key=lambda item: (-item[1], item[0]))
    shown, rest = tagged[:named], tagged[named:]
    cut = Decimal(answer.other)
    other = EXACT.add(add(amount for _, amount in rest), cut)
    return Breakdown(tuple(shown), other, None if cut else len(rest), untagged, Decimal(answer.total))


def add(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def by_member(answer: Answer, dimension: str) -> dict[str, Decimal]:
    """Amount per member of `dimension`."""
    field = cost_field(answer)
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
