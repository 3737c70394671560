"""What the store says about itself: which months it holds, what is stored for a slot, and the lines it could not
read. These are records and not money, so they have no total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from costweir.queries.question import part
from costweir.queries.result import number
from costweir.store.warehouse import Reader, Slot, Value

_LINE = ("run_id", "source", "account", "period", "file", "row_number", "reason", "raw")
_SLOT = (
    "content_hash", "rules_hash", "first_day", "last_day", "x_source", "rows_stored", "billed_total",
    "total_currency",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredMonth:
    """One invoice month (`YYYY-MM`) with its number of loads, and how many of them are of the sample world."""

    period: str
    loads: int
    samples: int


def stored_months(reader: Reader) -> list[StoredMonth]:
    """Every invoice month that has a load, oldest first; empty for a store without bills."""
    rows = reader.query(part("stored_months")).rows
    return [StoredMonth(str(period), int(number(loads)), int(number(some))) for period, loads, some in rows]


def metered_months(reader: Reader) -> list[str]:
    """Every calendar month (`YYYY-MM`) that has a metered call, oldest first; one pass over the longest table."""
    return [str(month) for (month,) in reader.query(part("metered_months")).rows]


def stored_slot(reader: Reader, slot: Slot) -> Mapping[str, Value] | None:
    """What the load of a slot says, by column of `loads`: its hashes, days, source, rows and total. Nothing when
    the slot was never loaded."""
    params = {"provider": slot.provider, "account": slot.account, "period": slot.period}
    rows = reader.query(part("stored_slot"), params).rows
    return dict(zip(_SLOT, rows[0], strict=True)) if rows else None


def quarantined_lines(reader: Reader, *, run_id: str = "", limit: int = 100) -> list[dict[str, Value]]:
    """At most `limit` lines that could not be read, of one run or of all, newest run first: `run_id, source, account,
    period, file, row_number, reason, raw`."""
    rows = reader.query(part("quarantine_lines"), {"run": run_id, "most": limit}).rows
    return [dict(zip(_LINE, row, strict=True)) for row in rows]
