"""Replies to writes that carried an `Idempotency-Key`, so that asking again changes nothing a second time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from costweir.control.database import Database
from costweir.control.runs import instant
from costweir.errors import Conflict

#: How long a key is remembered.
KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Asked:
    """One write as it was asked for: by whom, with which key, and the digest of method, path and body."""

    actor: str
    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered: the HTTP status and the JSON text."""

    status: int
    body: str


class Replies:
    """The remembered replies of one control database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, asked: Asked, *, now: datetime | None = None) -> Reply | None:
        """What was answered to the same request, None for a key that is new or older than 24 hours.

        Raises Conflict when the key was used for something else.
        """
        since = instant((now or datetime.now(UTC)) - KEPT)
        rows = self._database.read(
            "SELECT digest, status, body FROM replies WHERE actor = ? AND key = ? AND created_at > ?",
            (asked.actor, asked.key, since),
        )
        if not rows:
            return None
        if rows[0]["digest"] != asked.digest:
            raise Conflict(
                "This Idempotency-Key was used for a different request.",
                hint="Use a new key for every new change.",
            )
        return Reply(rows[0]["status"], rows[0]["body"])

    def keep(self, asked: Asked, reply: Reply, *, now: datetime | None = None) -> None:
        """Remembers a reply, and forgets those that are too old."""
        moment = now or datetime.now(UTC)
        with self._database.write() as run:
            run("DELETE FROM replies WHERE created_at <= ?", (instant(moment - KEPT),))
            run(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?)",
                (asked.actor, asked.key, asked.digest, reply.status, reply.body, instant(moment)),
            )
