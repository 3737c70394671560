"""FOCUS files: any of version 1.0 to 1.2 with the later names tolerated, and the two flavours that AWS
exports.

The provider of a general file is who provides the service. A pricing currency called "Token" is money, not
LLM tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

from costweir.domain.charge import CHARGE_COLUMNS, Kind
from costweir.sources.formats.format import Format, Header, quoted
from costweir.sources.formats.header import Columns, coalesced

NEEDS: tuple[tuple[str, ...], ...] = (
    ("BilledCost",),
    ("BillingAccountId",),
    ("BillingCurrency",),
    ("BillingPeriodStart",),
    ("ChargePeriodStart",),
    ("ChargeCategory",),
    ("ServiceName",),
    ("ProviderName", "ServiceProviderName", "HostProviderName", "InvoiceIssuerName"),
)

#: Names of 1.3 and later for columns that 1.2 had.
_LATER = {
    "ProviderName": ("ServiceProviderName", "HostProviderName", "InvoiceIssuerName"),
    "PublisherName": ("ServiceProviderName",),
}

#: What the FOCUS draft calls the properties of a model inside SkuPriceDetails.
_FACTS = ("ModelId", "ModelDeveloper", "TokenDirection", "TokenCacheAction")

#: A word in the provider's name, and our code for it.
_PROVIDERS = (
    ("aws", "aws"), ("amazon", "aws"), ("google", "gcp"), ("microsoft", "azure"), ("azure", "azure"),
    ("openai", "openai"), ("anthropic", "anthropic"),
)  # fmt: skip


def is_focus(header: Header) -> bool:
    """Any file with the columns that a FOCUS bill cannot do without."""
    return not FOCUS.missing(header)


def is_aws_focus(header: Header) -> bool:
    """The AWS flavours: 1.0 has x_UsageType and x_ServiceCode, 1.2 has x_ServiceCode and x_Operation."""
    return is_focus(header) and Columns(header).has("x_ServiceCode")


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of a general FOCUS file."""
    at = Columns(header)
    provider = provider_code(at.text("ProviderName", *_LATER["ProviderName"]))
    # The big three have a meter text that says it all; others often say the model in the description only.
    meter = coalesced(at.text("x_SkuMeterName", "SkuMeter"), at.text("ChargeDescription"), at.text("SkuId"))
    both = f"concat_ws(' ', {at.text('ChargeDescription')}, {at.text('SkuMeter')}, {at.text('SkuId')})"
    text = f"CASE WHEN {provider} IN ('aws', 'gcp', 'azure') THEN {meter} ELSE {both} END"
    return {**_shared(header, at), "x_provider": provider, "line_text": text}


def aws_columns(header: Header) -> Mapping[str, str]:
    """The charge columns of an AWS FOCUS export; the usage type stands in x_UsageType (1.0) or SkuMeter
    (1.2)."""
    at = Columns(header)
    usage_type = at.text("x_UsageType", "SkuMeter")
    return {
        **_shared(header, at),
        "x_usage_type": usage_type,
        "line_text": coalesced(usage_type, at.text("ChargeDescription")),
    }


def provider_code(name: str) -> str:
    """SQL for our code of a provider's name; an unknown name becomes lower case with hyphens."""
    cases = " ".join(f"WHEN contains(lower({name}), '{word}') THEN '{code}'" for word, code in _PROVIDERS)
    return f"CASE {cases} ELSE regexp_replace(lower({name}), '[^a-z0-9]+', '-', 'g') END"


def _shared(header: Header, at: Columns) -> dict[str, str]:
    day_first = _day_first(at)
    found: dict[str, str] = {}
    for column in CHARGE_COLUMNS:
        if column.focus:
            names = (column.focus, *_LATER.get(column.focus, ()))
            found[column.name] = _read(at, column.kind, names, day_first)
    tags = _tags(header, at)
    category = found["charge_category"]
    return {
        **found,
        **tags,
        "x_operation": at.text("x_Operation", "x_SkuMeterCategory"),
        "x_usage_type": at.text("x_SkuMeterName", "SkuMeter"),
        "x_line_type": at.text("ChargeCategory"),
        "x_credit_cost": f"CASE WHEN {category} = 'Credit' THEN {found['billed_cost']} END",
        "x_principal": at.text("PrincipalId"),
        "x_resource_group": f"lower({at.text('x_ResourceGroupName')})",
        "x_billed_usd": at.money("x_BilledCostInUsd"),
        "x_effective_usd": at.money("x_EffectiveCostInUsd"),
        "x_list_usd": at.money("x_ListCostInUsd"),
        "x_contracted_usd": at.money("x_ContractedCostInUsd"),
        "line_service": found["service_name"],
        "line_unit": coalesced(at.text("PricingUnit"), at.text("ConsumedUnit")),
        "line_quantity": coalesced(at.quantity("PricingQuantity"), at.quantity("ConsumedQuantity")),
        "line_region": at.text("RegionId"),
        "line_unit_price": at.money("ListUnitPrice", "ContractedUnitPrice"),
        "line_facts": _facts(at),
    }


def _read(at: Columns, kind: Kind, names: tuple[str, ...], day_first: str) -> str:
    if kind == "money":
        return at.money(*names)
    if kind == "quantity":
        return at.quantity(*names)
    if kind in ("instant", "day"):
        found = at.find(*names)
        if not found:
            return "NULL"
        instant = f"instant_either({at.value(found[0])}, {day_first})"
        return instant if kind == "instant" else f"{instant}::DATE"
    if kind == "json":
        found = at.find(*names)
        if not found:
            return "NULL"
        nested = at.kind(found[0]) not in ("VARCHAR", "JSON")
        return f"to_json({quoted(found[0])})::VARCHAR" if nested else at.text(*names)
    return at.text(*names)


def _day_first(at: Columns) -> str:
    """Whether d/m/y is meant: a billing month starts and ends on the first day, so only then both start with
    1."""
    found = at.find("BillingPeriodStart", "BillingPeriodEnd")
    tests = [f"ltrim(split_part(trim(({at.value(name)})::VARCHAR), '/', 1), '0') = '1'" for name in found]
    return f"({' AND '.join(tests)})" if len(tests) == 2 else "false"


def _tags(header: Header, at: Columns) -> dict[str, str]:
    found = at.find("Tags")
    if found and header[found[0]].upper().startswith("MAP"):
        return {"line_tags": f"tag_entries(map_entries({quoted(found[0])}))"}
    return {}


def _facts(at: Columns) -> str:
    named = ("ServiceCategory", "ServiceSubcategory")
    parts = [f"'{name}': {at.text(name)}" for name in named if at.has(name)]
    found = at.find("SkuPriceDetails")
    if found:
        name = quoted(found[0])
        if at.kind(found[0]) not in ("VARCHAR", "JSON"):
            name = f"to_json({name})"
        parts += [f"'{fact}': json_value_of({name}, '{fact}')" for fact in _FACTS]
    return f"to_json({{{', '.join(parts)}}})::VARCHAR" if parts else "NULL"


AWS_FOCUS = Format("aws-focus", "aws", is_aws_focus, aws_columns, needs=(*NEEDS, ("x_ServiceCode",)))
FOCUS = Format("focus", "", is_focus, columns, needs=NEEDS)
FORMATS = (AWS_FOCUS, FOCUS)
