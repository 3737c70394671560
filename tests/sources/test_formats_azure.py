"""Every heading of an Azure export gives the same charges and totals, and of two runs one counts."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import duckdb
import pytest

from costweir.domain.charge import CHARGE_CATEGORIES, CHARGE_COLUMN_NAMES
from costweir.errors import SourceRejected
from costweir.sources.formats import azure, azure_focus
from costweir.sources.formats.azure_header import AzureHeader, table
from costweir.sources.formats.azure_runs import newest_runs
from costweir.sources.formats.format import LINE_INPUTS, BillFile
from costweir.sources.stage import StageOptions, stage

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples" / "azure"
EA = SAMPLES / "ea_2026-10.csv"
MCA = SAMPLES / "mca_2026-10.csv.gz"
PARQUET = SAMPLES / "mca_2026-10.parquet"
PAYG = SAMPLES / "payg_2026-10.csv"
PAYG_OLD = SAMPLES / "payg_old_2026-10.csv"
GERMAN = SAMPLES / "german_2026-10.csv"
EUR = SAMPLES / "mca_eur_2026-10.csv"
FOCUS = SAMPLES / "focus_2026-10.csv"
ONE_BILL = [EA, MCA, PARQUET, PAYG, PAYG_OLD, GERMAN]
COSTS = {"CostInBillingCurrency", "costInBillingCurrency", "Cost", "PreTaxCost", "PreTaxCost (PreTaxCost)"}

Row = Mapping[str, Any]


def utc(*parts: int) -> datetime:
    """An instant as the charge columns hold it: UTC, without a zone."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)


@pytest.fixture
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute((ROOT / "src/costweir/sources/staging/macros.sql").read_text())
    yield connection
    connection.close()


def relation(path: Path) -> str:
    if path.suffix == ".parquet":
        return f"read_parquet('{path}')"
    mark = ";" if path == GERMAN else ","
    options = f"all_varchar = true, header = true, delim = '{mark}', quote = '\"', escape = '\"'"
    return f"read_csv('{path}', {options})"


def charges(db: duckdb.DuckDBPyConnection, source: Path | str) -> list[Row]:
    """The rows of a file, or of any SQL relation, through the format's own expressions."""
    raw = relation(source) if isinstance(source, Path) else source
    header = {row[0]: row[1] for row in db.execute(f"DESCRIBE SELECT * FROM {raw}").fetchall()}
    assert azure.EXPORT.recognise(header)
    columns = azure.EXPORT.columns(header)
    assert set(columns) <= {*CHARGE_COLUMN_NAMES, *LINE_INPUTS}
    result = db.execute(
        "SELECT " + ", ".join(f"{sql} AS {name}" for name, sql in columns.items()) + f" FROM {raw}"
    )
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def costs_of(path: Path) -> list[Decimal]:
    """The oracle: the cost column of a text file, by the standard library alone."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if path == GERMAN else ","))
    (name,) = COSTS & set(lines[0])
    return [Decimal(line[name].replace(",", ".")) for line in lines]


def one_line(**fields: object) -> str:
    """A relation of one line of text columns, with `fields` changed; a field of None is no column at all."""
    line = {
        "SubscriptionId": "7e1f0c52",
        "Date": "10/01/2026",
        "MeterCategory": "Foundry Models",
        "MeterSubCategory": "Azure OpenAI",
        "MeterName": "gpt 4.1 mini Inp glbl Tokens",
        "UnitOfMeasure": "1K",
        "Quantity": "12.5",
        "CostInBillingCurrency": "1.5",
        "BillingCurrencyCode": "USD",
        **fields,
    }
    return (
        "(SELECT "
        + ", ".join(f'{_sql(text)} AS "{name}"' for name, text in line.items() if text is not None)
        + ")"
    )


def _sql(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


@pytest.mark.parametrize("path", [p for p in ONE_BILL if p != PARQUET], ids=lambda p: p.name)
def test_billed_is_the_cost_column_row_by_row(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    rows = charges(db, path)
    assert [row["billed_cost"] for row in rows] == costs_of(path)
    assert sum(row["billed_cost"] for row in rows) == Decimal("39.067701925001")


@pytest.mark.parametrize("name", ["ea_anonymous_2023-09.csv", "ea_koku_2020-09.csv"])
def test_a_real_export_adds_up_to_the_file(db: duckdb.DuckDBPyConnection, name: str) -> None:
    rows = charges(db, SAMPLES / name)
    assert [row["billed_cost"] for row in rows] == costs_of(SAMPLES / name)
    assert all(row["service_name"] and row["charge_period_start"] and row["billing_currency"] for row in rows)


def test_every_agreement_age_and_language_gives_the_same_charges(db: duckdb.DuckDBPyConnection) -> None:
    first, *others = (charges(db, path) for path in ONE_BILL)
    always = [
        "billed_cost",
        "billing_currency",
        "billing_period_start",
        "billing_period_end",
        "charge_period_start",
        "charge_period_end",
        "pricing_quantity",
        "pricing_unit",
        "consumed_unit",
        "sub_account_id",
        "resource_id",
        "x_resource_group",
        "sku_id",
        "sku_meter",
        "region_id",
        "line_tags",
        "line_unit",
    ]
    modern = [
        "charge_category",
        "charge_class",
        "charge_frequency",
        "pricing_category",
        "publisher_name",
        "consumed_quantity",
        "line_service",
        "commitment_discount_status",
    ]
    for path, rows in zip(ONE_BILL[1:], others, strict=True):
        for name in always + (modern if path in (MCA, PARQUET, PAYG) else []):
            assert [row[name] for row in rows] == [row[name] for row in first], (path.name, name)


def test_the_account_is_the_billing_account_else_the_subscription(db: duckdb.DuckDBPyConnection) -> None:
    assert {row["billing_account_id"] for row in charges(db, EA)} == {"81234567"}
    assert len({row["billing_account_id"] for row in charges(db, PAYG)}) == 2
    assert all(row["billing_account_id"] == row["sub_account_id"] for row in charges(db, PAYG_OLD))


def test_the_period_is_the_billing_period_else_the_month_of_the_date(db: duckdb.DuckDBPyConnection) -> None:
    late = one_line(BillingPeriodStartDate="09/01/2026", BillingPeriodEndDate="09/30/2026")
    assert charges(db, late)[0]["billing_period_start"] == date(2026, 9, 1)
    odd = one_line(BillingPeriodStartDate="09/14/2026", BillingPeriodEndDate="10/13/2026")
    assert charges(db, odd)[0]["billing_period_start"] == date(2026, 10, 1)
    assert charges(db, one_line(BillingPeriodStartDate=""))[0]["billing_period_start"] == date(2026, 10, 1)


def test_blocks_are_counted_out_and_plain_numbers_are_not(db: duckdb.DuckDBPyConnection) -> None:
    expected = {
        "1K": (Decimal(2500), "Units"),
        "1M": (Decimal(2500000), "Units"),
        "10K": (Decimal(25000), "Units"),
        "1B": (Decimal(2500000000), "Units"),
        "1": (Decimal("2.5"), "Units"),
        "100": (Decimal("2.5"), "100"),
        "1 Hour": (Decimal("2.5"), "Hour"),
        "1/Hour": (Decimal("2.5"), "Units/Hour"),
        "1K/Hour": (Decimal(2500), "Units/Hour"),
        "10K Transactions": (Decimal(25000), "Transactions"),
        "1 GB": (Decimal("2.5"), "GB"),
        "128 MB": (Decimal("2.5"), "128 MB"),
        "100 Hours": (Decimal("2.5"), "100 Hours"),
        "1 MB": (Decimal("2.5"), "MB"),
        "Unassigned": (Decimal("2.5"), None),
    }
    for unit, (quantity, name) in expected.items():
        (row,) = charges(db, one_line(UnitOfMeasure=unit, Quantity="2.5"))
        assert (row["consumed_quantity"], row["consumed_unit"]) == (quantity, name), unit
        assert row["pricing_quantity"] == Decimal("2.5")


def test_a_quantity_beyond_any_bill_loses_its_count_and_not_the_load(db: duckdb.DuckDBPyConnection) -> None:
    (row,) = charges(db, one_line(UnitOfMeasure="1B", Quantity="9e24"))
    assert (row["consumed_quantity"], row["billed_cost"]) == (None, Decimal("1.5"))


def test_the_classifier_sees_product_family_meter_and_unit(db: duckdb.DuckDBPyConnection) -> None:
    rows = charges(db, EA)
    seen = [(row["line_service"], row["line_text"], row["line_unit"]) for row in rows]
    assert seen[0] == ("Azure OpenAI", "gpt 4.1 mini Inp glbl Tokens", "1K")
    assert seen[3] == ("Azure OpenAI GPT5", "5.4 opt Dz 1M Tokens", "1M")
    assert seen[7] == ("Anthropic, PBC Anthropic on Foundry", "Claude Consumption Units", None)
    assert seen[8] == ("Azure App Service Premium v3 Plan", "P1 v3 App", "1 Hour")
    assert rows[0]["line_quantity" if "line_quantity" in rows[0] else "pricing_quantity"] == Decimal(
        "18250.5"
    )
    (row,) = charges(
        db, one_line(ProductName="Azure OpenAI GPT5 - 5.4 opt Dz - US East", MeterName="5.4 opt Dz")
    )
    assert row["line_service"] == "Azure OpenAI GPT5"
    (row,) = charges(db, one_line(MeterSubCategory="Unassigned"))
    assert row["line_service"] == "Foundry Models"
    (row,) = charges(db, one_line(MeterCategory="Cognitive Services", MeterSubCategory="Speech"))
    assert row["line_service"] == "Cognitive Services Speech"


def test_charge_types_become_charge_categories(db: duckdb.DuckDBPyConnection) -> None:
    rows = charges(db, EA)
    assert [row["charge_category"] for row in rows] == [
        *["Usage"] * 7,
        "Purchase",
        "Usage",
        "Adjustment",
        "Adjustment",
    ]
    assert [row["charge_class"] for row in rows][-3:] == [None, "Correction", None]
    assert rows[6]["commitment_discount_status"] == "Used"
    (unused,) = charges(db, one_line(ChargeType="UnusedReservation", PricingModel="Reservation"))
    assert (unused["charge_category"], unused["commitment_discount_status"]) == ("Usage", "Unused")
    (new,) = charges(db, one_line(ChargeType="SomethingOfNextYear"))
    assert (new["charge_category"], new["x_line_type"]) == ("Adjustment", "SomethingOfNextYear")
    assert set(table()["charge_types"].values()) <= set(CHARGE_CATEGORIES)


def test_us_dollars_come_from_the_bill(db: duckdb.DuckDBPyConnection) -> None:
    rows, in_dollars = charges(db, EUR), charges(db, MCA)[:4]
    assert {row["billing_currency"] for row in rows} == {"EUR"}
    assert [row["x_billed_usd"] for row in rows] == [row["billed_cost"] for row in in_dollars]
    assert [row["billed_cost"] for row in rows] == [
        row["billed_cost"] * Decimal("0.925") for row in in_dollars
    ]
    eur = {"BillingCurrencyCode": "EUR", "PricingCurrency": "USD", "CostInBillingCurrency": "1.85"}
    (row,) = charges(db, one_line(**eur, ExchangeRatePricingToBilling="0.925"))
    assert (row["x_billed_usd"], row["line_usd_rate"]) == (Decimal(2), Decimal("1.081081081081081081"))
    assert charges(db, one_line(**eur))[0]["x_billed_usd"] is None


def test_unit_prices_are_in_the_billing_currency(db: duckdb.DuckDBPyConnection) -> None:
    row = charges(db, EUR)[0]
    assert row["contracted_unit_price"] == row["line_unit_price"] == Decimal("0.00037")
    assert row["line_unit_price"] * row["pricing_quantity"] == Decimal("6.752685")
    (unknown,) = charges(db, one_line(UnitPrice="2", PricingCurrency="EUR"))
    assert unknown["line_unit_price"] is None
    assert charges(db, one_line(UnitPrice="2"))[0]["line_unit_price"] == Decimal(2)


def test_list_cost_is_stated_or_the_retail_price_times_the_quantity(db: duckdb.DuckDBPyConnection) -> None:
    rows = charges(db, EA)
    assert rows[3]["list_cost"] == Decimal("9.375")
    assert rows[7]["list_cost"] is None
    assert charges(db, EUR)[0]["list_cost"] == Decimal("7.3002") * Decimal("0.925")
    (row,) = charges(db, one_line(PayGPrice="2", PricingCurrency="EUR"))
    assert row["list_cost"] is None


@pytest.mark.parametrize(
    ("written", "tags"),
    [
        ('{"customer_id": "acme", "n": 1}', {"customer_id": "acme", "n": "1"}),
        ('"customer_id": "acme","env": "prod"', {"customer_id": "acme", "env": "prod"}),
        ('{"a": "1", "a": "2"}', {"a": "1"}),
        ('{"a": "", "b": null, "c": "x; \\"y\\""}', {"c": 'x; "y"'}),
        ("", None),
        ("NULL", None),
        ("{}", {}),
        ("customer acme", {"unreadable_tags": "customer acme"}),
    ],
)
def test_tags_are_read_with_and_without_braces(
    db: duckdb.DuckDBPyConnection, written: str, tags: dict[str, str] | None
) -> None:
    assert charges(db, one_line(Tags=written))[0]["line_tags"] == tags


def test_tags_that_are_a_map_in_parquet_are_read_too(db: duckdb.DuckDBPyConnection) -> None:
    raw = f"(SELECT * REPLACE (MAP {{'customer_id': 'acme', 'env': ''}} AS tags) FROM {relation(PARQUET)})"
    assert charges(db, raw)[0]["line_tags"] == {"customer_id": "acme"}


@pytest.mark.parametrize(
    ("written", "localised", "amount"),
    [
        ("5.64902E-05", False, "0.0000564902"),
        ("1E-12", False, "0.000000000001"),
        ("-4.2", False, "-4.2"),
        ("1,5", False, "1.5"),
        ("1.234,56", False, "1234.56"),
        ("1,234.56", False, "1234.56"),
        ("1,234", False, None),
        ("1,234", True, "1.234"),
        ("5,64902E-05", True, "0.0000564902"),
        ("0,0004", True, "0.0004"),
        ("-1.000.000,5", True, "-1000000.5"),
        ("", False, None),
        ("NULL", False, None),
        ("twelve", False, None),
    ],
)
def test_amounts_are_read_with_point_comma_and_exponent(
    db: duckdb.DuckDBPyConnection, written: str, localised: bool, amount: str | None
) -> None:
    extra = {"Ressourcengruppe (ResourceGroup)": "rg"} if localised else {}
    (row,) = charges(db, one_line(CostInBillingCurrency=written, **extra))
    assert row["billed_cost"] == (None if amount is None else Decimal(amount))


@pytest.mark.parametrize(
    ("written", "localised", "day"),
    [
        ("10/02/2026", False, (2026, 10, 2)),
        ("9/2/2026", False, (2026, 9, 2)),
        ("02/10/2026", True, (2026, 10, 2)),
        ("13/02/2026", False, None),
        ("2026-10-02", False, (2026, 10, 2)),
        ("2026-10-02T00:00:00Z", False, (2026, 10, 2)),
        ("2026-10-02T00:00:00.0000000Z", False, (2026, 10, 2)),
        ("02.10.2026", True, (2026, 10, 2)),
        ("20261002", False, (2026, 10, 2)),
        ("2026/10/02", False, (2026, 10, 2)),
        ("10/02/2026 12:00:00 AM", False, (2026, 10, 2)),
        ("3/1/26", False, (2026, 3, 1)),
        ("02.30.2026", True, None),
        ("soon", False, None),
        ("", False, None),
    ],
)
def test_dates_are_read_as_the_language_of_the_headings_writes_them(
    db: duckdb.DuckDBPyConnection, written: str, localised: bool, day: tuple[int, int, int] | None
) -> None:
    extra = {"Ressourcengruppe (ResourceGroup)": "rg"} if localised else {}
    (row,) = charges(db, one_line(Date=written, **extra))
    assert row["charge_period_start"] == (None if day is None else utc(*day))


def test_the_resource_group_is_lower_case_or_cut_from_the_resource(db: duckdb.DuckDBPyConnection) -> None:
    kind = "Microsoft.CognitiveServices/accounts"
    resource = f"/subscriptions/s/resourceGroups/RG-Customer-Acme-Prod/providers/{kind}/a1"
    (row,) = charges(db, one_line(ResourceId=resource))
    assert (row["x_resource_group"], row["resource_name"]) == ("rg-customer-acme-prod", "a1")
    assert row["resource_type"] == kind
    assert charges(db, one_line(ResourceGroup="Not applicable"))[0]["x_resource_group"] is None


@pytest.mark.parametrize(
    "spelling", ["ResourceGroup", "resourceGroupName", "resource_group", "RESOURCE GROUP", "Ressourcengruppe"]
)
def test_headings_agree_without_case_blanks_signs_and_language(spelling: str) -> None:
    assert AzureHeader({spelling: "VARCHAR"}).column("resource_group") == spelling


def test_of_two_cost_columns_the_one_in_the_billing_currency_is_read(db: duckdb.DuckDBPyConnection) -> None:
    (row,) = charges(db, one_line(Cost="99", CostInPricingCurrency="98", CostInUsd="97"))
    assert (row["billed_cost"], row["x_billed_usd"]) == (Decimal("1.5"), Decimal(97))


def test_other_tables_are_not_taken_for_a_cost_export() -> None:
    price_sheet = dict.fromkeys(
        ["meterId", "meterName", "unitPrice", "currencyCode", "SubscriptionId"], "VARCHAR"
    )
    focus = dict.fromkeys(["BilledCost", "Date", "Cost", "SubscriptionId", "MeterId"], "VARCHAR")
    assert not azure.EXPORT.recognise(price_sheet)
    assert not azure.EXPORT.recognise(focus)
    assert azure.EXPORT.missing(price_sheet) == ("Date", "CostInBillingCurrency")


def test_the_table_of_headings_names_no_heading_twice() -> None:
    seen: dict[str, str] = {}
    for part in ("fields", "localised"):
        for field, names in table()[part].items():
            assert field in table()["fields"]
            for name in names:
                assert seen.setdefault(name.lower(), field) == field, name


def found(
    path: str, *, at: datetime | None = None, run: str = "", written: datetime | None = None
) -> BillFile:
    return BillFile(PurePosixPath(path), "", 1, path, run=run, run_at=at, modified=written)


def kept(*files: BillFile) -> list[str]:
    return [file.path.as_posix() for file in newest_runs(files)]


MONTH = "root/costs/20261001-20261031"


def test_of_two_runs_of_a_month_the_newer_folder_counts_with_all_its_parts() -> None:
    old = [found(f"{MONTH}/202610050400/aaa/part_{n}_0001.csv") for n in (0, 1)]
    new = [found(f"{MONTH}/202610060400/bbb/part_{n}_0001.csv") for n in (0, 1)]
    assert kept(old[0], new[0], old[1], new[1]) == [new[0].path.as_posix(), new[1].path.as_posix()]


def test_the_start_of_the_run_in_the_manifest_counts_before_the_folder_and_the_file() -> None:
    early, late = datetime(2026, 10, 5, tzinfo=UTC), datetime(2026, 10, 6, tzinfo=UTC)
    a = found(f"{MONTH}/202610070000/aaa/part_0.csv", at=early, written=late)
    b = found(f"{MONTH}/202610010000/bbb/part_0.csv", at=late, written=early)
    assert kept(a, b) == [b.path.as_posix()]


def test_runs_that_only_differ_by_an_id_go_by_when_the_files_were_written() -> None:
    one, two = "0f4d2c6e-0000-4000-8000-00000000000a", "0f4d2c6e-0000-4000-8000-00000000000b"
    a = found(f"{MONTH}/costs_{two}.csv", written=datetime(2026, 10, 5, tzinfo=UTC))
    b = found(f"{MONTH}/costs_{one}.csv", written=datetime(2026, 10, 6, tzinfo=UTC))
    assert kept(a, b) == [b.path.as_posix()]


def test_parts_of_one_run_with_one_id_stay_together() -> None:
    one = "0f4d2c6e-0000-4000-8000-00000000000a"
    files = [found(f"{MONTH}/costs_{one}_{n}.csv") for n in range(3)]
    assert len(kept(*files)) == 3


def test_other_months_exports_and_days_do_not_supersede() -> None:
    files = [
        found(f"{MONTH}/202610050400/a/p.csv"),
        found("root/costs/20260901-20260930/202610050400/b/p.csv"),
        found("root/other/20261001-20261031/202610060400/c/p.csv"),
        found("root/daily/20261001-20261001/202610020400/d/p.csv"),
        found("root/daily/20261002-20261002/202610030400/e/p.csv"),
    ]
    assert len(kept(*files)) == 5


def test_a_run_inside_the_days_of_another_is_not_counted_twice() -> None:
    part = found("root/costs/20261001-20261015/202610200400/a/p.csv")
    whole = found(f"{MONTH}/202610160400/b/p.csv")
    assert kept(part, whole) == [whole.path.as_posix()]


def test_runs_that_overlap_in_part_are_refused() -> None:
    first = found("root/costs/20261001-20261015/1/a/p.csv")
    second = found("root/costs/20261010-20261020/2/b/p.csv")
    with pytest.raises(SourceRejected, match="2026-10-01 to 2026-10-15") as refused:
        kept(first, second)
    assert refused.value.hint


def test_amortised_cost_is_dropped_where_actual_cost_lies_next_to_it() -> None:
    actual = found("root/actual/20261001-20261031/202610050400/a/p.csv")
    amortised = found("root/Amortized/20261001-20261031/202610060400/b/p.csv")
    assert kept(actual, amortised) == [actual.path.as_posix()]
    assert kept(amortised) == [amortised.path.as_posix()]


def test_files_outside_a_folder_of_days_are_kept() -> None:
    assert kept(found("october.csv"), found("x/november.csv"), found("99999999-20261031/p.csv")) == [
        "october.csv",
        "x/november.csv",
        "99999999-20261031/p.csv",
    ]


def staged(path: Path, tmp_path: Path) -> dict[tuple[str, str, str], tuple[int, Decimal, list[Row]]]:
    """What the staging makes of a file or folder: each slot with its stored rows, total and charges."""
    options = StageOptions(all_services=True)
    found_slots = stage([str(path)], into=tmp_path / "staged" / path.name, options=options)
    result: dict[tuple[str, str, str], tuple[int, Decimal, list[Row]]] = {}
    for slot in found_slots.slots:
        load, key = slot.load, slot.load.slot
        assert (load.rows_in, load.billed_total) == (load.rows_stored, load.file_total)
        with duckdb.connect() as db:
            table = db.sql(f"SELECT * FROM read_parquet('{slot.charges}/*.parquet')")
            rows = [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]
        rows.sort(key=lambda row: row["sku_id"])
        result[key.provider, key.account, key.period] = (load.rows_stored, load.billed_total, rows)
    return result


def test_the_focus_export_and_the_cost_export_of_a_bill_mean_the_same(
    tmp_path: Path,
) -> None:
    first, *others = (staged(path, tmp_path) for path in (EA, MCA, PARQUET, FOCUS))
    slot = ("azure", "81234567", "2026-10")
    assert first.keys() == {slot}
    assert first[slot][:2] == (11, sum(costs_of(EA)))
    same = [
        *("billed_cost", "x_billed_usd", "x_tokens", "x_model", "x_token_class", "x_routing", "x_customer"),
        *("sub_account_id", "charge_category", "charge_class", "x_resource_group", "publisher_name"),
    ]
    for other in others:
        assert other.keys() == first.keys()
        assert other[slot][:2] == first[slot][:2]
        for name in same:
            assert [row[name] for row in other[slot][2]] == [row[name] for row in first[slot][2]], name


def test_tokens_models_and_customers_of_a_bill(tmp_path: Path) -> None:
    rows = staged(EA, tmp_path)["azure", "81234567", "2026-10"][2]
    found = [(row["x_model"], row["x_token_class"], row["x_tokens"], row["x_customer"]) for row in rows[:5]]
    assert found == [
        ("gpt-4.1-mini", "input", Decimal(18250500), "acme"),
        ("gpt-4.1-mini", "output", Decimal(2100250), "acme"),
        ("gpt-5", "cache_read", Decimal(41200001), "globex"),
        ("gpt-5.4", "output", Decimal(750000), "globex"),
        ("gpt-4o-mini", "input", Decimal(12), "untagged"),
    ]


def test_a_folder_with_two_runs_of_a_month_is_counted_once(tmp_path: Path) -> None:
    month = tmp_path / "root" / "costs" / "20261001-20261031"
    whole = EA.read_text(encoding="utf-8-sig")
    for run, text in (("202610050400/a", whole.replace("7.3002", "700.3002")), ("202610060400/b", whole)):
        (month / run).mkdir(parents=True)
        (month / run / "part_0_0001.csv").write_text(text, encoding="utf-8")
    rows, total, _ = staged(tmp_path / "root", tmp_path)["azure", "81234567", "2026-10"]
    assert (rows, total) == (11, sum(costs_of(EA)))


def test_rows_of_other_providers_in_a_hub_file_are_left_as_they_are(db: duckdb.DuckDBPyConnection) -> None:
    raw = f"(SELECT * REPLACE ('Amazon Web Services' AS \"ProviderName\") FROM {relation(FOCUS)})"
    header = {row[0]: row[1] for row in db.execute(f"DESCRIBE SELECT * FROM {raw}").fetchall()}
    assert azure_focus.FOCUS.recognise(header)
    columns = azure_focus.FOCUS.columns(header)
    ids = ", ".join(columns[name] for name in ("x_provider", "x_account", "sub_account_id"))
    found = db.execute(f"SELECT DISTINCT {ids} FROM {raw}").fetchall()
    account = "/providers/Microsoft.Billing/billingAccounts/81234567/billingProfiles/81234567"
    assert {row[:2] for row in found} == {("aws", account)}
    assert all(row[2].startswith("/subscriptions/") for row in found)
