"""`costweir chargeback`: what each customer pays for a month, shared costs included."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from costweir.cli.ask import BASES
from costweir.cli.frame import Command, flags
from costweir.cli.output import Column, note, show_csv, show_json, show_table
from costweir.cli.session import open_desk, settings
from costweir.cli.values import MONTH
from costweir.domain.money import decimal_text
from costweir.errors import DataIncomplete

if TYPE_CHECKING:
    from costweir.domain.answer import Answer
    from costweir.domain.period import Month
    from costweir.insights.shared import Chargeback


@click.command(cls=Command)
@click.option("--month", type=MONTH, metavar="YYYY-MM", help="The month; the default is the last full one.")
@click.option("--basis", type=click.Choice(BASES), help="Which cost; the default is billed.")
@click.option("--currency", metavar="CODE", default="", help="Only amounts in this currency.")
def chargeback(*, month: Month | None, basis: str | None, currency: str) -> None:
    """Show what each customer pays: its own cost, and its part of `shared_costs`.

    The totals add up to the spend of the month, to the last digit. Days count, not invoice months.
    """
    from costweir.app.finance import chargeback as divide
    from costweir.app.finance import shared_rules
    from costweir.domain.period import Month

    chosen = month or Month.of(datetime.now(UTC).date()).previous
    with open_desk() as desk:
        found, answer = divide(
            desk.ask, shared_rules(settings()), chosen, basis=basis or "", currency=currency
        )
    _show(found, answer, str(chosen))
    if not answer.complete:
        why = "; ".join(item.text.rstrip(".") for item in answer.excluded) or "a source is late"
        raise DataIncomplete(
            f"The chargeback stands, but it is not complete: {why}.",
            hint="`costweir runs` and `costweir quarantine` show what is missing.",
        )


def _show(found: Chargeback, answer: Answer, month: str) -> None:
    if flags().json:
        from costweir.insights.shared import chargeback_record

        show_json({"schema": "costweir.chargeback/1", **chargeback_record(found, answer, month)})
        return
    names = [item.rule.name for item in found.rules]
    rows = [
        {
            "customer": row.customer,
            "direct_cost": decimal_text(row.direct),
            **{f"shared_{name}_cost": decimal_text(row.shared.get(name, Decimal(0))) for name in names},
            "total_cost": decimal_text(row.total),
        }
        for row in found.rows
    ]
    shown = [
        Column("customer"),
        Column("direct_cost", "direct"),
        *(Column(f"shared_{name}_cost", name) for name in names),
        Column("total_cost", f"total ({answer.currency})"),
    ]
    if flags().csv:
        show_csv(rows, [column.field for column in shown])
        return
    note(f"chargeback {month}, {answer.basis} cost")
    show_table([*rows, {"customer": "total", "total_cost": decimal_text(found.total)}], shown)
    for item in found.rules:
        if item.kept:
            note(f"note: nobody could carry {item.rule.name}; {decimal_text(item.amount)} stays where it is.")
    if not names:
        note("No shared_costs are configured, so every cost is direct.")
