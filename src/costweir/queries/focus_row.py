"""One charge as one FOCUS 1.2 row: 57 columns with FOCUS' rules for empty cells, then our own.

What a bill leaves out is filled only where FOCUS forbids an empty cell and another column says it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from costweir.domain.charge import CHARGE_COLUMNS
from costweir.domain.money import EXACT, decimal_text, exact, quantity_text

#: The columns of FOCUS 1.2. FOCUS leaves their order open.
FOCUS_COLUMNS: tuple[str, ...] = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType",
    "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "CapacityReservationId",
    "CapacityReservationStatus", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory", "CommitmentDiscountId",
    "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus",
    "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice",
    "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType",
    "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails",
    "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
)  # fmt: skip


def _pascal(name: str) -> str:
    return "x_" + "".join(part.capitalize() for part in name[2:].split("_"))


#: Our own columns: the charge's column and its name in the file. The run that loaded a row is no part of it.
OWN_COLUMNS: Mapping[str, str] = {
    column.name: _pascal(column.name)
    for column in CHARGE_COLUMNS
    if column.name.startswith("x_") and column.name != "x_run_id"
}
_KINDS = {column.name: column.kind for column in CHARGE_COLUMNS}
#: Provider code: what FOCUS calls the provider, its billing account and its sub account.
_PROVIDERS: Mapping[str, tuple[str, str, str]] = {
    "aws": ("AWS", "Account", "Account"),
    "gcp": ("Google Cloud", "Billing Account", "Project"),
    "azure": ("Microsoft", "Billing Account", "Subscription"),
    "openai": ("OpenAI", "Organization", "Project"),
    "anthropic": ("Anthropic", "Organization", "Workspace"),
}
#: The properties that FOCUS 1.2 itself defines; every other key carries x_.
_DEFINED = frozenset(
    {
        "CoreCount", "DiskMaxIops", "DiskSpace", "DiskType", "GpuCount", "InstanceSeries", "InstanceType",
        "MemorySize", "NetworkMaxIops", "NetworkMaxThroughput", "OperatingSystem", "Redundancy",
        "StorageClass",
    }
)  # fmt: skip
#: A charge's column and the property that says it: the names of the FOCUS draft for models, if it has one.
_PROPERTIES: Mapping[str, str] = {
    "x_model_developer": "x_ModelDeveloper",
    "x_model": "x_ModelId",
    "x_modality": "x_Modality",
    "x_cache_ttl": "x_TokenCacheTtl",
    "x_tier": "x_ServiceTier",
    "x_routing": "x_Routing",
    "x_context_band": "x_ContextBand",
}
_BLOCK = re.compile(r"(?P<count>\d+)\s*(?P<scale>[KkMm]?)(?:\s+(?P<unit>[A-Za-z].*))?")
_SCALES = {"": 1, "k": 1_000, "m": 1_000_000}

Row = dict[str, str | None]
Charge = Mapping[str, Any]


def focus_row(charge: Charge) -> Row:
    """One charge (keys as in `CHARGE_COLUMNS`) as a FOCUS 1.2 row of texts; None is an empty cell.

    A missing cost is taken from the next closer one, a missing unit price is cost by quantity, a missing name
    is the id, and a usage line without any quantity is one unit.
    """
    row: dict[str, Any] = {column.focus: charge[column.name] for column in CHARGE_COLUMNS if column.focus}
    _who(row, charge)
    _when(row, charge)
    _service(row, charge)
    _costs(row)
    _quantities(row)
    _commitment(row)
    row["SkuPriceDetails"] = _details(charge) if row["SkuPriceId"] else None
    row["Tags"] = _single_values(row["Tags"])
    out: Row = {name: _text(row.get(name), _QUANTITIES, name) for name in FOCUS_COLUMNS}
    out.update(
        (name, _text(charge[column], _OWN_QUANTITIES, column)) for column, name in OWN_COLUMNS.items()
    )  # fmt: skip
    return out


_QUANTITIES = frozenset({"ConsumedQuantity", "PricingQuantity"})
_OWN_QUANTITIES = frozenset(name for name, kind in _KINDS.items() if kind == "quantity")


def _text(value: object, quantities: frozenset[str], name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return quantity_text(value) if name in quantities else decimal_text(value)
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    return str(value)


def _who(row: dict[str, Any], charge: Charge) -> None:
    code = charge["x_provider"]
    provider, account, sub_account = _PROVIDERS.get(code, (code, "Account", "Project"))
    row["ProviderName"] = row["ProviderName"] or provider
    row["PublisherName"] = row["PublisherName"] or row["ProviderName"]
    row["InvoiceIssuerName"] = row["InvoiceIssuerName"] or row["ProviderName"]
    row["BillingAccountName"] = row["BillingAccountName"] or row["BillingAccountId"]
    row["BillingAccountType"] = account
    row["SubAccountName"] = (row["SubAccountName"] or row["SubAccountId"]) if row["SubAccountId"] else None
    row["SubAccountType"] = sub_account if row["SubAccountId"] else None


def _when(row: dict[str, Any], charge: Charge) -> None:
    if row["ChargePeriodEnd"] is None:
        following = cast("date", charge["usage_date"]) + timedelta(days=1)
        row["ChargePeriodEnd"] = datetime.combine(following, time())


def _service(row: dict[str, Any], charge: Charge) -> None:
    category = row["ServiceCategory"] or ("AI and Machine Learning" if charge["x_is_ai"] else "Other")
    other = "Generative AI" if category == "AI and Machine Learning" else f"Other ({category})"
    row["ServiceCategory"] = category
    row["ServiceSubcategory"] = row["ServiceSubcategory"] or other
    row["RegionName"] = (row["RegionName"] or row["RegionId"]) if row["RegionId"] else None
    for name, instead in (("ResourceName", None), ("ResourceType", "Resource")):
        row[name] = (row[name] or instead) if row["ResourceId"] else None
    usual = {"Usage": "Usage-Based", "Purchase": "One-Time"}.get(row["ChargeCategory"], "One-Time")
    row["ChargeFrequency"] = row["ChargeFrequency"] or usual


def _costs(row: dict[str, Any]) -> None:
    quantity, by_list = row["PricingQuantity"], row["ListUnitPrice"]
    if row["ListCost"] is None and by_list is not None and quantity is not None:
        row["ListCost"] = exact(EXACT.multiply(by_list, quantity))
    closest = (row["ContractedCost"], row["ListCost"], row["EffectiveCost"])
    if row["ContractedCost"] is None:
        row["ContractedCost"] = next(cost for cost in closest if cost is not None)
    if row["ListCost"] is None:
        row["ListCost"] = row["ContractedCost"]
    row["PricingCurrency"] = row["BillingCurrency"]
    row["PricingCurrencyEffectiveCost"] = row["EffectiveCost"]


def _quantities(row: dict[str, Any]) -> None:
    category = row["ChargeCategory"]
    if category == "Tax":
        row |= dict.fromkeys(
            ("PricingQuantity", "PricingUnit", "ListUnitPrice", "ContractedUnitPrice", "SkuId", "SkuPriceId"),
            None,
        )
        row |= dict.fromkeys(("PricingCategory", "SkuMeter"), None)
    elif category in ("Usage", "Purchase"):
        _priced(row)
    unused = row["CommitmentDiscountStatus"] == "Unused"
    if category != "Usage" or unused:
        row["ConsumedQuantity"] = None
    elif row["ConsumedQuantity"] is None and row["ChargeClass"] != "Correction":
        row["ConsumedQuantity"], row["ConsumedUnit"] = row["PricingQuantity"], row["PricingUnit"]
    consumed = _unit(row["ConsumedUnit"] or "Units", "Units")
    row["ConsumedUnit"] = consumed if row["ConsumedQuantity"] is not None else None
    priced = _unit(row["PricingUnit"] or "Units", consumed)
    row["PricingUnit"] = priced if row["PricingQuantity"] is not None else None
    row["SkuMeter"] = row["SkuMeter"] if row["SkuId"] else None
    row["SkuPriceId"] = row["SkuPriceId"] if row["SkuId"] else None
    for name in ("ListUnitPrice", "ContractedUnitPrice"):
        row[f"PricingCurrency{name}"] = row[name]


def _priced(row: dict[str, Any]) -> None:
    if row["PricingQuantity"] is None:
        known = row["ConsumedQuantity"]
        row["PricingQuantity"] = known if known is not None else Decimal(1)
        row["PricingUnit"] = row["ConsumedUnit"] if known is not None else "Units"
    row["PricingCategory"] = row["PricingCategory"] or "Standard"
    row["SkuId"] = row["SkuId"] or row["SkuMeter"] or row["ChargeDescription"] or row["ServiceName"]
    row["SkuPriceId"] = row["SkuPriceId"] or row["SkuId"]
    for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
        row[price] = row[price] if row[price] is not None else _each(row[cost], row["PricingQuantity"])


def _each(cost: Decimal, quantity: Decimal) -> Decimal | None:
    """Cost by quantity; None where no price gives the cost back, as for a refund of a used quantity."""
    if quantity == 0:
        return Decimal(0) if cost == 0 else None
    price = exact(EXACT.divide(cost, quantity))
    return price if price >= 0 else None


@lru_cache(maxsize=1024)
def _unit(text: str, counted: str) -> str:
    """A unit in FOCUS' form: `1M tokens` is `1000000 Tokens`, and so is a bare `1M` where tokens are counted."""
    match = _BLOCK.fullmatch(text)
    if match is None:
        return text
    unit = match["unit"] or counted.lstrip("0123456789 ") or "Units"
    return f"{int(match['count']) * _SCALES[match['scale'].lower()]} {unit[0].upper()}{unit[1:]}"


def _commitment(row: dict[str, Any]) -> None:
    names = ("Category", "Type", "Status", "Quantity", "Unit")
    if not row["CommitmentDiscountId"]:
        row |= {f"CommitmentDiscount{name}": None for name in names}
        return
    kind = row["CommitmentDiscountType"] or "Commitment"
    spend = "savings" in kind.lower() or "spend" in kind.lower()
    row["CommitmentDiscountType"] = kind
    row["CommitmentDiscountCategory"] = "Spend" if spend else "Usage"
    if row["ChargeCategory"] == "Usage":
        row["CommitmentDiscountStatus"] = row["CommitmentDiscountStatus"] or "Used"
    if row["ChargeCategory"] in ("Usage", "Purchase"):
        row["CommitmentDiscountQuantity"] = row["EffectiveCost"] if spend else row["PricingQuantity"]
        unit = row["BillingCurrency"] if spend else row["PricingUnit"]
        row["CommitmentDiscountUnit"] = unit if row["CommitmentDiscountQuantity"] is not None else None


def _details(charge: Charge) -> str | None:
    properties = dict(_object(charge["sku_price_details"]))
    named = {_property(key): value for key, value in properties.items()}
    named |= {key: charge[column] for column, key in _PROPERTIES.items() if charge[column]}
    if charge["x_tokens"] is not None and charge["x_direction"]:
        named["x_TokenDirection"] = charge["x_direction"].capitalize()
        if charge["x_direction"] == "input":
            named["x_TokenCacheAction"] = (charge["x_cache_action"] or "uncached").capitalize()
    return json.dumps(named, ensure_ascii=False, sort_keys=True) if named else None


def _property(key: str) -> str:
    return key if key in _DEFINED or key.startswith("x_") else f"x_{key}"


@lru_cache(maxsize=4096)
def _object(text: str | None) -> Mapping[str, Any]:
    """A JSON object with single values; nested values become their JSON text. Empty for anything else."""
    try:
        raw: Any = json.loads(text) if text else {}
    except ValueError:
        return {}
    if not isinstance(raw, dict):
        return {}
    pairs = cast("dict[str, Any]", raw).items()
    return {key: json.dumps(value) if isinstance(value, (dict, list)) else value for key, value in pairs}


@lru_cache(maxsize=4096)
def _single_values(text: str | None) -> str | None:
    values = _object(text)
    return json.dumps(values, ensure_ascii=False, sort_keys=True) if values else None
