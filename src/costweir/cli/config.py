"""`costweir config`: what is set, where it was set, and whether it is valid."""

from __future__ import annotations

from typing import cast

import click

from costweir.cli.frame import Group, flags
from costweir.cli.output import Record, columns, note, show_json, show_rows
from costweir.cli.session import overrides, settings
from costweir.errors import ConfigError


@click.group(cls=Group)
def config() -> None:
    """Show and check the settings."""


@config.command()
@click.option("--origin", "with_origin", is_flag=True, help="Also say where each value comes from.")
def show(*, with_origin: bool) -> None:
    """Show every setting and its value. Secrets are masked."""
    from costweir import config as room

    held = settings()
    origins = room.origin(held)
    rows: list[Record] = []
    for key, value in room.shown(held).items():
        row: dict[str, object] = {"key": key, "value": value if flags().json else _brief(value)}
        if with_origin:
            row["origin"] = origins[key]
        rows.append(row)
    shown = columns("key", "value", "origin") if with_origin else columns("key", "value")
    show_rows("config", rows, shown, extra={"file": str(held.file) if held.file else None})


def _brief(value: object) -> object:
    """A list of tables as its length: the configuration file shows it better than a cell can."""
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return f"{len(entries)} entries" if len(entries) > 3 else cast("object", value)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from costweir import config as room

    show_json(room.schema())


@config.command()
def validate() -> None:
    """Check the settings, and name everything that is wrong with its place and the nearest valid key."""
    from costweir import config as room
    from costweir.alerts import rulebook

    problems = room.check(path=flags().config, overrides=overrides())
    if flags().json or flags().csv or problems:
        rows = [problem.to_json() for problem in problems]
        show_rows("config", rows, columns("place", "line", "key", "text", "nearest"))
    if problems:
        count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        raise ConfigError(f"{count} wrong. {problems[0].sentence}", hint=problems[0].hint)
    rulebook.load(settings())
    for text in settings().warnings:
        note(f"warning: {text}")
    note("The settings are valid.")
