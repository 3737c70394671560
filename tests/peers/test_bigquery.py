"""The whole program pulls from BigQuery's REST interface by Google's own client, and is killed on the way.

The interface is the double of the unit tests: no emulator of BigQuery checks partition filters or byte limits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.live.bigquery_double import STANDARD, BigQueryDouble, Table, of_samples, serving

pytest.importorskip("google.cloud.bigquery")

SAMPLE = Path(__file__).parents[2] / "samples" / "gcp" / "standard_2026-10.jsonl"
TABLE = "shop-prod.billing.gcp_billing_export_v1_01AB2C_34D5E6_789F01"
CONFIG = """
[[sources]]
id = "gcp-main"
kind = "gcp-bigquery"
tables = ["{table}"]
base_url = "{url}"
all_services = true
"""


@pytest.fixture
def google() -> Iterator[BigQueryDouble]:
    with serving(BigQueryDouble({TABLE: Table(STANDARD, of_samples(SAMPLE))}, page_rows=2)) as double:
        yield double


@pytest.fixture
def alone() -> Iterator[str]:
    """The double as a process of its own; gives its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.sources.live.bigquery_double", TABLE, str(SAMPLE)],
        cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate(timeout=10)


def client_of(url: str) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    return bigquery.Client("shop-prod", AnonymousCredentials(), client_options={"api_endpoint": url})


def test_the_interface_is_one_that_googles_client_accepts(alone: str) -> None:
    """What the double says has to mean to Google's own classes what the real service's answers mean."""
    from google.api_core.exceptions import BadRequest, InternalServerError, NotFound
    from google.cloud import bigquery

    with client_of(alone) as client:
        table = client.get_table(TABLE)
        assert table.time_partitioning.type_ == "DAY"
        assert {field.name for field in table.schema} > {"cost", "credits", "export_time"}
        sql = f"SELECT cost FROM `{TABLE}` WHERE _PARTITIONTIME >= @written_since AND export_time <= @newest"
        values = [
            bigquery.ScalarQueryParameter("written_since", "TIMESTAMP", "2026-10-01T00:00:00+00:00"),
            bigquery.ScalarQueryParameter("newest", "TIMESTAMP", "2026-12-01T00:00:00+00:00"),
            bigquery.ArrayQueryParameter("months", "STRING", ["202610"]),
        ]

        def config(**options: Any) -> Any:
            return bigquery.QueryJobConfig(query_parameters=values, use_legacy_sql=False, **options)

        dry = client.query(sql, config(dry_run=True))
        assert (dry.state, dry.total_bytes_processed > 0) == ("DONE", True)
        job = client.query(sql, config(maximum_bytes_billed=10**9))
        rows = list(job.result(page_size=3))
        assert len(rows) == sum(row["invoice"]["month"] == "202610" for row in of_samples(SAMPLE)) > 5
        assert job.total_bytes_billed >= 10_485_760
        # The client knows no class for this reason and calls it an error of the server.
        with pytest.raises(InternalServerError, match="bytes billed") as limited:
            client.query(sql, config(maximum_bytes_billed=1)).result()
        assert limited.value.errors[0]["reason"] == "bytesBilledLimitExceeded"
        with pytest.raises(BadRequest, match="partition filter"):
            client.query(sql.replace("_PARTITIONTIME", "1"), config(maximum_bytes_billed=10**9)).result()
        with pytest.raises(NotFound):
            client.get_table("shop-prod.billing.nothing")


def test_the_program_pulls_from_a_process_that_is_not_its_own(alone: str, tmp_path: Path) -> None:
    (row,) = Program(tmp_path / "one", alone).pull()["rows"]
    total = Table(STANDARD, of_samples(SAMPLE)).total("202610")
    assert Decimal(row["billed_total"]) == pytest.approx(total, abs=Decimal("1e-9"))


class Program:
    """`costweir` in a process of its own, with a store of its own."""

    def __init__(self, home: Path, url: str) -> None:
        home.mkdir()
        (home / "costweir.toml").write_text(CONFIG.format(table=TABLE, url=url))
        names = ("PATH", "LANG")
        self.environ = {name: os.environ[name] for name in names if name in os.environ}
        self.environ |= {"HOME": str(home), "COSTWEIR_CONFIG": str(home / "costweir.toml"),
                         "COSTWEIR_DATA_DIR": str(home / "data")}  # fmt: skip
        self.home = home

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "costweir", *words, "--json"],
            env=self.environ, cwd=self.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str) -> tuple[int, Mapping[str, Any], str]:
        with self.start(*words) as process:
            out, err = process.communicate(timeout=100)
        return process.returncode, json.loads(out) if out else {}, err

    def pull(self) -> Mapping[str, Any]:
        code, found, err = self.run("pull", "gcp-main", "--since", "2026-10-01", "--until", "2026-11-01")
        assert code == 0, err
        return found

    def spend(self) -> list[Mapping[str, Any]]:
        _, found, err = self.run(
            "ask", "spend", "--since", "2026-10-01", "--until", "2026-11-01", "--by", "model"
        )
        assert found, err
        return found["rows"]


def test_a_pull_by_the_command_line_is_the_bill(google: BigQueryDouble, tmp_path: Path) -> None:
    program = Program(tmp_path / "one", google.url)
    (row,) = program.pull()["rows"]
    assert Decimal(row["billed_total"]) == pytest.approx(
        google.tables[TABLE].total("202610"), abs=Decimal("1e-9")
    )
    assert (row["source"], row["account"], row["period"]) == ("gcp-export", "01AB2C-34D5E6-789F01", "2026-10")


def test_a_pull_that_is_killed_anywhere_ends_as_one_that_was_not(
    google: BigQueryDouble, tmp_path: Path
) -> None:
    clean = Program(tmp_path / "clean", google.url)
    clean.pull()
    killed = Program(tmp_path / "killed", google.url)
    google.slow = 0.1
    requests = len(google.requests) // 2
    for stop_at in (1, 3, requests // 2, requests - 1):
        seen = len(google.requests)
        with killed.start("pull", "gcp-main", "--since", "2026-10-01", "--until", "2026-11-01") as process:
            until = time.monotonic() + 60
            while (
                len(google.requests) < seen + stop_at and process.poll() is None and time.monotonic() < until
            ):
                time.sleep(0.005)
            process.kill()
            process.communicate()
    google.slow = 0
    killed.pull()
    assert killed.spend() == clean.spend()
