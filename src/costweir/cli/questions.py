"""`costweir questions`: what can be asked."""

from __future__ import annotations

import click

from costweir.cli.frame import Command, flags
from costweir.cli.output import columns, note, show_rows
from costweir.cli.session import open_desk


@click.command(cls=Command)
def questions() -> None:
    """List the questions that `ask` answers."""
    with open_desk() as desk:
        rows = desk.questions()
    show_rows("questions", rows, columns("id", "title"))
    if not flags().json:
        note("`--json` lists the dimensions of each, for --by and --where.")
