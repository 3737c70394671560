"""Google Cloud bills: the standard and the detailed BigQuery export, as Parquet, as JSON lines or flattened
to CSV.

A row is never multiplied by its labels or credits: credits are summed inside the row, and what is billed is
the cost with its credits. Amounts are in the billing currency; `currency_conversion_rate` is how much of it
one US dollar was worth, so US dollars are the amount divided by that rate.
"""

from __future__ import annotations

from collections.abc import Mapping

from costweir.sources.formats.exact import ratio
from costweir.sources.formats.format import Format, Header
from costweir.sources.formats.gcp_focus import FOCUS
from costweir.sources.formats.gcp_records import credit_sum, tag_union
from costweir.sources.formats.header import coalesced
from costweir.sources.formats.nested import Nested, bound

#: Field names of the schema at docs.cloud.google.com/billing/docs/how-to/export-data-bigquery-tables, read
#: 2026-11.
NEEDS: tuple[tuple[str, ...], ...] = (
    ("billing_account_id",),
    ("service.description", "service"),
    ("sku.description", "sku"),
    ("usage_start_time",),
    ("cost",),
    ("currency",),
)

#: Where a key occurs more than once, the earlier one counts: labels of the resource, then tags, then the
#: project.
TAG_FIELDS = ("labels", "tags", "project.labels", "system_labels")


def is_export(header: Header) -> bool:
    """The standard and the detailed export, nested or flattened; columns that we do not know are ignored."""
    return not EXPORT.missing(header) and "billedcost" not in {name.lower() for name in header}


class _Line:
    """The expressions of one header that several charge columns are made of."""

    def __init__(self, header: Header) -> None:
        at = Nested(header)
        self.at = at
        self.kind = f"lower({at.text('cost_type')})"
        self.currency = f"upper({at.text('currency')})"
        self.cost = at.money("cost")
        self.credits = credit_sum(at, "credits")
        self.billed = f"try({self.cost} + {self.credits})"
        self.listed = coalesced(at.money("cost_at_list_consumption_model", "cost_at_list"), self.cost)
        self.started = at.instant("usage_start_time")
        self.is_usage = f"coalesce({self.kind}, 'regular') = 'regular'"

    def usd(self, amount: str) -> str:
        """`amount` of the billing currency in US dollars at the rate of the row."""
        rate = self.at.money("currency_conversion_rate")
        converted = f" ELSE {ratio('a', rate)}" if rate != "NULL" else ""
        return bound(amount, "a", f"CASE WHEN {self.currency} = 'USD' THEN a{converted} END")

    def unit_price(self, *paths: str) -> str:
        """A price of one pricing unit. Only for accounts that are billed in US dollars: the schema does not
        say which currency its prices are in."""
        price, block = self.at.money(*paths), self.at.money("price.pricing_unit_quantity")
        if price == "NULL":
            return "NULL"
        each = ratio(price, f"coalesce({block}, 1)")
        return f"CASE WHEN {self.currency} = 'USD' AND {self.is_usage} THEN {each} END"


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of a BigQuery billing export."""
    it = _Line(header)
    return {**_bill(it), **_charge(it), **_costs(it), **_usage(it), **_place(it)}


def invoice_month(at: Nested, started: str) -> str:
    """SQL for the first day of the invoice month, else of the month of use in UTC."""
    month, used = at.text("invoice.month"), f"date_trunc('month', {started})::DATE"
    if month == "NULL":
        return used
    stated = f"try_strptime(replace({month}, '-', '') || '01', '%Y%m%d')::DATE"
    return f"CASE WHEN {month} IS NULL THEN {used} ELSE {stated} END"


def _bill(it: _Line) -> dict[str, str]:
    at = it.at
    month = invoice_month(at, it.started)
    seller = at.text("seller_name")
    return {
        "billing_account_id": at.text("billing_account_id"),
        "billing_currency": it.currency,
        "billing_period_start": month,
        "billing_period_end": f"({month} + INTERVAL 1 MONTH)::DATE",
        "invoice_issuer_name": "'Google Cloud'",
        "provider_name": "'Google Cloud'",
        "publisher_name": coalesced(seller, "'Google Cloud'"),
        "sub_account_id": at.text("project.id", "project.number"),
        "sub_account_name": at.text("project.name"),
        "line_tags": tag_union(at, *TAG_FIELDS),
    }


def _charge(it: _Line) -> dict[str, str]:
    at = it.at
    corrected = f"{it.kind} = 'adjustment'"
    if at.has("adjustment_info.id"):
        corrected += f" OR {at.text('adjustment_info.id')} IS NOT NULL"
    commitment = at.text("subscription.instance_id")
    return {
        "charge_category": f"CASE WHEN {it.is_usage} THEN 'Usage' WHEN {it.kind} = 'tax' THEN 'Tax' "
        "ELSE 'Adjustment' END",
        "charge_class": f"CASE WHEN {corrected} THEN 'Correction' END",
        "charge_description": at.text("sku.description"),
        "charge_frequency": f"CASE WHEN {it.is_usage} THEN 'Usage-Based' ELSE 'One-Time' END",
        "charge_period_start": it.started,
        "charge_period_end": at.instant("usage_end_time"),
        "commitment_discount_id": commitment,
        "x_operation": at.text("service.id"),
        "x_line_type": coalesced(at.text("cost_type"), "'regular'"),
    }


def _costs(it: _Line) -> dict[str, str]:
    # The export has no amortised costs: a commitment is a fee row of its own and credits on the rows it
    # covers.
    return {
        "billed_cost": it.billed,
        "effective_cost": it.billed,
        "list_cost": it.listed,
        "contracted_cost": it.cost,
        "list_unit_price": it.unit_price("price.list_price_consumption_model", "price.list_price"),
        "contracted_unit_price": it.unit_price("price.effective_price"),
        "x_credit_cost": it.credits,
        "x_credits": f"nullif({it.at.json('credits')}::VARCHAR, '[]')" if it.at.has("credits") else "NULL",
        "x_credit_usd": it.usd(it.credits),
        "x_billed_usd": it.usd(it.billed),
        "x_effective_usd": it.usd(it.billed),
        "x_list_usd": it.usd(it.listed),
        "x_contracted_usd": it.usd(it.cost),
        "line_usd_rate": it.usd("1::DECIMAL(38, 18)"),
    }


def _usage(it: _Line) -> dict[str, str]:
    at = it.at
    used, unit = at.quantity("usage.amount"), at.text("usage.unit")
    priced = at.quantity("usage.amount_in_pricing_units")
    price = it.unit_price("price.effective_price", "price.list_price")
    same_unit = f"{used} = {priced}"
    return {
        "consumed_quantity": used,
        "consumed_unit": unit,
        "pricing_quantity": priced,
        "pricing_unit": at.text("usage.pricing_unit"),
        "pricing_category": f"CASE WHEN {it.is_usage} THEN 'Standard' END",
        # Some token SKUs are priced by "requests", so tokens are counted by the usage unit, never the pricing
        # unit.
        "line_quantity": used,
        "line_unit": unit,
        "line_unit_price": "NULL" if price == "NULL" else f"CASE WHEN {same_unit} THEN {price} END",
    }


def _place(it: _Line) -> dict[str, str]:
    at = it.at
    service, sku = at.text("service.description", "service.id"), at.text("sku.description", "sku.id")
    region = at.text("location.region", "location.location")
    return {
        "region_id": region,
        "region_name": at.text("location.location"),
        "resource_id": at.text("resource.global_name", "resource.name"),
        "resource_name": at.text("resource.name"),
        "service_name": service,
        "sku_id": at.text("sku.id"),
        "sku_meter": sku,
        "x_usage_type": sku,
        "line_service": service,
        "line_text": sku,
        "line_region": region,
    }


EXPORT = Format("gcp-export", "gcp", is_export, columns, needs=NEEDS)


FORMATS = (EXPORT, FOCUS)
