"""What an incident is and how it is kept: a row for the matter, and a row for each thing that happened to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from costweir.control.database import Execute, Row
from costweir.control.runs import instant
from costweir.errors import NotFound

State = Literal["open", "acknowledged", "snoozed", "resolved"]
#: The worst first.
SEVERITIES = ("critical", "warning", "info")
#: Still wrong.
ACTIVE: tuple[State, ...] = ("open", "acknowledged", "snoozed")


_INSTANTS = frozenset({"acknowledged_at", "snoozed_at", "snoozed_until", "resolved_at"})


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
    """One matter from its beginning to its end; instants are RFC 3339 in UTC, empty where there is none.

    `episode` grows when it comes back after its end was told. `put_aside` is true while somebody has closed what is
    still wrong.
    """

    id: str
    key: str
    period: str
    event: str
    subject: str
    severity: str
    team: str
    state: State
    text: str
    hint: str
    link: str
    value: str
    limit: str
    owner: str
    episode: int
    opened_at: str
    updated_at: str
    acknowledged_at: str = ""
    snoozed_at: str = ""
    snoozed_until: str = ""
    resolved_at: str = ""
    put_aside: bool = False

    @property
    def active(self) -> bool:
        """Whether it is still wrong, as far as anybody knows."""
        return self.state != "resolved"

    def to_json(self) -> dict[str, object]:
        """All fields; an instant that is not is null."""
        return {
            name: None if value == "" and name in _INSTANTS else value for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to an incident: `what` is `open`, `escalated`, `reopened`, `acknowledged`, `snoozed`, `awake`,
    `owner`, `note` or `resolved`; `actor` is empty for what nobody did."""

    at: str
    actor: str
    what: str
    text: str

    def to_json(self) -> dict[str, str]:
        """All fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many incidents of each severity are not resolved, how many of them wait for somebody, and how often a channel
    failed since the beginning."""

    open: Mapping[str, int]
    waiting: int
    delivery_failures: int


def rank(severity: str) -> int:
    """0 for the worst."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else SEVERITIES.index("warning")


def updated(incident: Incident, condition: Condition) -> Incident:
    """The incident with what is known of it now."""
    severity = condition.severity if condition.severity in SEVERITIES else "warning"
    return replace(
        incident, event=condition.event, subject=condition.subject, severity=severity, team=condition.team,
        text=condition.text, hint=condition.hint, link=condition.link, value=condition.value, limit=condition.limit,
    )  # fmt: skip


_COLUMNS = tuple(field.name for field in fields(Incident))
_CHANGED = tuple(name for name in _COLUMNS if name not in ("id", "key", "period", "opened_at"))
_NAMES = ", ".join(f'"{name}"' for name in _COLUMNS)
_INSERT = f"INSERT INTO incidents ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - our own names
_UPDATE = "UPDATE incidents SET " + ", ".join(f'"{name}" = ?' for name in _CHANGED) + " WHERE id = ?"  # noqa: S608 - our own names


def insert(run: Execute, incident: Incident) -> None:
    """Keeps a new incident."""
    run(_INSERT, tuple(getattr(incident, name) for name in _COLUMNS))


def store(run: Execute, incident: Incident) -> None:
    """Keeps what an incident has become."""
    run(_UPDATE, (*(getattr(incident, name) for name in _CHANGED), incident.id))


def log(run: Execute, name: str, now: datetime, what: str, text: str = "", *, actor: str = "") -> int:
    """Adds to the timeline, and gives the number of the entry."""
    rows = run(
        "INSERT INTO incident_events (incident_id, at, actor, what, text) VALUES (?, ?, ?, ?, ?) RETURNING seq",
        (name, instant(now), actor, what, text),
    )
    return rows[0]["seq"]


def active(run: Execute) -> list[Incident]:
    """What is still wrong."""
    return [incident_of(row) for row in run("SELECT * FROM incidents WHERE state != 'resolved'")]


def incident_of(row: Mapping[str, Any] | Row) -> Incident:
    """The incident of a row of its table."""
    values: dict[str, Any] = dict(row)
    values["put_aside"] = bool(values["put_aside"])
    return Incident(**values)


def found(rows: Sequence[Row], name: str) -> Incident:
    """The only row. Raises NotFound."""
    if not rows:
        raise NotFound(f"There is no incident {name!r}.", hint="costweir alerts list shows them.")
    return incident_of(rows[0])
