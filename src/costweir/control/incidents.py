"""Incidents: what is wrong now, since when, and who was told. One message when it begins and one when it ends, for
each channel, also after a restart: the messages to send are stored together with what they are about."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from costweir.control.database import Database, Execute
from costweir.control.runs import instant

Phase = Literal["open", "resolved"]
#: A channel that refuses this often, over about a day, is given up for that message.
MOST_ATTEMPTS = 12
_LONGEST_WAIT = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong at this moment. `key` is the same for as long as it is the same matter.

    `severity` is `critical`, `warning` or `info`; `team` says who is to hear of it, and `link` is the view of the
    pages that explains it. `period` is the window that `value` and `limit` are of, such as `2026-11-20`; the three are
    texts for people.
    """

    key: str
    event: str
    subject: str
    text: str
    hint: str = ""
    severity: str = "warning"
    team: str = ""
    link: str = ""
    period: str = ""
    value: str = ""
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """One matter from its beginning to its end; instants are RFC 3339 in UTC, `resolved_at` empty while open."""

    id: str
    key: str
    event: str
    subject: str
    state: Phase
    text: str
    hint: str
    opened_at: str
    updated_at: str
    resolved_at: str

    def to_json(self) -> dict[str, str]:
        """All fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that is to be sent to one channel."""

    incident: Incident
    message: Phase
    channel: str
    attempts: int


class Incidents:
    """The incidents of one control database. `told` gives the channels that want an event."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def observe(
        self, conditions: Sequence[Condition], *, told: Callable[[str], Sequence[str]], now: datetime
    ) -> tuple[list[Incident], list[Incident]]:
        """Opens what is new, resolves what is over, and gives both; what goes on is brought up to date silently.

        Opening, closing and the messages about it are one transaction. A channel that never heard of an incident
        does not hear of its end.
        """
        wanted = {condition.key: condition for condition in conditions}
        held = {incident.key: incident for incident in self.listed(state="open")}
        new = [condition for key, condition in wanted.items() if key not in held]
        over = [held[key] for key in held.keys() - wanted.keys()]
        at = instant(now)
        with self._database.write() as run:
            for key in held.keys() & wanted.keys():
                run(
                    "UPDATE incidents SET text = ?, hint = ?, updated_at = ? WHERE id = ?",
                    (wanted[key].text, wanted[key].hint, at, held[key].id),
                )
            opened = [_open(run, condition, told(condition.event), now) for condition in new]
            for incident in over:
                _resolve(run, incident, at)
        closed = [replace(incident, state="resolved", updated_at=at, resolved_at=at) for incident in over]
        return [incident for incident in opened if incident is not None], closed

    def listed(self, *, state: Phase | None = None, limit: int = 1_000) -> list[Incident]:
        """The incidents of a state or of any: open ones first, then the latest change first."""
        rows = self._database.read(
            "SELECT * FROM incidents WHERE ? IN ('', state)"
            " ORDER BY state = 'resolved', updated_at DESC, id DESC LIMIT ?",
            (state or "", limit),
        )
        return [Incident(**dict(row)) for row in rows]

    def due(self, now: datetime) -> list[Delivery]:
        """The messages to send now, in the order of what they are about."""
        rows = self._database.read(
            "SELECT i.*, d.message AS d_message, d.channel AS d_channel, d.attempts AS d_attempts"
            " FROM deliveries AS d JOIN incidents AS i ON i.id = d.incident_id"
            " WHERE d.state = 'pending' AND d.next_try <= ? ORDER BY i.opened_at, i.id, d.channel",
            (instant(now),),
        )
        found: list[Delivery] = []
        for row in rows:
            values = dict(row)
            sent = [values.pop(name) for name in ("d_message", "d_channel", "d_attempts")]
            found.append(Delivery(Incident(**values), *sent))
        return found

    def sent(self, delivery: Delivery) -> None:
        """Remembers that a channel took the message."""
        self._settle(delivery, "sent", delivery.attempts + 1, "", "")

    def not_sent(self, delivery: Delivery, why: str, now: datetime) -> None:
        """Remembers that a channel refused; the next try is after a pause that doubles, and the last is final."""
        attempts = delivery.attempts + 1
        wait = min(timedelta(minutes=2**attempts), _LONGEST_WAIT)
        state = "failed" if attempts >= MOST_ATTEMPTS else "pending"
        self._settle(delivery, state, attempts, why, instant(now + wait))

    def drop(self, delivery: Delivery, why: str) -> None:
        """Remembers that nobody wants the message."""
        self._settle(delivery, "dropped", delivery.attempts, why, "")

    def deliveries(self, incident: str) -> list[dict[str, object]]:
        """What was sent about an incident: `message, channel, state, attempts, note`."""
        rows = self._database.read(
            "SELECT message, channel, state, attempts, note FROM deliveries WHERE incident_id = ?"
            " ORDER BY message, channel",
            (incident,),
        )
        return [dict(row) for row in rows]

    def _settle(self, delivery: Delivery, state: str, attempts: int, note: str, next_try: str) -> None:
        with self._database.write() as run:
            run(
                "UPDATE deliveries SET state = ?, attempts = ?, note = ?, next_try = ?"
                " WHERE incident_id = ? AND message = ? AND channel = ?",
                (state, attempts, note, next_try, delivery.incident.id, delivery.message, delivery.channel),
            )


def _open(run: Execute, condition: Condition, channels: Sequence[str], now: datetime) -> Incident | None:
    """Stores the incident and the messages about it; None when another process was faster."""
    at = instant(now)
    made = Incident(
        f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}", condition.key, condition.event, condition.subject, "open",
        condition.text, condition.hint, at, at, "",
    )  # fmt: skip
    stored = run(
        "INSERT INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        tuple(made.to_json().values()),
    )
    if not stored:
        return None
    for channel in channels:
        run("INSERT INTO deliveries VALUES (?, 'open', ?, 'pending', 0, ?, '')", (made.id, channel, at))
    return made


def _resolve(run: Execute, incident: Incident, at: str) -> None:
    run(
        "UPDATE incidents SET state = 'resolved', updated_at = ?, resolved_at = ? WHERE id = ?",
        (at, at, incident.id),
    )
    run(
        "INSERT INTO deliveries SELECT incident_id, 'resolved', channel, 'pending', 0, ?, '' FROM deliveries"
        " WHERE incident_id = ? AND message = 'open' AND state = 'sent' ON CONFLICT DO NOTHING",
        (at, incident.id),
    )
    run(
        "UPDATE deliveries SET state = 'dropped', note = 'It was over before it could be told.'"
        " WHERE incident_id = ? AND message = 'open' AND state = 'pending'",
        (incident.id,),
    )
