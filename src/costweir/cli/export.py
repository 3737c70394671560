"""`costweir export`: charges as FOCUS for other tools, and whether a file keeps the FOCUS rules."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from costweir.cli.frame import Group, flags
from costweir.cli.output import columns, note, show_json, show_rows
from costweir.cli.session import open_desk
from costweir.cli.values import DAY
from costweir.errors import CheckFailed

if TYPE_CHECKING:
    from costweir.sources.focus_rules.validator import Report

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=Group)
def export() -> None:
    """Write charges as FOCUS 1.2, or check a FOCUS file."""


@export.command()
@click.option("--out", type=_FILE, required=True, metavar="FILE", help="A .csv, .csv.gz or .parquet file.")
@click.option("--since", type=DAY, metavar="DAY", help="First day of usage.")
@click.option("--until", type=DAY, metavar="DAY", help="First day after.")
@click.option("--provider", default="", metavar="ID", help="Only this provider.")
@click.option(
    "--validate", "check", is_flag=True, help="Check the written file; exit 5 when a rule is broken."
)
def focus(*, out: Path, since: date | None, until: date | None, provider: str, check: bool) -> None:
    """Write the charges as a FOCUS 1.2 file.

    The file keeps what the bills say, cells that look like formulas included: it is for machines.
    """
    with open_desk() as desk:
        desk.export_focus(out, since=since, until=until, provider=provider)
    if check:
        _show(out)
    elif flags().json:
        show_json({"schema": "costweir.export/1", "path": str(out), "bytes": out.stat().st_size})
    else:
        note(f"Wrote {out}.")


@export.command()
@click.argument("file", type=_FILE)
def validate(file: Path) -> None:
    """Check a FOCUS file against the FOCUS 1.2 rules. The exit code is 5 when a MUST is broken."""
    _show(file)


def _show(file: Path) -> None:
    from costweir.sources.focus_rules.validator import validate as read

    report = read(file)
    told = report.to_json()
    rows = [
        {"level": level, **finding.to_json()}
        for level, findings in (("must", report.violations), ("should", report.advice))
        for finding in findings
    ]
    extra = {key: value for key, value in told.items() if key not in ("violations", "advice")}
    shown = columns("level", "rule_id", "column", "count", "row", "example", "text")
    show_rows("export", rows, shown, extra=extra, empty=_verdict(report))
    if rows:
        note(_verdict(report))
    if not report.ok:
        raise CheckFailed(
            f"{file} breaks {len(report.violations)} of the {report.rules_checked} rules that were tested.",
            hint="Each broken rule is listed with the first row that breaks it.",
        )


def _verdict(report: Report) -> str:
    return (
        f"{report.path}: {report.rows} rows, {report.rules_checked} of {report.rules_total} rules of"
        f" FOCUS {report.focus} tested, {len(report.violations)} broken;"
        f" {report.rules_by_hand} rules need a person."
    )
