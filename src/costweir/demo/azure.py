"""Writes the Azure bill: cost exports with cryptic meters, attributed by resource group.

The oldest month is an Enterprise Agreement CSV, the next a Parquet export, the others gzip CSV of a Microsoft
Customer Agreement in run folders. One month has two runs; only the newer one counts.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from costweir.demo.catalogue import CURRENT, read_data
from costweir.demo.files import Row, csv_text, parquet, stable_id, write_json
from costweir.demo.oracle import Cell, Oracle
from costweir.demo.story import Stage, Use, at_hour
from costweir.domain.charge import UNTAGGED
from costweir.domain.period import Month

ACCOUNT = "5f1c7b22-9d0e-5a41-8c3a-0b6e2d94c7aa:8d2e61f0-33b4-4c19-a7de-5b90f1c2e6d3_2019-05-31"
ENROLMENT = "68135427"
_SUBSCRIPTION = "3b0f6c1e-7a52-4e0b-9c6d-21d4a8f7e590"
#: What the bill calls the service; the product is in the subcategory.
_CATEGORY = "Foundry Models"
_FIRST_MCA, _FIRST_MCA_CSV = 1, 2
#: The month with two runs; the earlier one lacks the last days and has a dearer GPT-5.4.
_TWO_RUNS = CURRENT - 2
_EARLY_PRICE = Decimal("1.04")
_REFUND_MONTH, _REFUND = 8, Decimal("-12.00")


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the export for one month; only the run that stays is counted by the oracle."""

    index: int
    month: Month
    at: datetime
    account: str
    oracle: Oracle | None
    draft: bool = False


def write_azure(out: Path, stage: Stage, uses: Mapping[int, Sequence[Use]], oracle: Oracle) -> Path:
    """Writes all months below `out/azure` and returns that folder."""
    folder = out / "azure"
    for index, month in enumerate(stage.months):
        days = stage.days("azure", index)
        if not days:
            continue
        mine = sorted(
            uses.get(index, ()), key=lambda use: (use.day, use.owner, use.sku.text, use.feature, use.part)
        )
        day = min(month.following.first + timedelta(days=4), stage.today)
        at = at_hour(day, 5)
        run = _Run(index, month, at, ENROLMENT if index < _FIRST_MCA else ACCOUNT, oracle)
        if index == _TWO_RUNS:
            early = replace(run, at=at - timedelta(days=3), oracle=None, draft=True)
            _write(folder, early, _lines(early, [use for use in mine if use.day < days[-3]], days[:-3]))
        _write(folder, run, _lines(run, mine, days))
    return folder


def _lines(run: _Run, uses: Sequence[Use], days: Sequence[date]) -> list[Row]:
    rows = [_usage(run, use) for use in uses]
    rows += _others(run, days)
    if run.index == _REFUND_MONTH:
        dearest = [use for use in uses if use.stream.model == "gpt-5.4"]
        rows += [_refund(run, use) for use in dearest[-1:]]
    return list(rows)


def _refund(run: _Run, use: Use) -> dict[str, object]:
    row = _usage(replace(run, oracle=None), use)
    row |= {"chargeType": "Refund", "quantity": Decimal(0), "frequency": "OneTime"} | _costs(_REFUND)
    cell = Cell(
        provider="azure", account=run.account, period=str(run.month), day=use.day, service=_CATEGORY,
        model=use.stream.model, token_class=use.sku.token_class, customer=use.customer, project=use.project,
        feature=use.feature, category="Adjustment",
    )  # fmt: skip
    if run.oracle is not None:
        run.oracle.charge(cell, _REFUND)
    return row


def _usage(run: _Run, use: Use) -> dict[str, object]:
    price = use.price * _EARLY_PRICE if run.draft and use.stream.model == "gpt-5.4" else use.price
    internal = use.owner == "northlight-internal"
    group = "rg-internal-ai" if internal else f"rg-customer-{use.owner}-prod"
    tags = {"feature": use.feature, "project_id": use.project}
    if internal:
        tags["customer_id"] = use.customer
    resource = f"aoai-{use.owner}-{use.part or 'prod'}"
    row = _row(run, use.day) | _place(group, "Microsoft.CognitiveServices/accounts", resource)
    row |= {
        "serviceFamily": "AI + Machine Learning",
        "consumedService": "Microsoft.CognitiveServices",
        "meterId": _meter_id(use.sku.text),
        "meterName": use.sku.text,
        "meterCategory": _CATEGORY,
        "meterSubCategory": use.stream.service,
        "meterRegion": "" if "regional" in use.sku.text or "regnl" in use.sku.text else "Global",
        "ProductId": stable_id("product", use.sku.sku_id)[:16].upper(),
        "ProductName": f"{use.stream.service} - {use.sku.text} - US East 2",
        "effectivePrice": price,
        "unitPrice": price,
        "PayGPrice": use.price,
        "quantity": use.quantity,
        "unitOfMeasure": use.sku.unit,
        "pricingModel": "OnDemand",
        "tags": _tags(run, {key: value for key, value in sorted(tags.items()) if value != UNTAGGED}),
        **_costs(use.quantity * price),
        "paygCostInBillingCurrency": use.cost,
        "paygCostInUsd": use.cost,
    }
    if run.oracle is not None:
        run.oracle.use(use, run.account, use.cost, service=_CATEGORY)
    return row


def _costs(cost: Decimal) -> dict[str, object]:
    names = (
        "costInBillingCurrency",
        "costInPricingCurrency",
        "costInUsd",
        "paygCostInBillingCurrency",
        "paygCostInUsd",
    )
    return dict.fromkeys(names, cost)


def _tags(run: _Run, tags: Mapping[str, str]) -> str:
    """A JSON object; the older agreement leaves out the outer braces."""
    text = json.dumps(dict(tags), separators=(",", ":"))
    return text[1:-1] if run.index < _FIRST_MCA else text


def _row(run: _Run, day: date) -> dict[str, object]:
    last = run.month.following.first - timedelta(days=1)
    return {
        "invoiceId": f"E0{run.month.year % 100:02d}{run.month.number:02d}7Q2KX"
        if run.index < CURRENT
        else "",
        "billingAccountId": run.account,
        "billingAccountName": "Northlight",
        "billingProfileId": "NL4C-XK2P-BG7-PGB",
        "billingProfileName": "Northlight",
        "invoiceSectionName": "Product",
        "billingPeriodStartDate": run.month.first,
        "billingPeriodEndDate": last,
        "servicePeriodStartDate": day,
        "servicePeriodEndDate": day,
        "date": day,
        "exchangeRateDate": run.month.first,
        "exchangeRatePricingToBilling": Decimal(1),
        "productOrderName": "Azure plan",
        "SubscriptionId": _SUBSCRIPTION,
        "subscriptionName": "northlight-production",
        "publisherType": "Microsoft",
        "publisherName": "Microsoft",
        "resourceLocation": "eastus2",
        "location": "US East 2",
        "chargeType": "Usage",
        "frequency": "UsageBased",
        "billingCurrency": "USD",
        "pricingCurrency": "USD",
        "isAzureCreditEligible": "True",
        "provider": "Azure",
    }


def _place(group: str, kind: str, resource: str) -> dict[str, object]:
    path = f"/subscriptions/{_SUBSCRIPTION}/resourceGroups/{group}/providers/{kind}/{resource}"
    return {"resourceGroupName": group, "ResourceId": path, "resourceName": resource}


def _others(run: _Run, days: Sequence[date]) -> Iterable[dict[str, object]]:
    """Machines, disks and logs: what a reader of AI spend skips."""
    for day in days:
        for entry in read_data("cast.yaml")["other_services"]["azure"]:
            jitter = int(stable_id(entry["text"], day)[:4], 16) % 20
            amount, price = Decimal(entry["amount"]) * (90 + jitter) / 100, Decimal(entry["price"])
            row = _row(run, day) | _place("rg-platform", f"{entry['operation']}/resources", "platform")
            row |= {
                "serviceFamily": "Compute",
                "consumedService": entry["operation"],
                "meterName": entry["text"],
                "meterCategory": entry["service"],
                "meterSubCategory": entry["product"],
                "meterId": _meter_id(entry["text"]),
                "ProductName": f"{entry['product']} - {entry['text']} - US East 2",
                "effectivePrice": price,
                "unitPrice": price,
                "quantity": amount,
                "unitOfMeasure": entry["unit"],
                "pricingModel": "OnDemand",
                "tags": _tags(run, {"env": "prod"}),
                **_costs(amount * price),
            }
            if run.oracle is not None:
                run.oracle.skip(("azure", run.account, str(run.month)), amount * price)
            yield row


def _write(folder: Path, run: _Run, rows: Sequence[Row]) -> None:
    """The layout of exports that keep every run: export, month, run time, run id; a manifest by the data."""
    agreement = "ea" if run.index < _FIRST_MCA else "mca"
    export = f"northlight-{agreement}-actual"
    last = run.month.following.first - timedelta(days=1)
    run_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"run/{run.month}/{run.at}"))
    relative = Path(export) / f"{run.month.first:%Y%m%d}-{last:%Y%m%d}" / f"{run.at:%Y%m%d%H%M}" / run_id
    columns = read_data("columns.yaml")
    form = "Parquet" if run.index == _FIRST_MCA else "Csv"
    name = "part_0_0001.snappy.parquet" if form == "Parquet" else "part_0_0001.csv.gz"
    target = folder / relative / name
    if form == "Parquet":
        size = parquet(target, columns["azure_mca_parquet"], [_dated(row, _iso) for row in rows])
    elif agreement == "ea":
        size = csv_text(target, columns["azure_ea"], (_enterprise(row) for row in rows))
    else:
        size = csv_text(target, columns["azure_mca"], (_dated(row, _american) for row in rows))
    blob = {"blobName": f"{relative.as_posix()}/{name}", "byteCount": size, "dataRowCount": len(rows)}
    write_json(folder / relative / "manifest.json", _manifest(run, run_id, (export, form), blob))


def _manifest(
    run: _Run, run_id: str, export: tuple[str, str], blob: Mapping[str, object]
) -> dict[str, object]:
    last = run.month.following.first - timedelta(days=1)
    return {
        "manifestVersion": "2024-04-01",
        "byteCount": blob["byteCount"],
        "blobCount": 1,
        "dataRowCount": blob["dataRowCount"],
        "exportConfig": {
            "exportName": export[0],
            "resourceId": f"/providers/Microsoft.Billing/billingAccounts/{run.account}",
            "dataVersion": "2021-10-01",
            "apiVersion": "2023-07-01-preview",
            "type": "ActualCost",
            "timeFrame": "Custom",
            "granularity": "Daily",
        },
        "deliveryConfig": {
            "partitionData": True,
            "dataOverwriteBehavior": "CreateNewReport",
            "fileFormat": export[1],
            "compressionMode": "snappy" if export[1] == "Parquet" else "gzip",
            "containerUri": "https://northlightbills.blob.core.windows.net/exports",
            "rootFolderPath": "azure",
        },
        "runInfo": {
            "executionType": "Scheduled",
            "submittedTime": f"{run.at:%Y-%m-%dT%H:%M:%S.0000000Z}",
            "runId": run_id,
            "startDate": f"{run.month.first:%Y-%m-%dT00:00:00}",
            "endDate": f"{last:%Y-%m-%dT00:00:00}",
        },
        "blobs": [blob],
    }


@lru_cache(maxsize=4096)
def _meter_id(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"meter/{text}"))


@lru_cache(maxsize=4096)
def _iso(day: date) -> str:
    return f"{day:%Y-%m-%d} 00:00:00"


@lru_cache(maxsize=4096)
def _american(day: date) -> str:
    return f"{day:%m/%d/%Y}"


def _dated(row: Row, write: Callable[[date], str]) -> Row:
    return {name: write(value) if isinstance(value, date) else value for name, value in row.items()}


_ENTERPRISE_NAMES = {
    "SubscriptionName": "subscriptionName",
    "ResourceGroup": "resourceGroupName",
    "ResourceLocation": "resourceLocation",
    "BillingCurrencyCode": "billingCurrency",
    "ResourceName": "resourceName",
}


def _enterprise(row: Row) -> Row:
    """The same line under the headings of the Enterprise Agreement."""
    known = {str(name).lower(): value for name, value in _dated(row, _american).items()}
    named = {
        name: known.get((_ENTERPRISE_NAMES.get(name) or name).lower())
        for name in map(str, read_data("columns.yaml")["azure_ea"])
    }
    return named | {"OfferId": "MS-AZR-0017P", "AccountName": "Northlight production"}
