"""The messages about incidents that are still to be sent. A message is claimed before it is sent and settled after, so
that two processes never send one at once, and one that was killed in between sends it again under the same key: at
least once here, and once for every receiver that looks at the key."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from costweir.control.database import Database, Execute, Row
from costweir.control.incidents_rows import Incident, incident_of
from costweir.control.runs import instant

#: A channel that fails this often, over about a day, is given up for that message.
MOST_ATTEMPTS = 16
#: How often a channel failed, in the memory of the control database; it only grows.
FAILURES = "incidents:delivery_failures"
#: A clock that was set back by more than this makes a moment in the future worthless.
STEP = timedelta(minutes=5)
#: A message that somebody began to send and never settled is sent again after this long.
LEASE = timedelta(minutes=2)
_FIRST_WAIT = timedelta(seconds=15)
_LONGEST_WAIT = timedelta(hours=4)
_SENDING = "It is being sent."
_OVER = "It was over before it could be told."

#: What a channel knows of an incident: that it began, nothing yet, or nothing ever.
Knowledge = Literal["heard", "waiting", "never"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one channel. `thread` is what the channel gave for the first message about the incident, and
    `root` is the name of that first message: the incident's id, or of the batch that it was told in."""

    seq: int
    incident: Incident
    message: str
    mark: str
    channel: str
    text: str
    attempts: int
    batch: str
    root: str
    thread: str

    @property
    def key(self) -> str:
        """The same however often it is sent: the batch that it is sent in, or incident, message and mark."""
        return self.batch or f"{self.incident.id}.{self.message}.{self.mark}"


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told about an incident. `mark` sets it apart from other messages of its kind."""

    incident: str
    message: str
    mark: str
    text: str = ""


class Outbox:
    """The messages of one control database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now: datetime) -> list[Delivery]:
        """The messages to send now, oldest first: of each incident the next one for each channel.

        A beginning waits while the same channel knows of a worse one with the same event, subject and period.
        """
        rows = self._database.read(_DUE, (instant(now), instant(now + STEP)))
        return [_delivery(row) for row in rows]

    def claim(
        self, deliveries: Sequence[Delivery], now: datetime, *, together: bool = False
    ) -> list[Delivery]:
        """Takes messages for sending, and gives those that nobody else took. With `together` they are one batch."""
        batch = f"batch-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}" if together else ""
        taken: list[Delivery] = []
        with self._database.write() as run:
            for delivery in deliveries:
                name = delivery.batch or batch
                found = run(
                    "UPDATE messages SET attempts = attempts + 1, unsure = unsure OR note = ?, tried_at = ?,"
                    " next_try = ?, note = ?, batch = ? WHERE seq = ? AND state = 'pending' AND attempts = ?"
                    " RETURNING seq",
                    (
                        _SENDING, instant(now), instant(now + LEASE), _SENDING, name, delivery.seq, delivery.attempts,
                    ),
                )  # fmt: skip
                if found:
                    taken.append(replace(delivery, attempts=delivery.attempts + 1, batch=name))
        return taken

    def sent(self, deliveries: Sequence[Delivery], *, thread: str = "") -> None:
        """Remembers that a channel took messages, and what it gave to answer them by."""
        with self._database.write() as run:
            for delivery in deliveries:
                run(
                    "UPDATE messages SET state = 'sent', note = '', next_try = '', thread = ? WHERE seq = ?",
                    (thread, delivery.seq),
                )

    def not_sent(
        self, deliveries: Sequence[Delivery], why: str, now: datetime, *, final: bool = False
    ) -> None:
        """Remembers that a channel failed. The next try is after a pause that doubles; the last one is final, and so is
        a refusal that would be the same again."""
        with self._database.write() as run:
            for delivery in deliveries:
                wait = min(_FIRST_WAIT * 2 ** min(delivery.attempts - 1, 20), _LONGEST_WAIT)
                over = final or delivery.attempts >= MOST_ATTEMPTS
                run(
                    "UPDATE messages SET state = ?, note = ?, next_try = ?, tried_at = ? WHERE seq = ?",
                    (
                        "failed" if over else "pending", why, instant(now + wait), instant(now), delivery.seq,
                    ),
                )  # fmt: skip
            run(
                "INSERT INTO meta VALUES (?, '1') ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + 1",
                (FAILURES,),
            )

    def drop(self, deliveries: Sequence[Delivery], why: str) -> None:
        """Remembers that nobody wants messages."""
        with self._database.write() as run:
            for delivery in deliveries:
                run(
                    "UPDATE messages SET state = 'dropped', note = ? WHERE seq = ? AND state = 'pending'",
                    (why, delivery.seq),
                )

    def of(self, incident: str) -> list[dict[str, object]]:
        """What was sent about an incident: `message, channel, state, attempts, note, tried_at`, oldest first."""
        rows = self._database.read(
            "SELECT message, channel, state, attempts, note, tried_at FROM messages WHERE incident_id = ?"
            " ORDER BY seq",
            (incident,),
        )
        return [dict(row) for row in rows]

    def unresolved(self, root: str, channel: str) -> int:
        """How many incidents that were told together in `root` are not over."""
        rows = self._database.read(
            "SELECT count(DISTINCT i.id) AS n FROM messages AS m JOIN incidents AS i ON i.id = m.incident_id"
            " WHERE m.batch = ? AND m.channel = ? AND m.message = 'open' AND i.state != 'resolved'",
            (root, channel),
        )
        return rows[0]["n"]


def tell(
    run: Execute, news: News, *, channels: Sequence[str], at: datetime, wait: timedelta = timedelta()
) -> None:
    """Queues one message for each channel; one that is queued or was sent already is not queued again."""
    place = (news.incident, news.message, news.mark)
    for channel in dict.fromkeys(channels):
        run(
            "DELETE FROM messages WHERE incident_id = ? AND message = ? AND mark = ? AND channel = ?"
            " AND state IN ('dropped', 'failed')",
            (*place, channel),
        )
        run(
            "INSERT INTO messages (incident_id, message, mark, channel, text, state, next_try, tried_at)"
            " VALUES (?, ?, ?, ?, ?, 'pending', ?, ?) ON CONFLICT DO NOTHING",
            (*place, channel, news.text, instant(at + wait), instant(at)),
        )


def heard(run: Execute, incident: str) -> Mapping[str, Knowledge]:
    """What each channel knows of an incident. One that may just be told, or was by a process that was killed, counts as
    told."""
    rows = run(
        "SELECT channel, max(state = 'sent' OR (state = 'pending' AND (unsure OR note = ?))) AS heard,"
        " max(state = 'pending') AS waiting FROM messages WHERE incident_id = ? AND message = 'open'"
        " GROUP BY channel",
        (_SENDING, incident),
    )
    return {row["channel"]: _knowledge(row) for row in rows}


def silence(run: Execute, news: News) -> frozenset[str]:
    """Takes back a message that was not sent yet; gives the channels that have it, or may."""
    place = (news.incident, news.message, news.mark)
    run(
        "DELETE FROM messages WHERE incident_id = ? AND message = ? AND mark = ? AND state = 'pending'"
        " AND NOT unsure AND note != ?",
        (*place, _SENDING),
    )
    rows = run(
        "SELECT channel FROM messages WHERE incident_id = ? AND message = ? AND mark = ?"
        " AND state IN ('sent', 'pending')",
        place,
    )
    return frozenset(row["channel"] for row in rows)


def abandon(run: Execute, incident: str, channel: str) -> None:
    """Drops what a channel has not heard yet of an incident."""
    run(
        "UPDATE messages SET state = 'dropped', note = ? WHERE incident_id = ? AND channel = ? AND state = 'pending'",
        (_OVER, incident, channel),
    )


def _knowledge(row: Row) -> Knowledge:
    if row["heard"]:
        return "heard"
    return "waiting" if row["waiting"] else "never"


_RANK = "CASE {}.severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END"
_DUE = f"""
SELECT i.*, m.seq AS m_seq, m.message AS m_message, m.mark AS m_mark, m.channel AS m_channel, m.text AS m_text,
    m.attempts AS m_attempts, m.batch AS m_batch,
    coalesce((SELECT max(b.batch) FROM messages AS b WHERE b.incident_id = i.id AND b.channel = m.channel
        AND b.message = 'open' AND b.state = 'sent'), '') AS m_root,
    coalesce((SELECT max(t.thread) FROM messages AS t WHERE t.incident_id = i.id AND t.channel = m.channel
        AND t.state = 'sent'), '') AS m_thread
FROM messages AS m JOIN incidents AS i ON i.id = m.incident_id
WHERE m.state = 'pending' AND (m.next_try <= ? OR m.tried_at > ?)
    AND NOT EXISTS (SELECT 1 FROM messages AS e WHERE e.incident_id = m.incident_id AND e.channel = m.channel
        AND e.state = 'pending' AND e.seq < m.seq)
    AND NOT (m.message = 'open' AND m.attempts = 0 AND EXISTS (
        SELECT 1 FROM incidents AS o JOIN messages AS w ON w.incident_id = o.id AND w.channel = m.channel
            AND w.message = 'open' AND w.state IN ('pending', 'sent')
        WHERE o.state != 'resolved' AND o.event = i.event AND o.subject = i.subject AND o.period = i.period
            AND {_RANK.format("o")} < {_RANK.format("i")}))
ORDER BY m.seq
"""  # noqa: S608 - our own names


def _delivery(row: Row) -> Delivery:
    values: dict[str, Any] = dict(row)
    names = ("seq", "message", "mark", "channel", "text", "attempts", "batch", "root", "thread")
    own: dict[str, Any] = {name: values.pop(f"m_{name}") for name in names}
    incident = incident_of(values)
    own["root"] = own["root"] or incident.id
    return Delivery(incident=incident, **own)
