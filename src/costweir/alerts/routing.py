"""Who hears of what: channels by severity, team and event, the messages that each kind of channel takes, and the hours
in which only what is critical is sent. All of it is data of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from costweir.control.incidents import Condition, Told
from costweir.control.incidents_outbox import Delivery

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.config.channels import Channel, Route

_ALL = ("critical", "warning", "info")
#: What each kind of channel hears of where no route is set.
LOUDNESS: Mapping[str, Sequence[str]] = {
    "pagerduty": ("critical",),
    "slack": ("critical", "warning"),
    "apprise": ("critical", "warning"),
    "email": _ALL,
    "webhook": _ALL,
}
#: What begins, changes or ends; every channel is told.
_LOUD = frozenset({"open", "escalated", "reopened", "awake", "resolved"})
_EVERY = _LOUD | {"acknowledged", "snoozed", "owner", "note"}
#: What the end of an incident is called, by what its beginning was called; others keep their name.
_RECOVERIES = {"source_late": "source_recovered", "run_failed": "source_recovered"}


def told_by(settings: Settings) -> Told:
    """Gives the ids of the channels that are to hear of a condition."""

    def told(condition: Condition) -> list[str]:
        fitting = [route for route in settings.routing.routes if _fits(route, condition)]
        named = [name for route in fitting for name in route.channels]
        if not settings.routing.routes:
            named = [row.id for row in settings.channels if condition.severity in LOUDNESS[row.kind]]
        elif not fitting:
            named = list(settings.routing.default) or [row.id for row in settings.channels]
        return [row.id for row in settings.channels if row.id in named and _wants(row, condition.event)]

    return told


def closing_event(event: str) -> str:
    """The event that the end of an incident is sent as."""
    return _RECOVERIES.get(event, event)


def wanted(row: Channel, delivery: Delivery) -> bool:
    """Whether a channel takes a message."""
    event = delivery.incident.event
    if not _wants(row, closing_event(event) if delivery.message == "resolved" else event):
        return False
    if row.kind == "pagerduty":
        return delivery.message in _LOUD | {"acknowledged"}
    # Only who answers in a thread, or is a program, has use for what people do meanwhile.
    threaded = row.kind == "webhook" or row.token_env is not None
    return delivery.message in (_EVERY if threaded else _LOUD)


def is_quiet(row: Channel, now: datetime) -> bool:
    """Whether only what is critical is sent to a channel at this moment."""
    hours = row.quiet_hours
    if hours is None:
        return False
    begin, end = hours
    here = now.astimezone(ZoneInfo(row.timezone)).time()
    return begin <= here < end if begin <= end else here >= begin or here < end


def _wants(row: Channel, event: str) -> bool:
    return not row.events or event in row.events


def _fits(route: Route, condition: Condition) -> bool:
    return (
        (not route.severities or condition.severity in route.severities)
        and (not route.teams or condition.team in route.teams)
        and (not route.events or condition.event in route.events)
    )
