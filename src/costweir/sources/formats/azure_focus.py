"""The FOCUS export of Azure (1.0 and 1.2): its token lines say `Units`, and only its own columns say of what.

Rows of other providers, as a FinOps hub mixes them in, are read as in any FOCUS file.
"""

from __future__ import annotations

from collections.abc import Mapping

from costweir.sources.formats import focus
from costweir.sources.formats.azure_header import service_of
from costweir.sources.formats.azure_runs import newest_runs
from costweir.sources.formats.exact import ratio
from costweir.sources.formats.format import Format, Header
from costweir.sources.formats.header import Columns, coalesced
from costweir.sources.formats.nested import bound

#: Columns of src/open-data/dataset-metadata/FocusCost_1.2-preview.json of microsoft/finops-toolkit, read
#: 2026-11.
_OWN = ("x_SkuMeterName", "x_SkuMeterCategory", "x_PricingBlockSize")

_BLOCKS = (
    "CASE b WHEN 1 THEN '1' WHEN 1000 THEN '1K' WHEN 1000000 THEN '1M' ELSE trunc(b)::BIGINT::VARCHAR END"
)


def is_export(header: Header) -> bool:
    """A FOCUS file with the meter columns that Microsoft adds."""
    return focus.is_focus(header) and Columns(header).has(*_OWN)


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of a FOCUS file, with what Azure's own columns say about Azure's rows."""
    at = Columns(header)
    base = focus.columns(header)
    own = {**_line(at), **_account(at), **_dollars(at, base["billed_cost"])}
    provider = base["x_provider"]
    # A default stands where the column is absent: NULL, which the staging fills as for any other file.
    merged = {
        name: f"CASE WHEN {provider} = 'azure' THEN {coalesced(sql, base.get(name, 'NULL'))} "
        f"ELSE {base.get(name, 'NULL')} END"
        for name, sql in own.items()
        if sql != "NULL"
    }
    if "x_account" in merged:
        account = base["billing_account_id"]
        merged["x_account"] = (
            f"CASE WHEN {provider} = 'azure' THEN {coalesced(own['x_account'], account)} ELSE {account} END"
        )
    return {**base, **merged}


def _line(at: Columns) -> dict[str, str]:
    """What the classifier sees, as it sees it in Azure's own cost export."""
    category = coalesced(at.text("x_SkuMeterCategory"), at.text("PublisherName", "ServiceName"))
    service = service_of(at.text("x_SkuMeterSubcategory"), at.text("x_SkuDescription"), category)
    block = at.quantity("x_PricingBlockSize")
    blocks = "NULL" if block == "NULL" else bound(block, "b", _BLOCKS)
    return {
        "line_service": service,
        "line_text": at.text("x_SkuMeterName", "SkuMeter", "x_SkuDescription", "ChargeDescription"),
        "line_unit": coalesced(at.text("x_PricingUnitDescription"), blocks, at.text("PricingUnit")),
        "line_quantity": at.quantity("PricingQuantity"),
        "line_region": at.text("RegionId", "RegionName"),
    }


def _account(at: Columns) -> dict[str, str]:
    """The ids as the cost export writes them, so that the two exports of one bill have one slot: FOCUS has
    the billing profile as the billing account, and the subscription as a path."""
    subscription = at.text("SubAccountId")
    return {
        "x_account": at.text("x_BillingAccountId"),
        "sub_account_id": "NULL"
        if subscription == "NULL"
        else f"regexp_replace({subscription}, '^/subscriptions/', '', 'i')",
    }


def _dollars(at: Columns, billed: str) -> dict[str, str]:
    """US dollars where the bill is priced in them; the general file reads the stated amounts first."""
    exchange = at.money("x_BillingExchangeRate")
    if exchange == "NULL":
        return {}
    in_dollars = f"upper({at.text('PricingCurrency', 'x_PricingCurrency')}) = 'USD'"
    stated = at.money("x_BilledCostInUsd")
    each = f"CASE WHEN {in_dollars} THEN {ratio('1::DECIMAL(38, 18)', exchange)} END"
    converted = f"CASE WHEN {in_dollars} THEN {ratio(billed, exchange)} END"
    return {"x_billed_usd": coalesced(stated, converted), "line_usd_rate": each}


FOCUS = Format("focus", "azure", is_export, columns, newest_runs, needs=(*focus.NEEDS, _OWN))
