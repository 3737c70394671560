"""The AWS sources against moto's server: Cost Explorer results that were queued, identities, and objects in S3.

moto has no Data Exports and no GetDimensionValues, so those answers come from the doubles of the unit tests.
"""

from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.live.doubles_export import ExportDouble
from tests.sources.live.doubles_http import serving

from costweir.sources.live import aws_ce
from costweir.sources.live.aws_calls import Aws
from costweir.sources.live.aws_ce import CostExplorer, day_totals
from costweir.sources.live.aws_export import S3Export
from costweir.sources.live.source import Window

TODAY = date(2026, 10, 20)
OCTOBER = Window(date(2026, 10, 1), date(2026, 10, 21))
ROOT = "exports/ai-costs/"


@pytest.fixture
def moto() -> Iterator[str]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
                        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent",
                        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)


def silent(_step: str, _done: int, _total: int) -> None:
    pass


def queue(moto: str, *results: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{moto}/moto-api/static/ce/cost-and-usage-results",
        data=json.dumps({"account_id": "123456789012", "results": list(results)}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201


def results(*groups: tuple[str, str, str]) -> dict[str, Any]:
    return {"ResultsByTime": [{
        "TimePeriod": {"Start": "2026-10-02", "End": "2026-10-03"}, "Total": {}, "Estimated": True,
        "Groups": [
            {"Keys": [first, second], "Metrics": {
                "UnblendedCost": {"Amount": cost, "Unit": "USD"}, "NetAmortizedCost": {"Amount": cost, "Unit": "USD"},
                "UsageQuantity": {"Amount": "1500", "Unit": "N/A"}}}
            for first, second, cost in groups
        ],
    }]}  # fmt: skip


def test_queued_cost_explorer_results_are_fetched(
    moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ("Amazon Bedrock", "USE1-NovaLite-input-tokens", "0.0900000001")
    model = ("model$Nova Lite", "USE1-NovaLite-input-tokens", "0.0900000001")
    queue(
        moto,
        results(line),
        results(model),
        results(("model$Nova Lite", "inferenceType$Input tokens", line[2])),
    )
    monkeypatch.setattr(CostExplorer, "_services", lambda *_: (["Amazon Bedrock"], []))
    source = CostExplorer("aws-main", Aws(endpoint_url=moto), today=lambda: TODAY)

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert day_totals(fetched.files) == {date(2026, 10, 2): Decimal("0.0900000001")}
    (row,) = [json.loads(text) for text in fetched.files[0].read_text().splitlines()]
    assert (row["model"], row["ce_account_id"]) == ("Nova Lite", "123456789012")
    assert fetched.request_cost_usd == aws_ce.PAGE_USD * 3


def test_an_export_in_s3_is_fetched_whole(moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = ExportDouble()
    double.define("ai-costs", "COST_AND_USAGE_REPORT")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    client = Aws().client("s3", "eu-west-1")
    client.create_bucket(Bucket=double.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    content = gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)
    for run in ("20261018T0000-a", "20261019T0000-b"):
        folder = f"BILLING_PERIOD=2026-10/{run}/"
        key = f"{ROOT}data/{folder}part-0.csv.gz"
        client.put_object(Bucket=double.bucket, Key=key, Body=content)
        manifest = {"executionId": run, "dataFiles": [f"s3://{double.bucket}/{key}"]}
        client.put_object(
            Bucket=double.bucket,
            Key=f"{ROOT}metadata/{folder}x-Manifest.json",
            Body=json.dumps(manifest).encode(),
        )

    with serving(double.answer) as definitions:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BCM_DATA_EXPORTS", definitions)
        monkeypatch.setenv("AWS_ENDPOINT_URL_COST_AND_USAGE_REPORT_SERVICE", definitions)
        source = S3Export("aws-main", Aws(), today=lambda: TODAY)
        fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)
        checked = source.check()

    assert [file.name for file in fetched.files] == ["x-Manifest.json", "part-0.csv.gz"]
    assert fetched.files[1].read_bytes() == content
    assert all(finding.ok for finding in checked.findings)
    assert checked.first_day == date(2026, 10, 1)
