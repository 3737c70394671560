"""`costweir quarantine`: the lines that could not be read, with the reason and the raw text (law L7)."""

from __future__ import annotations

import click

from costweir.cli.frame import Command
from costweir.cli.output import columns, show_rows
from costweir.cli.session import open_desk


@click.command(cls=Command)
@click.option("--run", "run_id", default="", metavar="RUN_ID", help="Only the lines of one run.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, metavar="N", help="How many."
)
def quarantine(run_id: str, limit: int) -> None:
    """List the lines that could not be read."""
    with open_desk() as desk:
        rows = desk.quarantine(run_id=run_id, limit=limit)
    show_rows(
        "quarantine",
        rows,
        columns("run_id", "source", "account", "period", "file", ("row_number", "row"), "reason", "raw"),
        empty="No line is in quarantine.",
    )
