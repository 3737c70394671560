"""Rows of OpenAI's cost and usage endpoints, as the live source writes them: a line a day, item, project and key.

A line of kind `usage` has tokens that no cost line could take, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from costweir.sources.formats.format import Format, Header
from costweir.sources.formats.header import Columns

NEEDS: tuple[tuple[str, ...], ...] = (
    ("openai_organization_id",),
    ("day",),
    ("line_item",),
    ("cost",),
    ("currency",),
)


def is_openai(header: Header) -> bool:
    """Rows that `costweir.sources.live.openai` wrote."""
    return not OPENAI.missing(header)


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of OpenAI rows."""
    at = Columns(header)
    day, item = at.day("day"), at.text("line_item")
    tokens = at.quantity("tokens")
    pairs = ", ".join(
        f"{{'key': '{name}', 'value': {at.text(name)}}}" for name in ("project_id", "api_key_id")
    )
    return {
        "billing_account_id": at.text("openai_organization_id"),
        "billing_currency": at.text("currency"),
        "billing_period_start": f"date_trunc('month', {day})::DATE",
        "billing_period_end": f"(date_trunc('month', {day}) + INTERVAL 1 MONTH)::DATE",
        "provider_name": "'OpenAI'",
        "publisher_name": "'OpenAI'",
        "invoice_issuer_name": "'OpenAI'",
        "sub_account_id": at.text("project_id"),
        "charge_category": "'Usage'",
        "charge_frequency": "'Usage-Based'",
        "charge_description": f"coalesce({item}, 'not itemised')",
        "charge_period_start": at.instant("day"),
        "charge_period_end": at.instant("next_day"),
        "billed_cost": at.money("cost"),
        "consumed_quantity": f"coalesce({tokens}, {at.quantity('quantity')})",
        "consumed_unit": f"CASE WHEN {tokens} IS NOT NULL THEN 'Tokens' ELSE {at.text('unit')} END",
        "pricing_quantity": at.quantity("quantity"),
        "pricing_unit": at.text("unit"),
        "service_name": "'OpenAI API'",
        "sku_meter": item,
        "x_usage_type": item,
        "x_line_type": at.text("kind"),
        "x_principal": at.text("api_key_id"),
        "line_tags": f"tag_entries([{pairs}])",
        "line_service": "'OpenAI API'",
        "line_text": item,
        "line_unit": f"CASE WHEN {tokens} IS NOT NULL THEN 'tokens' END",
    }


OPENAI = Format("openai", "openai", is_openai, columns, needs=NEEDS)
FORMATS = (OPENAI,)
