"""The audit chain: who changed what, when, from what to what. Each row's hash covers the row before it, so a changed,
removed or inserted row breaks the chain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from costweir.control.database import Database, Row
from costweir.control.runs import instant

#: What the first row follows.
START = "0" * 64
#: Where the newest row's number and hash are kept, so that rows cut off the end are missed.
_HEAD = "audit_head"
_STEP = 1_000


@dataclass(frozen=True, slots=True)
class Change:
    """Something that somebody does: `actor` changes `subject` (kind:id) by `action`, for example customer.put.

    `before` and `after` are its records, None where there is none.
    """

    actor: str
    action: str
    subject: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One link. `before` and `after` are canonical JSON texts; `hash` is SHA-256 over all other fields."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    before: str | None
    after: str | None
    prev_hash: str
    hash: str

    def to_json(self) -> dict[str, object]:
        """All fields; `before` and `after` as objects."""
        return {
            "seq": self.seq, "at": self.at, "actor": self.actor, "action": self.action, "subject": self.subject,
            "before": json.loads(self.before) if self.before else None,
            "after": json.loads(self.after) if self.after else None,
            "prev_hash": self.prev_hash, "hash": self.hash,
        }  # fmt: skip

    def digest(self) -> str:
        """What `hash` has to be: SHA-256 of the canonical JSON list of the other fields, in their order."""
        fields = [
            self.seq, self.at, self.actor, self.action, self.subject, self.before, self.after, self.prev_hash,
        ]  # fmt: skip
        return hashlib.sha256(_canonical(fields).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the chain holds. `broken_at` is the first row that does not, with the reason; `head` is the hash of the
    newest row, which one may note down elsewhere."""

    ok: bool
    rows: int
    head: str
    broken_at: int | None = None
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return {
            "ok": self.ok, "count": self.rows, "head_hash": self.head, "broken_at": self.broken_at,
            "reason": self.reason,
        }  # fmt: skip


class Audit:
    """The chain of one control database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, change: Change, *, now: datetime | None = None) -> AuditRow:
        """Appends one row; inside a transaction it is part of that."""
        with self._database.write() as run:
            last = run("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
            seq, prev = (last[0]["seq"] + 1, last[0]["hash"]) if last else (1, START)
            row = AuditRow(
                seq=seq, at=instant(now or datetime.now(UTC)), actor=change.actor, action=change.action,
                subject=change.subject, before=_text(change.before), after=_text(change.after), prev_hash=prev,
                hash="",
            )  # fmt: skip
            digest = row.digest()
            run(
                "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (seq, row.at, row.actor, row.action, row.subject, row.before, row.after, prev, digest),
            )
            run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_HEAD, f"{seq} {digest}"))
        return AuditRow(seq, row.at, row.actor, row.action, row.subject, row.before, row.after, prev, digest)

    def listed(self, *, limit: int = 100, before: int | None = None) -> list[AuditRow]:
        """The newest rows first, only those with a `seq` below `before` where it is given."""
        rows = self._database.read(
            "SELECT * FROM audit WHERE ? IS NULL OR seq < ? ORDER BY seq DESC LIMIT ?",
            (before, before, limit),
        )
        return [_row(row) for row in rows]

    def verify(self) -> Verdict:
        """Walks the whole chain."""
        seq, prev = 0, START
        while True:
            rows = self._database.read("SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (seq, _STEP))
            for row in map(_row, rows):
                reason = _fault(row, seq + 1, prev)
                if reason:
                    return Verdict(ok=False, rows=seq, head=prev, broken_at=row.seq, reason=reason)
                seq, prev = row.seq, row.hash
            if len(rows) < _STEP:
                break
        fault = self._cut_off(seq, prev)
        if fault:
            return Verdict(ok=False, rows=seq, head=prev, broken_at=seq or 1, reason=fault)
        return Verdict(ok=True, rows=seq, head=prev)

    def _cut_off(self, seq: int, prev: str) -> str:
        """Why `seq` with the hash `prev` cannot be the end, or an empty text."""
        kept = self._database.read("SELECT value FROM meta WHERE key = ?", (_HEAD,))
        number, _, digest = str(kept[0][0] if kept else f"0 {START}").partition(" ")
        wanted = int(number) if number.isdigit() else -1
        # A row that was added since the walk makes the head newer; then its predecessors are what was walked.
        newer = self._database.read("SELECT seq FROM audit WHERE seq > ? ORDER BY seq DESC LIMIT 1", (seq,))
        if wanted == seq:
            return "" if digest == prev else "The newest row is not the one that was written."
        if newer and newer[0]["seq"] == wanted:
            return ""
        return f"The newest row was number {number}, and the chain ends with {seq}."


def _fault(row: AuditRow, seq: int, prev: str) -> str:
    if row.seq != seq:
        return f"Row {seq} is missing."
    if row.prev_hash != prev:
        return "It does not follow the row before it."
    return "" if row.digest() == row.hash else "Its content is not what was written."


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def _text(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else _canonical(dict(value))


def _row(row: Row) -> AuditRow:
    return AuditRow(**{name: row[name] for name in AuditRow.__slots__})
