"""Writes the bill of a model vendor that sells directly, as FOCUS 1.2: any FOCUS file can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from costweir.demo.catalogue import CURRENT, read_data
from costweir.demo.files import csv_text
from costweir.demo.oracle import Oracle
from costweir.demo.story import Stage, Use
from costweir.domain.charge import UNTAGGED

ACCOUNT = "org-northlight-4417"
_VENDOR = "Anthropic"
_COSTS: Sequence[str] = (
    "BilledCost",
    "EffectiveCost",
    "ListCost",
    "ContractedCost",
    "PricingCurrencyEffectiveCost",
)
_PRICES: Sequence[str] = (
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyListUnitPrice",
)
_CACHE = {"cache_read": "Read", "cache_write": "Write"}


def write_focus(out: Path, stage: Stage, uses: Mapping[int, Sequence[Use]], oracle: Oracle) -> Path:
    """Writes one CSV a month below `out/focus` and returns that folder."""
    folder = out / "focus"
    header = read_data("columns.yaml")["focus_1_2"]
    for index, month in enumerate(stage.months):
        mine = sorted(uses.get(index, ()), key=lambda use: (use.day, use.owner, use.sku.text, use.part))
        if mine:
            rows = [_row(stage, use, oracle) for use in mine]
            csv_text(folder / f"anthropic-focus-1.2-{month}.csv", header, rows)
    return folder


def _row(stage: Stage, use: Use, oracle: Oracle) -> dict[str, object]:
    month = stage.months[use.month]
    row: dict[str, object] = {**dict.fromkeys(_COSTS, use.cost), **dict.fromkeys(_PRICES, use.price)}
    tags = {"customer_id": use.customer, "feature": use.feature, "project_id": use.project}
    oracle.use(use, ACCOUNT, use.cost)
    return row | {
        "BillingAccountId": ACCOUNT,
        "BillingAccountName": "Northlight",
        "BillingAccountType": "Organization",
        "BillingCurrency": "USD",
        "PricingCurrency": "USD",
        "BillingPeriodStart": _instant(month.first),
        "BillingPeriodEnd": _instant(month.following.first),
        "InvoiceId": "" if use.month == CURRENT else f"NL-{month.year}{month.number:02d}",
        "InvoiceIssuerName": _VENDOR,
        "ProviderName": _VENDOR,
        "PublisherName": _VENDOR,
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{use.sku.text} for {use.stream.model}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _instant(use.day),
        "ChargePeriodEnd": _instant(use.day + timedelta(days=1)),
        "ConsumedQuantity": Decimal(use.amount),
        "ConsumedUnit": "Tokens",
        "PricingCategory": "Standard",
        "PricingQuantity": use.quantity,
        "PricingUnit": use.sku.unit,
        "RegionId": "global",
        "RegionName": "Global",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": use.stream.service,
        "SkuId": f"{use.stream.model}-{use.sku.token_class}",
        "SkuMeter": use.sku.text,
        "SkuPriceDetails": json.dumps(_details(use), separators=(",", ":")),
        "SkuPriceId": f"{use.stream.model}-{use.sku.token_class}-ondemand",
        "SubAccountId": "wrkspc-northlight-prod",
        "SubAccountName": "production",
        "SubAccountType": "Workspace",
        "Tags": json.dumps({key: value for key, value in tags.items() if value != UNTAGGED}),
    }  # fmt: skip


def _details(use: Use) -> dict[str, str]:
    """The properties of the specification's draft for models."""
    found = {
        "ModelDeveloper": _VENDOR,
        "ModelFamily": "Claude Opus",
        "ModelId": use.stream.model,
        "ModelVersion": use.stream.model.removeprefix("claude-opus-").replace("-", "."),
    }
    kind = use.sku.token_class
    cached = {"TokenCacheAction": _CACHE.get(kind, "Uncached")}
    return found | (
        {"TokenDirection": "Output"} if kind == "output" else {"TokenDirection": "Input"} | cached
    )


@lru_cache(maxsize=4096)
def _instant(day: date) -> str:
    return f"{day:%Y-%m-%dT00:00:00Z}"
