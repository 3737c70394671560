"""Writes the AWS bill: legacy CUR for the two oldest months, CUR 2.0 Data Exports for the others.

Claude arrives mostly as marketplace lines, whose model stands in the product name alone. The last full month
is delivered twice: the second delivery restates it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from pathlib import Path

from costweir.demo.catalogue import CURRENT, Sku, Stream, read_data
from costweir.demo.files import Row, csv_text, parquet, plain, stable_id, write_json
from costweir.demo.oracle import Cell, Oracle
from costweir.demo.story import Stage, Use, at_hour
from costweir.domain.charge import UNKNOWN, UNTAGGED
from costweir.domain.period import Month

ACCOUNT = "204915538721"
_LABS_ACCOUNT = "318840217655"
_SELLER = "Amazon Web Services, Inc."
#: The first month in Data Exports; the months before are legacy CUR.
_EXPORTS_FROM = 2
#: From this month on an enterprise discount takes this share off what AWS itself bills.
_DISCOUNT_FROM, _DISCOUNT = 10, Decimal("0.06")
#: This customer's calls carry no customer tag; since Data Exports the IAM principal names it.
_BY_PRINCIPAL = "oakhurst-legal"
_ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/northlight-app"
_TAX_RATE = Decimal("0.0625")
_CREDIT_MONTH, _CREDIT = 9, Decimal("-25.00")
_REFUND_MONTH, _REFUND = 10, Decimal("-8.40")
_PLACES = {"us-east-1": "US East (N. Virginia)", "us-west-2": "US West (Oregon)"}
_CODES = {"Amazon Bedrock": "AmazonBedrock", "Amazon Bedrock Service": "AmazonBedrockService"}
_WORDS = {"input": "Input", "output": "Response", "cache_read": "Cache Read", "cache_write": "Cache Write"}


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One delivery of one month; only the one that stays is counted by the oracle."""

    index: int
    month: Month
    at: datetime
    oracle: Oracle | None
    draft: bool = False


def write_aws(
    out: Path, stage: Stage, uses: Mapping[int, Sequence[Use]], oracle: Oracle
) -> tuple[Path, Path]:
    """Writes `out/aws` and the restatement `out/restated/aws`; returns both folders."""
    folder, restated = out / "aws", out / "restated" / "aws"
    for index, month in enumerate(stage.months):
        rows = _in_order(uses.get(index, ()))
        if not stage.days("aws", index):
            continue
        day = min(month.following.first + timedelta(days=2), stage.today)
        closed = at_hour(day, 6)
        delivery = _Delivery(index, month, closed, oracle)
        if index < _EXPORTS_FROM:
            _write_legacy(folder / "northlight-cur", delivery, _lines(stage, delivery, rows))
        elif index == CURRENT - 1:
            last = month.following.first - timedelta(days=2)
            early = replace(delivery, at=closed - timedelta(days=3), oracle=None, draft=True)
            _write_export(folder, early, _lines(stage, early, [use for use in rows if use.day < last]))
            _write_export(restated, delivery, _lines(stage, delivery, rows))
        else:
            _write_export(folder, delivery, _lines(stage, delivery, rows))
    return folder, restated


def _in_order(uses: Sequence[Use]) -> list[Use]:
    return sorted(
        uses, key=lambda use: (use.day, use.hour or 0, use.owner, use.sku.text, use.feature, use.part)
    )


def _lines(stage: Stage, delivery: _Delivery, uses: Sequence[Use]) -> list[Row]:
    rows = [_usage(delivery, use) for use in uses]
    if delivery.index >= _DISCOUNT_FROM:
        rows += _discounts(delivery, uses)
    rows += _others(delivery, stage.days("aws", delivery.index))
    rows += _month_end(delivery, uses)
    prefix = stable_id("aws", delivery.month, delivery.at)[:44]
    for number, row in enumerate(rows):
        row["identity_line_item_id"] = f"{prefix}{number:08x}"
    return list(rows)


def _usage(delivery: _Delivery, use: Use) -> dict[str, object]:
    marketplace = use.stream.form == "marketplace"
    price = use.sku.prices[0] if delivery.draft else use.price
    cost = use.quantity * price
    off = _DISCOUNT if delivery.index >= _DISCOUNT_FROM and not marketplace else None
    begin = at_hour(use.day, use.hour or 0)
    row = _line(delivery, "Usage", begin, timedelta(days=1) if use.hour is None else timedelta(hours=1))
    row |= _product(use) | _tags(use)
    row |= {
        "line_item_usage_amount": use.quantity,
        "line_item_unblended_rate": plain(price),
        "line_item_unblended_cost": cost,
        "line_item_blended_rate": plain(price),
        "line_item_blended_cost": cost,
        "line_item_net_unblended_cost": cost - cost * off if off else None,
        "pricing_public_on_demand_rate": plain(use.sku.prices[0]),
        "pricing_public_on_demand_cost": use.quantity * use.sku.prices[0],
        "pricing_currency": "USD",
        "pricing_term": "OnDemand",
        "pricing_unit": use.sku.unit,
        "pricing_rate_id": str(int(stable_id("rate", use.sku.sku_id)[:9], 16)),
    }
    if delivery.oracle is not None:
        delivery.oracle.use(use, ACCOUNT, cost - cost * off if off else cost)
    return row


def _product(use: Use) -> dict[str, object]:
    return _product_of(use.stream, use.sku, use.price, (use.owner, use.project, use.part))


@lru_cache(maxsize=20_000)
def _product_of(stream: Stream, sku: Sku, price: Decimal, who: tuple[str, str, int]) -> dict[str, object]:
    """What was used: one AWS product for AWS's own lines, a random product code for marketplace lines."""
    place = _PLACES[stream.region]
    if stream.form == "marketplace":
        code = stable_id("product", stream.service)[:25]
        routing = "Global" if "lobal" in sku.text else "Regional CRIS"
        words = f"Million {_WORDS[sku.token_class]} Tokens {routing}"
        text = f"AWS Marketplace software usage|{stream.region}|{words}"
        entity, operation, family = "AWS Marketplace", "Usage", ""
    else:
        code = _CODES[stream.service]
        text = f"${plain(price)} per {sku.unit} for {sku.text} in {place}"
        entity, operation, family = "AWS", "InvokeModelStreamingInference", "Amazon Bedrock"
    profile = stable_id("profile", *who)[:12]
    session = f"customer-{_BY_PRINCIPAL}" if who[0] == _BY_PRINCIPAL and who[1] != UNTAGGED else "worker"
    arn = f"arn:aws:bedrock:{stream.region}:{ACCOUNT}:application-inference-profile/{profile}"
    return {
        "bill_billing_entity": entity,
        "line_item_product_code": code,
        "line_item_usage_type": sku.text,
        "line_item_operation": operation,
        "line_item_line_item_description": text,
        "line_item_resource_id": arn if who[1] != UNTAGGED else "",
        "line_item_iam_principal": f"{_ROLE}/{session}",
        "product": {"product_name": stream.service, "region": stream.region, "servicename": stream.service},
        "product_region_code": stream.region,
        "product_location": place,
        "product_product_family": family,
        "product_servicecode": code,
        "product_usagetype": sku.text,
        "product_sku": stable_id("sku", sku.sku_id)[:16].upper(),
    }


def _tags(use: Use) -> dict[str, object]:
    tags = {"user_customer_id": use.customer, "user_project_id": use.project, "user_feature": use.feature}
    if use.owner == _BY_PRINCIPAL and use.month >= _EXPORTS_FROM:
        del tags["user_customer_id"]
    return {"resource_tags": {key: value for key, value in tags.items() if value != UNTAGGED}}


def _line(delivery: _Delivery, kind: str, begin: datetime, length: timedelta) -> dict[str, object]:
    """What every line of the bill has, whatever it is for."""
    end = begin + length
    open_month = delivery.index == CURRENT or delivery.draft
    return {
        "bill_bill_type": "Anniversary",
        "bill_billing_entity": "AWS",
        "bill_invoice_id": ""
        if open_month
        else str(1_800_000_000 + delivery.month.year * 100 + delivery.month.number),
        "bill_invoicing_entity": _SELLER,
        "bill_payer_account_id": ACCOUNT,
        "bill_payer_account_name": "Northlight",
        "bill_billing_period_start_date": _instant(delivery.month.first),
        "bill_billing_period_end_date": _instant(delivery.month.following.first),
        "identity_time_interval": f"{_instant(begin)}/{_instant(end)}",
        "line_item_currency_code": "USD",
        "line_item_legal_entity": _SELLER,
        "line_item_line_item_type": kind,
        "line_item_usage_account_id": ACCOUNT,
        "line_item_usage_account_name": "Northlight",
        "line_item_usage_start_date": _instant(begin),
        "line_item_usage_end_date": _instant(end),
        "discount": {},
        "cost_category": {},
        "resource_tags": {},
    }


def _discounts(delivery: _Delivery, uses: Sequence[Use]) -> Iterable[dict[str, object]]:
    """One EdpDiscount line for each (day, usage type, tags) that AWS itself bills.

    The net column of the usage lines has the discount already, so the net column here is zero.
    """
    groups: dict[tuple[date, str, str, str, str], list[Use]] = {}
    for use in uses:
        if use.stream.form != "marketplace":
            groups.setdefault((use.day, use.sku.text, use.customer, use.project, use.feature), []).append(use)
    for group in groups.values():
        use = group[0]
        off = -sum((item.cost for item in group), Decimal(0)) * _DISCOUNT
        begin = at_hour(use.day)
        row = _line(delivery, "EdpDiscount", begin, timedelta(days=1)) | _product(use) | _tags(use)
        row |= _amount(off) | {"line_item_net_unblended_cost": Decimal(0), "pricing_unit": use.sku.unit}
        row["line_item_line_item_description"] = f"Enterprise discount of 6% on {use.sku.text}"
        if delivery.oracle is not None:
            delivery.oracle.charge(_cell(delivery, use, "Adjustment"), Decimal(0))
        yield row


def _cell(delivery: _Delivery, use: Use, category: str) -> Cell:
    return Cell(
        provider="aws", account=ACCOUNT, period=str(delivery.month), day=use.day, service=use.stream.service,
        model=use.stream.model, token_class=use.sku.token_class, customer=use.customer, project=use.project,
        feature=use.feature, category=category,
    )  # fmt: skip


def _amount(cost: Decimal) -> dict[str, object]:
    return {
        "line_item_usage_amount": Decimal(0),
        "line_item_unblended_rate": "",
        "line_item_unblended_cost": cost,
        "line_item_blended_cost": cost,
    }


def _month_end(delivery: _Delivery, uses: Sequence[Use]) -> Iterable[dict[str, object]]:
    """Tax on what AWS itself bills in a closed month, one promotional credit and one refund."""
    native = [use for use in uses if use.stream.form != "marketplace"]
    first = at_hour(delivery.month.first)
    if delivery.index < CURRENT and native:
        whole = delivery.month.following.first - delivery.month.first
        tax = (sum((use.cost for use in native), Decimal(0)) * _TAX_RATE).quantize(
            Decimal("0.01"), ROUND_HALF_EVEN
        )
        row = _line(delivery, "Tax", first, whole) | _amount(tax)
        row |= {"line_item_product_code": "AmazonBedrock", "line_item_tax_type": "US Sales Tax"}
        row |= {"line_item_line_item_description": "Tax for product code AmazonBedrock"}
        row |= {"product": {"product_name": "Amazon Bedrock"}, "line_item_usage_amount": Decimal(1)}
        if delivery.oracle is not None:
            slot = ("aws", ACCOUNT, str(delivery.month))
            cell = Cell(*slot, delivery.month.first, "Amazon Bedrock", UNKNOWN, "other", category="Tax")
            delivery.oracle.charge(cell, tax)
        yield row
    if delivery.index == _CREDIT_MONTH and native:
        use = replace(native[-1], customer=UNTAGGED, project=UNTAGGED, feature=UNTAGGED)
        yield _single(delivery, use, ("Credit", "AWS Activate promotional credit"), _CREDIT)
    if delivery.index == _REFUND_MONTH:
        sold = [use for use in uses if use.stream.form == "marketplace" and use.customer != UNTAGGED]
        for use in sold[-1:]:
            yield _single(delivery, use, ("Refund", "Refund for failed batch job"), _REFUND)


def _single(delivery: _Delivery, use: Use, what: tuple[str, str], cost: Decimal) -> dict[str, object]:
    begin = at_hour(use.day)
    row = _line(delivery, what[0], begin, timedelta(days=1)) | _product(use) | _tags(use) | _amount(cost)
    row |= {"line_item_line_item_description": what[1], "pricing_unit": use.sku.unit}
    if delivery.oracle is not None:
        category = "Credit" if what[0] == "Credit" else "Adjustment"
        delivery.oracle.charge(_cell(delivery, use, category), cost)
    return row


def _others(delivery: _Delivery, days: Sequence[date]) -> Iterable[dict[str, object]]:
    """EC2, S3 and Lambda: what a reader of AI spend skips."""
    for day in days:
        for entry in read_data("cast.yaml")["other_services"]["aws"]:
            jitter = int(stable_id(entry["text"], day)[:4], 16) % 20
            amount, price = Decimal(entry["amount"]) * (90 + jitter) / 100, Decimal(entry["price"])
            row = _line(delivery, "Usage", at_hour(day), timedelta(days=1))
            row |= {
                "line_item_product_code": entry["product"],
                "line_item_usage_type": entry["text"],
                "line_item_operation": entry["operation"],
                "line_item_line_item_description": f"${plain(price)} per {entry['unit']}",
                "line_item_usage_amount": amount,
                "line_item_unblended_rate": plain(price),
                "line_item_unblended_cost": amount * price,
                "line_item_blended_cost": amount * price,
                "line_item_usage_account_id": _LABS_ACCOUNT,
                "product": {"product_name": entry["service"], "region": "us-east-1"},
                "product_product_family": entry["family"],
                "product_servicecode": entry["product"],
                "product_region_code": "us-east-1",
                "pricing_unit": entry["unit"],
                "pricing_term": "OnDemand",
            }
            if delivery.oracle is not None:
                delivery.oracle.skip(("aws", ACCOUNT, str(delivery.month)), amount * price)
            yield row


@lru_cache(maxsize=4096)
def _instant(when: date) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _write_export(folder: Path, delivery: _Delivery, rows: Sequence[Row]) -> None:
    """The layout of Data Exports that keep every execution: data and metadata by period and execution."""
    name, execution = (
        "northlight-cur2",
        f"{delivery.at:%Y%m%dT%H%M%SZ}-{stable_id(delivery.month, delivery.at)[:8]}",
    )
    partition = Path(f"BILLING_PERIOD={delivery.month}") / execution
    data = Path(name) / "data" / partition / f"{name}-00001.snappy.parquet"
    parquet(folder / data, read_data("columns.yaml")["aws_cur2"], rows)
    manifest = {
        "executionId": execution,
        "exportArn": f"arn:aws:bcm-data-exports:us-east-1:{ACCOUNT}:export/{name}-5d1c",
        "tableName": "COST_AND_USAGE_REPORT",
        "billingPeriod": str(delivery.month),
        "dataFiles": [f"s3://northlight-bills/aws/{data.as_posix()}"],
    }
    write_json(folder / name / "metadata" / partition / f"{name}-Manifest.json", manifest)


def _write_legacy(folder: Path, delivery: _Delivery, rows: Sequence[Row]) -> None:
    """The layout of the legacy report: a folder a billing period, the manifest there and by the files."""
    header: Sequence[str] = read_data("columns.yaml")["aws_cur"]
    fields = {name: _legacy_field(name) for name in header}
    period = f"{delivery.month.first:%Y%m%d}-{delivery.month.following.first:%Y%m%d}"
    assembly = stable_id("assembly", delivery.month)[:32]
    half = (len(rows) + 1) // 2
    keys: list[str] = []
    for number, part in enumerate((rows[:half], rows[half:]), start=1):
        relative = Path(period) / assembly / f"northlight-cur-{number:05d}.csv.gz"
        csv_text(
            folder / relative,
            header,
            ({name: _legacy_cell(row, fields[name]) for name in header} for row in part),
        )
        keys.append(f"aws/northlight-cur/{relative.as_posix()}")
    manifest = {
        "assemblyId": assembly,
        "account": ACCOUNT,
        "columns": [
            {"category": category, "name": column, "type": "OptionalString"}
            for category, _, column in (name.partition("/") for name in header)
        ],
        "charset": "UTF-8",
        "compression": "GZIP",
        "contentType": "text/csv",
        "reportName": "northlight-cur",
        "billingPeriod": {
            "start": f"{delivery.month.first:%Y%m%d}T000000.000Z",
            "end": f"{delivery.month.following.first:%Y%m%d}T000000.000Z",
        },
        "bucket": "northlight-bills",
        "reportKeys": keys,
        "additionalArtifactKeys": [],
    }
    write_json(folder / period / "northlight-cur-Manifest.json", manifest)
    write_json(folder / period / assembly / "northlight-cur-Manifest.json", manifest)


def _legacy_field(name: str) -> tuple[str, str]:
    """Where a legacy column is found in a CUR 2.0 row: a column, or a column and a key of its map."""
    category, _, column = name.partition("/")
    if category == "resourceTags":
        return "resource_tags", column.replace(":", "_")
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", f"{category}_{column}").lower()
    if snake in ("product_product_name", "product_servicename", "product_region"):
        return "product", snake.removeprefix("product_")
    return snake, ""


def _legacy_cell(row: Row, place: tuple[str, str]) -> object:
    value = row.get(place[0])
    if isinstance(value, dict):
        return value.get(place[1], "")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return value
