"""`costweir demo`: the sample world, written as real bills, loaded by the users' own readers, and served."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from costweir.cli.frame import Command, flags
from costweir.cli.output import Record, note, show_json
from costweir.cli.progress import Report, progress
from costweir.cli.session import open_desk, settings
from costweir.cli.up import serve_until_stopped
from costweir.errors import Conflict, DataIncomplete

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.demo import World

FOLDER = "sample-bills"
#: What the writer makes below its folder.
WRITTEN = ("aws", "azure", "focus", "gcp", "restated")


@click.command(cls=Command)
@click.option(
    "--seed", type=click.IntRange(min=0), default=7, show_default=True, metavar="N", help="Another world."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Where to write the bills."
)
@click.option("--no-serve", is_flag=True, help="Load and exit.")
@click.option(
    "--web-port", type=click.IntRange(0, 65_535), metavar="N", help="Port of the pages; 0 for any free one."
)
def demo(*, seed: int, out: Path | None, no_serve: bool, web_port: int | None) -> None:
    """Load thirteen months of sample spend over three clouds, and show it in the browser.

    The bills are written below --out, or into the data directory. A data directory with bills of your own is
    refused.
    """
    chosen = settings()
    _refuse_own_data(chosen)
    with progress() as report:
        world = _write(out or chosen.data_dir / FOLDER, seed=seed, report=report)
        rows = _load(world, report)
    stored = sum(int(str(row["rows_stored"])) for row in rows)
    failed = [row for row in rows if row["status"] == "failed"]
    if flags().json:
        show_json({"schema": "costweir.demo/1", "seed": seed, "out": str(world.out), "rows": rows})
    else:
        note(f"Loaded {stored} lines of {len(rows)} sample bills, written to {world.out}.")
    if failed:
        raise DataIncomplete(f"{len(failed)} sample bills were not loaded: {failed[0]['note']}")
    if not no_serve:
        serve_until_stopped({"web_port": web_port})


def _refuse_own_data(chosen: Settings) -> None:
    file = chosen.store_path
    if file is not None and not file.exists():
        return
    with open_desk() as desk:
        held = desk.status()
    if not held["empty"] and not held["sample"] and not held.get("metered"):
        raise Conflict(
            f"{chosen.data_dir if file else 'The store'} holds bills of your own.",
            hint="Give the sample world its own directory with --data-dir, or its own store.",
        )


def _write(out: Path, *, seed: int, report: Report) -> World:
    from costweir.demo import write_world

    report("writing sample bills", 0, 0)
    clear(out)
    return write_world(out, seed=seed)


def clear(out: Path) -> None:
    """Bills of an earlier day or seed must not be pulled together with the new ones; other files stay."""
    if (out / "truth.json").exists():
        for folder in WRITTEN:
            shutil.rmtree(out / folder, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def sample_of(world: World) -> dict[str, object]:
    """The sample firm's customers, plans and budgets, as `adopt` takes them."""
    return {
        "customers": [asdict(row) | {"since": row.since.isoformat()} for row in world.customers],
        "plans": [asdict(row) for row in world.plans],
        "budgets": [asdict(row) | {"scope": dict(row.scope)} for row in world.budgets],
    }


def _load(world: World, report: Report) -> list[Record]:
    rows: list[Record] = []
    with open_desk(read_only=False) as desk:
        desk.adopt(sample_of(world))
        for path in world.pull_paths:
            rows += desk.pull_files([str(path)], sample=True, progress=report)
    return rows
