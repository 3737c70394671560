"""A pull of a BigQuery billing export is exactly the invoice months behind it, for a price that was said before."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.live.bigquery_double import (
    DETAILED,
    FOCUS,
    STANDARD,
    BigQueryDouble,
    Row,
    Table,
    of_samples,
    plain,
    serving,
)

pytest.importorskip("google.cloud.bigquery")

from costweir.errors import BudgetExceeded, ConfigError, NotAllowed, NotFound, SourceRejected, Unreachable
from costweir.sources.live.gcp_bigquery import GcpBigQuery
from costweir.sources.live.gcp_client import BigQuery, price, size
from costweir.sources.live.source import Window

SAMPLES = Path(__file__).parents[3] / "samples" / "gcp"
ONE = "shop-prod.billing.gcp_billing_export_v1_01AB2C_34D5E6_789F01"
TWO = "shop-prod.billing.gcp_billing_export_v1_0A0A0A_0B0B0B_0C0C0C"
RESOURCE = "shop-prod.billing.gcp_billing_export_resource_v1_01AB2C_34D5E6_789F01"
VIEW = "shop-prod.billing.gcp_billing_export_focus"
TODAY = date(2026, 11, 20)
OCTOBER = Window(date(2026, 10, 28), date(2026, 11, 1))


def sample(**changed: object) -> list[Row]:
    return [{**row, **changed} for row in of_samples(SAMPLES / "standard_2026-10.jsonl")]


def row_of(month: str, used: str, written: str, cost: float, **changed: object) -> Row:
    base = copy.deepcopy(of_samples(SAMPLES / "standard_2026-10.jsonl")[0])
    return {
        **base,
        "invoice": {"month": month, "publisher_type": "GOOGLE"},
        "usage_start_time": f"{used} 07:00:00 UTC",
        "usage_end_time": f"{used} 08:00:00 UTC",
        "export_time": f"{written} 09:00:00 UTC",
        "cost": cost,
        **changed,
    }


@pytest.fixture
def google() -> Iterator[BigQueryDouble]:
    with serving(BigQueryDouble({ONE: Table(STANDARD, sample())}, page_rows=5)) as double:
        yield double


def source(google: BigQueryDouble, *tables: str, **options: Any) -> GcpBigQuery:
    client = BigQuery(
        "shop-prod",
        options.pop("maximum_bytes", 50 * 10**9),
        base_url=google.url,
        patience=options.pop("patience", timedelta(seconds=3)),
    )
    return GcpBigQuery("gcp-main", tables or (ONE,), client, today=lambda: TODAY, **options)


def quiet(_text: str, _done: int, _all: int) -> None:
    pass


def lines_of(files: Sequence[Path]) -> list[Row]:
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def test_a_pull_is_the_invoice_month_to_the_last_digit(
    google: BigQueryDouble, tmp_path: Path, stager: Any
) -> None:
    fetched = source(google).fetch(OCTOBER, into=tmp_path, report=quiet)
    expected = google.tables[ONE].total("202610")
    assert (fetched.provider_total, fetched.currency, fetched.reader) == (expected, "USD", "gcp-export")
    assert fetched.window == Window(date(2026, 10, 1), date(2026, 11, 1))
    staged = stager(*fetched.files, source=fetched.reader, all_services=True)
    charges = stager.charges(staged)
    assert sum(row["billed_cost"] for row in charges) == expected
    assert not stager.quarantine(staged)
    assert {row["x_period"] for row in charges} == {"2026-10"}


def test_what_is_fetched_reads_as_the_file_that_bq_extract_writes(
    google: BigQueryDouble, tmp_path: Path, stager: Any
) -> None:
    """The same rows as a sample file give the same charges, except for the order of the rows."""
    google.tables[ONE].rows = [row for row in sample() if row["invoice"]["month"] == "202610"]
    file = tmp_path / "sample.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in google.tables[ONE].rows))
    fetched = source(google).fetch(OCTOBER, into=tmp_path / "pulled", report=quiet)
    left, right = (
        stager.charges(stager(*paths, source="gcp-export", all_services=True))
        for paths in ([file], fetched.files)
    )
    ignored = {"x_file", "x_run_id", "x_credits"}
    assert len(left) == len(right) > 10
    for mine, its in zip(*(sorted(rows, key=str_of_charge) for rows in (left, right)), strict=True):
        assert {k: v for k, v in mine.items() if k not in ignored} == {
            k: v for k, v in its.items() if k not in ignored
        }


def str_of_charge(row: Row) -> str:
    return (
        f"{row['sku_id']}{row['charge_period_start']}{row['billed_cost']}{row['sub_account_id']}{row['tags']}"
    )


def test_every_query_is_pruned_capped_and_names_one_table(google: BigQueryDouble, tmp_path: Path) -> None:
    source(google, state={ONE: "2026-10-02T00:00:00+00:00"}).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert len(google.queries) == len(google.dry_runs) == 3
    for query in google.queries:
        assert "_PARTITIONTIME >= @written_since" in query["query"]
        assert query["maximumBytesBilled"] == "50000000000"
        assert f"`{ONE}`" in query["query"]
        assert "*" not in query["query"].replace("COUNT(*)", "")
        assert "_TABLE_SUFFIX" not in query["query"]


def test_amounts_keep_their_digits_and_get_no_binary_tail(google: BigQueryDouble, tmp_path: Path) -> None:
    google.tables[ONE].rows = [
        row_of("202610", "2026-10-05", "2026-10-06", cost)
        for cost in (0.1, 1e-07, 0.30000000000000004, 5.52625)
    ]
    fetched = source(google).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert [line["cost"] for line in lines_of(fetched.files)] == [
        "0.1",
        "1e-07",
        "0.30000000000000004",
        "5.52625",
    ]
    assert all(isinstance(line["labels"], list) for line in lines_of(fetched.files))


def test_a_month_is_read_as_a_whole_with_usage_of_other_months_in_it(
    google: BigQueryDouble, tmp_path: Path
) -> None:
    google.tables[ONE].rows = [
        row_of("202610", "2026-09-30", "2026-10-01", 1.0),
        row_of("202610", "2026-10-20", "2026-11-15", 2.0),
        row_of("202610", "2026-07-01", "2026-10-09", -0.5, cost_type="adjustment"),
        row_of("202611", "2026-10-31", "2026-11-01", 64.0),
    ]
    fetched = source(google).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert fetched.provider_total == Decimal("2.5")
    assert len(lines_of(fetched.files)) == 3


def test_a_second_pull_reads_only_months_with_new_rows_and_those_as_a_whole(
    google: BigQueryDouble, tmp_path: Path
) -> None:
    table = google.tables[ONE]
    table.rows = [
        row_of("202608", "2026-08-03", "2026-08-04", 8.0),
        row_of("202610", "2026-10-03", "2026-10-04", 10.0),
        row_of("202611", "2026-11-03", "2026-11-04", 11.0),
    ]
    first = source(google)
    first.fetch(Window(date(2026, 8, 1), date(2026, 11, 20)), into=tmp_path / "1", report=quiet)
    assert first.state == {ONE: "2026-11-04T09:00:00+00:00"}
    again = source(google, state=first.state)
    nothing = again.fetch(OCTOBER, into=tmp_path / "2", report=quiet)
    assert nothing.files == ()
    assert again.state == first.state
    table.rows.append(row_of("202608", "2026-08-03", "2026-11-12", -1.0))
    late = source(google, state=again.state)
    fetched = late.fetch(Window(date(2026, 11, 10), date(2026, 11, 20)), into=tmp_path / "3", report=quiet)
    assert [line["cost"] for line in lines_of(fetched.files)] == ["8.0", "-1.0"]
    assert fetched.provider_total == Decimal(7)
    assert fetched.window == Window(date(2026, 8, 1), date(2026, 9, 1))
    assert late.state == {ONE: "2026-11-12T09:00:00+00:00"}


def test_reading_a_window_again_keeps_the_place_of_the_next_incremental_pull(
    google: BigQueryDouble, tmp_path: Path
) -> None:
    google.tables[ONE].rows = [
        row_of("202609", "2026-09-03", "2026-11-15", 9.0),
        row_of("202611", "2026-11-03", "2026-11-16", 11.0),
    ]
    state = {ONE: "2026-11-10T00:00:00+00:00"}
    again = source(google, state=state, reread="window")
    fetched = again.fetch(Window(date(2026, 9, 1), date(2026, 10, 1)), into=tmp_path, report=quiet)
    assert fetched.provider_total == Decimal(9)
    assert again.state == state, "November was not read, so its rows are still to come"


def test_rows_that_are_written_while_a_pull_runs_come_with_the_next_one(
    google: BigQueryDouble, tmp_path: Path
) -> None:
    google.tables[ONE].rows = [row_of("202611", "2026-11-03", "2026-11-12", 11.0)]
    google.late = [
        row_of("202610", "2026-10-03", "2026-11-13", 10.0),
        row_of("202611", "2026-11-04", "2026-11-13", 12.0),
    ]
    first = source(google, state={ONE: "2026-11-10T00:00:00+00:00"})
    assert first.fetch(OCTOBER, into=tmp_path / "1", report=quiet).provider_total == 23
    second = source(google, state=first.state)
    assert second.fetch(OCTOBER, into=tmp_path / "2", report=quiet).provider_total == 33
    assert second.state == {ONE: "2026-11-13T09:00:00+00:00"}


def test_a_fetch_that_fails_keeps_its_state(google: BigQueryDouble, tmp_path: Path) -> None:
    google.drop_rows = 1
    asked = source(google)
    with pytest.raises(Unreachable, match=r"counted 13 rows .* gave 12"):
        asked.fetch(OCTOBER, into=tmp_path, report=quiet)
    assert asked.state == {}
    assert not list(tmp_path.iterdir())


def test_two_billing_accounts_are_two_files_and_two_marks(tmp_path: Path, stager: Any) -> None:
    other = [row_of("202610", "2026-10-03", "2026-10-19", 10.0, billing_account_id="0A0A0A-0B0B0B-0C0C0C")]
    tables = {ONE: Table(STANDARD, sample()), TWO: Table(STANDARD, other)}
    with serving(BigQueryDouble(tables)) as google:
        asked = source(google, ONE, TWO)
        fetched = asked.fetch(OCTOBER, into=tmp_path, report=quiet)
    assert len(fetched.files) == len(asked.state) == 2
    assert fetched.provider_total == tables[ONE].total("202610") + 10
    staged = stager(*fetched.files, source="gcp-export", all_services=True)
    assert {slot.load.slot.account for slot in staged.slots} == {
        "01AB2C-34D5E6-789F01",
        "0A0A0A-0B0B0B-0C0C0C",
    }


def test_the_detailed_export_brings_its_resources(tmp_path: Path, stager: Any) -> None:
    rows = sample(resource={"name": "projects/shop-prod/x", "global_name": "//aiplatform.googleapis.com/x"})
    with serving(BigQueryDouble({RESOURCE: Table(DETAILED, rows)})) as google:
        fetched = source(google, RESOURCE).fetch(OCTOBER, into=tmp_path, report=quiet)
    charges = stager.charges(stager(*fetched.files, source=fetched.reader, all_services=True))
    assert {row["resource_id"] for row in charges} == {"//aiplatform.googleapis.com/x"}


def test_a_focus_view_is_read_by_the_focus_reader(tmp_path: Path, stager: Any) -> None:
    rows = of_samples(SAMPLES / "focus_2026-10.jsonl")
    with serving(BigQueryDouble({VIEW: Table(FOCUS, rows, partitioned=False)}, page_rows=4)) as google:
        fetched = source(google, VIEW).fetch(OCTOBER, into=tmp_path, report=quiet)
        expected = google.tables[VIEW].total("202610")
        checked = source(google, VIEW).check()
    assert checked.rows is None, "a view does not say how many rows it has"
    assert checked.findings[0].text == f"{VIEW} is a FOCUS export."
    assert (fetched.reader, fetched.provider_total) == ("focus", expected)
    charges = stager.charges(stager(*fetched.files, source="focus", all_services=True))
    assert sum(row["billed_cost"] for row in charges) == expected
    assert {row["x_provider"] for row in charges} == {"gcp"}
    assert "acme" in {row["x_customer"] for row in charges}


@pytest.mark.parametrize(
    ("path", "told"),
    [("export_time", "export_time"), ("credits", r"credits\.amount"), ("invoice", r"invoice\.month")],
)
def test_a_missing_column_is_named(google: BigQueryDouble, tmp_path: Path, path: str, told: str) -> None:
    table = google.tables[ONE]
    table.schema = [one for one in table.schema if one["name"] != path]
    with pytest.raises(SourceRejected, match=told):
        source(google).fetch(OCTOBER, into=tmp_path, report=quiet)


def test_a_new_column_changes_nothing(google: BigQueryDouble, tmp_path: Path) -> None:
    table = google.tables[ONE]
    table.schema = [*table.schema, plain("something_new")]
    fetched = source(google).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert fetched.provider_total == table.total("202610")


def test_a_query_over_the_limit_is_announced_and_refused_before_it_runs(
    google: BigQueryDouble, tmp_path: Path
) -> None:
    google.tables[ONE].bytes_each = 10**9
    said: list[str] = []
    asked = source(google, maximum_bytes=10**9)
    with pytest.raises(BudgetExceeded, match="would read") as refused:
        asked.fetch(OCTOBER, into=tmp_path, report=lambda text, *_: said.append(text))
    assert not google.queries
    assert "maximum_bytes" in refused.value.hint
    assert any("reads 2.8 GB, at most 0.0160 USD" in text for text in said)


def test_a_query_that_grows_over_the_limit_is_stopped_by_bigquery(
    google: BigQueryDouble, tmp_path: Path
) -> None:
    class Wrong(BigQuery):
        def estimate(self, query: object) -> int:
            return 0

    asked = source(google)
    asked.bigquery = Wrong("shop-prod", 10**9, base_url=google.url)
    google.tables[ONE].bytes_each = 10**9
    with pytest.raises(BudgetExceeded, match="more than this source may read"):
        asked.fetch(OCTOBER, into=tmp_path, report=quiet)


@pytest.mark.parametrize("at", ["jobs", "results", "tables"])
def test_short_trouble_is_waited_out(google: BigQueryDouble, tmp_path: Path, at: str) -> None:
    google.trouble_at = at
    google.trouble = [(429, "rateLimitExceeded"), (503, "backendError"), "half"]
    fetched = source(google).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert not google.trouble
    assert fetched.provider_total == google.tables[ONE].total("202610")


def test_a_query_that_takes_its_time_is_waited_for_and_its_price_is_known(
    google: BigQueryDouble, tmp_path: Path
) -> None:
    google.pending = 2
    google.tables[ONE].bytes_each = 10**10
    fetched = source(google, maximum_bytes=10**12).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert fetched.provider_total == google.tables[ONE].total("202610")
    assert fetched.request_cost_usd == price(28 * 10**9 + 140 * 10**9)


def test_long_trouble_is_transient_and_leaves_no_file(google: BigQueryDouble, tmp_path: Path) -> None:
    google.trouble_at = "results"
    google.trouble = [(503, "backendError")] * 1000
    with pytest.raises(Unreachable):
        source(google, patience=timedelta(seconds=0.5)).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (401, "authError", NotAllowed),
        (403, "accessDenied", NotAllowed),
        (403, "quotaExceeded", Unreachable),
        (404, "notFound", NotFound),
        (400, "invalidQuery", SourceRejected),
    ],
)
def test_each_refusal_has_its_own_error(
    google: BigQueryDouble, tmp_path: Path, status: int, reason: str, error: type[Exception]
) -> None:
    google.trouble = [(status, reason)] * 100
    with pytest.raises(error):
        source(google, patience=timedelta(seconds=0.5)).fetch(OCTOBER, into=tmp_path, report=quiet)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("invalid_grant: Token has been expired or revoked.", "does not accept the credentials"),
        ("invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.",
         "clock of this machine is wrong"),
    ],
)  # fmt: skip
def test_expired_credentials_and_a_wrong_clock_are_one_sentence(
    google: BigQueryDouble, tmp_path: Path, said: str, told: str
) -> None:
    from google.auth.exceptions import RefreshError
    from google.oauth2.credentials import Credentials

    class Expired(Credentials):
        def refresh(self, request: object) -> None:
            raise RefreshError(said)

    asked = source(google)
    asked.bigquery.credentials = Expired(None)
    with pytest.raises(NotAllowed, match=told):
        asked.fetch(OCTOBER, into=tmp_path, report=quiet)


def test_a_fetch_that_is_killed_leaves_no_file_with_a_bills_name(
    google: BigQueryDouble, tmp_path: Path
) -> None:
    def report(text: str, done: int, _all: int) -> None:
        if text.startswith("reading") and done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source(google).fetch(OCTOBER, into=tmp_path, report=report)
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_wildcard_is_no_table() -> None:
    with pytest.raises(ConfigError, match="wildcard"):
        GcpBigQuery("g", ("p-p.d.gcp_billing_export_v1_*",), BigQuery("p-p", 1)).policy()
    for wrong in ("table", "p-p.d", "p-p.d.t` WHERE 1=1 --", ""):
        with pytest.raises(ConfigError, match="not a table"):
            GcpBigQuery("g", (wrong,), BigQuery("p-p", 1)).policy()


def test_check_reads_metadata_and_little_else(google: BigQueryDouble) -> None:
    checked = source(google).check()
    assert all(finding.ok for finding in checked.findings)
    assert (checked.rows, checked.first_day, checked.last_day) == (14, date(2026, 10, 1), date(2026, 10, 31))
    assert [query["query"].partition(" FROM")[0] for query in google.queries] == [
        "SELECT MIN(DATE(usage_start_time)) AS first, MAX(DATE(usage_start_time)) AS last"
    ]


def test_check_never_raises_for_a_finding(google: BigQueryDouble) -> None:
    checked = source(google, ONE, TWO, "nonsense").check()
    assert [finding.ok for finding in checked.findings] == [True, False, False]
    assert "There is no" in checked.findings[1].text


def test_the_policy_names_two_roles_and_each_dataset_once(google: BigQueryDouble) -> None:
    policy = source(google, ONE, TWO).policy()
    assert policy.count("roles/bigquery.jobUser") == 1
    assert policy.count("ON SCHEMA `shop-prod.billing`") == 1
    assert "{" not in policy
    assert source(google).usual_lag == timedelta(hours=24)


def test_sizes_and_prices_are_those_of_bigquerys_own_pages() -> None:
    assert price(1 << 40) == Decimal("6.25")
    assert price(0) == 0
    assert (size(0), size(999), size(12_345), size(50 * 10**9)) == (
        "0 bytes",
        "999 bytes",
        "12.3 kB",
        "50 GB",
    )


def test_times_are_utc(google: BigQueryDouble, tmp_path: Path) -> None:
    fetched = source(google).fetch(OCTOBER, into=tmp_path, report=quiet)
    first = lines_of(fetched.files)[0]
    assert datetime.fromisoformat(first["usage_start_time"]) == datetime(2026, 10, 1, 7, tzinfo=UTC)
