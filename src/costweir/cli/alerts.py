"""`costweir alerts`: what is wrong or was, who was told, and whether the channels work."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from costweir.cli.frame import Group
from costweir.cli.output import Record, columns, show_rows
from costweir.cli.session import settings
from costweir.errors import ConfigError, Error, NotFound

LISTED = columns("opened_at", "state", "event", "subject", "text", "told")
TESTED = columns("channel", "kind", "status", "note")


@click.group(cls=Group)
def alerts() -> None:
    """Show incidents and try the channels."""


@alerts.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only what is still wrong.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many; open ones first, then the latest.",
)
def list_(*, only_open: bool, limit: int) -> None:
    """List what is wrong or was, and who was told."""
    from costweir.control import Control
    from costweir.control.incidents import ACTIVE

    rows: list[Record] = []
    with Control.open(settings().control_path, read_only=True) as control:
        for incident in control.incidents.listed(states=ACTIVE if only_open else (), limit=limit):
            sent = control.incidents.outbox.of(incident.id)
            told = sorted({str(row["channel"]) for row in sent if row["state"] == "sent"})
            rows.append({**incident.to_json(), "told": told, "deliveries": sent})
    show_rows("alerts", rows, LISTED, empty="Nothing is wrong." if only_open else "Nothing was ever wrong.")


@alerts.command()
@click.argument("channel", required=False)
def test(*, channel: str | None) -> None:
    """Send a test message to a channel, or to all of them."""
    from costweir.alerts import send_test

    held = settings()
    if not held.channels:
        raise ConfigError(
            "There is no channel.", hint="Add [[channels]] to the configuration; see docs/sources.md."
        )
    chosen = [row for row in held.channels if channel in (None, row.id)]
    if not chosen:
        known = ", ".join(row.id for row in held.channels)
        raise NotFound(f"There is no channel {channel!r}.", hint=f"Channels are {known}.")
    rows: list[Record] = []
    failures: list[Error] = []
    for row in chosen:
        status, said = "sent", ""
        try:
            send_test(row, held, datetime.now(UTC))
        except Error as error:
            failures.append(error)
            status, said = "failed", f"{error.message} {error.hint}".strip()
        rows.append({"channel": row.id, "kind": row.kind, "status": status, "note": said})
    show_rows("alerts", rows, TESTED)
    if failures:
        raise failures[0]
