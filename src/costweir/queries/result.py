"""What passes between a request that was understood and the rows that answer it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import cast

from costweir.domain.answer import Cell, Excluded
from costweir.domain.money import EXACT, decimal_text, quantity_text
from costweir.queries.coverage import Coverage, instant_text
from costweir.queries.question import MeasureKind, Question, Ratio, part
from costweir.queries.render import Selection
from costweir.queries.request import Request
from costweir.store.warehouse import Reader, Value

#: Ratios are not money; twelve places are more than any face shows.
_RATIO_STEP = Decimal(1).scaleb(-12)
#: Dimensions that a series runs along.
TIME_DIMENSIONS = ("day", "month", "invoice_month", "weekday", "hour", "read_on")
#: Filters that narrow the sources an answer rests on.
_SOURCE_FIELDS = ("provider", "source", "account")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was understood: the question, what to select, the wanted currency, what is stored, and the instant
    at which it is asked."""

    question: Question
    selection: Selection
    currency: str
    coverage: Coverage
    request: Request
    now: datetime

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
    if isinstance(value, Decimal):
        return value
    if value is None:
        return Decimal(0)
    if isinstance(value, int):
        return Decimal(value)
    raise TypeError(f"{value!r} is not an exact number")


def cell(value: Value, kind: MeasureKind | str = "text") -> Cell:
    """A value as it goes on the wire."""
    if value is None:
        return None
    # most cells of a long answer are zeros, which need no arithmetic
    if kind == "money":
        return decimal_text(number(value)) if value else "0.00"
    if kind == "quantity":
        return quantity_text(number(value)) if value else "0"
    if kind == "int":
        return int(number(value))
    return value if isinstance(value, bool | int) else str(value)


def in_order(records: Iterable[Mapping[str, Value]], selection: Selection) -> list[Mapping[str, Value]]:
    """Time first where rows have one, then the largest amount, then the names: one order on every engine."""
    times = [f"d_{item.name}" for item in selection.by if item.name in TIME_DIMENSIONS]
    names = [f"d_{item.name}" for item in selection.by if item.name not in TIME_DIMENSIONS]
    ordered = sorted(records, key=lambda record: [str(record[name]) for name in names])
    ordered.sort(key=lambda record: number(record["m_cost"]), reverse=True)
    for name in reversed(times):
        ordered.sort(key=lambda record: cast("str", record[name]))
    return ordered


def largest(records: Iterable[Mapping[str, Value]], selection: Selection) -> list[Mapping[str, Value]]:
    """The largest rows up to the limit, in order."""
    ranked = sorted(records, key=lambda record: [str(record[f"d_{item.name}"]) for item in selection.by])
    ranked.sort(key=lambda record: number(record["m_cost"]), reverse=True)
    return in_order(ranked[: selection.limit], selection)


def mirrored_note(reader: Reader, *tables: str) -> list[str]:
    """A sentence that says when the reference tables an answer joins were last taken over."""
    taken = {str(row[0]): row[1] for row in reader.query(part("mirrors")).rows}
    instants = [instant for table in tables if isinstance(instant := taken.get(table), datetime)]
    names = [table.replace("customer_approved_models", "approved models") for table in tables]
    if len(instants) < len(tables):
        return [f"No {' or '.join(names)} are configured yet."]
    return [f"{' and '.join(names).capitalize()} as of {instant_text(min(instants))}."]


def ratio_text(of: Decimal, per: Decimal, times: int = 1) -> str | None:
    """`of / per * times` as a decimal string with at most twelve places; nothing when `per` is zero."""
    if not per:
        return None
    if not of:
        return "0"
    value = EXACT.divide(of * times, per).quantize(_RATIO_STEP, rounding=ROUND_HALF_EVEN, context=EXACT)
    return quantity_text(value)


def ratio_cell(ratio: Ratio, values: Mapping[str, Decimal]) -> str | None:
    """A ratio measure of a row."""
    per = values[ratio.per]
    return None if per < ratio.at_least else ratio_text(values[ratio.of], per, ratio.times)
