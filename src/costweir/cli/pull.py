"""`costweir pull`: bills in. Loading the same bill again changes nothing (law L2)."""

from __future__ import annotations

from collections.abc import Sequence

import click

from costweir.cli.frame import Group
from costweir.cli.output import Record, columns, note, show_rows
from costweir.cli.progress import progress
from costweir.cli.session import open_desk
from costweir.errors import DataIncomplete, SourceRejected

SOURCES = ("auto", "aws-cur", "aws-cur2", "aws-focus", "gcp-export", "azure-export", "focus")
SHOWN = columns(
    "run_id",
    "source",
    "account",
    "period",
    "status",
    ("rows_stored", "stored"),
    ("rows_skipped", "skipped"),
    ("rows_quarantined", "quarantined"),
    "billed_total",
    "currency",
    "note",
)


@click.group(cls=Group)
def pull() -> None:
    """Read bills."""


@pull.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--source", type=click.Choice(SOURCES), default="auto", show_default=True, help="What the files are."
)
@click.option("--all-services", is_flag=True, help="Keep every service, not only AI.")
@click.option("--dry-run", is_flag=True, help="Store nothing; say what would happen.")
def files(*, paths: tuple[str, ...], source: str, all_services: bool, dry_run: bool) -> None:
    """Load bills from files, folders, globs, or s3://, gs:// and az:// URLs.

    All files of one account and month have to come in one call, because a load replaces what was there.
    The exit code is 1 when a file could not be loaded, and 4 when lines are in quarantine.
    """
    with progress() as report, open_desk(read_only=dry_run) as desk:
        rows = desk.pull_files(
            paths, source=source, all_services=all_services, dry_run=dry_run, progress=report
        )
    show_rows("pull", rows, SHOWN, extra={"dry_run": dry_run}, empty="The files hold no bill.")
    if dry_run:
        note("Nothing was stored: this was a dry run.")
    _judge(rows)


def _judge(rows: Sequence[Record]) -> None:
    failed = [row for row in rows if row.get("status") == "failed"]
    if failed:
        reason = str(failed[0].get("note") or "").rstrip(".")
        raise SourceRejected(
            f"{len(failed)} of {len(rows)} loads failed" + (f": {reason}." if reason else "."),
            hint="Everything else was loaded. Correct the file and pull it again.",
        )
    waiting = sum(int(str(row.get("rows_quarantined") or 0)) for row in rows)
    if waiting:
        lines = "1 line is" if waiting == 1 else f"{waiting} lines are"
        raise DataIncomplete(
            f"{lines} in quarantine.", hint="`costweir quarantine` shows them with the reasons."
        )
