"""Incidents: what is wrong now, since when, who was told, and what people did about it.

An incident is one matter in one period. It is told once when it begins, its changes go where the beginning went, and
its end is told once, also after a restart: every message is stored in the transaction that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from costweir.control.audit import Audit, Change
from costweir.control.database import Database
from costweir.control.incidents_outbox import FAILURES, News, Outbox, heard, tell
from costweir.control.incidents_rows import (
    ACTIVE,
    SEVERITIES,
    Condition,
    Counts,
    Entry,
    Incident,
    State,
    active,
    found,
    incident_of,
    log,
    rank,
    store,
)
from costweir.control.incidents_step import Step, Told, tell_end
from costweir.control.runs import instant
from costweir.errors import Conflict, UsageError

#: No incident sleeps longer.
LONGEST_SNOOZE = timedelta(days=90)
LONGEST_NOTE = 2_000
LONGEST_OWNER = 200
_VERBS = {
    "acknowledged": "ack", "snoozed": "snooze", "owner": "assign", "note": "note", "resolved": "resolve",
}  # fmt: skip
_UNTOLD = (
    "SELECT id FROM incidents AS i WHERE state != 'resolved' AND NOT EXISTS"
    " (SELECT 1 FROM messages AS m WHERE m.incident_id = i.id AND m.message = 'open')"
)


class Incidents:
    """The incidents of one control database. `told` gives the channels that are to hear of a condition; `by` names who
    makes a change, and every such change is in the audit chain."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        #: The messages about them.
        self.outbox = Outbox(database)

    def observe(
        self, conditions: Sequence[Condition], *, told: Told, now: datetime, quiet: timedelta = timedelta()
    ) -> tuple[list[Incident], list[Incident]]:
        """Opens what is new, ends what is over, and gives both; what goes on is brought up to date.

        A matter that comes back within `quiet`, or at all in a period that has a name, is the same incident. Its end
        is told after `quiet`, so that one that comes and goes is told once.
        """
        wanted = {(condition.key, condition.period): condition for condition in conditions}
        opened: list[Incident] = []
        with self._database.write() as run:
            step = Step(run, told, now, quiet)
            held = {(row.key, row.period): row for row in active(run)}
            untold = {row["id"] for row in run(_UNTOLD)}
            for place, condition in wanted.items():
                if place in held:
                    step.go_on(held[place], condition, untold=held[place].id in untold)
                    continue
                begun = step.begin(condition)
                if begun is not None:
                    opened.append(begun)
            closed = [step.end(row) for place, row in held.items() if place not in wanted]
            for row in run("SELECT id, key, period FROM incidents WHERE put_aside = 1"):
                if (row["key"], row["period"]) not in wanted:
                    run("UPDATE incidents SET put_aside = 0 WHERE id = ?", (row["id"],))
        return opened, closed

    def listed(
        self, *, states: Collection[str] = (), severities: Collection[str] = (), limit: int = 1_000
    ) -> list[Incident]:
        """Those of some states and severities, or of any: what is wrong first, then the latest change first."""
        rows = self._database.read(
            "SELECT * FROM incidents WHERE (? = '' OR instr(?, '|' || state || '|'))"
            " AND (? = '' OR instr(?, '|' || severity || '|'))"
            " ORDER BY state = 'resolved', updated_at DESC, id DESC LIMIT ?",
            (_set(states), _set(states), _set(severities), _set(severities), limit),
        )
        return [incident_of(row) for row in rows]

    def find(self, name: str) -> Incident:
        """The one with this id. Raises NotFound."""
        return found(self._database.read("SELECT * FROM incidents WHERE id = ?", (name,)), name)

    def timeline(self, name: str) -> list[Entry]:
        """What happened to one, the oldest first."""
        rows = self._database.read(
            "SELECT at, actor, what, text FROM incident_events WHERE incident_id = ? ORDER BY seq", (name,)
        )
        return [Entry(*row) for row in rows]

    def counts(self) -> Counts:
        """How many are not resolved by severity, and how often a channel failed."""
        rows = self._database.read(
            "SELECT severity, count(*) AS n, sum(state = 'open') AS waiting FROM incidents"
            " WHERE state != 'resolved' GROUP BY severity"
        )
        by_severity = {row["severity"]: int(row["n"]) for row in rows}
        failures = self._database.read("SELECT value FROM meta WHERE key = ?", (FAILURES,))
        return Counts(
            open={severity: by_severity.get(severity, 0) for severity in SEVERITIES},
            waiting=sum(int(row["waiting"]) for row in rows),
            delivery_failures=int(failures[0]["value"]) if failures else 0,
        )

    def acknowledge(self, name: str, *, by: str, now: datetime, owner: str = "") -> Incident:
        """Says that somebody looks after it, and who. Raises NotFound, Conflict when it is over, and UsageError."""
        wanted = _owner(owner)

        def change(before: Incident) -> Incident:
            return replace(
                before, state="acknowledged", owner=wanted or before.owner, acknowledged_at=instant(now),
                snoozed_until="",
            )  # fmt: skip

        return self._act(name, "acknowledged", change, by=by, now=now)

    def snooze(self, name: str, until: datetime, *, by: str, now: datetime) -> Incident:
        """Lets it sleep until a moment; it wakes sooner when it gets worse. Raises NotFound, Conflict, and UsageError
        for a moment that is over or too far away."""
        if not now < until <= now + LONGEST_SNOOZE:
            raise UsageError(
                "An incident sleeps until a moment that is to come, and at most 90 days.",
                hint="Give a time such as 2h, or a later moment.",
            )

        def change(before: Incident) -> Incident:
            return replace(before, state="snoozed", snoozed_at=instant(now), snoozed_until=instant(until))

        return self._act(name, "snoozed", change, by=by, now=now, text=f"until {instant(until)}")

    def assign(self, name: str, owner: str, *, by: str, now: datetime) -> Incident:
        """Gives it to somebody; an empty name to nobody. Raises NotFound, Conflict, and UsageError for a name on more
        than one line."""
        wanted = _owner(owner)
        return self._act(
            name,
            "owner",
            lambda before: replace(before, owner=wanted),
            by=by,
            now=now,
            text=wanted or "nobody",
        )

    def note(self, name: str, text: str, *, by: str, now: datetime) -> Incident:
        """Writes a note beside it, also after its end. Raises NotFound, and UsageError for no text or a long one."""
        said = text.strip()
        if not said or len(said) > LONGEST_NOTE:
            raise UsageError(f"A note has 1 to {LONGEST_NOTE} characters.", hint="Change it.")
        return self._act(name, "note", lambda before: before, by=by, now=now, text=said)

    def resolve(self, name: str, *, by: str, now: datetime) -> Incident:
        """Closes it. While it is still wrong it stays closed, unless it gets worse. Raises NotFound and Conflict."""

        def change(before: Incident) -> Incident:
            return replace(
                before, state="resolved", resolved_at=instant(now), put_aside=True, snoozed_until=""
            )

        return self._act(name, "resolved", change, by=by, now=now)

    def _act(
        self, name: str, what: str, change: Callable[[Incident], Incident], *, by: str, now: datetime,
        text: str = "",
    ) -> Incident:  # fmt: skip
        with self._database.write() as run:
            before = found(run("SELECT * FROM incidents WHERE id = ?", (name,)), name)
            if not before.active and what != "note":
                raise Conflict(f"Incident {name} is resolved already.", hint="costweir alerts list shows it.")
            after = change(before)
            again = what == "acknowledged" == before.state
            settled = again and before.owner == after.owner
            if settled or (after == before and what != "note"):
                return before
            after = replace(after, updated_at=instant(now))
            store(run, after)
            seq = log(run, after.id, now, what, text, actor=by)
            if what == "resolved":
                tell_end(run, after, now)
            else:
                channels = [channel for channel, how in heard(run, name).items() if how == "heard"]
                tell(run, News(name, what, str(seq), text), channels=channels, at=now)
            change_row = Change(
                by, f"incident.{_VERBS[what]}", f"incident:{name}", _brief(before), _brief(after)
            )
            self._audit.add(change_row, now=now)
        return after


def _owner(text: str) -> str:
    owner = text.strip()
    if len(owner) > LONGEST_OWNER or any(char < " " for char in owner):
        raise UsageError(f"An owner has at most {LONGEST_OWNER} characters on one line.", hint="Shorten it.")
    return owner


def _brief(incident: Incident) -> dict[str, object]:
    """What people change, for the audit chain."""
    return {name: getattr(incident, name) for name in ("state", "owner", "snoozed_until", "put_aside")}


def _set(words: Collection[str]) -> str:
    return "|" + "|".join(words) + "|" if words else ""


__all__ = [
    "ACTIVE",
    "SEVERITIES",
    "Condition",
    "Counts",
    "Entry",
    "Incident",
    "Incidents",
    "State",
    "Told",
    "rank",
]
