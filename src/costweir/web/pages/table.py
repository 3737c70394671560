"""One table, three readers: the page, the CSV in full precision, and the Markdown of exactly what is
shown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TypeVar

#: What stands for nothing on a page is empty in a file.
_NOTHING = "–"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Column:
    """`raw` is the CSV header; a column without it is for the eye only. `numeric` aligns right; `wide`
    hides it on a phone; `sort` is the key in the URL (empty: not sortable)."""

    title: str
    raw: str = ""
    numeric: bool = True
    wide: bool = False
    sort: str = ""
    hint: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """`text` is shown, `raw` is the exact value. `bar` is a width in percent, `spark` an SVG path, both
    for pixels."""

    text: str = ""
    raw: str = ""
    href: str = ""
    swatch: str = ""
    badge: bool = False
    tone: str = ""
    bar: str = ""
    spark: str = ""
    dot: tuple[str, str] = ("", "")
    note: str = ""
    title: str = ""
    mono: bool = False
    wrap: bool = False


@dataclass(frozen=True, slots=True)
class Gauge:
    """The weir: `settled` and `held` (may be empty) in percent of the full width, `now` and `limit` as numbers, and
    `text` in money."""

    label: str
    settled: str
    text: str
    now: str
    limit: str
    state: str = "ok"
    held: str = ""


Row = tuple[Cell, ...]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under columns. `sorted_by` is the sort key, with a minus for descending."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row = ()
    sorted_by: str = ""
    keys: tuple[str, ...] = ()

    @property
    def head(self) -> tuple[tuple[Column, str, str], ...]:
        """Each column with its `aria-sort` and the sort value that a click leads to."""
        return tuple((column, *self._order(column)) for column in self.columns)

    def _order(self, column: Column) -> tuple[str, str]:
        if not column.sort:
            return "", ""
        if self.sorted_by == f"-{column.sort}":
            return "descending", column.sort
        if self.sorted_by == column.sort:
            return "ascending", f"-{column.sort}"
        return "", f"-{column.sort}" if column.numeric else column.sort


def sort_rows(rows: Sequence[Row], columns: Sequence[Column], by: str) -> tuple[Row, ...]:
    """Rows in the order of a `sort` value such as `-cost`; an unknown one keeps the order."""
    return tuple(rows[place] for place in order_of(rows, columns, by))


def ordered(items: Sequence[Item], build: Callable[[Sequence[Item]], Table], by: str) -> list[Item]:
    """What the rows of a table are made from, in the order that its column asks for. `build` makes one row of each, in
    their order; what follows these rows is not moved."""
    if not by:
        return list(items)
    table = build(items)
    return [items[place] for place in order_of(table.rows[: len(items)], table.columns, by)]


def order_of(rows: Sequence[Row], columns: Sequence[Column], by: str) -> list[int]:
    """The places of the rows in that order."""
    wanted = by.removeprefix("-")
    place = next((index for index, column in enumerate(columns) if column.sort == wanted and wanted), None)
    if place is None:
        return list(range(len(rows)))
    return sorted(range(len(rows)), key=lambda index: _key(rows[index][place]), reverse=by.startswith("-"))


def _key(cell: Cell) -> tuple[int, Decimal, str]:
    try:
        return 1, Decimal(cell.raw), ""
    except InvalidOperation:
        return 0, Decimal(0), (cell.raw or cell.text).casefold()


def safe(text: str) -> str:
    """Neutralises a cell that a spreadsheet would run as a formula. Numbers stay numbers."""
    if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def to_csv(table: Table) -> str:
    """RFC 4180, with exact values, the total row last, and formulas neutralised."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    shown = [index for index, column in enumerate(table.columns) if column.raw]
    writer.writerow([table.columns[index].raw for index in shown])
    for row in _all_rows(table):
        writer.writerow([safe(_exact(row[index])) for index in shown])
    return out.getvalue()


def _exact(cell: Cell) -> str:
    return cell.raw or ("" if cell.text == _NOTHING else cell.text)


def to_markdown(table: Table, *, title: str) -> str:
    """A Markdown table of what is shown, under its title."""
    shown = [index for index, column in enumerate(table.columns) if column.raw]
    lines = [f"**{_plain(title)}**", ""]
    lines.append("| " + " | ".join(_plain(table.columns[index].title) for index in shown) + " |")
    marks = (" ---: " if table.columns[index].numeric else " --- " for index in shown)
    lines.append("|" + "|".join(marks) + "|")
    lines += [
        "| " + " | ".join(_plain(row[index].text) for index in shown) + " |" for row in _all_rows(table)
    ]
    return "\n".join(lines) + "\n"


def _all_rows(table: Table) -> Sequence[Row]:
    return [*table.rows, table.total] if table.total else table.rows


def _plain(text: str) -> str:
    return re.sub(r"([|\\`*_<>])", r"\\\1", text.replace("\n", " "))


def with_bars(rows: Sequence[Row], place: int, amounts: Sequence[Decimal]) -> list[Row]:
    """Sets the bar of cell `place` in every row from `amounts`, the largest filling the width. Pixels
    only."""
    largest = max((abs(amount) for amount in amounts), default=Decimal(0))
    done: list[Row] = []
    for row, amount in zip(rows, amounts, strict=True):
        width = f"{max(amount, Decimal(0)) / largest * 100:.1f}%" if largest else "0%"
        done.append((*row[:place], replace(row[place], bar=width), *row[place + 1 :]))
    return done


def spark(values: Sequence[Decimal]) -> tuple[str, tuple[str, str]]:
    """An SVG path in a box of 84 x 22 and its last point. Pixels only."""
    if len(values) < 2:
        return "", ("", "")
    low, high = min([*values, Decimal(0)]), max(values)
    span = (high - low) or Decimal(1)
    step = Decimal(82) / (len(values) - 1)
    heights = [20 - (value - low) / span * 18 for value in values]
    points = [(f"{1 + step * index:.0f}", f"{height:.0f}") for index, height in enumerate(heights)]
    return "M" + " ".join(f"{x} {y}" for x, y in points), points[-1]
