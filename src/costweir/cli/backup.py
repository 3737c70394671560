"""`costweir backup`: copies of the data directory, also while its server runs."""

from __future__ import annotations

import re
import time
from pathlib import Path

import click

from costweir.cli.frame import Command, flags
from costweir.cli.output import note, show_json
from costweir.cli.session import settings
from costweir.errors import Error

_TIME = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}


def _span(_: click.Context, parameter: click.Parameter, value: str | None) -> int:
    found = _TIME.fullmatch(value) if value else None
    if value and not found:
        raise click.BadParameter(f"{value!r} is not a time; write it as 24h, 90m or 1d", param=parameter)
    return int(found[1]) * _SECONDS[found[2]] if found else 0


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder that gets a folder for each copy.",
)
@click.option(
    "--keep",
    type=click.IntRange(1, 1000),
    default=7,
    show_default=True,
    metavar="N",
    help="Newest copies to keep.",
)
@click.option("--every", callback=_span, metavar="TIME", help="Go on, with a copy each 24h, 90m or 1d.")
def backup(*, out: Path, keep: int, every: int) -> None:
    """Copy what people set, the ledger and the facts, and open each copy once to see that it can be.

    A store on a database server is not copied: use the server's own tools. To restore, stop Costweir and put the files
    of one copy into the data directory.
    """
    while True:
        try:
            _once(out, keep)
        except Error as error:
            if not every:
                raise
            note(f"No copy was made: {error.message}")
        if not every:
            return
        time.sleep(every)


def _once(out: Path, keep: int) -> None:
    from costweir.app.backup import back_up

    made = back_up(settings(), out, keep=keep)
    if flags().json:
        show_json({
            "schema": "costweir.backup/1", "path": str(made.folder), "made_at": f"{made.made_at:%Y-%m-%dT%H:%M:%SZ}",
            "files": dict(made.files),
        })  # fmt: skip
    else:
        note(f"{made.folder}: {', '.join(made.files)}.")
