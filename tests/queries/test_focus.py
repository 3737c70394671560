"""The FOCUS export: complete, conforming, and as exact as the charges it is made from."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from costweir.domain.charge import CHARGE_COLUMN_NAMES, CHARGE_COLUMNS
from costweir.queries.focus import focus_rows, write_focus
from costweir.queries.focus_row import FOCUS_COLUMNS, OWN_COLUMNS, focus_row
from costweir.sources.focus_rules.validator import rule_data, validate
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.schema import SQL_TYPES
from costweir.store.warehouse import Load, Slot

BASE: Mapping[str, Any] = dict.fromkeys(CHARGE_COLUMN_NAMES) | {
    "billing_account_id": "111122223333",
    "billing_currency": "USD",
    "billing_period_start": date(2026, 10, 1),
    "billing_period_end": date(2026, 11, 1),
    "charge_category": "Usage",
    "charge_period_start": datetime(2026, 10, 5, 13, tzinfo=UTC).replace(tzinfo=None),
    "charge_period_end": datetime(2026, 10, 5, 14, tzinfo=UTC).replace(tzinfo=None),
    "charge_description": "=SUM(A1)",
    "billed_cost": Decimal("0.0000021"),
    "effective_cost": Decimal("0.0000021"),
    "consumed_quantity": Decimal(700),
    "consumed_unit": "Tokens",
    "pricing_quantity": Decimal("0.7"),
    "pricing_unit": "1K tokens",
    "service_name": "Amazon Bedrock",
    "sku_id": "SKU1",
    "sku_meter": "Input Tokens",
    "tags": '{"customer_id": "acme", "team": "-1+1"}',
    "x_provider": "aws",
    "x_source": "aws-cur2",
    "x_account": "111122223333",
    "x_period": "2026-10",
    "x_run_id": "run-1",
    "x_is_ai": True,
    "x_model": "claude-sonnet-4-6",
    "x_model_developer": "anthropic",
    "x_token_class": "cache_read",
    "x_direction": "input",
    "x_modality": "text",
    "x_cache_action": "read",
    "x_tier": "standard",
    "x_tokens": Decimal(700),
    "x_customer": "acme",
    "x_project": "untagged",
    "x_feature": "untagged",
    "usage_date": date(2026, 10, 5),
    "usage_hour": 13,
    "iso_dow": 1,
    "usage_month": "2026-10",
}

SAVINGS = {"commitment_discount_id": "sp-1", "commitment_discount_type": "Savings Plan"}
RESERVED = {"commitment_discount_id": "ri-1", "commitment_discount_type": "Reserved"}


def _costs(amount: str) -> dict[str, Decimal]:
    return {"billed_cost": Decimal(amount), "effective_cost": Decimal(amount)}


#: Lines as bills have them: with and without prices, a tax, a credit, a correction, commitments, currencies.
CHARGES: Sequence[Mapping[str, Any]] = [
    BASE,
    BASE | {"list_cost": Decimal("0.000003"), "contracted_cost": Decimal("0.0000021")},
    BASE | {"list_unit_price": Decimal("0.003"), "pricing_quantity": Decimal(2), "pricing_unit": "1M tokens"},
    BASE
    | {"consumed_quantity": None, "pricing_quantity": None, "sku_id": None, "sku_meter": None, "tags": None},
    BASE | _costs("1.90") | {"charge_category": "Tax", "x_is_ai": False, "service_name": "Tax"},
    BASE | _costs("-5") | {"charge_category": "Credit", "x_provider": "gcp"},
    BASE | _costs("-0.5") | {"charge_class": "Correction"},
    BASE | SAVINGS | {"billed_cost": Decimal(0)},
    BASE | RESERVED | {"commitment_discount_status": "Unused"},
    BASE | _costs("100") | {"charge_category": "Purchase"},
    BASE
    | {"billing_currency": "EUR", "x_provider": "azure", "region_id": "westeurope", "resource_id": "/r/1"},
    BASE
    | {"sub_account_id": "p-1", "sku_price_details": '{"ModelId": "m", "CoreCount": 4, "deep": {"a": 1}}'},
    BASE | {"x_tokens": None, "consumed_unit": "Hours", "pricing_unit": "Hours", "charge_period_end": None},
]


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    store = DuckDBWarehouse.open(tmp_path / "facts.duckdb")
    store.migrate()
    for provider in ("aws", "azure", "gcp"):
        rows = [charge for charge in CHARGES if charge["x_provider"] == provider]
        store.replace(_load(provider, rows), charges=_staged(tmp_path / f"{provider}.parquet", rows))
    yield store
    store.close()


def _staged(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    columns = ", ".join(f"{column.name} {SQL_TYPES[column.kind]}" for column in CHARGE_COLUMNS)
    marks = ", ".join("?" for _ in CHARGE_COLUMNS)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE staged ({columns})")
        connection.executemany(
            f"INSERT INTO staged VALUES ({marks})",
            [[row[name] for name in CHARGE_COLUMN_NAMES] for row in rows],
        )
        connection.execute(f"COPY staged TO '{path}' (FORMAT parquet)")
    return path


def _load(provider: str, rows: Sequence[Mapping[str, Any]]) -> Load:
    total = sum((row["billed_cost"] for row in rows), Decimal(0))
    return Load(
        run_id="run-1",
        source="aws-cur2",
        slot=Slot(provider, "111122223333", "2026-10"),
        loaded_at=datetime(2026, 11, 1, tzinfo=UTC),
        rows_in=len(rows),
        rows_stored=len(rows),
        rows_skipped=0,
        rows_quarantined=0,
        billed_total=total,
        file_total=total,
        currency="USD",
        content_hash="0",
    )


def test_the_export_keeps_every_rule_that_a_machine_can_check(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    for name in ("out.csv", "out.csv.gz", "out.parquet"):
        report = validate(write_focus(warehouse, tmp_path / name))
        assert report.violations == ()
        assert (report.rows, report.columns_absent) == (len(CHARGES), ())
        assert report.rules_skipped == 0


def test_all_57_columns_come_first_and_ours_after_them(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    with write_focus(warehouse, tmp_path / "out.csv").open(newline="") as lines:
        header = next(csv.reader(lines))
    assert tuple(header[:57]) == FOCUS_COLUMNS
    assert sorted(FOCUS_COLUMNS) == rule_data()["columns"]
    assert all(name.startswith("x_") for name in header[57:])
    assert header[57:] == list(OWN_COLUMNS.values())


def test_the_four_costs_add_up_to_the_charges(warehouse: DuckDBWarehouse) -> None:
    rows = list(focus_rows(warehouse))
    for column, name in (("billed_cost", "BilledCost"), ("effective_cost", "EffectiveCost")):
        assert sum(Decimal(row[name] or 0) for row in rows) == sum(charge[column] for charge in CHARGES)
    assert {row["BilledCost"] for row in rows} >= {"0.0000021", "100.00", "-5.00"}


def test_the_same_charges_give_the_same_bytes(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    for name in ("out.csv", "out.csv.gz"):
        first = write_focus(warehouse, tmp_path / name).read_bytes()
        assert write_focus(warehouse, tmp_path / "again" / name).read_bytes() == first
    plain = (tmp_path / "out.csv").read_bytes()
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == plain


def test_days_and_provider_choose_the_rows(warehouse: DuckDBWarehouse) -> None:
    def count(**choice: Any) -> int:
        return len(list(focus_rows(warehouse, **choice)))

    assert count(since=date(2026, 10, 5), until=date(2026, 10, 6)) == len(CHARGES)
    assert count(since=date(2026, 10, 6)) == count(until=date(2026, 10, 5)) == 0
    assert count(provider="gcp") == 1


def test_a_file_that_cannot_be_finished_is_not_left_behind(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    folder = tmp_path / "gone.csv"
    folder.mkdir()
    with pytest.raises(OSError, match="gone"):
        write_focus(warehouse, folder)
    assert not list(tmp_path.glob("*.partial"))


def test_a_model_is_named_in_the_price_details() -> None:
    details = json.loads(focus_row(BASE)["SkuPriceDetails"] or "")
    assert details == {
        "x_ModelDeveloper": "anthropic",
        "x_ModelId": "claude-sonnet-4-6",
        "x_Modality": "text",
        "x_ServiceTier": "standard",
        "x_TokenDirection": "Input",
        "x_TokenCacheAction": "Read",
    }
    plain = json.loads(focus_row(BASE | {"x_cache_action": None})["SkuPriceDetails"] or "")
    assert plain["x_TokenCacheAction"] == "Uncached"


def test_price_details_of_the_bill_keep_defined_names_and_mark_others() -> None:
    charge = BASE | {"sku_price_details": '{"ModelId": "m", "CoreCount": 4, "deep": {"a": 1}}'}
    details = json.loads(focus_row(charge)["SkuPriceDetails"] or "")
    assert (details["CoreCount"], details["x_deep"]) == (4, '{"a": 1}')
    assert "ModelId" not in details


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"PricingUnit": "1000 Tokens", "ListUnitPrice": "0.000003", "ConsumedQuantity": "700"}),
        ({"pricing_unit": "1M tokens"}, {"PricingUnit": "1000000 Tokens"}),
        ({"pricing_unit": "1M"}, {"PricingUnit": "1000000 Tokens"}),
        ({"pricing_unit": "100", "consumed_unit": "100"}, {"PricingUnit": "100 Units"}),
        (
            {"pricing_unit": "1/Hour", "consumed_unit": "100"},
            {"PricingUnit": "1/Hour", "ConsumedUnit": "100 Units"},
        ),
        ({"list_unit_price": Decimal(3)}, {"ListUnitPrice": "3.00", "ListCost": "2.10"}),
        ({"charge_category": "Tax"}, {"SkuId": None, "PricingQuantity": None, "ConsumedQuantity": None}),
        ({"region_name": "Virginia"}, {"RegionName": None}),
        ({"billing_period_end": date(2027, 1, 1)}, {"BillingPeriodEnd": "2027-01-01T00:00:00Z"}),
        ({"charge_period_end": None}, {"ChargePeriodEnd": "2026-10-06T00:00:00Z"}),
        ({"charge_description": "=SUM(A1)"}, {"ChargeDescription": "=SUM(A1)"}),
        ({"x_provider": "mistral"}, {"ProviderName": "mistral", "PublisherName": "mistral"}),
        ({"billed_cost": Decimal("1E-18")}, {"BilledCost": "0.000000000000000001"}),
    ],
)
def test_cells_follow_the_rules_for_empty_ones(
    change: dict[str, Any], expected: dict[str, str | None]
) -> None:
    row = focus_row(BASE | change)
    assert {name: row[name] for name in expected} == expected


def test_the_commitment_of_a_savings_plan_is_measured_in_money() -> None:
    row = focus_row(BASE | SAVINGS)
    assert (row["CommitmentDiscountCategory"], row["CommitmentDiscountUnit"]) == ("Spend", "USD")
    assert row["CommitmentDiscountStatus"] == "Used"
    other = focus_row(BASE | RESERVED)
    assert (other["CommitmentDiscountCategory"], other["CommitmentDiscountUnit"]) == ("Usage", "1000 Tokens")
