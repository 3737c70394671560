"""`costweir alerts`: what is wrong or was, who was told, what somebody does about it, and whether the channels work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from costweir.cli.frame import Group, flags
from costweir.cli.output import Record, columns, note, show_record, show_rows, show_table, write
from costweir.cli.session import settings
from costweir.cli.values import SPAN
from costweir.errors import ConfigError, Error, NotFound

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.control import Control
    from costweir.control.incidents import Incident

LISTED = columns(
    "id", ("opened_at", "opened"), "state", "severity", "event", "subject", "text", "owner", "told", "not_told",
)  # fmt: skip
TIMELINE = columns("at", "what", "actor", "text")
DELIVERIES = columns("channel", "message", "state", "attempts", "tried_at", "note")
TESTED = columns("channel", "kind", "status", "title", "text", "note")
RULES = columns("id", "enabled", "severity", "team", "plane", "watches", "when", "for", "title")
#: Who the audit chain names for what this command changes.
ACTOR = "cli"
_STATES = ("open", "acknowledged", "snoozed", "resolved")
_SEVERITIES = ("critical", "warning", "info")


@click.group(cls=Group)
def alerts() -> None:
    """Show incidents and act on them, show the rules, and try the channels."""


@alerts.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only what is still wrong.")
@click.option("--state", type=click.Choice(_STATES), multiple=True, help="Only in this state; repeatable.")
@click.option(
    "--severity", type=click.Choice(_SEVERITIES), multiple=True, help="Only of this severity; repeatable."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many; open ones first, then the latest.",
)
def list_(*, only_open: bool, state: tuple[str, ...], severity: tuple[str, ...], limit: int) -> None:
    """List what is wrong or was, and who was told."""
    from costweir.control import Control
    from costweir.control.incidents import ACTIVE

    states = tuple(name for name in ACTIVE if not state or name in state) if only_open else state
    rows: list[Record] = []
    with Control.open(settings().control_path, read_only=True) as control:
        # What is still wrong is in none of the states asked for: `--open --state resolved`.
        found = [] if only_open and not states else control.incidents.listed(
            states=states, severities=severity, limit=limit
        )  # fmt: skip
        for incident in found:
            sent = control.incidents.outbox.of(incident.id)
            told = sorted({str(row["channel"]) for row in sent if row["state"] == "sent"})
            untold = sorted({str(row["channel"]) for row in sent if row["state"] in ("pending", "failed")})
            rows.append({**incident.to_json(), "told": told, "not_told": untold, "deliveries": sent})
    show_rows("alerts", rows, LISTED, empty="Nothing is wrong." if only_open else "Nothing was ever wrong.")


@alerts.command()
@click.argument("incident", metavar="ID")
def show(*, incident: str) -> None:
    """Show one incident with all that happened to it and every message about it."""
    from costweir.control import Control

    with Control.open(settings().control_path, read_only=True) as control:
        found = control.incidents.find(incident)
        story: dict[str, Sequence[Record]] = {
            "timeline": [entry.to_json() for entry in control.incidents.timeline(found.id)],
            "deliveries": control.incidents.outbox.of(found.id),
        }
    _show({**found.to_json(), **story})
    if flags().json or flags().csv:
        return
    for name, shown in (("timeline", TIMELINE), ("deliveries", DELIVERIES)):
        if story[name]:
            write("\n")
            show_table(story[name], shown)


@alerts.command()
@click.argument("incident", metavar="ID")
@click.option("--owner", default="", metavar="NAME", help="Who looks after it.")
def ack(*, incident: str, owner: str) -> None:
    """Say that somebody looks after an incident."""

    _act(lambda control, now: control.incidents.acknowledge(incident, by=ACTOR, now=now, owner=owner))


@alerts.command()
@click.argument("incident", metavar="ID")
@click.option(
    "--for", "time", type=SPAN, default="2h", show_default=True, metavar="TIME", help="How long, such as 2h."
)
def snooze(*, incident: str, time: timedelta) -> None:
    """Let an incident sleep for a time; it wakes sooner when it gets worse."""
    _act(lambda control, now: control.incidents.snooze(incident, now + time, by=ACTOR, now=now))


@alerts.command()
@click.argument("incident", metavar="ID")
@click.argument("text")
def comment(*, incident: str, text: str) -> None:
    """Write a note beside an incident and into its threads."""
    _act(lambda control, now: control.incidents.note(incident, text, by=ACTOR, now=now))


@alerts.command()
@click.argument("incident", metavar="ID")
def resolve(*, incident: str) -> None:
    """Close an incident. While it is still wrong it stays closed, unless it gets worse."""
    _act(lambda control, now: control.incidents.resolve(incident, by=ACTOR, now=now))


def _act(change: Callable[[Control, datetime], Incident]) -> None:
    """Makes one change and tells the channels, unless a running server does that within seconds."""
    from costweir.app.locks import running_server
    from costweir.control import Control

    chosen, now = settings(), datetime.now(UTC)
    with Control.open(chosen.control_path) as control:
        after = change(control, now)
        if running_server(chosen.data_dir) is None:
            _tell(control, chosen, now)
    _show(after.to_json())


def _show(record: Record) -> None:
    """One incident; people get what is known of it, programs every field."""
    whole = flags().json or flags().csv
    show_record(
        "alert",
        record
        if whole
        else {name: value for name, value in record.items() if isinstance(value, str) and value},
    )


def _tell(control: Control, chosen: Settings, now: datetime) -> None:
    from costweir.alerts import deliver_due

    deliver_due(control, chosen, now)


@alerts.command()
def rules() -> None:
    """List the rules: what each watches, when it fires, and how bad that is."""
    from costweir.alerts.routing import closing_event
    from costweir.alerts.rulebook import load

    chosen = settings()
    rows = load(chosen).to_json()
    show_rows("alert_rules", rows, RULES)
    events = {str(row["event"]) for row in rows}
    events |= {closing_event(event) for event in events}
    wanted = {event for row in (*chosen.channels, *chosen.routing.routes) for event in row.events}
    for event in sorted(wanted - events):
        note(f"A channel or route wants the event {event!r}, which no rule has.")


@alerts.command()
@click.argument("channel", required=False)
def test(*, channel: str | None) -> None:
    """Send a test message to a channel, or to all of them, and show what was sent."""
    from costweir.alerts import send_test

    held = settings()
    if not held.channels:
        raise ConfigError(
            "There is no channel.", hint="Add [[channels]] to the configuration; see docs/alerts.md."
        )
    chosen = [row for row in held.channels if channel in (None, row.id)]
    if not chosen:
        known = ", ".join(row.id for row in held.channels)
        raise NotFound(f"There is no channel {channel!r}.", hint=f"Channels are {known}.")
    rows: list[Record] = []
    failures: list[Error] = []
    for row in chosen:
        result: dict[str, object] = {"channel": row.id, "kind": row.kind, "status": "sent", "note": ""}
        try:
            sent = send_test(row, held, datetime.now(UTC))
            result |= {"title": sent.title, "text": sent.body}
        except Error as error:
            if error.transient:
                error.hint = "A test is sent once; an alert is tried again for a day."
            failures.append(error)
            result |= {"status": "failed", "note": f"{error.message} {error.hint}".strip()}
        rows.append(result)
    show_rows("alerts", rows, TESTED)
    if failures:
        if len(failures) > 1:
            note(f"{len(failures)} of {len(chosen)} channels did not take the message. The first of them:")
        raise failures[0]
