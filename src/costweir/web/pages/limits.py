"""Monthly limits as they are set: for the whole firm, and for a customer by its own budget or its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from costweir.web import format as fmt
from costweir.web.desk import Desk
from costweir.web.pages.table import Gauge

WARN, FULL = Decimal("0.8"), Decimal(1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Amounts in USD for a calendar month; `plans` has the names of plans. `firm` is None where no budget
    without a scope is set."""

    firm: Decimal | None
    customers: Mapping[str, Decimal]
    plans: Mapping[str, str]

    def of(self, customer: str) -> Decimal | None:
        """The customer's limit, or None."""
        return self.customers.get(customer)


def read_limits(desk: Desk) -> Limits:
    """Budgets with a calendar month as window; a customer without its own takes that of its plan."""
    listed = desk.plans()
    plans = {str(plan["id"]): plan.get("budget_usd") for plan in listed}
    found: dict[str, Decimal] = {}
    for customer in desk.customers():
        limit = plans.get(str(customer.get("plan") or ""))
        if limit:
            found[str(customer["id"])] = Decimal(str(limit))
    firm: Decimal | None = None
    for budget in desk.budgets():
        if budget.get("window") != "month" or not budget.get("limit_usd"):
            continue
        scope = cast("Mapping[str, str]", budget.get("scope") or {})
        limit = Decimal(str(budget["limit_usd"]))
        if not scope:
            firm = limit if firm is None else min(firm, limit)
        elif set(scope) == {"customer"}:
            found[scope["customer"]] = limit
    return Limits(firm, found, {str(plan["id"]): str(plan.get("name") or plan["id"]) for plan in listed})


def gauge(name: str, used: Decimal, limit: Decimal, *, currency: str = "USD") -> Gauge:
    """The weir of one limit, with its state as a word for the colour: ok, warn from 80 %, bad from 100 %."""
    share = used / limit if limit else Decimal(0)
    width = min(max(share, Decimal(0)), Decimal(1)) * 100
    state = "bad" if share >= FULL else "warn" if share >= WARN else "ok"
    text = f"{fmt.money(used, currency)} of {fmt.money_round(limit, currency)}, {fmt.ratio(share)} used"
    return Gauge(f"{name}, budget", f"{width:.2f}%", text, f"{used:.2f}", f"{limit:.2f}", state)
