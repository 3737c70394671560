"""The log of loads. A run that a crash cut short shows as failed, never as if it were still going."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from costweir.control.database import Database, Row
from costweir.domain.money import decimal_text
from costweir.errors import NotFound

_LOG = logging.getLogger("costweir.runs")
Status = Literal["loaded", "unchanged", "quarantined", "failed"]
CUT_SHORT = "The process ended before the load did; nothing of it was stored."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `rows_in = rows_stored + rows_skipped + rows_quarantined`; totals are in `currency`.

    An empty `source`, `account` or `period` leaves what the run started with. `connection` is the live source that
    was pulled, empty for files.
    """

    status: Status
    source: str = ""
    account: str = ""
    period: str = ""
    rows_in: int = 0
    rows_stored: int = 0
    rows_skipped: int = 0
    rows_quarantined: int = 0
    billed_total: Decimal = Decimal(0)
    file_total: Decimal = Decimal(0)
    currency: str = ""
    content_hash: str = ""
    note: str = ""
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One load. Amounts are decimal strings in `currency`, instants RFC 3339 in UTC, `finished_at` empty
    while running."""

    run_id: str
    source: str
    account: str
    period: str
    status: str
    rows_in: int
    rows_stored: int
    rows_skipped: int
    rows_quarantined: int
    billed_total: str
    file_total: str
    currency: str
    content_hash: str
    started_at: str
    finished_at: str
    note: str
    files: tuple[str, ...]
    connection: str = ""

    def to_json(self) -> dict[str, object]:
        """All fields, under the names of the contract."""
        values: dict[str, object] = {name: getattr(self, name) for name in _FIELDS}
        return values | {"files": list(self.files)}


_FIELDS = tuple(item.name for item in fields(Run))


def _note(run_id: str, outcome: Outcome) -> None:
    """The line of a server's log about a run; a command that keeps none has its own words for it."""
    told = {
        "run_id": run_id, "status": outcome.status, "source": outcome.source, "account": outcome.account,
        "period": outcome.period, "connection": outcome.connection, "rows_in": outcome.rows_in,
        "rows_stored": outcome.rows_stored, "rows_skipped": outcome.rows_skipped,
        "rows_quarantined": outcome.rows_quarantined, "billed_total": decimal_text(outcome.billed_total),
        "currency": outcome.currency,
    }  # fmt: skip
    level = logging.WARNING if outcome.status in ("failed", "quarantined") else logging.INFO
    what = " ".join(filter(None, (outcome.source or outcome.connection, outcome.period)))
    text = "run of %s: %s, %s rows stored"
    _LOG.log(
        level, text, what, outcome.status, outcome.rows_stored, extra={"event_type": "run", "fields": told}
    )


def new_run_id(now: datetime) -> str:
    """A run id that sorts by time: `20261120T224600-9f3c1a`."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def instant(now: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-20T22:46:00.000Z`."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Runs:
    """The runs of one control database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, *, run_id: str, source: str, account: str, period: str, files: Sequence[str]) -> str:
        """Writes that a load begins; a load that is tried again begins anew."""
        now = datetime.now(UTC)
        name = run_id or new_run_id(now)
        with self._database.write() as run:
            run(
                "INSERT OR REPLACE INTO runs (run_id, source, account, period, status, started_at, files)"
                " VALUES (?, ?, ?, ?, 'running', ?, ?)",
                (name, source, account, period, instant(now), json.dumps(list(files), ensure_ascii=False)),
            )
        return name

    def finish(self, run_id: str, outcome: Outcome) -> None:
        """Writes how a load ended. Raises NotFound for a run that never started."""
        counts = (outcome.rows_in, outcome.rows_stored, outcome.rows_skipped, outcome.rows_quarantined)
        if counts[0] != sum(counts[1:]):
            raise ValueError(f"rows in {counts[0]} are not stored + skipped + quarantined {counts[1:]}")
        with self._database.write() as run:
            changed = run(
                "UPDATE runs SET status = ?, source = coalesce(nullif(?, ''), source),"
                " account = coalesce(nullif(?, ''), account), period = coalesce(nullif(?, ''), period),"
                " rows_in = ?, rows_stored = ?, rows_skipped = ?, rows_quarantined = ?, billed_total = ?,"
                " file_total = ?, currency = ?, content_hash = ?, note = ?, connection = ?, finished_at = ?"
                " WHERE run_id = ? RETURNING run_id",
                (
                    outcome.status, outcome.source, outcome.account, outcome.period, *counts,
                    decimal_text(outcome.billed_total), decimal_text(outcome.file_total), outcome.currency,
                    outcome.content_hash, outcome.note, outcome.connection, instant(datetime.now(UTC)), run_id,
                ),
            )  # fmt: skip
        if not changed:
            raise NotFound(f"There is no run {run_id}.", hint="`costweir runs` lists them.")
        _note(run_id, outcome)

    def newest(self, limit: int) -> list[Run]:
        """The newest runs first."""
        newest = "SELECT * FROM runs ORDER BY started_at DESC, run_id DESC LIMIT ?"
        rows = self._database.read(newest, (limit,))
        return [self._run(row) for row in rows]

    def fail_unfinished(self) -> int:
        """Marks the runs that no living process works on as failed, and says how many there were."""
        if not self._database.alone:
            return 0
        with self._database.write() as run:
            changed = run(
                "UPDATE runs SET status = 'failed', note = ?, finished_at = ?"
                " WHERE status = 'running' RETURNING run_id",
                (CUT_SHORT, instant(datetime.now(UTC))),
            )
        return len(changed)

    def _run(self, row: Row) -> Run:
        values = dict(row)
        if values["status"] == "running" and self._database.read_only and self._database.alone:
            values |= {"status": "failed", "note": CUT_SHORT}
        values["finished_at"] = values["finished_at"] or ""
        values["files"] = tuple(json.loads(values["files"]))
        return Run(**values)
