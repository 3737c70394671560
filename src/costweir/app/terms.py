"""From the control database to what the ledger has to know."""

from __future__ import annotations

from costweir.control import Control
from costweir.guard.ledger import Terms


def read_terms(control: Control) -> tuple[Terms, int]:
    """What people set, and its revision. The revision is read first: rows may be newer than it says, never older."""
    revision = control.stops.revision
    terms = Terms(
        budgets=[budget.to_json() for budget in control.budgets()],
        plans=[plan.to_json() for plan in control.plans()],
        customers={customer.id: customer.plan for customer in control.customers() if customer.plan},
        stops=[stop.to_json() for stop in control.stops.listed()],
        lifted=control.stops.lifted(),
        clock_confirmed=control.stops.clock_confirmed,
    )
    return terms, revision
