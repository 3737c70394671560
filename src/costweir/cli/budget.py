"""`costweir budget`: limits that hold before money is spent. Set, previewed and removed by hand; every change is in the
audit chain."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from costweir.cli.budget_test import budget_test
from costweir.cli.frame import Group, flags
from costweir.cli.output import columns, note, show_json, show_record, show_rows
from costweir.cli.rows import readable_rows
from costweir.cli.session import settings
from costweir.cli.values import SCOPE, SPAN
from costweir.errors import UsageError

_SHOWN = columns(
    ("id", "budget"), "scope", "window", ("limit_usd", "limit USD"), "mode", "calls",
    ("tokens_per_minute", "tokens/min"), ("requests_per_minute", "requests/min"), "parallel", "expires", "origin",
)  # fmt: skip
_BLOCKED = columns("customer", ("blocked_calls", "blocked calls"), ("blocked_usd", "that cost USD"))
_STOPS = columns("scope", "reason", ("created_at", "since"), ("created_by", "by"))


@click.group(cls=Group)
def budget() -> None:
    """List, set, preview and test budgets, and stop what must not go on."""


budget.add_command(budget_test)


@budget.command("list")
def list_() -> None:
    """List every budget, also those that plans make for their customers."""
    from costweir.app.budgets import listed_budgets

    rows = listed_budgets(settings())
    shown = rows if flags().json else readable_rows(rows)
    empty = "No budget is set yet. Try `costweir budget set everything --limit-usd 10 --window day`."
    show_rows("budgets", shown, _SHOWN, empty=empty)


def _limits(command: Any) -> Any:
    """The flags that say what a budget is; what is left out stays as it is, or has its default."""
    flags_of = (
        click.option("--scope", type=SCOPE, multiple=True, metavar="KIND=ID",
                     help="What it is about: customer, plan, key, user, session, feature, project, model, provider ..."
                          " `*` gives each one the limit for itself. Without it, everything."),
        click.option("--limit-usd", metavar="USD", help="USD that may be spent in one window."),
        click.option("--window", metavar="WINDOW", help="day, week, month, session, total or rolling:24h."),
        click.option("--timezone", metavar="ZONE", help="Where a day, week or month begins."),
        click.option("--mode", type=click.Choice(["strict", "debt", "observe"]), help="What happens at the limit."),
        click.option("--thresholds", metavar="N,N", help="Percentages; from 90 to 99 a cheaper model takes over."),
        click.option("--calls", type=click.IntRange(1), metavar="N", help="Calls in one window."),
        click.option("--parallel", type=click.IntRange(1), metavar="N", help="Calls at the same moment."),
        click.option("--tokens-per-minute", type=click.IntRange(1), metavar="N", help="Tokens in any minute."),
        click.option("--requests-per-minute", type=click.IntRange(1), metavar="N", help="Requests in any minute."),
    )  # fmt: skip
    for option in reversed(flags_of):
        command = option(command)
    return command


@budget.command("set")
@click.argument("budget_id", metavar="ID")
@_limits
@click.option("--expires", type=SPAN, metavar="TIME", help="How long it holds; then it is as it was before.")
@click.option("--dry-run", is_flag=True, help="Show what would be set.")
def set_(*, budget_id: str, expires: timedelta | None, dry_run: bool, **given: Any) -> None:
    """Add a budget, or change one; what is not said stays as it is.

    A new or lower limit counts what its open window has spent and holds already.
    """
    from costweir.app.budgets import definition, in_force, set_budget

    chosen = settings()
    changes = _changes(given)
    if expires is not None:
        changes["expires"] = (datetime.now(UTC) + expires).isoformat()
    body = definition(chosen, budget_id, changes)
    if dry_run:
        show_record("budget", {"id": budget_id, **body})
        return
    record = set_budget(chosen, budget_id, body)
    show_record("budget", {name: value for name, value in record.items() if name != "schema"})
    _say(in_force(chosen))


@budget.command()
@click.argument("budget_id", metavar="ID")
def remove(budget_id: str) -> None:
    """Remove a budget that was set by hand."""
    from costweir.app.budgets import in_force, remove_budget

    chosen = settings()
    remove_budget(chosen, budget_id)
    show_record("budget", {"id": budget_id, "deleted": True})
    _say(in_force(chosen))


@budget.command()
@click.argument("budget_id", metavar="ID")
@_limits
@click.option(
    "--days", type=click.IntRange(1, 366), default=30, show_default=True, metavar="N", help="How far back."
)
def preview(*, budget_id: str, days: int, **given: Any) -> None:
    """Replay past calls against a budget before it is set: how many it would have refused, and whose.

    Each call holds again what it held then. What a cheaper model or a smaller cap would have saved counts as refused.
    """
    from costweir.app.budgets import definition, preview_budget

    chosen = settings()
    found = preview_budget(chosen, budget_id, definition(chosen, budget_id, _changes(given)), days=days)
    if flags().json:
        show_json({"schema": "costweir.budget_preview/1", **found})
        return
    rows: Any = found.pop("rows")
    if flags().csv:
        show_rows("budget_preview", rows, _BLOCKED)
        return
    show_record("budget_preview", found)
    if rows:
        show_rows("budget_preview", rows, _BLOCKED)


@budget.command()
@click.option(
    "--scope", type=SCOPE, multiple=True, metavar="KIND=ID", help="What to stop; without it, every call."
)
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever is refused.")
@click.option("--off", is_flag=True, help="Let it through again.")
@click.option("--list", "listing", is_flag=True, help="List what is stopped.")
def freeze(*, scope: tuple[tuple[str, str], ...], reason: str, off: bool, listing: bool) -> None:
    """Stop every call at once, or those of a customer, session, key or model, until it is let through again."""
    from costweir.app.budgets import in_force
    from costweir.control import Control

    chosen = settings()
    if listing:
        with Control.open(chosen.control_path, read_only=True) as control:
            rows = [stop.to_json() for stop in control.stops.listed()]
        shown = rows if flags().json else readable_rows(rows)
        show_rows("stops", shown, _STOPS, empty="Nothing is stopped.")
        return
    with Control.open(chosen.control_path) as control:
        if off:
            stop = control.stops.drop(dict(scope), by="cli")
        else:
            stop = control.stops.put(dict(scope), by="cli", reason=reason)
    show_record("stop", {**stop.to_json(), "stopped": not off})
    _say(in_force(chosen))


@budget.command()
@click.argument("model")
def lift(model: str) -> None:
    """Let strict budgets use a model again that cost more than its bound."""
    from costweir.app.budgets import in_force
    from costweir.control import Control

    chosen = settings()
    with Control.open(chosen.control_path) as control:
        control.stops.lift(model, time.time_ns(), by="cli")
    show_record("model", {"id": model, "suspended": False})
    _say(in_force(chosen))


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags say, in the words of the configuration file."""
    changes = {
        name: value
        for name, value in given.items()
        if value is not None and name not in ("scope", "thresholds")
    }
    if given["scope"]:
        changes["scope"] = dict(given["scope"])
    if given["thresholds"]:
        try:
            changes["thresholds"] = [int(step) for step in given["thresholds"].split(",")]
        except ValueError:
            raise UsageError(
                f"{given['thresholds']!r} are no percentages.", hint="Write them as 50,80,95,100."
            ) from None
    return changes


def _say(applied: bool | None) -> None:
    if applied is True:
        note("The gateway holds it now.")
    elif applied is False:
        note("The gateway has not taken it over yet; `costweir doctor` shows whether it runs.")
    else:
        note("No gateway runs here; the next one begins with it.")
