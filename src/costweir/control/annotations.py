"""Annotations: what people know about a day that no bill says, such as a release or a new price."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from costweir.control.database import Database, Row
from costweir.control.runs import instant
from costweir.errors import UsageError

#: What an annotation may be about; without one it is about all spend.
SCOPES = ("provider", "model", "customer", "project", "feature", "plan")
LONGEST_TEXT = 280
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation. `day` is `YYYY-MM-DD`; `dimension` and `member` are what it is about, both or neither; a new
    one has no `id` yet."""

    day: str
    text: str
    author: str = ""
    dimension: str = ""
    member: str = ""
    id: str = ""
    created_at: str = ""
    updated_at: str = ""

    def to_json(self) -> dict[str, object]:
        """All fields, with what it is about as `scope`."""
        return {
            "id": self.id, "day": self.day, "text": self.text, "author": self.author,
            "scope": {self.dimension: self.member} if self.dimension else {},
            "created_at": self.created_at, "updated_at": self.updated_at,
        }  # fmt: skip

    def check(self) -> None:
        """Raises UsageError for what cannot be kept."""
        _check_day(self.day)
        _check_text("text", self.text, LONGEST_TEXT)
        if self.author:
            _check_text("author", self.author, LONGEST_NAME)
        if bool(self.dimension) != bool(self.member):
            raise UsageError(
                "An annotation names both a dimension and its member, or neither.", hint="Fill in both."
            )
        if self.dimension and self.dimension not in SCOPES:
            raise UsageError(
                f"An annotation cannot be about {self.dimension!r}.",
                hint=f"Choose one of {', '.join(SCOPES)}.",
            )
        if self.member:
            _check_text("member", self.member, LONGEST_NAME)


class Annotations:
    """The annotations of one control database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, *, since: str = "", until: str = "") -> list[Annotation]:
        """Those of the days from `since` to before `until`, either left open by an empty text, oldest day first."""
        rows = self._database.read(
            "SELECT * FROM annotations WHERE day >= ? AND (? = '' OR day < ?) ORDER BY day, created_at, id",
            (since, until, until),
        )
        return [_annotation(row) for row in rows]

    def find(self, name: str) -> Annotation | None:
        """The one with this id."""
        rows = self._database.read("SELECT * FROM annotations WHERE id = ?", (name,))
        return _annotation(rows[0]) if rows else None

    def put(self, draft: Annotation) -> Annotation:
        """Adds it under a new id, or changes the one of its id. Raises UsageError."""
        draft.check()
        now = instant(datetime.now(UTC))
        kept = replace(
            draft,
            id=draft.id or f"note_{secrets.token_hex(6)}",
            created_at=draft.created_at or now,
            updated_at=now,
        )
        with self._database.write() as run:
            run(
                "INSERT OR REPLACE INTO annotations (day, text, author, dimension, member, id, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                tuple(getattr(kept, name) for name in Annotation.__slots__),
            )
        return kept

    def drop(self, name: str) -> bool:
        """Removes one; true when there was one."""
        with self._database.write() as run:
            return bool(run("DELETE FROM annotations WHERE id = ? RETURNING id", (name,)))


def _annotation(row: Row) -> Annotation:
    return Annotation(**{name: row[name] for name in Annotation.__slots__})


def _check_day(text: str) -> None:
    try:
        # fromisoformat also takes 20261101 and 2026-W44-1.
        known = date.fromisoformat(text).isoformat() == text
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"{text!r} is not a day.", hint="Write it as 2026-11-01.")


def _check_text(name: str, text: str, longest: int) -> None:
    if not text.strip() or len(text) > longest or not text.isprintable():
        raise UsageError(
            f"The {name} of an annotation has 1 to {longest} characters on one line.", hint="Change it."
        )
