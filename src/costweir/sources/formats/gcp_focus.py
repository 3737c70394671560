"""The FOCUS export of Google Cloud (Preview) and the view that Google publishes for its BigQuery export.

Billed cost has its credits inside already; labels, tags and credits are repeated records that stay on their
row.
"""

from __future__ import annotations

from collections.abc import Mapping

from costweir.sources.formats import focus
from costweir.sources.formats.exact import ratio
from costweir.sources.formats.format import Format, Header
from costweir.sources.formats.gcp_records import credit_sum, tag_union
from costweir.sources.formats.header import Columns, coalesced
from costweir.sources.formats.nested import Nested, bound

#: Columns of docs.cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/focus-export, read
#: 2026-11.
_OWN = ("x_CurrencyConversionRate", "x_CostType", "x_ServiceId", "x_ExportTime")

#: Where a key occurs more than once, the earlier one counts. `Tags` has them all, mixed, in some versions.
_TAG_FIELDS = ("x_Labels", "x_Tags", "x_ProjectLabels", "x_SystemLabels", "Tags")


def is_export(header: Header) -> bool:
    """A FOCUS file with the columns that Google adds, and not one of a hub that mixes providers."""
    at = Columns(header)
    return (
        focus.is_focus(header) and len(at.find(*_OWN)) > 1 and not at.has("x_SkuMeterName", "x_ServiceCode")
    )


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of a FOCUS export of Google Cloud."""
    at, nested = Columns(header), Nested(header)
    base = {**focus.columns(header), "x_credit_cost": credit_sum(nested, "x_Credits")}
    rate = at.money("x_CurrencyConversionRate")

    def usd(cost: str) -> str:
        if "NULL" in (rate, base[cost]):
            return "NULL"
        in_dollars = f"upper({base['billing_currency']}) = 'USD'"
        return bound(base[cost], "c", f"CASE WHEN {in_dollars} THEN c ELSE {ratio('c', rate)} END")

    base.pop("tags", None)
    return {
        **base,
        "x_provider": "'gcp'",
        # Periods start at midnight in California, which is some hours later but the same day in UTC.
        "billing_period_start": f"({nested.instant('BillingPeriodStart')})::DATE",
        "billing_period_end": f"({nested.instant('BillingPeriodEnd')})::DATE",
        "charge_period_start": nested.instant("ChargePeriodStart"),
        "charge_period_end": nested.instant("ChargePeriodEnd"),
        # The description is the SKU text, which the classifier knows from the native export.
        "line_text": at.text("ChargeDescription", "SkuMeter", "SkuId"),
        "line_unit": at.text("ConsumedUnit", "PricingUnit"),
        "line_quantity": coalesced(at.quantity("ConsumedQuantity"), at.quantity("PricingQuantity")),
        "line_unit_price": "NULL",
        "line_usd_rate": "NULL" if rate == "NULL" else ratio("1::DECIMAL(38, 18)", rate),
        "line_tags": tag_union(nested, *_TAG_FIELDS),
        # Where the export knows no project, it repeats the billing account.
        "sub_account_id": coalesced(
            nested.text("x_Project.id"), f"nullif({base['sub_account_id']}, {base['billing_account_id']})"
        ),
        "sub_account_name": coalesced(nested.text("x_Project.name"), base["sub_account_name"]),
        "x_usage_type": at.text("ChargeDescription", "SkuMeter"),
        "x_operation": at.text("x_ServiceId"),
        "x_line_type": at.text("x_CostType", "ChargeCategory"),
        "x_credits": f"nullif({nested.json('x_Credits')}::VARCHAR, '[]')"
        if nested.has("x_Credits")
        else "NULL",
        "x_credit_usd": usd("x_credit_cost"),
        "x_billed_usd": usd("billed_cost"),
        "x_effective_usd": usd("effective_cost"),
        "x_list_usd": usd("list_cost"),
        "x_contracted_usd": usd("contracted_cost"),
    }


FOCUS = Format("focus", "gcp", is_export, columns, needs=(*focus.NEEDS, *((name,) for name in _OWN[:2])))
