"""The files hold what the oracle says, in the providers' own words; read again here without our readers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from costweir.demo import World
from costweir.demo.catalogue import streams
from costweir.sources.classify import Classifier
from costweir.sources.meaning.line import Line

# One worker writes the world for these.
pytestmark = pytest.mark.xdist_group("loaded-world")

AWS_FORMS = (
    # dash form, mantle form, marketplace camel, marketplace snake
    r"[A-Z0-9]+-[A-Za-z0-9.-]+-(?:cache-(?:read|write)-)?(?:text-)?(?:in|out)put-token(?:s|-count)[a-z-]*",
    r"[A-Z0-9]+-[a-z]+\.[a-z0-9.-]+-mantle-[a-z-]+-standard",
    r"[A-Z0-9]+-MP:[A-Z0-9]+_(?:Cache(?:Read|Write))?(?:1h)?(?:In|Out)putTokenCount(?:_Global)?(?:_Batch)?-Units",
    r"[A-Z0-9]+-MP:[A-Z0-9]+_(?:input|output|cache_read|cache_write)_tokens(?:_1h)?(?:_global)?_standard-Units",
)
GCP_FORMS = (
    r"Gemini [\d.]+ (?:Flash|Pro) .*(?:Predictions|Caching)",
    r"Generate content .*token count gemini .*",
    r"EmbedContent input token count for .*",
    r"Claude \w+ [\d.]+ — .* Tokens — global — Context Window Size from \d+ to \d+ Tokens",
    r"Cloud Vertex AI Model Garden Model as a Service .* (?:Input Token|Output Tokens)",
    r"Imagen 3 Generation \(output\)",
)
AZURE_FORMS = (
    r".*(?:inp|Inp|Inpt|opt|out|outpt|Outp|cd|cchd|cached).*(?:Tokens)",
    r"text-embedding-3-large-glbl Tokens",
    r"Image-Dall-E-3 .* Images",
    r"Provisioned Managed Global Unit",
)
UNITS = {
    "aws": {"1K tokens", "1M tokens", "Units"},
    "gcp": {"count"},
    "azure": {"1K", "1M", "100", "1/Hour"},
    "anthropic": {"1000000 Tokens"},
}


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _files(folder: Path, pattern: str) -> list[str]:
    found = sorted(str(path) for path in folder.rglob(pattern))
    assert found, (folder, pattern)
    return found


def _slots(
    rows: list[tuple[str, str, int, Decimal]], provider: str
) -> dict[tuple[str, str, str], tuple[int, Decimal]]:
    return {(provider, account, period): (count, total) for account, period, count, total in rows}


def _expected(truth: Mapping[str, Any], provider: str) -> dict[tuple[str, str, str], tuple[int, Decimal]]:
    return {
        (slot["provider"], slot["account"], slot["period"]): (slot["rows_in"], Decimal(slot["file_total"]))
        for slot in truth["slots"]
        if slot["provider"] == provider
    }


def test_the_aws_files_add_up_to_the_oracle(
    world: World, truth: Mapping[str, Any], database: duckdb.DuckDBPyConnection
) -> None:
    newest = [name for name in _files(world.out / "aws", "*.parquet") if "BILLING_PERIOD=2026-10" not in name]
    parquet = [*newest, *_files(world.out / "restated", "*.parquet")]
    rows = database.execute(
        """
        SELECT bill_payer_account_id, strftime(bill_billing_period_start_date, '%Y-%m'), count(*),
               sum(coalesce(line_item_net_unblended_cost, line_item_unblended_cost)::VARCHAR::DECIMAL(38, 18))
        FROM read_parquet($parquet) GROUP BY ALL
        UNION ALL
        SELECT "bill/PayerAccountId", "bill/BillingPeriodStartDate"[:7], count(*),
               sum("lineItem/UnblendedCost"::DECIMAL(38, 18))
        FROM read_csv($legacy, all_varchar = true) GROUP BY ALL
        """,
        {"parquet": parquet, "legacy": _files(world.out / "aws", "*.csv.gz")},
    ).fetchall()
    assert _slots(rows, "aws") == _expected(truth, "aws")


def test_the_google_files_add_up_to_the_oracle(
    world: World, truth: Mapping[str, Any], database: duckdb.DuckDBPyConnection
) -> None:
    detailed = database.execute(
        """
        SELECT billing_account_id, invoice.month[:4] || '-' || invoice.month[5:], count(*),
               sum(cost::VARCHAR::DECIMAL(38, 18)
                   + list_sum([0::DECIMAL(38, 18)] || [c.amount::VARCHAR::DECIMAL(38, 18) FOR c IN credits]))
        FROM read_parquet($files) GROUP BY ALL
        """,
        {"files": _files(world.out / "gcp", "*.parquet")},
    ).fetchall()
    standard: dict[tuple[str, str], tuple[int, Decimal]] = {}
    for row in _json_rows(_files(world.out / "gcp", "*.jsonl.gz")):
        month = row["invoice"]["month"]
        key = row["billing_account_id"], f"{month[:4]}-{month[4:]}"
        count, total = standard.get(key, (0, Decimal(0)))
        net = row["cost"] + sum((credit["amount"] for credit in row["credits"]), Decimal(0))
        standard[key] = count + 1, total + net
    found = _slots(detailed, "gcp") | {("gcp", *key): value for key, value in standard.items()}
    assert found == _expected(truth, "gcp")


def _json_rows(files: list[str]) -> list[dict[str, Any]]:
    import gzip

    return [
        json.loads(line, parse_float=Decimal, parse_int=Decimal)
        for name in files
        for line in gzip.decompress(Path(name).read_bytes()).decode().splitlines()
    ]


def _newest_runs(folder: Path) -> list[Path]:
    """The run folders that count: of each export and month the one whose manifest is the youngest."""
    newest: dict[Path, tuple[str, Path]] = {}
    for manifest in folder.rglob("manifest.json"):
        submitted = json.loads(manifest.read_text())["runInfo"]["submittedTime"]
        month = manifest.parents[2]
        newest[month] = max(newest.get(month, ("", manifest.parent)), (submitted, manifest.parent))
    return [run for _, run in newest.values()]


def test_the_newest_azure_runs_add_up_to_the_oracle(
    world: World, truth: Mapping[str, Any], database: duckdb.DuckDBPyConnection
) -> None:
    runs = _newest_runs(world.out / "azure")
    csv = [str(path) for run in runs for path in run.glob("*.csv.gz")]
    rows = database.execute(
        """
        SELECT billingAccountId, billingPeriodStartDate[7:] || '-' || billingPeriodStartDate[:2], count(*),
               sum(costInBillingCurrency::DECIMAL(38, 18))
        FROM read_csv($mca, all_varchar = true) GROUP BY ALL
        UNION ALL
        SELECT BillingAccountId, BillingPeriodStartDate[7:] || '-' || BillingPeriodStartDate[:2], count(*),
               sum(CostInBillingCurrency::DECIMAL(38, 18))
        FROM read_csv($ea, all_varchar = true) GROUP BY ALL
        UNION ALL
        SELECT billingAccountId, strftime(billingPeriodStartDate, '%Y-%m'), count(*),
               sum(costInBillingCurrency)
        FROM read_parquet($parquet) GROUP BY ALL
        """,
        {
            "mca": [name for name in csv if "-mca-" in name],
            "ea": [name for name in csv if "-ea-" in name],
            "parquet": [str(path) for run in runs for path in run.glob("*.parquet")],
        },
    ).fetchall()
    assert _slots(rows, "azure") == _expected(truth, "azure")


def test_the_focus_files_add_up_to_the_oracle(
    world: World, truth: Mapping[str, Any], database: duckdb.DuckDBPyConnection
) -> None:
    rows = database.execute(
        """
        SELECT BillingAccountId, BillingPeriodStart[:7], count(*), sum(BilledCost::DECIMAL(38, 18))
        FROM read_csv($files, all_varchar = true) GROUP BY ALL
        """,
        {"files": _files(world.out / "focus", "*.csv")},
    ).fetchall()
    assert _slots(rows, "anthropic") == _expected(truth, "anthropic")


def test_one_azure_month_has_two_runs_of_which_the_newer_is_cheaper_per_unit_and_longer(
    world: World, database: duckdb.DuckDBPyConnection
) -> None:
    runs = sorted((world.out / "azure").glob("*/20260901-20260930/*/*/*.csv.gz"))
    assert len(runs) == 2
    older, newer = (
        database.execute(
            "SELECT count(DISTINCT date), max(effectivePrice::DECIMAL(18, 9))"
            " FROM read_csv(?, all_varchar = true) WHERE meterName = '5.4 opt Dz 1M Tokens'",
            [str(path)],
        ).fetchone()
        for path in runs
    )
    assert (older, newer) == ((27, Decimal("17.16")), (30, Decimal("16.5")))


def test_the_restated_aws_month_differs_from_its_first_delivery(
    world: World, database: duckdb.DuckDBPyConnection
) -> None:
    price = (
        "SELECT count(*), max(line_item_unblended_rate) FROM read_parquet(?)"
        " WHERE line_item_usage_type = 'USE1-MP:USE1_OutputTokenCount_Global-Units'"
        " AND line_item_line_item_type = 'Usage'"
    )
    first = database.execute(
        price, [str(world.out / "aws/*/data/BILLING_PERIOD=2026-10/*/*.parquet")]
    ).fetchone()
    final = database.execute(price, [str(world.out / "restated/aws/*/data/*/*/*.parquet")]).fetchone()
    assert first is not None
    assert final is not None
    assert first[0] < final[0]
    assert (first[1], final[1]) == ("15", "13.5")


def test_quantity_times_price_is_the_cost_to_the_last_digit(
    world: World, database: duckdb.DuckDBPyConnection
) -> None:
    wrong = database.execute(
        """
        SELECT count(*) FROM read_parquet($aws)
        WHERE line_item_line_item_type = 'Usage'
          AND line_item_usage_amount::VARCHAR::DECIMAL(18, 8) * line_item_unblended_rate::DECIMAL(18, 10)
              <> line_item_unblended_cost::VARCHAR::DECIMAL(36, 18)
        UNION ALL
        SELECT count(*) FROM read_csv($azure, all_varchar = true)
        WHERE chargeType = 'Usage'
          AND quantity::DECIMAL(18, 9) * effectivePrice::DECIMAL(18, 9)
              <> costInBillingCurrency::DECIMAL(36, 18)
        UNION ALL
        SELECT count(*) FROM read_parquet($gcp)
        WHERE cost_type = 'regular' AND price IS NOT NULL
          AND usage.amount::VARCHAR::DECIMAL(18, 6) * price.effective_price::DECIMAL(18, 9)
              <> cost::VARCHAR::DECIMAL(36, 15)
        UNION ALL
        SELECT count(*) FROM read_csv($focus, all_varchar = true)
        WHERE PricingQuantity::DECIMAL(18, 9) * ListUnitPrice::DECIMAL(18, 9) <> BilledCost::DECIMAL(36, 18)
        """,
        {
            "aws": _files(world.out / "aws", "*.parquet"),
            "azure": str(world.out / "azure/northlight-mca-actual/*/*/*/*.csv.gz"),
            "gcp": _files(world.out / "gcp", "*.parquet"),
            "focus": _files(world.out / "focus", "*.csv"),
        },
    ).fetchall()
    assert wrong == [(0,)] * 4


def test_a_price_drops_and_another_rises_from_one_month_on(
    world: World, database: duckdb.DuckDBPyConnection
) -> None:
    google = database.execute(
        "SELECT DISTINCT invoice.month, price.effective_price FROM read_parquet($files)"
        " WHERE sku.description = 'Gemini 3 Flash Text Output - Predictions' AND cost_type = 'regular'"
        " ORDER BY ALL",
        {"files": _files(world.out / "gcp", "*.parquet")},
    ).fetchall()
    assert [(month, price.normalize()) for month, price in google] == [
        ("202606", Decimal("0.0000024")),
        ("202607", Decimal("0.0000024")),
        ("202608", Decimal("0.0000024")),
        ("202609", Decimal("0.000003")),
        ("202610", Decimal("0.000003")),
        ("202611", Decimal("0.000003")),
    ]
    amazon = database.execute(
        "SELECT DISTINCT strftime(bill_billing_period_start_date, '%m'), line_item_unblended_rate"
        " FROM read_parquet($files) WHERE line_item_usage_type = 'USE1-MP:USE1_InputTokenCount_Global-Units'"
        " AND product['product_name'] LIKE 'Claude Sonnet 4.6%' AND line_item_line_item_type = 'Usage'"
        " AND strftime(bill_billing_period_start_date, '%m') IN ('06', '07')",
        {"files": _files(world.out / "aws", "*.parquet")},
    ).fetchall()
    assert sorted(amazon) == [("06", "3"), ("07", "2.7")]


def test_aws_files_follow_the_layouts_of_their_manifests(world: World) -> None:
    legacy = sorted((world.out / "aws/northlight-cur").rglob("*-Manifest.json"))
    assert len(legacy) == 4
    for path in legacy:
        manifest = json.loads(path.read_text())
        assert all((world.out / key).is_file() for key in manifest["reportKeys"])
        assert len(manifest["columns"]) == 98
    exports = sorted((world.out / "aws/northlight-cur2").rglob("*-Manifest.json"))
    assert len(exports) == 11
    for path in exports:
        (name,) = json.loads(path.read_text())["dataFiles"]
        assert (world.out / name.removeprefix("s3://northlight-bills/")).is_file()


def test_credits_are_arrays_and_some_rows_have_two(world: World, database: duckdb.DuckDBPyConnection) -> None:
    found = database.execute(
        "SELECT DISTINCT len(credits) FROM read_parquet($files) ORDER BY 1",
        {"files": _files(world.out / "gcp", "*.parquet")},
    ).fetchall()
    assert found == [(0,), (1,), (2,)]


def test_the_invoice_month_of_a_correction_is_not_its_month_of_use(
    world: World, database: duckdb.DuckDBPyConnection
) -> None:
    found = database.execute(
        "SELECT invoice.month, strftime(usage_start_time::TIMESTAMP, '%Y%m'), cost FROM read_parquet($files)"
        " WHERE cost_type = 'adjustment'",
        {"files": _files(world.out / "gcp", "*.parquet")},
    ).fetchall()
    assert found == [("202606", "202605", -6.5)]


def test_every_string_comes_from_a_grammar_of_real_bills() -> None:
    forms = {"aws": AWS_FORMS, "gcp": GCP_FORMS, "azure": AZURE_FORMS}
    for stream in streams().values():
        for sku in stream.skus:
            if "Quillfeather" in sku.text.replace(" ", ""):
                assert stream.model == "unknown"
                continue
            assert sku.unit in UNITS[stream.provider], sku
            if stream.provider in forms:
                assert any(re.fullmatch(form, sku.text) for form in forms[stream.provider]), sku.text


def test_the_classifier_agrees_on_every_sku() -> None:
    classifier = Classifier.load()
    for stream in streams().values():
        if stream.provider == "anthropic":
            continue
        for sku in stream.skus:
            line = Line(
                stream.provider, stream.service, sku.text, sku.unit, stream.region, sku.prices[-1], "USD"
            )
            meaning = classifier.classify(line)
            assert (meaning.model, meaning.token_type) == (stream.model, sku.token_class), sku.text
            assert meaning.tokens_per_unit == (sku.block if sku.counts_tokens else None), sku.text
