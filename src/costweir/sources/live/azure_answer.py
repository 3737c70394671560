"""Reads the answer of a cost query by the names of its columns, whose order Azure changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast

from costweir.domain.period import Month
from costweir.errors import SourceRejected

_HINT = "Azure's answer has changed; nothing was loaded. Report it, and use a cost export meanwhile."


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an answer. Names are found whatever their letter case."""

    places: Mapping[str, int]
    cells: Sequence[object]

    def has(self, *names: str) -> bool:
        """Whether the answer has any of these columns."""
        return any(name.lower() in self.places for name in names)

    def _cell(self, *names: str) -> object:
        for name in names:
            place = self.places.get(name.lower())
            if place is not None:
                return self.cells[place]
        raise SourceRejected(f"Azure's answer has no column {names[0]}.", hint=_HINT)

    def text(self, *names: str) -> str:
        """A text, empty where Azure has none."""
        cell = self._cell(*names)
        return "" if cell is None else str(cell)

    def number(self, *names: str) -> Decimal:
        """A number; Azure leaves out a quantity by giving null."""
        cell = self._cell(*names)
        if cell is None:
            return Decimal(0)
        if isinstance(cell, bool) or not isinstance(cell, int | Decimal):
            raise SourceRejected(f"Azure's column {names[0]} has {cell!r}, which is no number.", hint=_HINT)
        return Decimal(cell)

    def day(self, name: str) -> date:
        """A day: the number 20261001, or a text that starts with an ISO date."""
        return _day(self._cell(name), name)

    def month(self, name: str) -> Month:
        """A month, which Azure writes as its first day."""
        return Month.of(_day(self._cell(name), name))


def _day(cell: object, name: str) -> date:
    text = str(cell)
    digits = (text.partition("T")[0].replace("-", "")) if isinstance(cell, str) else text
    try:
        return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise SourceRejected(f"Azure's column {name} has {text!r}, which is no day.", hint=_HINT) from error


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its columns, its rows, and where the next one is ("" when there is none)."""

    places: Mapping[str, int]
    cells: Sequence[Sequence[object]]
    next_link: str

    def rows(self) -> Iterator[Row]:
        """The rows. Raises SourceRejected for one that is shorter or longer than the columns."""
        for cells in self.cells:
            if len(cells) != len(self.places):
                raise SourceRejected(
                    f"A row of Azure's answer has {len(cells)} cells for {len(self.places)} columns.",
                    hint=_HINT,
                )
            yield Row(self.places, cells)

    def days_within(self, since: date, until: date) -> Iterator[Row]:
        """The rows, each of a day from `since` to `until`, both included. Raises SourceRejected for any other day,
        because Azure moves a range that it does not like instead of refusing it."""
        for row in self.rows():
            day = row.day("UsageDate")
            if not since <= day <= until:
                raise SourceRejected(
                    f"Azure was asked for {since} to {until} and answered for {day}.",
                    hint="It moves ranges that it does not keep data for; ask for younger days.",
                )
            yield row


def read_page(answer: Mapping[str, Any]) -> Page:
    """The page in an answer. Raises SourceRejected for an answer of another shape."""
    properties: object = answer.get("properties")
    if not isinstance(properties, dict):
        raise SourceRejected("Azure's answer has no properties.", hint=_HINT)
    inner = cast("Mapping[str, Any]", properties)
    columns: object = inner.get("columns")
    rows: object = inner.get("rows")
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise SourceRejected("Azure's answer has no columns or no rows.", hint=_HINT)
    names = [str(column["name"]).lower() for column in cast("list[Mapping[str, Any]]", columns)]
    if len(set(names)) != len(names):
        raise SourceRejected("Azure's answer has two columns of one name.", hint=_HINT)
    places = {name: place for place, name in enumerate(names)}
    link = inner.get("nextLink") or answer.get("nextLink")
    return Page(places, cast("list[list[object]]", rows), str(link) if link else "")
