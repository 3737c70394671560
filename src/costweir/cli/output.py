"""What a command prints: a table for people, CSV, or one JSON object. Cells are never cut off in a pipe."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import click

from costweir.cli.frame import flags

Record = Mapping[str, object]

CENT = Decimal("0.01")
MANY = Decimal("0.0001")
SHORT = 10
_AMOUNTS = ("_cost", "_total", "margin_usd", "revenue_usd")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: the field it shows and its heading."""

    field: str
    heading: str = ""

    @property
    def title(self) -> str:
        """The heading, or the field's name with blanks."""
        return self.heading or self.field.replace("_", " ")


def columns(*fields: str | tuple[str, str]) -> tuple[Column, ...]:
    """Columns from field names, or from pairs of field name and heading."""
    return tuple(Column(item) if isinstance(item, str) else Column(*item) for item in fields)


def show_rows(
    noun: str,
    rows: Sequence[Record],
    shown: Sequence[Column],
    *,
    empty: str = "",
    extra: Record | None = None,
) -> None:
    """Prints a list. JSON and CSV have every field; the table has the columns `shown`, or the sentence
    `empty`."""
    if flags().json:
        show_json({"schema": f"costweir.{noun}/1", "rows": [dict(row) for row in rows], **(extra or {})})
    elif flags().csv:
        show_csv(rows, [column.field for column in shown])
    elif rows:
        show_table(rows, shown)
    else:
        note(empty or "Nothing there yet.")


def show_record(noun: str, record: Record) -> None:
    """Prints one thing: its fields below each other, or one CSV line, or one JSON object."""
    if flags().json:
        show_json({"schema": f"costweir.{noun}/1", **record})
    elif flags().csv:
        show_csv([record], list(record))
    else:
        show_table(
            [{"": name.replace("_", " "), " ": value} for name, value in record.items()], columns("", " ")
        )


def show_json(value: Record) -> None:
    """Prints exactly one JSON object: indented on a terminal, on one line in a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    write(json.dumps(value, ensure_ascii=False, indent=indent, default=_plain) + "\n")


def show_csv(rows: Iterable[Record], first: Sequence[str]) -> None:
    """Prints CSV with a header: the fields `first`, then any others as they come up."""
    listed = list(rows)
    fields = list(dict.fromkeys([*first, *(field for row in listed for field in row)]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for row in listed:
        writer.writerow([csv_cell(row.get(field)) for field in fields])
    write(text.getvalue())


def csv_cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula: a leading quote is added unless the text is a
    number."""
    text = cell_text(value)
    if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not is_number(text):
        return f"'{text}"
    return text


def show_table(rows: Sequence[Record], shown: Sequence[Column]) -> None:
    """Prints a table: plain columns with every digit in a pipe, drawn and rounded for reading on a terminal."""
    drawn = sys.stdout.isatty()
    cells = [
        [_printable(readable(column.field, row.get(column.field)) if drawn else cell_text(row.get(column.field)))
         for column in shown]
        for row in rows
    ]  # fmt: skip
    if drawn:
        _draw(shown, cells)
    else:
        _write_plain([column.title for column in shown], cells)


def readable(field: str, value: object) -> str:
    """A cell for a terminal: cents for an amount, per cent for a share, four places at most for other numbers.

    What is smaller than a cent keeps every digit, so that nothing looks like zero that is not.
    """
    text = cell_text(value)
    if "." not in text or not is_number(text):
        return text
    amount = Decimal(text)
    if field.endswith("share"):
        return f"{amount * 100:.1f}%"
    if abs(amount) < CENT:
        return text
    places = CENT if field.endswith(_AMOUNTS) else MANY
    return (
        text
        if -int(amount.as_tuple().exponent) <= -int(places.as_tuple().exponent)
        else str(amount.quantize(places))
    )


def _draw(shown: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    headed = any(column.title.strip() for column in shown)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_header=headed)
    kept = [index for index in range(len(shown)) if any(line[index] for line in cells)]
    for index in kept:
        widest = max(len(line[index]) for line in cells)
        numeric = _is_numeric([line[index] for line in cells])
        # A number keeps its line; a long text gives way first.
        width = widest if numeric else min(widest, SHORT)
        justify = "right" if numeric else "left"
        table.add_column(Text(shown[index].title), justify=justify, overflow="fold", min_width=width)
    for line in cells:
        table.add_row(*(Text(line[index]) for index in kept))
    Console(file=sys.stdout, highlight=False).print(table)


def _write_plain(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    right = [_is_numeric([line[index] for line in cells]) for index in range(len(titles))]
    write(_plain_table(titles, cells, right))


def _plain_table(titles: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    body = [list(titles), *cells] if any(title.strip() for title in titles) else list(cells)
    widths = [max((len(line[index]) for line in body), default=0) for index in range(len(titles))]
    lines: list[str] = []
    for line in body:
        padded = [
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip() + "\n")
    return "".join(lines)


def note(text: str) -> None:
    """Says something on stderr, unless `--quiet`."""
    if not flags().quiet:
        click.echo(_printable(text, keep="\n"), err=True)


def write(text: str) -> None:
    """Writes data to stdout."""
    sys.stdout.write(text)


def cell_text(value: object) -> str:
    """A cell as text: nothing is empty, truth is yes or no, a list of texts has commas, a table is JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):  # pyright: ignore[reportUnknownVariableType]
        return ", ".join(value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return str(value)


def is_number(text: str) -> bool:
    """True for a plain decimal number such as `-12.50`, and for nothing else that starts with a sign."""
    digits = text[1:] if text[:1] in "+-" else text
    whole, _, places = digits.partition(".")
    return digits.isascii() and whole.isdigit() and (places.isdigit() or "." not in digits)


def _is_numeric(cells: Iterable[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(is_number(cell.removesuffix("%").removesuffix(" USD")) for cell in filled)


def _printable(text: str, *, keep: str = "") -> str:
    """Without control characters, so that a tag in a bill cannot steer the terminal."""
    return "".join(
        char if char.isprintable() or char in keep else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def _plain(value: Any) -> str:
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat is not None else str(value)
