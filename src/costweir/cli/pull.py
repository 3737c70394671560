"""`costweir pull`: bills in. Loading the same bill again changes nothing (law L2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from costweir.cli.frame import Command, Group
from costweir.cli.output import Record, columns, note, show_rows
from costweir.cli.progress import progress
from costweir.cli.session import open_desk, settings
from costweir.cli.values import DAY
from costweir.errors import DataIncomplete, Error, SourceRejected, UsageError

if TYPE_CHECKING:
    from costweir.app.runner import Order
    from costweir.config.connections import Connection

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
#: How a live source is written in help and documentation.
SOURCE_ID = "SOURCE_ID"


class PullGroup(Group):
    """Takes the id of a live source where a command's name stands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """`files`, `all` and the place of a source's id."""
        return ["files", "all", SOURCE_ID]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, else the one that pulls the source of that id."""
        return super().get_command(ctx, cmd_name) or _source_command(cmd_name)


@click.group(cls=PullGroup)
def pull() -> None:
    """Read bills: from files, or from a live source by its id."""


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
    _finish(rows, dry_run=dry_run, empty="The files hold no bill.")


def _window_options() -> list[click.Parameter]:
    return [
        click.Option(["--since"], type=DAY, metavar="DAY", help="First day; its whole month is read."),
        click.Option(["--until"], type=DAY, metavar="DAY", help="The day after the last; the default is tomorrow."),
        click.Option(["--date"], metavar="DAY", help="One day, or `yesterday`; its whole month is read."),
        click.Option(["--dry-run"], is_flag=True, help="Store nothing; say what would happen."),
    ]  # fmt: skip


def _source_command(name: str) -> click.Command:
    def run(since: date | None, until: date | None, date: str | None, *, dry_run: bool) -> None:
        from costweir.app.connections import find_connection

        order = _order(since, until, date, dry_run=dry_run)
        row = find_connection(settings(), name)
        rows, failures = _pull([row], order)
        if failures:
            raise failures[0]
        _finish(rows, dry_run=dry_run, empty="")

    return Command(
        name,
        callback=run,
        params=_window_options(),
        short_help="Pull a live source by its id.",
        help="Pull a live source, as `[[sources]]` in the configuration names it.\n\n"
        "Without days it reads the open months, at least the last five days, and what was missed since the last"
        " success. The exit code is 1 when it failed, 3 when the provider did not answer, and 4 when lines are in"
        " quarantine.",
    )


def _every(since: date | None, until: date | None, date: str | None, *, dry_run: bool) -> None:
    """Pull every enabled source, one after the other.

    A source that fails does not stop the others; the exit code is that of the first failure.
    """
    order = _order(since, until, date, dry_run=dry_run)
    enabled = [row for row in settings().sources if row.enabled]
    rows, failures = _pull(enabled, order)
    if not failures:
        _finish(rows, dry_run=dry_run, empty="There is no enabled source. `costweir connect` sets one up.")
        return
    show_rows("pull", rows, SHOWN, extra={"dry_run": dry_run})
    first = failures[0]
    raise type(first)(f"{len(failures)} of {len(enabled)} sources failed: {first.message}", hint=first.hint)


pull.add_command(Command("all", callback=_every, params=_window_options(), help=_every.__doc__))


def _pull(connections: Sequence[Connection], order: Order) -> tuple[list[Record], list[Error]]:
    """The rows of the sources that could be pulled, and the failures of the others."""
    from costweir.app import LocalDesk
    from costweir.app.pulling import look, pull_source

    held = settings()
    rows: list[Record] = []
    failures: list[Error] = []
    with progress() as report, open_desk(read_only=order.dry_run) as desk:
        for row in connections:
            try:
                rows += pull_source(held, row, desk, order, report)
            except Error as error:
                failures.append(error)
        # A server that runs looks by itself.
        if isinstance(desk, LocalDesk) and held.channels and not order.dry_run:
            look(desk, held)
    return rows, failures


def _order(since: date | None, until: date | None, day: str | None, *, dry_run: bool) -> Order:
    from costweir.app.runner import Order
    from costweir.sources.live.source import Window

    today = datetime.now(UTC).date()
    if day is not None:
        if since or until:
            raise UsageError("--date goes without --since and --until.", hint="Give one or the other.")
        wanted = today - timedelta(days=1) if day == "yesterday" else DAY.convert(day, None, None)
        return Order(Window(wanted, wanted + timedelta(days=1)), dry_run=dry_run)
    if until is not None and since is None:
        raise UsageError("--until needs --since.", hint="Give the first day too.")
    if since is None:
        return Order(dry_run=dry_run)
    return Order(Window(since, until or today + timedelta(days=1)), dry_run=dry_run)


def _finish(rows: Sequence[Record], *, dry_run: bool, empty: str) -> None:
    show_rows("pull", rows, SHOWN, extra={"dry_run": dry_run}, empty=empty)
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
