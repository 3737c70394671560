"""An export is found from its definition, its newest complete execution is fetched, and two are never mixed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.live.doubles_export import ExportDouble
from tests.sources.live.doubles_http import Reply, Waits, serving

from costweir.errors import ConfigError, NotAllowed, NotFound, SourceRejected, Unreachable
from costweir.sources.live.aws_calls import Aws
from costweir.sources.live.aws_export import S3Export
from costweir.sources.live.source import Window

TODAY = date(2026, 10, 20)
OCTOBER = Window(date(2026, 10, 1), date(2026, 10, 21))
ROOT = "exports/ai-costs/"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret-value")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture
def double() -> ExportDouble:
    double = ExportDouble()
    double.define("carbon", "CARBON_EMISSIONS")
    double.define("ai-costs", "COST_AND_USAGE_REPORT")
    return double


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def source(double: ExportDouble, waits: Waits) -> Iterator[S3Export]:
    with serving(double.answer) as url:
        yield S3Export("aws-main", Aws(endpoint_url=url, retry=waits.policy), today=lambda: TODAY)


def silent(_step: str, _done: int, _total: int) -> None:
    pass


def bill(as_csv: Any, line: dict[str, str], cost: str) -> bytes:
    return gzip.compress(as_csv([line | {"lineItem/UnblendedCost": cost}]).encode())


def test_the_newest_execution_is_fetched_and_read_as_what_it_is(
    source: S3Export, double: ExportDouble, stager: Any, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    double.deliver("2026-10", "20261018T0000-a", ("part-0.csv.gz", bill(as_csv, nova, "1")))
    double.deliver("2026-10", "20261019T0000-b", ("part-0.csv.gz", bill(as_csv, nova, "2")),
            ("part-1.csv.gz", bill(as_csv, nova, "0.5")))  # fmt: skip

    fetched = source.fetch(OCTOBER, into=tmp_path / "export", report=silent)

    assert fetched.reader == "auto"
    assert len(fetched.files) == 3
    staged = stager(*fetched.files)
    assert staged.rejected == [] or staged.rejected == ()
    assert staged.slots[0].load.file_total == Decimal("2.5")
    assert not any("20261018" in key for key in double.got)


def test_an_export_that_is_overwritten_is_fetched(
    source: S3Export, double: ExportDouble, stager: Any, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    double.deliver("2026-10", "", ("ai-costs-00001.csv.gz", bill(as_csv, nova, "3")))

    fetched = source.fetch(OCTOBER, into=tmp_path / "export", report=silent)

    assert stager(*fetched.files).slots[0].load.file_total == 3


def test_a_legacy_report_is_found_and_fetched(
    source: S3Export, double: ExportDouble, stager: Any, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    double.exports.clear()
    double.reports.append({
        "ReportName": "llm-cost-export", "TimeUnit": "DAILY", "Format": "textORcsv", "Compression": "GZIP",
        "AdditionalSchemaElements": ["RESOURCES"], "S3Bucket": double.bucket, "S3Prefix": "cost-reports",
        "S3Region": "us-east-1",
    })  # fmt: skip
    month = "cost-reports/llm-cost-export/20261001-20261101/"
    for run, cost in (("old", "1"), ("new", "4")):
        double.put(f"{month}{run}/llm-cost-export-00001.csv.gz", bill(as_csv, nova, cost))
        manifest = {"assemblyId": run, "reportKeys": [f"{month}{run}/llm-cost-export-00001.csv.gz"]}
        double.put(f"{month}{run}/llm-cost-export-Manifest.json", json.dumps(manifest).encode())
        double.put(f"{month}llm-cost-export-Manifest.json", json.dumps(manifest).encode())

    fetched = source.fetch(OCTOBER, into=tmp_path / "export", report=silent)

    assert stager(*fetched.files).slots[0].load.file_total == 4


def test_a_month_that_was_not_delivered_is_said(
    source: S3Export, double: ExportDouble, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    double.deliver("2026-10", "", ("a.csv.gz", bill(as_csv, nova, "3")))

    fetched = source.fetch(Window(date(2026, 9, 1), date(2026, 10, 21)), into=tmp_path, report=silent)

    assert fetched.notes == ("ai-costs has no delivery for 2026-09.",)
    assert len(fetched.files) == 2


def test_a_delivery_that_changes_meanwhile_is_not_mixed(
    source: S3Export, double: ExportDouble, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    double.deliver(
        "2026-10", "", ("a.csv.gz", bill(as_csv, nova, "3")), ("b.csv.gz", bill(as_csv, nova, "3"))
    )

    def anew(key: str) -> None:
        if key.endswith("b.csv.gz"):
            double.on_get = None
            double.deliver("2026-10", "", ("a.csv.gz", bill(as_csv, nova, "9")))

    double.on_get = anew

    with pytest.raises(Unreachable, match="delivered anew"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_that_is_not_there_yet_means_wait(
    source: S3Export, double: ExportDouble, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    double.deliver("2026-10", "", ("a.csv.gz", bill(as_csv, nova, "3")))
    del double.objects[f"{ROOT}data/BILLING_PERIOD=2026-10/a.csv.gz"]

    with pytest.raises(Unreachable, match=r"a\.csv\.gz is in the manifest .* and not in S3 yet"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)


def test_half_an_object_is_fetched_again_and_never_kept(
    source: S3Export, double: ExportDouble, waits: Waits, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    content = bill(as_csv, nova, "3")
    double.deliver("2026-10", "", ("a.csv.gz", content))
    halves = [2]

    def half(key: str) -> Reply | None:
        if key.endswith("a.csv.gz") and halves[0]:
            halves[0] -= 1
            return Reply(content, cut=len(content) // 2)
        return None

    double.on_get = half

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert fetched.files[1].read_bytes() == content
    assert len(waits.slept) == 2
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    "name",
    ["s3://another-bucket/exports/ai-costs/data/a.csv", "exports/ai-costs/data/../../../../etc/passwd", "/etc/passwd",
     "exports/other/a.csv", "https://example.com/a.csv", "exports/ai-costs/data/..\\a.csv"],
)  # fmt: skip
def test_a_manifest_that_points_elsewhere_is_refused(
    source: S3Export, double: ExportDouble, tmp_path: Path, name: str
) -> None:
    manifest = {"executionId": "x", "dataFiles": [name]}
    double.put(f"{ROOT}metadata/BILLING_PERIOD=2026-10/ai-costs-Manifest.json", json.dumps(manifest).encode())

    with pytest.raises(SourceRejected, match="outside the export"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)


def test_a_manifest_of_another_shape_is_one_sentence(
    source: S3Export, double: ExportDouble, tmp_path: Path
) -> None:
    double.put(f"{ROOT}metadata/BILLING_PERIOD=2026-10/ai-costs-Manifest.json", b'{"files": ["a"]}')

    with pytest.raises(SourceRejected, match="no manifest with files"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)


@pytest.mark.parametrize("cut", [0, 10, 30])
def test_half_a_list_of_exports_is_not_an_empty_one(
    source: S3Export, double: ExportDouble, waits: Waits, tmp_path: Path, cut: int
) -> None:
    """botocore takes JSON that breaks off, and a page of a proxy, for an answer without anything in it."""
    raw = b'{"Exports": [{"ExportArn": "arn", "ExportName": "x"}]}' if cut else b"<html>Sign in</html>"
    double.storm = [Reply(raw, cut=cut), Reply(b'{"Exports": [', cut=0)]

    assert source.check().findings[0].ok
    assert len(waits.slept) == 2


def test_throttling_of_s3_is_waited_out(
    source: S3Export, double: ExportDouble, waits: Waits, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    double.deliver("2026-10", "", ("a.csv.gz", bill(as_csv, nova, "3")))
    double.storm = [Reply(b"<Error><Code>SlowDown</Code></Error>", 503)] * 4

    assert len(source.fetch(OCTOBER, into=tmp_path, report=silent).files) == 2
    assert len(waits.slept) == 4


def test_of_several_exports_one_has_to_be_named(
    source: S3Export, double: ExportDouble, tmp_path: Path
) -> None:
    double.define("focus", "FOCUS_1_2_AWS")

    with pytest.raises(ConfigError, match="There are 2 exports") as refused:
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert refused.value.hint == "Name one of them: ai-costs, focus."
    named = S3Export("aws", source.aws, export="focus", today=lambda: TODAY)
    assert named.fetch(OCTOBER, into=tmp_path, report=silent).files == ()
    with pytest.raises(NotFound, match="no export called nothing"):
        S3Export("aws", source.aws, export="nothing", today=lambda: TODAY).fetch(
            OCTOBER, into=tmp_path, report=silent
        )


def test_one_of_the_two_services_may_be_denied(
    source: S3Export, double: ExportDouble, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    double.deliver("2026-10", "", ("a.csv.gz", bill(as_csv, nova, "3")))
    double.denied = {"DescribeReportDefinitions"}
    assert len(source.fetch(OCTOBER, into=tmp_path, report=silent).files) == 2

    double.denied = {"DescribeReportDefinitions", "ListExports"}
    with pytest.raises(NotAllowed, match="AWS refuses ListExports"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)


def test_many_pages_of_keys_are_listed_to_the_end(
    source: S3Export, double: ExportDouble, as_csv: Any, nova: dict[str, str], tmp_path: Path
) -> None:
    for day in range(10, 19):
        double.deliver("2026-10", f"202610{day}T00-x", ("a.csv.gz", bill(as_csv, nova, str(day))))
    double.page = 2

    source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert all("20261018" in key for key in double.got)


def test_connect_says_where_it_lies_and_which_months_are_there(
    source: S3Export, double: ExportDouble, as_csv: Any, nova: dict[str, str]
) -> None:
    assert [finding.ok for finding in source.check().findings] == [True, False]
    double.deliver("2026-08", "", ("a.csv.gz", bill(as_csv, nova, "3")))
    double.deliver("2026-10", "", ("a.csv.gz", bill(as_csv, nova, "3")))

    checked = source.check()

    assert all(finding.ok for finding in checked.findings)
    assert (checked.first_day, checked.last_day) == (date(2026, 8, 1), TODAY)
    assert "s3://acme-billing/exports/ai-costs/" in checked.findings[0].text
    double.denied = {"ListExports", "DescribeReportDefinitions"}
    assert [finding.ok for finding in source.check().findings] == [False]


def test_the_policy_reads_one_prefix_and_writes_nothing() -> None:
    policy = json.loads(S3Export("aws", bucket="acme-billing", prefix="exports").policy())

    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert actions == {
        "bcm-data-exports:ListExports", "bcm-data-exports:GetExport", "cur:DescribeReportDefinitions",
        "s3:ListBucket", "s3:GetObject",
    }  # fmt: skip
    assert policy["Statement"][2]["Resource"] == "arn:aws:s3:::acme-billing/exports/*"
