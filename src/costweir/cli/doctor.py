"""`costweir doctor`: whether everything that Costweir needs is there, one line each, with what to do if
not."""

from __future__ import annotations

import click

from costweir.cli.checks import CHECKS, Bench, Check
from costweir.cli.frame import Command
from costweir.cli.output import columns, show_rows
from costweir.errors import CheckFailed


@click.command(cls=Command)
def doctor() -> None:
    """Check the installation and the data directory. The exit code is 5 when a check fails."""
    bench = Bench()
    checks: list[Check] = [check for look in CHECKS for check in look(bench)]
    show_rows("doctor", [check.to_json() for check in checks], columns("check", "status", "detail", "hint"))
    failed = [check for check in checks if check.status == "fail"]
    if failed:
        names = ", ".join(check.check for check in failed)
        raise CheckFailed(f"{len(failed)} of {len(checks)} checks failed: {names}.", hint=failed[0].hint)
