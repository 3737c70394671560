"""`costweir render`: the deployment as files."""

from __future__ import annotations

from pathlib import Path

import click

from costweir.cli.frame import Command, flags
from costweir.cli.output import columns, note, show_rows
from costweir.cli.session import settings

_SHOWN = columns("path", "status", "bytes")


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("deploy"),
    show_default=True,
    metavar="DIR",
    help="Folder to write to.",
)
@click.option(
    "--profile",
    type=click.Choice(["lite", "standard", "full"]),
    help="Only what this profile needs; the default is one compose file with all three.",
)
@click.option(
    "--check", "check", is_flag=True, help="Write nothing; exit 5 when the folder is not up to date."
)
@click.option("--force", is_flag=True, help="Replace files that others wrote or changed.")
def render(*, out: Path, profile: str | None, check: bool, force: bool) -> None:
    """Write compose, Prometheus, Alertmanager, Loki, Alloy and Grafana as files.

    The same settings give the same bytes, and no file holds a secret: `compose/secrets.sh` makes those on the machine
    that runs them.
    """
    from costweir.telemetry import render as renderer

    held = settings()
    made = renderer.rendered(held, profile or "")
    if check:
        renderer.check(out, made)
    found = renderer.compare(out, made) if check else renderer.write(out, made, force=force)
    said = dict.fromkeys(found.stale, "changed") | dict.fromkeys(found.missing, "new")
    rows = [
        {"path": path, "status": said.get(path, "unchanged"), "bytes": len(text.encode())}
        for path, text in made.items()
    ]
    if flags().json or flags().csv:
        show_rows("render", rows, _SHOWN, extra={"out": str(out), "profile": profile or "all"})
    elif check:
        note(f"{out} is up to date: {len(made)} files.")
    else:
        note(f"{out}: {len(found.missing)} files are new, {len(found.stale)} changed, {len(made)} in all.")
    if held.grafana.anonymous:
        note("grafana.anonymous is left out: the rendered Grafana lets nobody in without a login.")
