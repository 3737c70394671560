"""What a channel is told: one message about one incident, the same for every channel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from costweir.control.incidents import Delivery, Incident
from costweir.control.runs import instant

#: What the end of an incident is called, by what its beginning was called; others keep their name.
_RECOVERIES = {"source_late": "source_recovered", "run_failed": "source_recovered"}


@dataclass(frozen=True, slots=True)
class Message:
    """`event` is one of the settings' alert events or `test`; instants are RFC 3339.

    `id` is the incident's and is the same at its beginning and its end; `instance` is the name of this installation.
    """

    id: str
    event: str
    state: Literal["open", "resolved", "test"]
    subject: str
    text: str
    hint: str
    opened_at: str
    resolved_at: str
    instance: str

    @property
    def title(self) -> str:
        """One line: where, what and about which source."""
        what = {"open": self.event, "resolved": f"{self.event} (resolved)", "test": "test"}[self.state]
        if self.event == "source_recovered":
            what = self.event
        return f"[{self.instance}] {what.replace('_', ' ')}: {self.subject}"

    @property
    def body(self) -> str:
        """The sentences."""
        parts = [self.text, self.hint if self.state != "resolved" else f"It began at {self.opened_at}."]
        return "\n".join(part for part in parts if part)

    def to_json(self) -> dict[str, str]:
        """All fields with the schema's name."""
        return {"schema": "costweir.alert/1", **asdict(self)}


def closing_event(incident: Incident) -> str:
    """The event that the end of an incident is sent as."""
    return _RECOVERIES.get(incident.event, incident.event)


def message_of(delivery: Delivery, instance: str) -> Message:
    """The message of a delivery."""
    incident = delivery.incident
    over = delivery.message == "resolved"
    return Message(
        id=incident.id,
        event=closing_event(incident) if over else incident.event,
        state=delivery.message,
        subject=incident.subject,
        text=f"{incident.subject} is well again. It was: {incident.text}" if over else incident.text,
        hint=incident.hint,
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        instance=instance,
    )


def trial_message(instance: str, now: datetime) -> Message:
    """The message of `costweir alerts test`."""
    return Message(
        id="test",
        event="test",
        state="test",
        subject="a test",
        text="This is a test. Alerts of this installation arrive here.",
        hint="",
        opened_at=instant(now),
        resolved_at="",
        instance=instance,
    )
