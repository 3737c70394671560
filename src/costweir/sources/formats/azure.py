"""Azure cost exports (actual, amortised and usage details) of every agreement: EA, MCA and pay-as-you-go.

The cost is the one in the billing currency, and `Quantity` counts what `UnitOfMeasure` says: 12.5 of `1K` is
12,500. An export is either of actual or of amortised cost and does not say which, so billed and effective
cost are equal; the FOCUS export has both.
"""

from __future__ import annotations

from collections.abc import Mapping

from costweir.sources.formats.azure_focus import FOCUS
from costweir.sources.formats.azure_header import AzureHeader, chosen, service_of, table
from costweir.sources.formats.azure_runs import newest_runs
from costweir.sources.formats.exact import product, ratio
from costweir.sources.formats.format import Format, Header, literal
from costweir.sources.formats.header import coalesced
from costweir.sources.formats.nested import bound

#: `1K`, `10K/Hour`, `1M`, `1B`: blocks. A plain number such as `100 Hours` is not one: old meters count
#: single hours there. Blocks and plain units agree with src/open-data/PricingUnits.csv of
#: microsoft/finops-toolkit (MIT).
_BLOCK = "^(\\d+) ?([KMB])(?:$|[ /])"

_RESOURCE_GROUP = "(?i)/resourceGroups/([^/]+)"
_RESOURCE_TYPE = "(?i)/providers/([^/]+/[^/]+)"


def is_export(header: Header) -> bool:
    """A cost export with a date, a cost, an account and a meter under any of their headings."""
    return AzureHeader(header).complete


class _Line:
    """The expressions of one header that several charge columns are made of."""

    def __init__(self, header: Header) -> None:
        at = AzureHeader(header)
        self.at = at
        self.cost = at.money("cost")
        self.quantity = at.quantity("quantity")
        self.unit = at.text("unit")
        self.currency = f"upper({at.text('currency')})"
        self.pricing_currency = at.text("pricing_currency")
        self.kind = f"lower({coalesced(at.text('charge_type'), literal('Usage'))})"
        self.model = at.text("pricing_model")
        self.day = at.instant("date")
        self.subcategory = at.text("meter_subcategory")
        self.is_usage = f"{self.kind} IN ({', '.join(literal(k) for k in _usage_types())})"

    @property
    def service(self) -> str:
        """What the classifier gets as the service."""
        at = self.at
        owner = coalesced(at.text("meter_category"), at.text("publisher"), at.text("consumed_service"))
        return service_of(self.subcategory, at.text("product"), owner)

    def _priced_alike(self) -> str:
        return f"coalesce(upper({self.pricing_currency}), {self.currency}) = {self.currency}"

    def price(self, field: str) -> str:
        """A price of one unit in the billing currency; the file has it in the pricing currency."""
        price, exchange = f"nullif({self.at.money(field)}, 0)", self.at.money("exchange_rate")
        if not self.at.has(field) or self.pricing_currency == "NULL":
            return price if self.at.has(field) else "NULL"
        converted = "NULL" if exchange == "NULL" else product(price, exchange)
        return f"CASE WHEN {self._priced_alike()} THEN {price} ELSE {converted} END"

    def times_quantity(self, field: str) -> str:
        """A price of the file times its quantity, where both currencies are the same."""
        if not self.at.has(field) or self.quantity == "NULL":
            return "NULL"
        total = product(f"nullif({self.at.money(field)}, 0)", self.quantity)
        if self.pricing_currency == "NULL":
            return total
        return f"CASE WHEN {self._priced_alike()} THEN {total} END"


def _usage_types() -> list[str]:
    return [kind for kind, category in table()["charge_types"].items() if category == "Usage"]


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of an Azure cost export."""
    it = _Line(header)
    return {**_bill(it), **_charge(it), **_costs(it), **_usage(it), **_place(it)}


def _bill(it: _Line) -> dict[str, str]:
    at = it.at
    subscription = at.text("subscription_id")
    month = _month(it)
    market = f"lower({at.text('publisher_type')}) = 'marketplace'"
    return {
        "billing_account_id": coalesced(at.text("account_id"), subscription),
        "billing_account_name": at.text("account_name"),
        "billing_currency": it.currency,
        "billing_period_start": month,
        "billing_period_end": f"({month} + INTERVAL 1 MONTH)::DATE",
        "invoice_id": at.text("invoice_id"),
        "invoice_issuer_name": "'Microsoft'",
        "provider_name": "'Microsoft'",
        "publisher_name": f"CASE WHEN {market} THEN {coalesced(at.text('publisher'), literal('Microsoft'))} "
        "ELSE 'Microsoft' END",
        "sub_account_id": subscription,
        "sub_account_name": at.text("subscription_name"),
        "line_tags": _tags(at),
    }


def _month(it: _Line) -> str:
    """The month of the billing period. A period that does not start on a first day is no month; exports are
    cut by calendar months, so such lines belong to the month of their date."""
    used = f"date_trunc('month', {it.day})::DATE"
    start = it.at.instant("period_start")
    if start == "NULL":
        return used
    return bound(start, "p", f"CASE WHEN day(p) = 1 THEN p::DATE ELSE {used} END")


def _tags(at: AzureHeader) -> str:
    """Tags as one MAP of texts; empty ones are left out. Old files leave out the braces of the JSON."""
    raw = at.verbatim("tags")
    if raw == "NULL":
        return "NULL"
    keys = "list_distinct(json_keys(j))"
    values = f"list_transform({keys}, lambda k: {{'key': k, 'value': txt(json_value_of(j, k))}})"
    filled = f"map_from_entries(list_filter({values}, lambda e: e.value IS NOT NULL))"
    read = f"CASE WHEN json_valid(j) THEN {filled} ELSE MAP {{'unreadable_tags': t}} END"
    braced = bound("CASE WHEN starts_with(t, '{') THEN t ELSE '{' || t || '}' END", "j", read)
    return bound(raw, "t", f"CASE WHEN t IS NOT NULL THEN {braced} END")


def _charge(it: _Line) -> dict[str, str]:
    at, kinds = it.at, table()
    committed = chosen(it.model, kinds["commitments"])
    unused = f"{it.kind} IN ({', '.join(map(literal, kinds['unused']))})"
    corrected = f"{it.kind} IN ({', '.join(map(literal, kinds['corrections']))})"
    return {
        "charge_category": chosen(it.kind, kinds["charge_types"], otherwise="'Adjustment'"),
        "charge_class": f"CASE WHEN {corrected} THEN 'Correction' END",
        "charge_description": at.text("product", "meter_name"),
        "charge_frequency": chosen(at.text("frequency"), kinds["frequencies"]),
        "charge_period_start": it.day,
        "charge_period_end": f"date_trunc('day', {it.day}) + INTERVAL 1 DAY",
        "pricing_category": chosen(it.model, kinds["pricing_models"]),
        "commitment_discount_id": at.text("reservation_id"),
        "commitment_discount_type": committed,
        "commitment_discount_status": f"CASE WHEN {unused} THEN 'Unused' "
        f"WHEN {it.kind} = 'usage' AND ({committed}) IS NOT NULL THEN 'Used' END",
        "x_operation": at.text("meter_category"),
        "x_line_type": coalesced(at.text("charge_type"), "'Usage'"),
    }


def _costs(it: _Line) -> dict[str, str]:
    at = it.at
    listed = coalesced(at.money("list_cost"), it.times_quantity("list_price"))
    committed = f"lower({it.model}) IN ({', '.join(map(literal, table()['commitments']))})"
    contracted = (
        f"CASE WHEN {committed} THEN {coalesced(it.times_quantity('unit_price'), it.cost)} ELSE {it.cost} END"
    )
    in_usd, rate = _in_usd(it)
    return {
        "billed_cost": it.cost,
        "effective_cost": it.cost,
        "list_cost": listed,
        "contracted_cost": contracted,
        "list_unit_price": it.price("list_price"),
        "contracted_unit_price": it.price("unit_price"),
        "x_billed_usd": in_usd,
        "x_effective_usd": in_usd,
        "x_list_usd": at.money("list_cost_usd"),
        "line_usd_rate": rate,
    }


def _in_usd(it: _Line) -> tuple[str, str]:
    """The cost in US dollars as the bill states it, and the bill's own rate: US dollars for one unit of the
    billing currency, known where the pricing currency is US dollars."""
    at = it.at
    exchange, priced = at.money("exchange_rate"), at.money("cost_pricing")
    in_dollars = f"upper({it.pricing_currency}) = 'USD'"
    stated = coalesced(
        at.money("cost_usd"),
        "NULL" if priced == "NULL" else f"CASE WHEN {in_dollars} THEN {priced} END",
        "NULL" if exchange == "NULL" else f"CASE WHEN {in_dollars} THEN {ratio(it.cost, exchange)} END",
    )
    if exchange == "NULL":
        return stated, "NULL"
    return stated, f"CASE WHEN {in_dollars} THEN {ratio('1::DECIMAL(38, 18)', exchange)} END"


def _usage(it: _Line) -> dict[str, str]:
    size = f"regexp_extract(u, '{_BLOCK}', 1)::BIGINT * CASE regexp_extract(u, '{_BLOCK}', 2) "
    size += "WHEN 'K' THEN 1000 WHEN 'M' THEN 1000000 ELSE 1000000000 END"
    block = bound(it.unit, "u", f"CASE WHEN regexp_matches(u, '{_BLOCK}') THEN {size} ELSE 1 END")
    left = bound(
        it.unit,
        "u",
        f"CASE WHEN regexp_matches(u, '{_BLOCK}') THEN {_rest('[0-9]+ ?[KMB]')} "
        f"WHEN regexp_matches(u, '^1(?:$|[ /])') THEN {_rest('1')} ELSE u END",
    )
    return {
        "consumed_quantity": "NULL"
        if it.quantity == "NULL"
        else f"CASE WHEN {it.is_usage} THEN try({it.quantity} * coalesce({block}, 1)) END",
        "consumed_unit": bound(left, "r", "CASE WHEN r = '' OR r[1] = '/' THEN 'Units' || r ELSE r END"),
        "pricing_quantity": it.quantity,
        "pricing_unit": it.unit,
        "line_unit": it.unit,
        "line_unit_price": coalesced(it.price("unit_price"), it.price("list_price")),
    }


def _rest(start: str) -> str:
    """What is left of the unit `u` after its number."""
    return f"regexp_extract(u, '^{start} ?(.*)$', 1)"


def _place(it: _Line) -> dict[str, str]:
    at = it.at
    resource = at.text("resource_id")
    location = f"lower({at.text('resource_location')})"
    meter = at.text("meter_name", "plan", "product")
    return {
        "region_id": location,
        "region_name": at.text("meter_region", "resource_location"),
        "resource_id": resource,
        "resource_name": coalesced(at.text("resource_name"), f"nullif(split_part({resource}, '/', -1), '')"),
        "resource_type": coalesced(
            at.text("resource_type"), f"nullif(regexp_extract({resource}, '{_RESOURCE_TYPE}', 1), '')"
        ),
        "service_name": coalesced(
            at.text("meter_category", "meter_subcategory", "product", "consumed_service", "publisher"),
            at.verbatim("meter_category"),
        ),
        "sku_id": at.text("meter_id"),
        "sku_meter": at.text("meter_name"),
        "sku_price_id": at.text("part_number"),
        "x_usage_type": meter,
        "x_resource_group": "lower("
        + coalesced(
            at.text("resource_group"), f"nullif(regexp_extract({resource}, '{_RESOURCE_GROUP}', 1), '')"
        )
        + ")",
        "line_service": it.service,
        "line_text": meter,
        "line_region": coalesced(location, at.text("meter_region")),
    }


EXPORT = Format(
    "azure-export",
    "azure",
    is_export,
    columns,
    newest_runs,
    needs=tuple(
        tuple(name for field in group for name in table()["fields"][field]) for group in table()["required"]
    ),
)
FORMATS = (EXPORT, FOCUS)
