"""Every spelling of an AWS Cost and Usage Report gives the same charges, and its costs follow the line type."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from costweir.sources.formats import aws

Line = dict[str, str]
Csv = Callable[..., str]
ROOT = Path(__file__).parents[2]

#: What may differ between two spellings of one bill.
ORIGIN = {"x_source", "x_run_id", "x_file", "tags"}


def athena(line: Line) -> Line:
    """The column names that Athena and the Parquet form of the legacy report use."""

    def snake(name: str) -> str:
        flat = name.replace("resourceTags/user:", "resourceTags/user_").replace("/", "_")
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z])", "_", flat).lower().replace("__", "_")

    return {snake(name): value for name, value in line.items()}


def cur2(line: Line) -> Line:
    """The columns of CUR 2.0 as its CSV has them: nested ones as JSON text."""
    flat = athena(line)
    kept = {
        name: value for name, value in flat.items() if not name.startswith(("product_", "resource_tags_"))
    }
    tags = {
        name.removeprefix("resource_tags_"): value
        for name, value in flat.items()
        if name.startswith("resource_tags_") and value
    }
    return kept | {
        "product": json.dumps({"product_name": flat["product_product_name"]}),
        "product_region_code": flat["product_region"],
        "resource_tags": json.dumps(tags),
        "cost_category": "{}",
        "line_item_iam_principal": "arn:aws:iam::1:role/app",
    }


def parquet(path: Path, lines: list[Line]) -> Path:
    """CUR 2.0 as Parquet: MAP, TIMESTAMP and DOUBLE columns."""
    kinds = {
        "product": "MAP(VARCHAR, VARCHAR)", "resource_tags": "MAP(VARCHAR, VARCHAR)",
        "cost_category": "MAP(VARCHAR, VARCHAR)", "line_item_unblended_cost": "DOUBLE",
        "line_item_usage_amount": "DOUBLE", "pricing_public_on_demand_cost": "DOUBLE",
        "line_item_usage_start_date": "TIMESTAMP", "line_item_usage_end_date": "TIMESTAMP",
        "bill_billing_period_start_date": "TIMESTAMP", "bill_billing_period_end_date": "TIMESTAMP",
    }  # fmt: skip
    text = path.with_suffix(".jsonl")
    text.write_text("\n".join(json.dumps(cur2(line)) for line in lines))
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in cur2(lines[0]))
    chosen = ", ".join(
        f"from_json({name}, '\"MAP(VARCHAR, VARCHAR)\"') AS {name}"
        if kind.startswith("MAP")
        else f"{name}::TIMESTAMPTZ::TIMESTAMP AS {name}"
        if kind == "TIMESTAMP"
        else f"nullif({name}, '')::{kind} AS {name}"
        for name in cur2(lines[0])
        for kind in [kinds.get(name, "VARCHAR")]
    )
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"COPY (SELECT {chosen} FROM read_json('{text}', columns = {{{columns}}})) TO '{path}' (FORMAT parquet)"
    )
    connection.close()
    text.unlink()
    return path


def comparable(rows: list[dict[str, Any]], *, but: set[str] = frozenset()) -> list[dict[str, Any]]:  # type: ignore[assignment]
    return sorted(
        ({name: value for name, value in row.items() if name not in ORIGIN | but} for row in rows),
        key=lambda row: str(row["x_usage_type"]),
    )


def test_every_spelling_gives_the_same_charges(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, claude: Line, server: Line
) -> None:
    lines = [nova, claude, server]
    (tmp_path / "legacy.csv").write_text(as_csv(lines))
    (tmp_path / "athena.csv").write_text(as_csv([athena(line) for line in lines]))
    (tmp_path / "cur2.csv").write_text(as_csv([cur2(line) for line in lines]))
    parquet(tmp_path / "cur2.parquet", lines)

    staged = {path.name: stager(path) for path in sorted(tmp_path.glob("*.[cp]*"))}

    assert {name: item.slots[0].load.source for name, item in staged.items()} == {
        "legacy.csv": "aws-cur",
        "athena.csv": "aws-cur",
        "cur2.csv": "aws-cur2",
        "cur2.parquet": "aws-cur2",
    }
    wanted = comparable(stager.charges(staged["legacy.csv"]), but={"x_principal"})
    assert [row["x_model"] for row in wanted] == ["claude-sonnet-4-5", "nova-lite"]
    for name, item in staged.items():
        assert comparable(stager.charges(item), but={"x_principal"}) == wanted, name
        load = item.slots[0].load
        assert (load.rows_in, load.rows_stored, load.file_total) == (3, 2, Decimal("10.34")), name


def test_a_marketplace_line_is_read_by_its_product_name(
    stager: Any, as_csv: Csv, tmp_path: Path, claude: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([claude]))

    (row,) = stager.charges(stager(path))

    assert row["service_name"] == "Claude Sonnet 4.5 (Amazon Bedrock Edition)"
    assert row["publisher_name"] == "Anthropic, PBC"
    assert (row["x_model"], row["x_token_class"], row["x_cache_ttl"]) == (
        "claude-sonnet-4-5",
        "cache_write",
        "1h",
    )
    assert row["x_tokens"] == 500_000
    assert row["list_cost"] == Decimal(3)
    assert json.loads(row["sku_price_details"]) == {
        "ModelDeveloper": "anthropic",
        "ModelId": "claude-sonnet-4-5",
        "TokenCacheAction": "Write",
        "TokenDirection": "Input",
    }


def test_without_a_usage_type_the_description_is_read(
    stager: Any, as_csv: Csv, tmp_path: Path, claude: Line
) -> None:
    text = "AWS Marketplace software usage|us-east-1|Million Response Tokens Regional CRIS"
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([claude | {"lineItem/UsageType": "", "lineItem/LineItemDescription": text}]))
    (row,) = stager.charges(stager(path))
    assert (row["x_model"], row["x_token_class"], row["x_tokens"]) == ("claude-sonnet-4-5", "output", 500_000)


COMMITMENT = {
    "lineItem/NetUnblendedCost": "",
    "savingsPlan/SavingsPlanEffectiveCost": "",
    "savingsPlan/TotalCommitmentToDate": "",
    "savingsPlan/UsedCommitment": "",
    "savingsPlan/SavingsPlanARN": "",
    "reservation/EffectiveCost": "",
    "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "",
    "reservation/UnusedRecurringFee": "",
    "reservation/ReservationARN": "",
}


@pytest.mark.parametrize(
    ("kind", "change", "category", "billed", "effective"),
    [
        ("Usage", {}, "Usage", "10", "10"),
        ("Usage", {"lineItem/NetUnblendedCost": "9"}, "Usage", "9", "9"),
        ("SavingsPlanCoveredUsage", {"savingsPlan/SavingsPlanEffectiveCost": "6"}, "Usage", "10", "6"),
        ("DiscountedUsage", {"reservation/EffectiveCost": "4"}, "Usage", "10", "4"),
        ("SavingsPlanNegation", {"lineItem/UnblendedCost": "-10"}, "Adjustment", "-10", "0"),
        (
            "SavingsPlanRecurringFee",
            {"savingsPlan/TotalCommitmentToDate": "8", "savingsPlan/UsedCommitment": "6"},
            "Purchase", "10", "2",
        ),
        ("SavingsPlanUpfrontFee", {}, "Purchase", "10", "0"),
        (
            "RIFee",
            {"reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "1", "reservation/UnusedRecurringFee": "2"},
            "Purchase", "10", "3",
        ),
        ("Fee", {"reservation/ReservationARN": "arn:aws:x"}, "Purchase", "10", "0"),
        ("Fee", {}, "Purchase", "10", "10"),
        ("Tax", {}, "Tax", "10", "10"),
        ("Credit", {"lineItem/UnblendedCost": "-10"}, "Credit", "-10", "-10"),
        ("Refund", {"lineItem/UnblendedCost": "-10"}, "Adjustment", "-10", "-10"),
        ("EdpDiscount", {"lineItem/UnblendedCost": "-10"}, "Adjustment", "-10", "-10"),
    ],
)  # fmt: skip
def test_costs_follow_the_line_type(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, kind: str, change: Line, category: str, billed: str,
    effective: str,
) -> None:  # fmt: skip
    path = tmp_path / "bill.csv"
    line = nova | COMMITMENT | {"lineItem/LineItemType": kind, "lineItem/UnblendedCost": "10"} | change
    path.write_text(as_csv([line]))

    (row,) = stager.charges(stager(path))

    assert (row["charge_category"], row["x_line_type"]) == (category, kind)
    assert (row["billed_cost"], row["effective_cost"]) == (Decimal(billed), Decimal(effective))
    assert (row["x_tokens"] is not None) == (category == "Usage")
    assert row["charge_class"] == ("Correction" if kind == "Refund" else None)
    assert row["x_credit_cost"] == (Decimal(-10) if kind == "Credit" else None)


def test_a_savings_plan_is_spread_over_what_used_it(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    base = nova | COMMITMENT
    lines = [
        base | {"lineItem/LineItemType": "SavingsPlanCoveredUsage", "lineItem/UnblendedCost": "10"}
        | {"savingsPlan/SavingsPlanEffectiveCost": "6"},
        base | {"lineItem/LineItemType": "SavingsPlanNegation", "lineItem/UnblendedCost": "-10"},
        base | {"lineItem/LineItemType": "SavingsPlanRecurringFee", "lineItem/UnblendedCost": "8"}
        | {"savingsPlan/TotalCommitmentToDate": "8", "savingsPlan/UsedCommitment": "6"},
    ]  # fmt: skip
    path = tmp_path / "bill.csv"
    path.write_text(as_csv(lines))
    rows = stager.charges(stager(path))
    assert sum(row["billed_cost"] for row in rows) == 8
    assert sum(row["effective_cost"] for row in rows) == 8


def test_tags_and_cost_categories_are_one_object_and_multiply_no_row(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova | {"costCategory/Team": "core", "resourceTags/aws:createdBy": 'a "b"'}]))

    (row,) = stager.charges(stager(path))

    assert json.loads(row["tags"]) == {
        "user:customer_id": "acme",
        "costCategory/Team": "core",
        "aws:createdBy": 'a "b"',
    }
    assert (row["x_customer"], row["x_customer_rule"], row["x_project"]) == ("acme", "tag", "untagged")


def test_the_iam_principal_attributes_a_line_without_tags(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    line = cur2(nova) | {"resource_tags": "{}"}
    line["line_item_iam_principal"] = "arn:aws:sts::1:assumed-role/customer-big-bank"
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([line]))
    (row,) = stager.charges(stager(path))
    assert (row["x_customer"], row["x_customer_rule"]) == ("big-bank", "principal")


@pytest.mark.parametrize("name", ["not json", "", '{"customer_id":"a","customer_id":"b"}', "[1]", "null"])
def test_odd_tag_texts_lose_no_row(stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, name: str) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([cur2(nova) | {"resource_tags": name}]))
    assert stager(path).slots[0].load.rows_stored == 1


@pytest.mark.parametrize(
    ("name", "rows", "total", "currency", "period"),
    [
        ("cur_legacy_2023-06-01.csv", 3, "30", "NOK", "2023-06"),
        ("cur_legacy_test_cur.csv", 19, "0.082749984127434938", "USD", "2018-06"),
        ("cur_legacy_anonymous.csv", 100, None, "USD", "2023-11"),
    ],
)
def test_real_reports_tie_to_their_own_total(
    stager: Any, name: str, rows: int, total: str | None, currency: str, period: str
) -> None:
    path = ROOT / "samples" / "aws" / name

    staged = stager(path, all_services=True)

    (slot,) = staged.slots
    load = slot.load
    with path.open(newline="") as stream:
        plain = sum(Decimal(line["lineItem/UnblendedCost"]) for line in csv.DictReader(stream))
    assert (load.rows_in, load.rows_stored, load.rows_quarantined) == (rows, rows, 0)
    assert load.billed_total == load.file_total
    # Some of these amounts have more than 18 places, and the last one is rounded row by row.
    assert abs(load.file_total - plain) <= rows * Decimal("1e-18")
    assert total is None or load.file_total == Decimal(total)
    assert (load.currency, load.slot.period) == (currency, period)


def test_a_report_is_old_or_new_and_never_both(nova: Line) -> None:
    for line, old in ((nova, True), (athena(nova), True), (cur2(nova), False)):
        header = dict.fromkeys(line, "VARCHAR")
        assert (aws.is_legacy(header), aws.is_cur2(header)) == (old, not old)
