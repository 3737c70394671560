"""`costweir ledger`: what every budget holds, the attempts behind it, and whether the two agree. Reads the ledger's
file beside a running gateway or without one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from costweir.cli.frame import Group, flags
from costweir.cli.output import columns, note, show_json, show_rows
from costweir.cli.rows import readable_rows
from costweir.cli.session import settings
from costweir.cli.values import SCOPE
from costweir.errors import CheckFailed, NotFound, UsageError

if TYPE_CHECKING:
    from costweir.guard.ledgers.reader import LedgerReader

_STATES = ("HELD", "SENT", "SETTLED", "RELEASED", "UNCERTAIN")
_BALANCES = columns(
    ("budget_id", "budget"), ("scope", "scope"), ("window_id", "window"), ("limit_usd", "limit USD"),
    ("settled_usd", "settled USD"), ("held_usd", "held USD"), ("debt_usd", "debt USD"),
    ("remaining_usd", "left USD"), ("open_holds", "open"), ("resets_at", "resets"),
)  # fmt: skip
_ATTEMPTS = columns(
    ("attempt_id", "attempt"), ("request_id", "request"), "state", "model", ("held_usd", "held USD"),
    ("settled_usd", "settled USD"), ("debt_usd", "debt USD"), "usage", ("price_version", "price"),
    ("created_at", "created"),
)  # fmt: skip
#: Balances that are listed for reading.
_SHOWN = 100
_EMPTY = "No call went through the gateway yet."


@click.group(cls=Group)
def ledger() -> None:
    """Show and verify what budgets hold."""


@ledger.command()
@click.option("--scope", type=SCOPE, multiple=True, metavar="KIND=ID", help="Only budgets of this scope.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="How many.  [default: 100; every one as JSON or CSV]"
)
@click.option("--all", "every", is_flag=True, help="Every one.")
def balances(*, scope: tuple[tuple[str, str], ...], limit: int | None, every: bool) -> None:
    """List every budget in its open window, those of single sessions last.

    The window of a session never closes, so that there is one for each session ever.
    """
    from costweir.guard.why import balance_record

    with _reader() as reader:
        found = [] if reader is None else reader.balances(dict(scope))
    found.sort(key=lambda one: ("session" in one.scope, -one.open_holds if "session" in one.scope else 0))
    most = limit or (len(found) if every or flags().json or flags().csv else _SHOWN)
    rows = [balance_record(one) for one in found[:most]]
    shown = rows if flags().json else readable_rows(rows)
    show_rows("ledger_balances", shown, _BALANCES, empty="No budget is set, or none of that scope.")
    if len(found) > most:
        note(
            f"{len(found) - most} more; --all lists every one, and --scope those of a customer or a session."
        )


@ledger.command()
@click.option("--request", "request_id", default="", metavar="ID", help="Only attempts of this request.")
@click.option(
    "--state", type=click.Choice(_STATES, case_sensitive=False), help="Only attempts in this state."
)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, metavar="N",
    help="How many, newest first.",
)  # fmt: skip
def attempts(request_id: str, state: str | None, limit: int) -> None:
    """List attempts: each try at a provider, what it held and what it cost."""
    from costweir.guard.why import attempt_record

    with _reader() as reader:
        found = (
            [] if reader is None else reader.attempts(request_id=request_id, state=state or "", limit=limit)
        )
    rows = [
        {**attempt_record(one), "customer": one.subject.customer, "session": one.subject.session}
        for one in found
    ]
    shown = rows if flags().json else readable_rows(rows)
    show_rows("ledger_attempts", shown, _ATTEMPTS, empty=_EMPTY)


@ledger.command()
def verify() -> None:
    """Rebuild every open balance from the attempts alone. The exit code is 5 when one differs."""
    with _reader() as reader:
        drifts = [] if reader is None else reader.verify()
        checked = 0 if reader is None else len(reader.balances())
    from costweir.guard.ledger import usd

    rows = [
        {
            "budget_id": one.budget_id, "scope": dict(one.scope), "window_id": one.window_id,
            "kept_usd": usd(one.kept), "rebuilt_usd": usd(one.rebuilt),
        }
        for one in drifts
    ]  # fmt: skip
    if flags().json:
        show_json(
            {"schema": "costweir.ledger_verification/1", "ok": not rows, "balances": checked, "rows": rows}
        )
    elif rows:
        show_rows(
            "ledger_verification", rows, columns("budget_id", "scope", "window_id", "kept_usd", "rebuilt_usd")
        )
    if rows:
        raise CheckFailed(
            f"{len(rows)} of {checked} balances differ from what their attempts add up to.",
            hint="Keep a copy of ledger.db before anything else, and report it.",
        )
    note(f"{checked} balances, each equal to what its attempts add up to.")


@ledger.command()
@click.option("--confirm", is_flag=True, help="Take the machine's clock for right.")
def clock(*, confirm: bool) -> None:
    """Say that the machine's clock is right after it jumped ahead, so that new windows open.

    The gateway goes on in the windows it had until somebody does, or until it is started again.
    """
    from costweir.control import Control

    if not confirm:
        raise UsageError("Nothing was confirmed.", hint="Look at the clock, then add --confirm.")
    with Control.open(settings().control_path) as control:
        control.stops.confirm_clock(by="cli")
    note("The clock is confirmed.")


@contextmanager
def _reader() -> Generator[LedgerReader | None]:
    """The ledger for reading, None while there is none."""
    from costweir.app.budgets import ledger_file
    from costweir.guard.ledgers.reader import LedgerReader

    path = ledger_file(settings())
    try:
        opened = LedgerReader(path)
    except NotFound:
        yield None
        return
    with opened:
        yield opened
