"""`costweir runs`: what was loaded, when, and whether the counts agree."""

from __future__ import annotations

import click

from costweir.cli.frame import Command
from costweir.cli.output import columns, show_rows
from costweir.cli.session import open_desk

SHOWN = columns(
    "run_id",
    "connection",
    "source",
    "account",
    "period",
    "status",
    ("rows_stored", "stored"),
    ("rows_quarantined", "quarantined"),
    "billed_total",
    "currency",
    "note",
)


@click.command(cls=Command)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    metavar="N",
    help="How many, newest first.",
)
def runs(limit: int) -> None:
    """List the newest loads."""
    with open_desk() as desk:
        rows = desk.runs(limit=limit)
    show_rows("runs", rows, SHOWN, empty="Nothing was loaded yet. Try `costweir demo`.")
