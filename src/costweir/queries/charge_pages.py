"""The lines of the bills page by page, each line on exactly one page.

A cursor names the day and the place in it, the filters and the state of the store. When a bill is replaced between two
pages the next one is refused, because lines would be missed or come twice.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast

from costweir.domain.charge import CHARGE_COLUMNS, Kind
from costweir.domain.money import decimal_text, quantity_text
from costweir.domain.period import Period
from costweir.errors import Conflict, UsageError
from costweir.queries.coverage import instant_text
from costweir.queries.dimensions import DIMENSION_TABLE, FACT_TABLES, find_dimension
from costweir.queries.question import part
from costweir.queries.render import Filter
from costweir.queries.result import number
from costweir.store.warehouse import Parameter, Reader, Value, Warehouse

#: The largest page.
MOST = 1_000
_FIRST = ("x_provider", "x_account", "x_period", "charge_period_start")
_NAMES = tuple(column.name for column in CHARGE_COLUMNS)
#: Every column, so that only lines that are equal in all of them may change places.
_ORDER = ", ".join(f"f.{name}" for name in (*_FIRST, *(name for name in _NAMES if name not in _FIRST)))
_SELECT = ", ".join(f"f.{name}" for name in _NAMES)


@dataclass(frozen=True, slots=True)
class ChargesRequest:
    """Which lines: `where` maps a dimension to the values it may have, `since` is inclusive and `until` exclusive.

    `cursor` is empty for the first page, else what the page before gave.
    """

    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    since: date | None = None
    until: date | None = None
    limit: int = 100
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class ChargesPage:
    """One page: the lines as JSON records with every column of a charge, and the cursor of the next page, empty at the
    end."""

    rows: Sequence[Mapping[str, object]]
    next_cursor: str


def read_charges(warehouse: Warehouse, request: ChargesRequest) -> ChargesPage:
    """Reads one page, ordered by day.

    Raises UsageError for a limit, filter or cursor that cannot be understood, and Conflict when bills were replaced
    since the cursor was given.
    """
    if not 1 <= request.limit <= MOST:
        raise UsageError(f"A page cannot have {request.limit} lines.", hint=f"Give a limit from 1 to {MOST}.")
    chosen = _filter(request)
    with warehouse.snapshot() as reader:
        stamp = _stamp(reader, request)
        day, skip = _place(request.cursor, stamp)
        rows: list[Mapping[str, object]] = []
        for found in _days(reader, chosen, day, request.limit + 1):
            skip = skip if found == day else 0
            wanted = request.limit - len(rows)
            lines = _lines(reader, chosen, found, (wanted + 1, skip))
            rows += [_record(line) for line in lines[:wanted]]
            if len(lines) > wanted:
                return ChargesPage(rows, _cursor(found, skip + wanted, stamp))
    return ChargesPage(rows, "")


def _filter(request: ChargesRequest) -> Filter:
    try:
        period = Period(request.since, request.until)
    except ValueError as error:
        raise UsageError(f"{str(error)[:1].upper()}{str(error)[1:]}.", hint="until is exclusive.") from error
    allowed = [name for name, item in DIMENSION_TABLE.items() if item.charges]
    found = {name: find_dimension(name, allowed) for name in request.where}
    values = {
        name: (item, tuple(item.parse(text) for text in dict.fromkeys(request.where[name])))
        for name, item in found.items()
        if request.where[name]
    }
    return Filter(values, period.since, period.until)


def _from(chosen: Filter) -> str:
    joined = any(item.customers for item in chosen.dimensions)
    return f"{FACT_TABLES['charges']} AS f" + (
        " LEFT JOIN customers AS p ON p.id = f.x_customer" if joined else ""
    )


def _days(reader: Reader, chosen: Filter, day: date | None, most: int) -> list[date]:
    condition, params = chosen.sql("charges", "")
    bound: dict[str, Parameter] = {**params, "most": most}
    if day is not None:
        condition += " AND f.usage_date >= $page_day"
        bound["page_day"] = day
    sql = (
        f"SELECT f.usage_date AS d_day FROM {_from(chosen)} WHERE {condition}"  # noqa: S608
        " GROUP BY f.usage_date ORDER BY d_day LIMIT $most"
    )
    return [cast("date", row[0]) for row in reader.query(sql, bound).rows]


def _lines(reader: Reader, chosen: Filter, day: date, window: tuple[int, int]) -> Sequence[Sequence[Value]]:
    condition, params = chosen.sql("charges", "")
    sql = (
        f"SELECT {_SELECT} FROM {_from(chosen)} WHERE {condition} AND f.usage_date = $page_day"  # noqa: S608
        f" ORDER BY {_ORDER} LIMIT $most OFFSET $skip"
    )
    bound: dict[str, Parameter] = {**params, "page_day": day, "most": window[0], "skip": window[1]}
    return reader.query(sql, bound).rows


def _stamp(reader: Reader, request: ChargesRequest) -> str:
    """Stands for the stored bills and the filters; a cursor holds only for these."""
    stored = [
        [str(value) for value in row]
        for name in ("loads", "remapped")
        for row in reader.query(part(name)).rows
    ]
    asked = [sorted([name, *values] for name, values in request.where.items())]
    days = [str(request.since), str(request.until)]
    return ".".join(
        hashlib.sha256(json.dumps(item).encode()).hexdigest()[:12] for item in (stored, [asked, days])
    )


def _cursor(day: date, skip: int, stamp: str) -> str:
    text = json.dumps([day.isoformat(), skip, stamp], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str, stamp: str) -> tuple[date | None, int]:
    if not cursor:
        return None, 0
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        fields: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        day, skip, given = date.fromisoformat(fields[0]), fields[1], fields[2]
        stored, _, asked = given.partition(".")
        # The day has to be written the one way, so that one place has one cursor.
        known = (
            type(skip) is int
            and 0 <= skip < 2**53
            and _cursor(day, skip, given) == cursor
            and len(fields) == 3
        )
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, RecursionError):
        known, day, skip, stored, asked = False, None, 0, "", ""
    if not known or asked != stamp.partition(".")[2]:
        raise UsageError(
            "This cursor does not belong to this request.",
            hint="Repeat the filters of the first page, or leave it out.",
        )
    if stored != stamp.partition(".")[0]:
        raise Conflict("The bills changed since the page before.", hint="Start again without a cursor.")
    return day, skip


def _record(line: Sequence[Value]) -> dict[str, object]:
    return {
        column.name: _cell(value, column.kind) for column, value in zip(CHARGE_COLUMNS, line, strict=True)
    }


def _cell(value: Value, kind: Kind) -> object:
    if value is None:
        return None
    if kind == "money":
        return decimal_text(number(value))
    if kind == "quantity":
        return quantity_text(number(value))
    if kind == "json":
        return _json(str(value))
    if isinstance(value, datetime):
        return instant_text(value)
    return value.isoformat() if isinstance(value, date) else value


def _json(text: str) -> object:
    try:
        return json.loads(text, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return text
