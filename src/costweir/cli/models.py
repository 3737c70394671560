"""`costweir models`: which customer may use which models, and who began to use a new one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from costweir.cli.frame import Group
from costweir.cli.output import columns, note, show_rows
from costweir.cli.session import open_desk, settings
from costweir.errors import Conflict, NotFound

if TYPE_CHECKING:
    from costweir.control import Approval, Control
    from costweir.domain.answer import Answer

ACTOR = "command line"


@click.group(cls=Group)
def models() -> None:
    """Say which models customers may use, and see which they use."""


@models.command("list")
@click.option("--customer", default="", metavar="ID", help="Only this customer.")
def list_(*, customer: str) -> None:
    """List the approved models, with those in use that each entry covers.

    A customer without an entry may use every model.
    """
    from costweir.queries.request import Request

    with open_desk() as desk:
        seen = _members(desk.ask(Request("spend", by=("model",))))
        seen |= _members(desk.ask(Request("spend", by=("model",), basis="metered")))
    with _control(read_only=True) as control:
        entries = control.approvals.listed(customer)
    _show(entries, seen)


@models.command()
@click.argument("customer")
@click.argument("names", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dry-run", is_flag=True, help="Show what would change.")
def approve(*, customer: str, names: tuple[str, ...], dry_run: bool) -> None:
    """Let a customer use models; `gpt-5*` stands for all that begin so.

    With the first entry every other model counts as not approved for that customer.
    """
    wanted = [name.strip().lower() for name in names]
    with _control(read_only=dry_run) as control:
        if all(entry.id != customer for entry in control.customers()):
            note(f"No customer {customer!r} is set up; the entry holds for bill lines with that id.")
        before = [entry.pattern for entry in control.approvals.listed(customer)]
        if not dry_run:
            with control.transaction():
                added = [entry.pattern for entry in control.approvals.approve(customer, wanted)]
                _remember(control, customer, before=before, action="approval.add")
        else:
            added = [name for name in dict.fromkeys(wanted) if name not in before]
    _show_changed(customer, added, empty="Every model was on the list already.")


@models.command()
@click.argument("customer")
@click.argument("names", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dry-run", is_flag=True, help="Show what would change.")
def unapprove(*, customer: str, names: tuple[str, ...], dry_run: bool) -> None:
    """Take entries off a customer's list, as `models list` writes them."""
    wanted = [name.strip().lower() for name in names]
    with _control(read_only=dry_run) as control:
        held = control.approvals.listed(customer)
        _check_removable(customer, wanted, held)
        if not dry_run:
            with control.transaction():
                control.approvals.unapprove(customer, wanted)
                _remember(control, customer, before=[e.pattern for e in held], action="approval.drop")
    if {entry.pattern for entry in held} <= set(wanted):
        note(f"{customer!r} has no list any more and may use every model.")
    _show_changed(customer, list(dict.fromkeys(wanted)), empty="Nothing changed.")


@models.command()
@click.option("--customer", default="", metavar="ID", help="Only this customer.")
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=30,
    metavar="N",
    help="How long a model is new; 30 by default.",
)
@click.option("--new", "only_new", is_flag=True, help="Only models that are new.")
@click.option("--unapproved", is_flag=True, help="Only models outside the customer's list.")
def seen(*, customer: str, days: int, only_new: bool, unapproved: bool) -> None:
    """Show since when each customer uses each model, the newest first."""
    from costweir.queries.request import Request

    where = {"customer": (customer,)} if customer else {}
    with open_desk() as desk:
        answer = desk.ask(Request("first_seen", by=("customer", "model"), where=where))
    edge = datetime.now(UTC).date() - timedelta(days=days)
    rows = [
        {**row, "new": date.fromisoformat(str(row["first_day"])) > edge, "currency": answer.currency}
        for row in sorted(answer.rows, key=lambda row: str(row["first_day"]), reverse=True)
    ]
    shown = [row for row in rows if (row["new"] or not only_new) and (row["unapproved"] or not unapproved)]
    extra: dict[str, object] = {"new_days": days, "complete": answer.complete, "link": answer.link}
    table = columns(
        "customer",
        "model",
        ("first_day", "first seen"),
        "last_day",
        f"{answer.basis}_cost",
        "new",
        "unapproved",
    )
    show_rows("models", shown, table, extra=extra, empty="No model matches.")


def _control(*, read_only: bool) -> Control:
    from costweir.control import Control

    chosen = settings()
    chosen.data_dir.mkdir(parents=True, exist_ok=True)
    return Control.open(chosen.control_path, read_only=read_only)


def _members(answer: Answer) -> set[str]:
    return {str(row["model"]) for row in answer.rows}


def _show(entries: Sequence[Approval], seen: set[str]) -> None:
    rows = [
        {**entry.to_json(), "in_use": sorted(model for model in seen if entry.covers(model))}
        for entry in entries
    ]
    shown = columns("customer", ("pattern", "model"), "origin", "in_use")
    show_rows("models", rows, shown, empty="No customer has a list, so every model counts as approved.")


def _show_changed(customer: str, changed: Sequence[str], *, empty: str) -> None:
    rows = [{"customer": customer, "pattern": pattern} for pattern in changed]
    show_rows("models", rows, columns("customer", ("pattern", "model")), empty=empty)


def _check_removable(customer: str, wanted: Sequence[str], held: Sequence[Approval]) -> None:
    for pattern in wanted:
        origins = {entry.origin for entry in held if entry.pattern == pattern}
        if not origins:
            raise NotFound(
                f"{pattern!r} is not on the list of {customer!r}.",
                hint="`costweir models list` shows the lists.",
            )
        if "user" not in origins:
            raise Conflict(
                f"{pattern!r} is on the list of {customer!r} in the configuration file.",
                hint="Take it out of approved_models there.",
            )


def _remember(control: Control, customer: str, *, before: Sequence[str], action: str) -> None:
    from costweir.control.audit import Change

    after = sorted({entry.pattern for entry in control.approvals.listed(customer)})
    if after != sorted(set(before)):
        control.audit.add(
            Change(ACTOR, action, f"customer:{customer}", {"models": sorted(set(before))}, {"models": after})
        )
