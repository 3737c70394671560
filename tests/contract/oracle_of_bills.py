"""An answer computed from the rows themselves with Decimal: no SQL, no code of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]

PLANS = {"acme": "tier_1", "globex": "tier_2"}


def _plan(row: Row) -> str:
    customer = row["x_customer"]
    return "untagged" if customer == "untagged" else PLANS.get(customer, "no plan")


#: How a reader of the bill would name the member of each dimension.
MEMBERS: dict[str, Callable[[Row], object]] = {
    "provider": lambda row: row["x_provider"], "service": lambda row: row["service_name"],
    "model": lambda row: row["x_model"], "token_class": lambda row: row["x_token_class"],
    "customer": lambda row: row["x_customer"], "project": lambda row: row["x_project"],
    "feature": lambda row: row["x_feature"], "plan": _plan, "day": lambda row: row["usage_date"].isoformat(),
    "month": lambda row: row["usage_date"].isoformat()[:7], "source": lambda row: row["x_source"],
    "account": lambda row: row["x_account"], "invoice_month": lambda row: row["x_period"],
    "category": lambda row: row["charge_category"], "currency": lambda row: row["billing_currency"],
    "developer": lambda row: row["x_model_developer"] or "unknown",
    "direction": lambda row: row["x_direction"] or "unknown", "tier": lambda row: row["x_tier"] or "unknown",
    "ai": lambda row: "yes" if row["x_is_ai"] else "no", "weekday": lambda row: row["usage_date"].isoweekday(),
    "hour": lambda row: row["usage_hour"], "region": lambda row: row["region_id"] or "unknown",
    "sub_account": lambda row: row["sub_account_id"] or "unknown", "sku": lambda row: row["sku_id"] or "unknown",
    "usage_type": lambda row: row["x_usage_type"] or "unknown", "unit": lambda row: row["pricing_unit"] or "unknown",
    "modality": lambda row: row["x_modality"] or "unknown", "resource": lambda row: row["resource_id"] or "none",
    "mapping_rule": lambda row: row["x_mapping_rule"] or "none",
    "confidence": lambda row: row["x_mapping_confidence"] or "none",
    "customer_rule": lambda row: row["x_customer_rule"] or "none",
}  # fmt: skip

#: Questions that look at some of the lines only.
NARROWED: dict[str, Callable[[Row, Mapping[str, set[str]]], bool]] = {
    "unknown_skus": lambda row, _: row["x_model"] == "unknown" and row["x_is_ai"],
    "model_approvals": lambda row, approved: (
        row["x_customer"] in approved and row["x_model"] not in approved[row["x_customer"]]
    ),
}


@dataclass
class Expected:
    """What the answer has to say."""

    currency: str
    total: Decimal
    groups: dict[tuple[object, ...], list[Row]]
    costs: dict[tuple[object, ...], Decimal]
    left_out: dict[str, tuple[Decimal, int]]


def answer(
    rows: Sequence[Row], *, question: str, by: Sequence[str], where: Mapping[str, Sequence[str]],
    days: tuple[date | None, date | None], basis: str, approved: Mapping[str, set[str]],
) -> Expected:  # fmt: skip
    """Filters, settles the currency and adds up, line by line."""
    narrow = NARROWED.get(question, lambda row, approved: True)
    scope = [
        row for row in rows
        if narrow(row, approved)
        and (days[0] is None or row["usage_date"] >= days[0]) and (days[1] is None or row["usage_date"] < days[1])
        and all(str(MEMBERS[name](row)) in values for name, values in where.items())
    ]  # fmt: skip
    rated = [row for row in scope if row["x_billed_usd"] is not None]
    currencies = {row["billing_currency"] for row in scope}
    if not rated and len(currencies) == 1:
        currency, inside, column = currencies.pop(), scope, f"{basis}_cost"
    else:
        currency, inside, column = "USD", rated, f"x_{basis}_usd"
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in inside:
        groups.setdefault(tuple(MEMBERS[name](row) for name in by), []).append(row)
    costs = {
        key: sum((row[column] or Decimal(0) for row in members), Decimal(0))
        for key, members in groups.items()
    }
    left_out: dict[str, tuple[Decimal, int]] = {}
    for row in scope:
        if not any(row is kept for kept in inside):
            amount, count = left_out.get(row["billing_currency"], (Decimal(0), 0))
            left_out[row["billing_currency"]] = (amount + (row[f"{basis}_cost"] or 0), count + 1)
    return Expected(currency, sum(costs.values(), Decimal(0)), groups, costs, left_out)
