"""Rows of Anthropic's cost and usage reports, as the live source writes them: a line a day, workspace and text.

A line of kind `usage` has tokens that no cost line could take, priority tier among them, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from costweir.sources.formats.format import Format, Header
from costweir.sources.formats.header import Columns, coalesced

NEEDS: tuple[tuple[str, ...], ...] = (
    ("anthropic_organization_id",),
    ("day",),
    ("description",),
    ("cost",),
    ("currency",),
)


def is_anthropic(header: Header) -> bool:
    """Rows that `costweir.sources.live.anthropic` wrote."""
    return not ANTHROPIC.missing(header)


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of Anthropic rows."""
    at = Columns(header)
    day, tokens = at.day("day"), at.quantity("tokens")
    line = coalesced(at.text("line"), at.text("description"))
    described = f"coalesce({at.text('description')}, {line}, 'not described')"
    return {
        "billing_account_id": at.text("anthropic_organization_id"),
        "billing_currency": at.text("currency"),
        "billing_period_start": f"date_trunc('month', {day})::DATE",
        "billing_period_end": f"(date_trunc('month', {day}) + INTERVAL 1 MONTH)::DATE",
        "provider_name": "'Anthropic'",
        "publisher_name": "'Anthropic'",
        "invoice_issuer_name": "'Anthropic'",
        "sub_account_id": at.text("workspace_id"),
        "charge_category": "'Usage'",
        "charge_frequency": "'Usage-Based'",
        "charge_description": described,
        "charge_period_start": at.instant("day"),
        "charge_period_end": at.instant("next_day"),
        "billed_cost": at.money("cost"),
        "consumed_quantity": tokens,
        "consumed_unit": f"CASE WHEN {tokens} IS NOT NULL THEN 'Tokens' END",
        "pricing_quantity": tokens,
        "pricing_unit": f"CASE WHEN {tokens} IS NOT NULL THEN 'Tokens' END",
        "region_id": f"nullif({at.text('inference_geo')}, 'not_available')",
        "service_name": "'Claude API'",
        "sku_meter": described,
        "x_usage_type": described,
        "x_operation": at.text("cost_type"),
        "x_line_type": at.text("kind"),
        "line_tags": f"tag_entries([{{'key': 'workspace_id', 'value': {at.text('workspace_id')}}}])",
        "line_service": "'Claude API'",
        "line_text": line,
        "line_unit": f"CASE WHEN {tokens} IS NOT NULL THEN 'tokens' END",
    }


ANTHROPIC = Format("anthropic", "anthropic", is_anthropic, columns, needs=NEEDS)
FORMATS = (ANTHROPIC,)
