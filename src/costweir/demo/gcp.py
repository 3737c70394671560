"""Writes the Google Cloud bill: the standard BigQuery export as JSON lines, then the detailed as Parquet.

Credits and labels are arrays on the row. The invoice month of a correction is not the month it corrects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from costweir.demo.catalogue import CURRENT, Sku, Stream, read_data
from costweir.demo.files import Row, json_lines_gz, parquet, stable_id
from costweir.demo.oracle import Cell, Oracle
from costweir.demo.story import Stage, Use
from costweir.domain.charge import UNTAGGED
from costweir.domain.period import Month

ACCOUNT = "0158BD-5A2C71-9E0F44"
_SERVICES = {"Vertex AI": "C7E2-9256-1C43", "Gemini API": "AEFD-7695-64FA"}
#: The first month in the detailed export.
_DETAILED_FROM = 7
#: A promotion in the first months and once more later; a committed-use discount that overlaps with it.
_PROMOTION_MONTHS, _PROMOTION = (0, 1, 2, 9), Decimal("-0.20")
_COMMITMENT_FROM, _COMMITMENT = 9, Decimal("-0.05")
_CORRECTION_MONTH, _CORRECTION = 7, Decimal("-6.50")
_TAX = Decimal("4.15")


def write_gcp(out: Path, stage: Stage, uses: Mapping[int, Sequence[Use]], oracle: Oracle) -> Path:
    """Writes all months below `out/gcp` and returns that folder."""
    folder = out / "gcp"
    suffix = ACCOUNT.replace("-", "_")
    for index, month in enumerate(stage.months):
        days = stage.days("gcp", index)
        if not days:
            continue
        rows = [_usage(use, oracle) for use in sorted(uses.get(index, ()), key=_order)]
        rows += _others(month, days, oracle)
        if index == _CORRECTION_MONTH:
            rows += _corrections(month, sorted(uses.get(index - 1, ()), key=_order), oracle)
        if index < CURRENT:
            rows.append(_tax(month, oracle))
        if index < _DETAILED_FROM:
            table = f"gcp_billing_export_v1_{suffix}"
            json_lines_gz(folder / table / f"{month}-000000000000.jsonl.gz", [_standard(row) for row in rows])
        else:
            table = f"gcp_billing_export_resource_v1_{suffix}"
            columns = read_data("columns.yaml")["gcp_detailed"]
            parquet(folder / table / f"{month}-000000000000.parquet", columns, rows)
    return folder


def _order(use: Use) -> tuple[date, int, str, str, str, int]:
    return use.day, use.hour or 0, use.owner, use.sku.text, use.feature, use.part


def _row(month: Month, begin: datetime) -> dict[str, object]:
    return {
        "billing_account_id": ACCOUNT,
        "usage_start_time": _instant(begin),
        "usage_end_time": _instant(begin + timedelta(hours=1)),
        "export_time": _instant(begin + timedelta(hours=26, minutes=17)),
        "labels": [],
        "system_labels": [],
        "tags": [],
        "credits": [],
        "currency": "USD",
        "currency_conversion_rate": Decimal(1),
        "invoice": {"month": f"{month.year:04d}{month.number:02d}", "publisher_type": "GOOGLE"},
        "cost_type": "regular",
        "transaction_type": "GOOGLE",
        "seller_name": "Google",
        "adjustment_info": None,
        "subscription": None,
        "price": None,
    }


def _usage(use: Use, oracle: Oracle) -> dict[str, object]:
    begin = datetime(use.day.year, use.day.month, use.day.day, use.hour or 0, tzinfo=UTC)
    amount = Decimal(use.amount)
    given = _credits(use)
    row = _row(Month.of(use.day), begin) | _product(use)
    row |= {
        "cost": use.cost,
        "cost_at_list": use.cost,
        "usage": {
            "amount": amount,
            "unit": use.sku.unit,
            "amount_in_pricing_units": amount,
            "pricing_unit": use.sku.unit,
        },
        "price": {
            "effective_price": use.price,
            "tier_start_amount": Decimal(0),
            "unit": use.sku.unit,
            "pricing_unit_quantity": Decimal(1),
        },
        "credits": given,
    }
    oracle.use(use, ACCOUNT, use.cost + sum((_credit_amount(credit) for credit in given), Decimal(0)))
    return row


def _product(use: Use) -> dict[str, object]:
    return _product_of(use.stream, use.sku, (use.customer, use.feature, use.project), use.part)


@lru_cache(maxsize=20_000)
def _product_of(stream: Stream, sku: Sku, who: tuple[str, str, str], part: int) -> dict[str, object]:
    labels = dict(zip(("customer_id", "feature", "project_id"), who, strict=True))
    by_key = stream.service == "Gemini API"
    project = "northlight-labs" if by_key else "northlight-prod"
    number = "790215538843" if by_key else "641098820117"
    name = stable_id("endpoint", stream.id, part)[:10]
    return {
        "service": {"id": _SERVICES[stream.service], "description": stream.service},
        "sku": {"id": sku.sku_id, "description": sku.text},
        "project": _project(project, number),
        "labels": [{"key": key, "value": value} for key, value in labels.items() if value != UNTAGGED],
        "system_labels": [{"key": "goog-generativelanguage-model", "value": stream.model}] if by_key else [],
        "location": _location(stream.region),
        "resource": {
            "name": f"publishers/models/{name}",
            "global_name": f"//aiplatform.googleapis.com/projects/{number}/locations/{stream.region}/{name}",
        },
    }


def _project(project: str, number: str) -> dict[str, object]:
    return {
        "id": project,
        "number": number,
        "name": project,
        "labels": [{"key": "env", "value": "labs" if project.endswith("labs") else "prod"}],
        "ancestry_numbers": f"/118842770431/{number}/",
        "ancestors": [{"resource_name": f"projects/{number}", "display_name": project}],
    }


def _location(region: str) -> dict[str, object]:
    if region == "global":
        return {"location": "global", "country": "", "region": "", "zone": ""}
    return {"location": region, "country": "US", "region": region, "zone": ""}


def _credits(use: Use) -> list[dict[str, object]]:
    if use.stream.service != "Vertex AI" or "Gemini" not in use.sku.text:
        return []
    found: list[dict[str, object]] = []
    if use.month in _PROMOTION_MONTHS:
        found.append(_credit("Google for Startups credit", "PROMOTION", use.cost * _PROMOTION))
    if use.month >= _COMMITMENT_FROM:
        kind = "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE"
        found.append(_credit("Committed use discount: Vertex AI", kind, use.cost * _COMMITMENT))
    return found


def _credit(name: str, kind: str, amount: Decimal) -> dict[str, object]:
    return {"name": name, "amount": amount, "full_name": name, "id": stable_id(name)[:12], "type": kind}


def _credit_amount(credit: Mapping[str, object]) -> Decimal:
    amount = credit["amount"]
    if not isinstance(amount, Decimal):
        raise TypeError("a credit's amount is a Decimal")
    return amount


def _corrections(month: Month, before: Sequence[Use], oracle: Oracle) -> Iterable[dict[str, object]]:
    """An adjustment of last month's usage on this month's invoice."""
    gemini = [use for use in before if use.sku.text.startswith("Gemini") and use.customer != UNTAGGED]
    return [_correction(month, use, oracle) for use in gemini[-1:]]


def _correction(month: Month, use: Use, oracle: Oracle) -> dict[str, object]:
    day = use.day
    row = _row(month, datetime(day.year, day.month, day.day, 12, tzinfo=UTC)) | _product(use)
    none = {
        "amount": Decimal(0),
        "unit": use.sku.unit,
        "amount_in_pricing_units": Decimal(0),
        "pricing_unit": use.sku.unit,
    }
    row |= {"cost": _CORRECTION, "cost_at_list": _CORRECTION, "cost_type": "adjustment", "usage": none}
    row["adjustment_info"] = {
        "id": stable_id("correction")[:12],
        "description": "Correction of usage billed twice",
        "mode": "PARTIAL_CORRECTION",
        "type": "USAGE_CORRECTION",
    }
    cell = Cell(
        provider="gcp", account=ACCOUNT, period=str(month), day=day, service=use.stream.service,
        model=use.stream.model, token_class=use.sku.token_class, customer=use.customer, project=use.project,
        feature=use.feature, category="Adjustment",
    )  # fmt: skip
    oracle.charge(cell, _CORRECTION)
    return row


def _tax(month: Month, oracle: Oracle) -> dict[str, object]:
    """The invoice's tax line; Google books it under the service "Invoice", so it is no AI line."""
    last = month.following.first - timedelta(days=1)
    row = _row(month, datetime(last.year, last.month, last.day, 23, tzinfo=UTC))
    row |= {
        "service": {"id": "", "description": "Invoice"},
        "sku": {"id": "", "description": "Tax"},
        "project": None,
        "location": None,
        "resource": None,
        "cost": _TAX,
        "cost_at_list": None,
        "cost_type": "tax",
        "usage": {
            "amount": Decimal(0),
            "unit": "",
            "amount_in_pricing_units": Decimal(0),
            "pricing_unit": "",
        },
    }
    oracle.skip(("gcp", ACCOUNT, str(month)), _TAX)
    return row


def _others(month: Month, days: Sequence[date], oracle: Oracle) -> Iterable[dict[str, object]]:
    """Compute, storage and BigQuery: what a reader of AI spend skips."""
    for day in days:
        for entry in read_data("cast.yaml")["other_services"]["gcp"]:
            jitter = int(stable_id(entry["text"], day)[:4], 16) % 20
            amount, price = Decimal(entry["amount"]) * (90 + jitter) / 100, Decimal(entry["price"])
            row = _row(month, datetime(day.year, day.month, day.day, 9, tzinfo=UTC))
            row |= {
                "service": {"id": entry["product"], "description": entry["service"]},
                "sku": {"id": entry["sku"], "description": entry["text"]},
                "project": _project("northlight-prod", "641098820117"),
                "location": _location("us-central1"),
                "resource": {"name": "", "global_name": ""},
                "cost": amount * price,
                "cost_at_list": amount * price,
                "usage": {
                    "amount": amount,
                    "unit": entry["unit"],
                    "amount_in_pricing_units": amount,
                    "pricing_unit": entry["unit"],
                },
            }
            oracle.skip(("gcp", ACCOUNT, str(month)), amount * price)
            yield row


_DETAILED_ONLY = ("resource", "price", "subscription", "cost_at_list", "transaction_type", "seller_name")


def _standard(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in _DETAILED_ONLY}


@lru_cache(maxsize=4096)
def _instant(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}+00"
