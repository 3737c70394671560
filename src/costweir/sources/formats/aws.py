"""AWS bills: the legacy Cost and Usage Report (slash and underscore headers) and CUR 2.0 of Data Exports.

A marketplace line carries its model only in the product name, so the product name is the service the
classifier sees. Costs follow the AWS documents on amortised data; the legal entity of a marketplace line is
its publisher.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from costweir.sources.formats.format import Format, Header, literal, quoted
from costweir.sources.formats.header import Columns, coalesced

USAGE = "('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')"
PURCHASE = "('Fee', 'RIFee', 'SavingsPlanRecurringFee', 'SavingsPlanUpfrontFee')"

NEEDS: tuple[tuple[str, ...], ...] = (
    ("lineItem/UsageStartDate", "line_item_usage_start_date"),
    ("lineItem/UnblendedCost", "line_item_unblended_cost"),
    ("lineItem/CurrencyCode", "line_item_currency_code"),
    ("lineItem/LineItemType", "line_item_line_item_type"),
    ("lineItem/UsageType", "line_item_usage_type"),
    ("lineItem/ProductCode", "line_item_product_code"),
    ("bill/PayerAccountId", "bill_payer_account_id"),
    ("bill/BillingPeriodStartDate", "bill_billing_period_start_date"),
)
NEEDS_2 = tuple((names[1], names[0]) for names in NEEDS)

_TAG_SLASH = re.compile(r"resourceTags/(.+)|(costCategory/.+)|(?:tags/)(.+)")
_TAG_SNAKE = re.compile(r"resource_tags_(.+)|(cost_category_.+)")
_MAPS = ("product", "resource_tags", "cost_category", "tags")


def is_cur2(header: Header) -> bool:
    """CUR 2.0 has nested columns (or their JSON text in a CSV) where the legacy report has one column a
    key."""
    return _complete(header) and any(name in header for name in _MAPS[:3])


def is_legacy(header: Header) -> bool:
    """The legacy report in its CSV or Athena spelling."""
    return _complete(header) and not any(name in header for name in _MAPS[:3])


def _complete(header: Header) -> bool:
    return not LEGACY.missing(header)


class _Lines:
    """The expressions of one header that several charge columns are made of."""

    def __init__(self, header: Header) -> None:
        at = Columns(header)
        self.at = at
        self.kind = at.text("line_item_line_item_type")
        self.unblended = at.money("line_item_unblended_cost")
        self.billed = coalesced(at.money("line_item_net_unblended_cost"), self.unblended)
        self.usage_type = at.text("line_item_usage_type")
        self.is_usage = f"{self.kind} IN {USAGE}"

    def product(self, key: str, *flat: str) -> str:
        """A product attribute: its own column, else the key of the `product` map or JSON text."""
        return coalesced(self.at.text(*flat), map_value(self.at, "product", key))


def map_value(at: Columns, column: str, key: str) -> str:
    """SQL for one key of a MAP, STRUCT or JSON text column."""
    if not at.has(column):
        return "NULL"
    name = quoted(at.find(column)[0])
    kind = at.kind(column)
    if kind.startswith("MAP"):
        return f"txt({name}[{literal(key)}])"
    if kind.startswith("STRUCT"):
        return f"txt(json_value_of(to_json({name}), {literal(key)}))"
    return f"txt(json_value_of({name}, {literal(key)}))"


def tags_of(header: Header) -> str:
    """SQL for one MAP of every tag and cost category of the line; empty ones are left out."""
    flat: list[str] = []
    lists: list[str] = []
    for name, kind in header.items():
        slash, snake = _TAG_SLASH.fullmatch(name), _TAG_SNAKE.fullmatch(name)
        if name in ("resource_tags", "tags"):
            lists.append(_entries(name, kind))
        elif name == "cost_category":
            key = "{'key': 'costCategory/' || e.key, 'value': e.value}"
            lists.append(f"list_transform({_entries(name, kind)}, lambda e: {key})")
        elif slash:
            flat.append(_entry(slash[1] or slash[2] or slash[3], name))
        elif snake:
            flat.append(_entry(snake[1] or "costCategory/" + snake[2].removeprefix("cost_category_"), name))
    if flat:
        lists.append(f"[{', '.join(flat)}]")
    if not lists:
        return "NULL"
    return f"tag_entries({lists[0]})" if len(lists) == 1 else f"tag_entries(list_concat({', '.join(lists)}))"


def _entry(key: str, column: str) -> str:
    return f"{{'key': {literal(key)}, 'value': txt({quoted(column)})}}"


def _entries(name: str, kind: str) -> str:
    if kind.upper().startswith("MAP"):
        return f"map_entries({quoted(name)})"
    text = quoted(name) if kind.upper() in ("VARCHAR", "JSON") else f"to_json({quoted(name)})"
    return f"map_entries(tag_map_of({text}))"


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of a Cost and Usage Report, old or new."""
    it = _Lines(header)
    return {
        **_bill(it),
        **_charge(it),
        **_costs(it),
        **_quantities(it),
        **_place(it),
        "line_tags": tags_of(header),
    }


def _bill(it: _Lines) -> dict[str, str]:
    at = it.at
    marketplace = f"{at.text('bill_billing_entity')} = 'AWS Marketplace'"
    return {
        "billing_account_id": at.text("bill_payer_account_id"),
        "billing_account_name": at.text("bill_payer_account_name"),
        "billing_currency": at.text("line_item_currency_code"),
        "billing_period_start": at.day("bill_billing_period_start_date"),
        "billing_period_end": at.day("bill_billing_period_end_date"),
        "invoice_id": at.text("bill_invoice_id"),
        "invoice_issuer_name": at.text("bill_invoicing_entity", "line_item_legal_entity"),
        "provider_name": "'AWS'",
        "publisher_name": f"CASE WHEN {marketplace} THEN {at.text('line_item_legal_entity')} ELSE 'AWS' END",
        "sub_account_id": at.text("line_item_usage_account_id"),
        "sub_account_name": at.text("line_item_usage_account_name"),
    }


def _charge(it: _Lines) -> dict[str, str]:
    at = it.at
    return {
        "charge_category": f"CASE WHEN {it.is_usage} THEN 'Usage' "
        f"WHEN {it.kind} IN {PURCHASE} THEN 'Purchase' "
        f"WHEN {it.kind} IN ('Tax', 'Credit') THEN {it.kind} ELSE 'Adjustment' END",
        "charge_class": f"CASE WHEN {it.kind} = 'Refund' THEN 'Correction' END",
        "charge_description": at.text("line_item_line_item_description"),
        "charge_frequency": f"CASE WHEN {it.is_usage} THEN 'Usage-Based' "
        f"WHEN {it.kind} IN ('RIFee', 'SavingsPlanRecurringFee') THEN 'Recurring' ELSE 'One-Time' END",
        "charge_period_start": at.instant("line_item_usage_start_date"),
        "charge_period_end": at.instant("line_item_usage_end_date"),
        "commitment_discount_id": at.text("savings_plan_savings_plan_a_r_n", "reservation_reservation_a_r_n"),
        "commitment_discount_type": f"CASE WHEN {it.kind} LIKE 'SavingsPlan%' THEN 'Savings Plan' "
        f"WHEN {it.kind} IN ('DiscountedUsage', 'RIFee') THEN 'Reserved Instance' END",
        "commitment_discount_status": "CASE "
        f"WHEN {it.kind} IN ('SavingsPlanCoveredUsage', 'DiscountedUsage') THEN 'Used' "
        f"WHEN {it.kind} IN ('SavingsPlanRecurringFee', 'RIFee') THEN 'Unused' END",
        "x_operation": at.text("line_item_operation"),
        "x_line_type": it.kind,
        "x_principal": at.text("line_item_iam_principal"),
    }


def _costs(it: _Lines) -> dict[str, str]:
    at = it.at
    unused = _sum(
        coalesced(
            at.money("reservation_net_unused_amortized_upfront_fee_for_billing_period"),
            at.money("reservation_unused_amortized_upfront_fee_for_billing_period"),
        ),
        coalesced(
            at.money("reservation_net_unused_recurring_fee"), at.money("reservation_unused_recurring_fee")
        ),
    )
    left = _sum(
        at.money("savings_plan_total_commitment_to_date"),
        f"-{at.money('savings_plan_used_commitment')}" if at.has("savings_plan_used_commitment") else "NULL",
    )
    plan = at.money(
        "savings_plan_net_savings_plan_effective_cost", "savings_plan_savings_plan_effective_cost"
    )
    reserved = at.money("reservation_net_effective_cost", "reservation_effective_cost")
    public = at.money("pricing_public_on_demand_cost")
    upfront = f"{it.kind} = 'Fee' AND {at.text('reservation_reservation_a_r_n')} IS NOT NULL"
    return {
        "billed_cost": it.billed,
        "effective_cost": f"CASE WHEN {it.kind} = 'Usage' THEN {it.billed} "
        f"WHEN {it.kind} = 'SavingsPlanCoveredUsage' THEN {coalesced(plan, it.billed)} "
        f"WHEN {it.kind} = 'DiscountedUsage' THEN {coalesced(reserved, it.billed)} "
        f"WHEN {it.kind} IN ('SavingsPlanNegation', 'SavingsPlanUpfrontFee') OR ({upfront}) THEN 0 "
        f"WHEN {it.kind} = 'SavingsPlanRecurringFee' THEN {coalesced(left, it.billed)} "
        f"WHEN {it.kind} = 'RIFee' THEN {coalesced(unused, it.billed)} ELSE {it.billed} END",
        # Marketplace lines have no public price of their own: what was charged before discounts stands for
        # it.
        "list_cost": f"CASE WHEN {it.is_usage} THEN coalesce(nullif({public}, 0), {it.unblended}) "
        f"WHEN {it.kind} IN {PURCHASE} THEN {it.unblended} END",
        "contracted_cost": f"CASE WHEN {it.is_usage} OR {it.kind} IN {PURCHASE} THEN {it.unblended} END",
        "list_unit_price": at.money("pricing_public_on_demand_rate"),
        "contracted_unit_price": at.money("line_item_unblended_rate"),
        "x_credit_cost": f"CASE WHEN {it.kind} = 'Credit' THEN {it.billed} END",
    }


def _sum(*terms: str) -> str:
    real = [term for term in terms if term != "NULL"]
    if not real:
        return "NULL"
    return "(" + " + ".join(f"coalesce({term}, 0)" for term in real) + ")"


def _quantities(it: _Lines) -> dict[str, str]:
    at = it.at
    used = f"CASE WHEN {it.is_usage} THEN {at.quantity('line_item_usage_amount')} END"
    unit = at.text("pricing_unit")
    return {
        "consumed_quantity": used,
        "consumed_unit": unit,
        "pricing_quantity": used,
        "pricing_unit": unit,
        "pricing_category": f"CASE WHEN {it.kind} = 'Usage' THEN 'Standard' "
        f"WHEN {it.is_usage} THEN 'Committed' END",
        "line_unit": unit,
        "line_unit_price": at.money("pricing_public_on_demand_rate", "line_item_unblended_rate"),
    }


def _place(it: _Lines) -> dict[str, str]:
    at = it.at
    service = coalesced(it.product("product_name", "product_product_name"), at.text("line_item_product_code"))
    region = it.product("region_code", "product_region_code", "product_region")
    return {
        "region_id": region,
        "region_name": it.product("location", "product_location"),
        "resource_id": at.text("line_item_resource_id"),
        "service_name": service,
        "sku_id": it.product("sku", "product_sku"),
        "sku_meter": it.usage_type,
        "sku_price_id": at.text("pricing_rate_code"),
        "x_usage_type": it.usage_type,
        "line_service": service,
        "line_text": coalesced(it.usage_type, at.text("line_item_line_item_description")),
        "line_region": region,
    }


LEGACY = Format("aws-cur", "aws", is_legacy, columns, needs=NEEDS)
CUR2 = Format("aws-cur2", "aws", is_cur2, columns, needs=NEEDS_2)
