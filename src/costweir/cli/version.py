"""`costweir version`: which version this is."""

from __future__ import annotations

import platform

import click

from costweir import __version__
from costweir.cli.frame import Command
from costweir.cli.output import show_record


@click.command(cls=Command)
def version() -> None:
    """Print the version, and what it runs on."""
    show_record(
        "version",
        {"version": __version__, "python": platform.python_version(), "system": platform.system().lower()},
    )
