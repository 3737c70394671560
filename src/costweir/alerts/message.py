"""What a channel is told: one message about one incident, or about many at once, the same for every channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from costweir.alerts.routing import closing_event
from costweir.control.incidents import Incident, rank
from costweir.control.incidents_outbox import Delivery
from costweir.control.runs import instant

State = Literal[
    "open", "escalated", "reopened", "awake", "acknowledged", "snoozed", "owner", "note", "resolved", "test"
]
#: How many incidents a summary names.
NAMED = 10
_WORDS = {
    "escalated": "worse", "reopened": "again", "awake": "still wrong", "acknowledged": "acknowledged",
    "snoozed": "snoozed", "owner": "given to somebody", "note": "note", "resolved": "resolved",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where messages lead: the name of this installation, and the address of its pages without a slash at the end."""

    instance: str
    pages: str = ""

    def link(self, path: str) -> str:
        """A page as a whole address, or as a path where nobody knows the address; nothing for nothing."""
        return f"{self.pages}{path}" if path else ""


@dataclass(frozen=True, slots=True)
class Line:
    """One of the incidents of a summary."""

    id: str
    severity: str
    event: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """`event` is what the rules call it, or `test`; instants are RFC 3339.

    `id` is the incident's and is the same from its beginning to its end; `delivery` is the same however often this
    message is sent; `root` is the `id` of the first message of the thread. `page` is the incident's own page and `link`
    the view that explains it. A summary has the incidents that it is about in `incidents`, and `count` says how many.
    """

    id: str
    delivery: str
    root: str
    event: str
    state: State
    severity: str
    subject: str
    text: str
    hint: str = ""
    team: str = ""
    owner: str = ""
    period: str = ""
    value: str = ""
    limit: str = ""
    page: str = ""
    link: str = ""
    opened_at: str = ""
    resolved_at: str = ""
    instance: str = ""
    count: int = 1
    incidents: tuple[Line, ...] = ()

    @property
    def first(self) -> bool:
        """Whether it begins a thread."""
        return self.state in ("open", "test")

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """Whole addresses that a reader can open, each with its word."""
        found = (("Why", self.link), ("Incident", self.page))
        return tuple((word, url) for word, url in found if url.startswith(("http://", "https://")))

    @property
    def title(self) -> str:
        """One line: where, how bad, what and about which subject."""
        event = self.event.replace("_", " ")
        if self.state == "test":
            return f"[{self.instance}] test: {self.subject}"
        if self.count > 1:
            return f"[{self.instance}] {self.subject}"
        how = _WORDS.get(self.state, "")
        if how and not self.event.endswith("_recovered"):
            event = f"{event} ({how})"
        loud = "CRITICAL " if self.severity == "critical" and self.state != "resolved" else ""
        return f"[{self.instance}] {loud}{event}: {self.subject}"

    @property
    def body(self) -> str:
        """The sentences, with the links below."""
        parts = [self.text, self.hint if self.state != "resolved" else f"It began at {self.opened_at}."]
        parts += [f"{line.severity}: {line.event.replace('_', ' ')}: {line.text}" for line in self.incidents]
        if self.count > len(self.incidents) > 0:
            parts.append(f"... and {self.count - len(self.incidents)} more.")
        parts += [f"{what}: {link}" for what, link in (("Why", self.link), ("Incident", self.page)) if link]
        return "\n".join(part for part in parts if part)

    def to_json(self) -> dict[str, object]:
        """All fields with the schema's name."""
        return {"schema": "costweir.alert/1", **asdict(self)}


def message_of(deliveries: Sequence[Delivery], place: Place) -> Message:
    """The message of a delivery, or the summary of several of one kind that are sent together."""
    return _one(deliveries[0], place) if len(deliveries) == 1 else _many(deliveries, place)


def _one(delivery: Delivery, place: Place) -> Message:
    incident = delivery.incident
    over = delivery.message == "resolved"
    return Message(
        id=incident.id, delivery=delivery.key, root=_root(delivery),
        event=closing_event(incident.event) if over else incident.event, state=_state(delivery),
        severity=incident.severity, subject=incident.subject, text=_text(delivery), hint=incident.hint,
        team=incident.team, owner=incident.owner, period=incident.period, value=incident.value, limit=incident.limit,
        page=place.link(f"/incidents/{incident.id}"), link=place.link(incident.link), opened_at=incident.opened_at,
        resolved_at=incident.resolved_at, instance=place.instance,
    )  # fmt: skip


def _many(deliveries: Sequence[Delivery], place: Place) -> Message:
    first = deliveries[0]
    held = sorted(
        (delivery.incident for delivery in deliveries), key=lambda row: (rank(row.severity), row.id)
    )
    over = first.message == "resolved"
    what = "incidents are over" if over else "incidents at once"
    return Message(
        id=first.batch, delivery=first.key, root=_root(first), event="many_incidents", state=_state(first),
        severity=held[0].severity, subject=f"{len(held)} {what}",
        text=f"{len(held)} {what}; this is the only message about them." if not over else f"{len(held)} {what}.",
        page=place.link("/incidents"), opened_at=min(row.opened_at for row in held), instance=place.instance,
        count=len(held), incidents=tuple(_line(row) for row in held[:NAMED]),
    )  # fmt: skip


def _root(delivery: Delivery) -> str:
    if delivery.message == "open":
        return delivery.batch or delivery.incident.id
    return delivery.root


def _line(incident: Incident) -> Line:
    return Line(incident.id, incident.severity, incident.event, incident.subject, incident.text)


def _state(delivery: Delivery) -> State:
    return delivery.message  # pyright: ignore[reportReturnType] - the outbox holds only these words


def _text(delivery: Delivery) -> str:
    incident = delivery.incident
    by = f" by {incident.owner}" if incident.owner else ""
    return {
        "escalated": f"It got worse ({incident.severity}): {incident.text}",
        "reopened": f"It is back: {incident.text}",
        "awake": f"It is still wrong after its sleep: {incident.text}",
        "acknowledged": f"It is looked after{by}.",
        "snoozed": f"It sleeps {delivery.text}.",
        "owner": f"It belongs to {delivery.text} now.",
        "note": delivery.text,
        "resolved": f"{incident.subject} is well again. It was: {incident.text}",
    }.get(delivery.message, incident.text)


def trial_message(instance: str, now: datetime) -> Message:
    """The message of `costweir alerts test`."""
    return Message(
        id="test", delivery=f"test.{now:%Y%m%dT%H%M%S}", root=f"test.{now:%Y%m%dT%H%M%S}", event="test", state="test",
        severity="info", subject="a test", text="This is a test. Alerts of this installation arrive here.",
        opened_at=instant(now), instance=instance,
    )  # fmt: skip
