"""What passes between a request that was understood and the rows that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from costweir.domain.answer import Cell, Excluded
from costweir.domain.money import EXACT, decimal_text, quantity_text
from costweir.queries.coverage import Coverage
from costweir.queries.question import MeasureKind, Question, Ratio
from costweir.queries.render import Selection
from costweir.queries.request import Request
from costweir.store.warehouse import Value

#: Ratios are not money; twelve places are more than any face shows.
_RATIO_STEP = Decimal(1).scaleb(-12)
#: Filters that narrow the sources an answer rests on.
_SOURCE_FIELDS = ("provider", "source", "account")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was understood: the question, what to select, the wanted currency and what is stored."""

    question: Question
    selection: Selection
    currency: str
    coverage: Coverage
    request: Request

    def narrowed(self) -> Asked:
        """With only the loads that the filters on provider, source and account let through."""
        loads = self.coverage.loads
        for field in _SOURCE_FIELDS:
            if field in self.selection.filter.values:
                wanted = self.selection.filter.values[field][1]
                loads = tuple(load for load in loads if getattr(load, field) in wanted)
        return replace(self, coverage=replace(self.coverage, loads=loads))


@dataclass(frozen=True, slots=True)
class Result:
    """Rows with their exact amounts, and the total of everything in scope, shown or not."""

    rows: Sequence[Mapping[str, Cell]]
    amounts: Sequence[Decimal]
    total: Decimal
    currency: str
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()


def number(value: Value) -> Decimal:
    """A number from any engine as a Decimal; nothing counts as zero."""
    if value is None:
        return Decimal(0)
    if isinstance(value, int | Decimal):
        return Decimal(value)
    raise TypeError(f"{value!r} is not an exact number")


def cell(value: Value, kind: MeasureKind | str = "text") -> Cell:
    """A value as it goes on the wire."""
    if value is None:
        return None
    if kind == "money":
        return decimal_text(number(value))
    if kind == "quantity":
        return quantity_text(number(value))
    if kind == "int":
        return int(number(value))
    return value if isinstance(value, bool | int) else str(value)


def ratio_text(of: Decimal, per: Decimal, times: int = 1) -> str | None:
    """`of / per * times` as a decimal string with at most twelve places; nothing when `per` is zero."""
    if per == 0:
        return None
    value = EXACT.divide(of * times, per).quantize(_RATIO_STEP, rounding=ROUND_HALF_EVEN, context=EXACT)
    return quantity_text(value)


def ratio_cell(ratio: Ratio, values: Mapping[str, Decimal]) -> str | None:
    """A ratio measure of a row."""
    per = values[ratio.per]
    return None if per < ratio.at_least else ratio_text(values[ratio.of], per, ratio.times)
