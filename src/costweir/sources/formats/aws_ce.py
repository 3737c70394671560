"""Rows of Cost Explorer, as the live source writes them: one line a day, service and usage type.

Unblended cost is what is billed and net amortised cost is what is effective; credits and discounts are inside both.
The model that a product attribute names is said to the classifier beside the service.
"""

from __future__ import annotations

from collections.abc import Mapping

from costweir.sources.formats.format import Format, Header
from costweir.sources.formats.header import Columns

NEEDS: tuple[tuple[str, ...], ...] = (
    ("ce_account_id",),
    ("day",),
    ("service",),
    ("usage_type",),
    ("unblended_cost",),
    ("currency",),
)


def is_cost_explorer(header: Header) -> bool:
    """Rows that `costweir.sources.live.aws_ce` wrote."""
    return not COST_EXPLORER.missing(header)


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of Cost Explorer rows."""
    at = Columns(header)
    day, service, usage_type = at.day("day"), at.text("service"), at.text("usage_type")
    category = f"CASE WHEN {service} = 'Tax' THEN 'Tax' ELSE 'Usage' END"
    unit = f"nullif({at.text('usage_unit')}, 'N/A')"
    return {
        "billing_account_id": at.text("ce_account_id"),
        "billing_currency": at.text("currency"),
        "billing_period_start": f"date_trunc('month', {day})::DATE",
        "billing_period_end": f"(date_trunc('month', {day}) + INTERVAL 1 MONTH)::DATE",
        "provider_name": "'AWS'",
        "charge_category": category,
        "charge_frequency": "'Usage-Based'",
        "charge_description": usage_type,
        "charge_period_start": at.instant("day"),
        "charge_period_end": at.instant("next_day"),
        "billed_cost": at.money("unblended_cost"),
        "effective_cost": at.money("net_amortized_cost"),
        "consumed_quantity": at.quantity("usage_quantity"),
        "consumed_unit": unit,
        "pricing_quantity": at.quantity("usage_quantity"),
        "pricing_unit": unit,
        "service_name": service,
        "sku_meter": usage_type,
        "x_usage_type": usage_type,
        "x_line_type": f"CASE WHEN {at.text('estimated')} = 'true' THEN 'Estimated' ELSE 'Final' END",
        "line_tags": f"CASE WHEN {at.text('tag_value')} IS NOT NULL "
        f"THEN map([{at.text('tag_key')}], [{at.text('tag_value')}]) END",
        "line_service": f"concat_ws(' ', {service}, {at.text('model')})",
        "line_text": usage_type,
        "line_unit": unit,
    }


COST_EXPLORER = Format("aws-ce", "aws", is_cost_explorer, columns, needs=NEEDS)
FORMATS = (COST_EXPLORER,)
