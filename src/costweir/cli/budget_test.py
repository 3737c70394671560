"""`costweir budget test`: shows on the user's machine that a budget holds; the provider keeps its own bill."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from costweir.cli.frame import Command, flags
from costweir.cli.output import columns, show_record, show_table, write
from costweir.cli.progress import progress
from costweir.cli.session import settings
from costweir.errors import CheckFailed

if TYPE_CHECKING:
    from costweir.app.trial import Plan, Trial
    from costweir.config import Settings

_LIMIT = Decimal(1)


class _Dollars(click.ParamType[Decimal]):
    name = "usd"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal(0)
        if not amount.is_finite() or not 0 < amount <= 1_000_000:
            self.fail(f"{value!r} is not a limit; write it as 1.00", param, ctx)
        return amount


@click.command(cls=Command, name="test")
@click.argument("customer", required=False)
@click.option(
    "--clients",
    type=click.IntRange(1, 20_000),
    default=1_000,
    show_default=True,
    metavar="N",
    help="Callers at the same time.",
)
@click.option(
    "--requests",
    type=click.IntRange(1, 10_000_000),
    default=5_000,
    show_default=True,
    metavar="N",
    help="Calls altogether.",
)
@click.option(
    "--limit-usd",
    type=_Dollars(),
    metavar="X",
    help="The limit on trial.  [default: the customer's plan, or 1.00]",
)
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME", help="What goes wrong meanwhile; may be repeated."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Another number, other requests; the same number, the same.",
)
@click.option(
    "--url", metavar="GATEWAY", help="Try a gateway that runs already, through a throw-away key and budget."
)
def budget_test(*, customer: str | None, limit_usd: Decimal | None, url: str | None, **given: Any) -> None:
    """Try to overspend a budget, with thousands of callers at once. The exit code is 5 when it gives way.

    A throw-away gateway with a ledger like yours stands before the built-in mock provider, which keeps its own bill.
    Nothing of it touches your data.

    Faults: omits_usage, hangs_up, client_aborts, bills_then_5xx, slow; and two that break a published assumption,
    ignores_max_tokens and doubles_usage, after which all of the excess has to be visible as debt.
    """
    from costweir.app.trial import Plan, try_weir

    held = settings()
    limit = limit_usd or _limit_of(held, customer)
    plan = Plan(
        limit=int(limit.scaleb(9).to_integral_value(ROUND_FLOOR)),
        customer=customer or "",
        url=url or "",
        **given,
    )
    with progress() as report:
        trial = try_weir(held, plan, report=report)
    _show(trial, plan)
    if not trial.verdict.holds:
        raise CheckFailed(
            trial.verdict.sentence, hint="Please report it with the seed and the faults of this run."
        )


def _limit_of(held: Settings, customer: str | None) -> Decimal:
    """What the customer's plan allows in a month; without a customer or such a plan, a dollar."""
    if customer is None:
        return _LIMIT
    plan = next((row.plan for row in held.customers if row.id == customer), None)
    return next((row.budget_usd for row in held.plans if row.id == plan and row.budget_usd), _LIMIT)


def _show(trial: Trial, plan: Plan) -> None:
    verdict = trial.verdict
    if flags().json or flags().csv:
        tally = trial.tally
        told = {"refusals": dict(tally.codes), "seconds": f"{tally.seconds:.2f}", "ledger": trial.ledger}
        show_record("budget_test", {**verdict.to_json(), **told, "seed": plan.seed, "clients": plan.clients})
        return
    faults = ", ".join(plan.faults) or "none"
    write(
        f"{plan.clients:,} callers, {plan.requests:,} calls in {trial.tally.seconds:.1f} s; "
        f"ledger: {trial.ledger}; seed {plan.seed}; faults: {faults}\n\n"
    )
    rows = [{"": name, "USD": value, " ": said} for name, value, said in _lines(trial)]
    show_table(rows, columns("", "USD", " "))
    if trial.tally.refusal is not None:
        write(f"\nA refusal, as the caller sees it: HTTP {trial.tally.refusal_status}\n")
        write(json.dumps(_shortened(trial.tally.refusal), indent=2) + "\n")
    mark = "✔" if verdict.holds else "✘"
    colour = "green" if verdict.holds else "red"
    line = f"{mark} {verdict.sentence}"
    write("\n" + (click.style(line, fg=colour, bold=True) if sys.stdout.isatty() else line) + "\n")


def _shortened(refusal: Mapping[str, Any]) -> Mapping[str, Any]:
    """The refusal with one of its holders, which are up to ten."""
    holders: list[object] = refusal["costweir"].get("holders") or []
    if len(holders) < 2:
        return refusal
    return {
        **refusal,
        "costweir": {**refusal["costweir"], "holders": [holders[0], f"and {len(holders) - 1} more"]},
    }


def _lines(trial: Trial) -> list[tuple[str, object, str]]:
    told, verdict = trial.verdict.to_json(), trial.verdict
    codes = ", ".join(f"{count:,} {code}" for code, count in trial.tally.codes.most_common())
    unused = (
        f"room that was left; the smallest call needed {told['smallest_hold_usd']}"
        if verdict.blocked
        else "room that was left"
    )
    uncertain = (
        f"{verdict.books.uncertain} attempts without usage are charged as held"
        if verdict.books.uncertain
        else ""
    )
    return [
        ("limit", told["limit_usd"], ""),
        ("provider billed", told["provider_billed_usd"], f"{verdict.calls_billed:,} calls on its own bill"),
        ("settled", told["settled_usd"], uncertain),
        ("held", told["held_usd"], ""),
        (
            "debt",
            told["debt_usd"],
            "beyond a hold, because an assumption broke" if verdict.books.debt else "",
        ),
        ("overspend", told["overspend_usd"], "bill above the limit"),
        ("unused", told["unused_usd"], unused),
        ("admitted", "", f"{verdict.admitted:,} calls"),
        ("blocked", "", f"{verdict.blocked:,} calls" + (f": {codes}" if codes else "")),
        ("ledger rebuilt", "", "equal from its attempts alone" if verdict.verified else "DRIFT"),
    ]
