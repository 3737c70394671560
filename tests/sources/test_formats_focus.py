"""FOCUS files of every version and flavour: provider, dates, model facts and money."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

Line = dict[str, str]
Csv = Callable[..., str]
FOCUS = Path(__file__).parents[2] / "samples" / "focus"

GPT = {
    "BilledCost": "1.25",
    "EffectiveCost": "1.00",
    "ListCost": "1.50",
    "ContractedCost": "1.25",
    "BillingAccountId": "acct-1",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-10-01T00:00:00Z",
    "BillingPeriodEnd": "2026-11-01T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargePeriodStart": "2026-10-05T00:00:00Z",
    "ChargePeriodEnd": "2026-10-06T00:00:00Z",
    "ChargeDescription": "gpt-4o-mini input tokens",
    "ServiceName": "OpenAI API",
    "ServiceCategory": "AI and Machine Learning",
    "ProviderName": "OpenAI",
    "PricingQuantity": "2",
    "PricingUnit": "1M tokens",
    "ConsumedQuantity": "",
    "ConsumedUnit": "",
    "SkuId": "gpt-4o-mini-input",
    "Tags": '{"customer_id": "acme"}',
}


def one(stager: Any, as_csv: Csv, tmp_path: Path, line: Line) -> dict[str, Any]:
    path = tmp_path / "focus.csv"
    path.write_text(as_csv([line]))
    (row,) = stager.charges(stager(path))
    return row


def test_a_focus_line_keeps_its_columns(stager: Any, as_csv: Csv, tmp_path: Path) -> None:
    row = one(stager, as_csv, tmp_path, GPT)

    assert (row["x_provider"], row["x_account"], row["x_period"]) == ("openai", "acct-1", "2026-10")
    assert (row["billed_cost"], row["effective_cost"]) == (Decimal("1.25"), Decimal("1.00"))
    assert (row["list_cost"], row["contracted_cost"]) == (Decimal("1.50"), Decimal("1.25"))
    assert (row["x_model"], row["x_token_class"]) == ("gpt-4o-mini", "input")
    assert (row["x_tokens"], row["consumed_unit"]) == (2_000_000, "Tokens")
    assert (row["x_customer"], row["x_source"]) == ("acme", "focus")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("AWS", "aws"), ("Amazon Web Services", "aws"), ("Google Cloud", "gcp"), ("Microsoft", "azure"),
        ("Azure", "azure"), ("OpenAI", "openai"), ("Anthropic", "anthropic"), ("Solora AI", "solora-ai"),
    ],
)  # fmt: skip
def test_the_provider_is_one_of_our_codes(
    stager: Any, as_csv: Csv, tmp_path: Path, name: str, code: str
) -> None:
    assert one(stager, as_csv, tmp_path, GPT | {"ProviderName": name})["x_provider"] == code


def test_names_of_later_versions_are_read(stager: Any, as_csv: Csv, tmp_path: Path) -> None:
    line = {("ServiceProviderName" if name == "ProviderName" else name): text for name, text in GPT.items()}
    row = one(stager, as_csv, tmp_path, line | {"AllocatedMethodId": "x", "HostProviderName": "AWS"})
    assert (row["provider_name"], row["publisher_name"], row["x_provider"]) == ("OpenAI", "OpenAI", "openai")


@pytest.mark.parametrize(
    ("start", "end", "charged"),
    [
        ("10/1/26", "11/1/26", "10/5/26"),
        ("1/10/26", "1/11/26", "5/10/26"),
        ("10/01/2026", "11/01/2026", "10/05/2026"),
        ("2026-10-01 00:00:00", "2026-11-01 00:00:00", "2026-10-05 00:00:00"),
        ("2026-10-01", "2026-11-01", "2026-10-05"),
        ("20261001", "20261101", "20261005"),
    ],
)
def test_dates_are_read_as_they_are_meant(
    stager: Any, as_csv: Csv, tmp_path: Path, start: str, end: str, charged: str
) -> None:
    line = GPT | {"BillingPeriodStart": start, "BillingPeriodEnd": end, "ChargePeriodStart": charged}
    row = one(stager, as_csv, tmp_path, line)
    assert (row["billing_period_start"], row["billing_period_end"]) == (date(2026, 10, 1), date(2026, 11, 1))
    assert row["usage_date"] == date(2026, 10, 5)


class TestModelFacts:
    def test_the_bill_names_model_direction_and_cache_itself(self, stager: Any) -> None:
        rows = stager.charges(stager(FOCUS / "ai_prompt_caching_a.csv"))
        found = {row["sku_meter"]: (row["x_token_class"], row["x_tokens"]) for row in rows}
        with (FOCUS / "ai_prompt_caching_a.csv").open() as stream:
            tokens = {line["SkuMeter"]: Decimal(line["ConsumedQuantity"]) for line in csv.DictReader(stream)}
        assert {name: count for name, (_, count) in found.items()} == tokens
        assert {kind for kind, _ in found.values()} == {"input", "output", "cache_read", "cache_write"}
        assert {row["x_model"] for row in rows} == {"solora-reasoning-pro"}

    def test_price_details_keep_what_the_bill_said(self, stager: Any) -> None:
        rows = stager.charges(stager(FOCUS / "csp_served_third_party_model.csv"))
        details = [json.loads(row["sku_price_details"]) for row in rows]
        assert {item["ModelDeveloper"] for item in details} == {"Solora AI"}
        assert {item["ModelVersion"] for item in details} == {"5.0"}

    def test_a_principal_of_the_draft_is_kept(self, stager: Any) -> None:
        rows = stager.charges(stager(FOCUS / "csp_served_third_party_model.csv"))
        assert {row["x_principal"] for row in rows} == {"ap@acmecorp.example"}


@pytest.mark.parametrize(
    "path", sorted(FOCUS.glob("virtual_currency_*.csv")), ids=lambda path: path.stem[-2:]
)
def test_a_currency_called_token_is_money(stager: Any, path: Path) -> None:
    staged = stager(path, all_services=True)
    with path.open(encoding="utf-8-sig") as stream:
        lines = list(csv.DictReader(stream))
    rows = stager.charges(staged)
    assert len(rows) == len(lines)
    assert [row["x_tokens"] for row in rows] == [None] * len(lines)
    assert not any(row["x_is_ai"] for row in rows)
    assert sum(slot.load.file_total for slot in staged.slots) == sum(
        Decimal(line["BilledCost"]) for line in lines
    )
    assert {row["billing_currency"] for row in rows} == {"USD"}


def test_null_texts_and_times_without_zone_are_read(stager: Any) -> None:
    path = FOCUS / "focus_1_0_sample.csv"
    staged = stager(path, all_services=True)
    with path.open() as stream:
        lines = list(csv.DictReader(stream))

    loads = {
        slot.load.slot.provider: slot.load for slot in staged.slots if slot.load.slot.period == "2024-09"
    }
    rows = stager.charges(staged)

    assert set(loads) == {"aws", "azure", "oracle"}
    assert sum(slot.load.rows_stored for slot in staged.slots) == len(lines)
    assert sum(row["billed_cost"] for row in rows) == sum(Decimal(line["BilledCost"]) for line in lines)
    assert [row for row in rows if "NULL" in row.values()] == []
    ai = {row["service_name"] for row in rows if row["x_is_ai"]}
    assert ai >= {
        line["ServiceName"] for line in lines if line["ServiceCategory"] == "AI and Machine Learning"
    }


class TestAwsFlavours:
    LINE = GPT | {
        "ProviderName": "AWS",
        "ServiceName": "Amazon Bedrock",
        "x_ServiceCode": "AmazonBedrock",
        "x_Operation": "InvokeModelInference",
        "PricingUnit": "1K tokens",
        "ChargeDescription": "$0.00006 per 1K tokens",
    }

    @pytest.mark.parametrize("column", ["x_UsageType", "SkuMeter"])
    def test_the_usage_type_is_found_in_both_versions(
        self, stager: Any, as_csv: Csv, tmp_path: Path, column: str
    ) -> None:
        row = one(stager, as_csv, tmp_path, self.LINE | {column: "USE1-NovaLite-output-tokens"})
        assert (row["x_source"], row["x_model"], row["x_token_class"]) == ("aws-focus", "nova-lite", "output")
        assert (row["x_tokens"], row["x_operation"]) == (2000, "InvokeModelInference")

    def test_a_parquet_with_map_columns_is_read(self, stager: Any, tmp_path: Path) -> None:
        path = tmp_path / "focus.parquet"
        line = self.LINE | {"x_UsageType": "USE1-NovaLite-output-tokens"}
        columns = ", ".join(f'{text!r} AS "{name}"' for name, text in line.items() if name != "Tags")
        duckdb.sql(
            f"COPY (SELECT {columns}, MAP {{'user_customer_id': 'globex', 'empty': ''}} AS \"Tags\") "
            f"TO '{path}' (FORMAT parquet)"
        )
        (row,) = stager.charges(stager(path))
        assert row["x_customer"] == "globex"
        assert json.loads(row["tags"]) == {"user_customer_id": "globex"}


@pytest.mark.parametrize("number", ["123456.0000001234", "1e-12", "0.1", '"1.000000000000000001"'])
def test_json_lines_keep_the_digits_of_their_numbers(stager: Any, tmp_path: Path, number: str) -> None:
    path = tmp_path / "focus.jsonl"
    text = json.dumps(GPT).replace('"1.25"', number, 1)
    path.write_text(text + "\n")
    (row,) = stager.charges(stager(path))
    assert row["billed_cost"] == Decimal(number.strip('"'))


def test_dollar_columns_of_the_bill_come_before_an_operators_rate(
    stager: Any, as_csv: Csv, tmp_path: Path
) -> None:
    path = tmp_path / "focus.csv"
    path.write_text(as_csv([GPT | {"BillingCurrency": "EUR", "x_BilledCostInUsd": "1.40"}]))
    (row,) = stager.charges(stager(path, rates={"EUR": Decimal(2)}))
    assert (row["x_billed_usd"], row["x_effective_usd"]) == (Decimal("1.40"), Decimal("2.00"))
