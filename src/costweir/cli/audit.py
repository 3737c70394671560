"""`costweir audit`: who changed what, and whether the chain of changes holds."""

from __future__ import annotations

import click

from costweir.cli.frame import Group, flags
from costweir.cli.output import columns, note, show_json, show_rows
from costweir.cli.session import settings
from costweir.errors import CheckFailed


@click.group(cls=Group)
def audit() -> None:
    """Show and verify the audit chain."""


@audit.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many, newest first.",
)
def list_(limit: int) -> None:
    """List the newest changes."""
    from costweir.app.gate import open_gate

    with open_gate(settings()) as gate:
        rows = gate.audit(limit=limit)
    shown = columns("seq", "at", "actor", "action", "subject", "before", "after")
    show_rows("audit", rows, shown, empty="Nothing was changed yet.")


@audit.command()
def verify() -> None:
    """Check that no change was altered or removed. The exit code is 5 when one was."""
    from costweir.app.gate import open_gate

    with open_gate(settings()) as gate:
        verdict = gate.verify_audit()
    if flags().json:
        show_json({"schema": "costweir.audit_verification/1", **verdict})
    if not verdict["ok"]:
        raise CheckFailed(
            f"The audit chain does not hold at row {verdict['broken_at']}: {verdict['reason']}",
            hint="Compare the rows with a copy of control.db.",
        )
    note(f"{verdict['count']} changes, and the chain holds. The newest row is {verdict['head_hash']}.")
