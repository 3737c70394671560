"""What is written together: attempts as rows, and the balances' changes added up, so that a batch of a thousand calls
on six budgets touches six rows."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from costweir.guard.meters import Meter

Row = tuple[object, ...]

_OPEN = """
INSERT INTO attempts (attempt, request_id, state, epoch, subject, model, provider, held, tokens, price_version, at)
VALUES """
#: An attempt that ended in the commit that it begins in.
_WHOLE = """
INSERT INTO attempts (attempt, request_id, state, epoch, subject, model, provider, held, tokens, price_version, at,
                      charged, debt, certainty, ended_at, seq, usage, call)
VALUES """
#: Rows of one statement. A statement of its own for each row costs half as much again, and lets go of the interpreter.
_TOGETHER = 32
_SENT = "UPDATE attempts SET state = 'SENT' WHERE attempt = ? AND state = 'HELD'"
_END = """
UPDATE attempts SET state = ?, charged = ?, debt = ?, certainty = ?, ended_at = ?, seq = ?, usage = ?, call = ?
WHERE attempt = ?"""
_CHANGE = """
UPDATE balances SET settled = settled + ?, held = held + ?, debt = debt + ?, open = open + ?, calls = calls + ?
WHERE row = ?"""
#: Usage that came late: the attempt ended when it ended, and what was told of it then stays.
_CORRECT = """
UPDATE attempts SET state = ?, charged = ?, debt = ?, certainty = ?, seq = ?, usage = ?, call = json_patch(call, ?)
WHERE attempt = ?"""
#: Other rows, by the name of what they are. Subjects and balances stand before the attempts that need them.
NOTES = {
    "subject": "INSERT INTO subjects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "balance": "INSERT INTO balances VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "event": "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
    "told": "UPDATE balances SET told = ?, blocked = ? WHERE row = ?",
    "refusal": "INSERT INTO refusals (request_id, at, code, budget, detail) VALUES (?, ?, ?, ?, ?)",
    "suspended": "INSERT OR REPLACE INTO suspended VALUES (?, ?)",
    "lifted": "DELETE FROM suspended WHERE model = ?",
}
BEFORE = ("subject", "balance")

Step = Callable[[sqlite3.Connection], None]
Waiter = asyncio.Future[None]


class Opened(NamedTuple):
    """An attempt that holds `held` in the balances `rows`."""

    attempt: int
    row: Row
    held: int
    rows: Sequence[int]


class Ended(NamedTuple):
    """An attempt that ended; the balances change by (settled, held, debt, open, calls)."""

    attempt: int
    row: Row
    usage: Mapping[str, int]
    call: Mapping[str, object]
    rows: Sequence[int]
    change: tuple[int, int, int, int, int]


class Corrected(NamedTuple):
    """An attempt of unknown cost whose usage came late; the balances change by (settled, debt)."""

    row: Row
    rows: Sequence[int]
    change: tuple[int, int]


_encode = msgspec.msgpack.Encoder().encode


class Rows(msgspec.Struct, array_like=True):
    """A batch as the rows of its statements; the log keeps it like this."""

    opened: list[tuple[Any, ...]]
    sent: list[tuple[int]]
    ended: list[tuple[Any, ...]]
    corrected: list[tuple[Any, ...]]
    changes: list[tuple[int, ...]]
    notes: dict[str, list[tuple[Any, ...]]]

    def to_bytes(self) -> bytes:
        """For the log. Raises UnicodeEncodeError."""
        return _encode(self)

    @classmethod
    def of(cls, data: bytes) -> Rows:
        """What `to_bytes` wrote."""
        return _decode(data)


_decode = msgspec.msgpack.Decoder(Rows).decode


class Batch:
    """What is about to be written. Used by the writer's thread only."""

    def __init__(self, step: Step | None = None, then: Callable[[], None] | None = None) -> None:
        self.step = step
        self.then = then
        self.opened: list[Opened] = []
        self.sent: list[tuple[int]] = []
        self.ended: list[Ended] = []
        self.corrected: list[Corrected] = []
        self.notes: dict[str, list[Row]] = {kind: [] for kind in NOTES}
        self.waiters: list[Waiter] = []

    def __bool__(self) -> bool:
        return bool(
            self.step or self.opened or self.sent or self.ended or self.corrected or any(self.notes.values())
        )

    @property
    def alone(self) -> bool:
        """True when nothing else may be in this commit, and when it is tried until it succeeds."""
        return self.step is not None or self.then is not None

    def rows(self) -> Rows:
        """What it writes, apart from a step."""
        return Rows(
            [thing.row for thing in self.opened], self.sent, [_end_row(thing) for thing in self.ended],
            [thing.row for thing in self.corrected],
            [(*change, row) for row, change in self._changes().items()],
            {kind: rows for kind, rows in self.notes.items() if rows},
        )  # fmt: skip

    def drop_opened(self) -> set[int]:
        """Leaves out the attempts that begin here and gives their numbers."""
        dropped = {thing.attempt for thing in self.opened}
        self.opened = []
        return dropped

    def without(self, attempts: set[int]) -> None:
        """Leaves out what happened to attempts that never began."""
        self.sent = [thing for thing in self.sent if thing[0] not in attempts]
        self.ended = [thing for thing in self.ended if thing.attempt not in attempts]

    def clean(self) -> None:
        """Replaces what is no valid Unicode, so that one odd name cannot keep the ledger from writing."""
        self.opened = [thing._replace(row=_clean(thing.row)) for thing in self.opened]
        self.ended = [thing._replace(row=_clean(thing.row)) for thing in self.ended]
        self.corrected = [thing._replace(row=_clean(thing.row)) for thing in self.corrected]
        self.notes = {kind: [_clean(row) for row in rows] for kind, rows in self.notes.items()}

    def _changes(self) -> dict[int, list[int]]:
        """What the balances change by, added up."""
        changes: dict[int, list[int]] = {}
        for _, _, held, rows in self.opened:
            for row in rows:
                change = changes.get(row)
                if change is None:
                    changes[row] = [0, held, 0, 1, 1]
                else:
                    change[1] += held
                    change[3] += 1
                    change[4] += 1
        for _, _, _, _, rows, (settled, held, debt, open_, calls) in self.ended:
            for row in rows:
                change = changes.get(row)
                if change is None:
                    changes[row] = [settled, held, debt, open_, calls]
                else:
                    change[0] += settled
                    change[1] += held
                    change[2] += debt
                    change[3] += open_
                    change[4] += calls
        for _, rows, (settled, debt) in self.corrected:
            for row in rows:
                change = changes.setdefault(row, [0, 0, 0, 0, 0])
                change[0] += settled
                change[2] += debt
        return changes


def write_rows(connection: sqlite3.Connection, batches: Sequence[Rows]) -> None:
    """Runs the statements of several batches in their order; the transaction is the caller's."""
    many = connection.executemany
    for kind in BEFORE:
        for batch in batches:
            if kind in batch.notes:
                many(NOTES[kind], batch.notes[kind])
    whole, opened, ended = _paired(batches)
    _insert(connection, _WHOLE, whole)
    _insert(connection, _OPEN, opened)
    for statement, rows in (
        (_SENT, [row for batch in batches for row in batch.sent]),
        (_END, ended),
        (_CORRECT, [row for batch in batches for row in batch.corrected]),
        (_CHANGE, _together(batches)),
    ):
        if rows:
            many(statement, rows)
    for batch in batches:
        for kind, rows in batch.notes.items():
            if kind not in BEFORE:
                many(NOTES[kind], rows)


def _insert(connection: sqlite3.Connection, head: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    marks = f"({', '.join('?' * len(rows[0]))})"
    full = len(rows) - len(rows) % _TOGETHER
    statement = head + ", ".join([marks] * _TOGETHER)
    for at in range(0, full, _TOGETHER):
        connection.execute(statement, [cell for row in rows[at : at + _TOGETHER] for cell in row])
    if full < len(rows):
        connection.executemany(head + marks, rows[full:])


def _paired(batches: Sequence[Rows]) -> tuple[list[Row], list[Row], list[Row]]:
    """The attempts that begin and end here, those that begin, and those that end."""
    opened: dict[object, Row] = {row[0]: row for batch in batches for row in batch.opened}
    whole: list[Row] = []
    ended: list[Row] = []
    for batch in batches:
        for row in batch.ended:
            began = opened.pop(row[-1], None)
            if began is None:
                ended.append(row)
            else:
                whole.append((*began[:2], row[0], *began[3:], *row[1:-1]))
    return whole, list(opened.values()), ended


def _together(batches: Sequence[Rows]) -> Sequence[tuple[int, ...]]:
    """The changes of the balances, those of one balance added up."""
    if len(batches) == 1:
        return batches[0].changes
    found: dict[int, list[int]] = {}
    for batch in batches:
        for *change, row in batch.changes:
            before = found.get(row)
            found[row] = change if before is None else [a + b for a, b in zip(before, change, strict=True)]
    return [(*change, row) for row, change in found.items()]


def balance_row(meter: Meter) -> Row:
    """A balance as it is kept."""
    window = meter.window
    return (
        meter.row, meter.rule.id, scope_text(meter.scope), window.id, window.start, meter.ends(), meter.settled,
        meter.held, meter.debt, meter.open, meter.calls, meter.told, meter.blocked,
    )  # fmt: skip


def scope_text(scope: Iterable[tuple[str, str]]) -> str:
    """A scope as it is kept: JSON, its kinds in their order."""
    return text_of(dict(scope))


def text_of(value: object) -> str:
    """JSON, whatever it holds: a text that is no valid Unicode must not keep a ledger from writing."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError):
        return json.dumps(value, default=str)


def _end_row(item: Ended) -> Row:
    usage = text_of(item.usage) if item.usage else "{}"
    call = text_of(item.call) if item.call else "{}"
    return (*item.row, usage, call, item.attempt)


def _clean(row: Row) -> Row:
    return tuple(cell.encode("utf-8", "replace").decode() if isinstance(cell, str) else cell for cell in row)
