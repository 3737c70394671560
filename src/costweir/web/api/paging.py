"""Pages of lists: a cursor names the last row of the page before by its content, so that rows that come or go elsewhere
move nothing. When that row itself is gone, the next page is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from costweir.errors import Conflict, UsageError
from costweir.web.api.table import Param
from costweir.web.desk import Record

#: The most rows that a list holds.
MOST_ROWS = 100_000
CURSOR = Param("cursor", {"type": "string", "maxLength": 60}, "`next_cursor` of the page before.")
_COUNT = {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}
#: For lists that are given whole unless somebody asks for pages.
PAGES = (Param("limit", _COUNT, "Rows of a page; all by default."), CURSOR)
#: For lists that may be long.
SHORT_PAGES = (Param("limit", _COUNT, "Rows of a page; the default is 100."), CURSOR)
_FORM = re.compile(r"([0-9a-f]{24})\.([0-9]{1,6})")


def wanted(values: Mapping[str, Any]) -> int:
    """How many rows of a long list have to be read for a page: one more than it shows, or all to find a cursor."""
    return MOST_ROWS if values.get("cursor") else values.get("limit", 100) + 1


def page(rows: Sequence[Record], values: Mapping[str, Any], *, most: int | None = None) -> dict[str, object]:
    """The rows of the page that `limit` and `cursor` ask for, with `next_cursor`, which is null at the end.

    `most` is the default limit. Raises UsageError for a cursor that is none, and Conflict when its row is gone.
    """
    start = _after(rows, values["cursor"]) if values.get("cursor") else 0
    limit: int | None = values.get("limit", most)
    shown = list(rows[start:] if limit is None else rows[start : start + limit])
    end = start + len(shown)
    return {"rows": shown, "next_cursor": _cursor(rows, end - 1) if shown and end < len(rows) else None}


def _after(rows: Sequence[Record], cursor: str) -> int:
    form = _FORM.fullmatch(cursor)
    if form is None:
        raise UsageError("This cursor was not given by this list.", hint="Leave it out for the first page.")
    mark, left = form[1], int(form[2])
    for place, row in enumerate(rows):
        if _mark(row) == mark:
            if not left:
                return place + 1
            left -= 1
    raise Conflict("The list changed since the page before.", hint="Start again without a cursor.")


def _cursor(rows: Sequence[Record], place: int) -> str:
    """The mark of a row, and how many equal ones stand before it."""
    mark = _mark(rows[place])
    return f"{mark}.{sum(1 for row in rows[:place] if row == rows[place])}"


def _mark(row: Record) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()[:24]
