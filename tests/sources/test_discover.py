"""Which files are read: folders, globs, manifests, runs and object stores."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from costweir.errors import ConfigError, NotFound, SourceRejected, UsageError
from costweir.sources.discover import Discovery, discover

Line = dict[str, str]
Csv = Callable[..., str]

OLD, NEW = "1f0c2d3e-0000-4000-8000-000000000001", "9a8b7c6d-0000-4000-8000-000000000002"


def write(root: Path, name: str, text: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or name)
    return path


def names(found: Discovery, root: Path) -> list[str]:
    return sorted(item.local.relative_to(root).as_posix() for item in found.files)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "bills"
    folder.mkdir()
    return folder


class TestLocal:
    def test_a_folder_is_searched_to_its_bottom_and_litter_is_left_out(self, root: Path, work: Path) -> None:
        for name in (
            "a.csv",
            "deep/er/b.parquet",
            ".hidden/c.csv",
            "_SUCCESS",
            "create-table.sql",
            "README.md",
        ):
            write(root, name)
        assert names(discover([str(root)], work=work), root) == ["a.csv", "deep/er/b.parquet"]

    def test_a_file_that_is_named_is_taken_whatever_it_is_called(self, root: Path, work: Path) -> None:
        path = write(root, ".bill.txt")
        assert names(discover([str(path)], work=work), root) == [".bill.txt"]

    def test_globs_are_expanded(self, root: Path, work: Path) -> None:
        for name in ("x/1.csv", "x/2.csv", "x/3.json"):
            write(root, name)
        assert names(discover([f"{root}/**/*.csv"], work=work), root) == ["x/1.csv", "x/2.csv"]

    def test_the_same_content_counts_once(self, root: Path, work: Path) -> None:
        write(root, "a.csv", "same")
        write(root, "b.csv", "same")
        assert names(discover([str(root), str(root / "a.csv")], work=work), root) == ["a.csv"]

    @pytest.mark.parametrize("text", ["nowhere", "*.none", "ftp://x/y"])
    def test_a_path_that_leads_nowhere_is_a_wrong_request(
        self, work: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        monkeypatch.chdir(work)
        with pytest.raises(UsageError) as caught:
            discover([text], work=work)
        assert caught.value.hint


class TestLegacyManifests:
    MONTH = "pre/report/20261001-20261101"

    def manifest(self, run: str, *parts: str) -> str:
        keys = [f"{self.MONTH}/{run}/{part}" for part in parts]
        return json.dumps({"assemblyId": run, "reportKeys": keys})

    def test_only_the_run_that_the_top_manifest_names_counts(self, root: Path, work: Path) -> None:
        for run in (OLD, NEW):
            write(root, f"{self.MONTH}/{run}/report-1.csv.gz", run)
            write(root, f"{self.MONTH}/{run}/report-Manifest.json", self.manifest(run, "report-1.csv.gz"))
        write(root, f"{self.MONTH}/report-Manifest.json", self.manifest(NEW, "report-1.csv.gz"))

        found = discover([str(root)], work=work)

        assert names(found, root) == [f"{self.MONTH}/{NEW}/report-1.csv.gz"]
        assert found.files[0].bill.run == NEW

    def test_a_second_copy_of_the_manifest_changes_nothing(self, root: Path, work: Path) -> None:
        write(root, f"{self.MONTH}/{NEW}/report-1.csv.gz")
        for place in ("", f"/{NEW}"):
            write(root, f"{self.MONTH}{place}/report-Manifest.json", self.manifest(NEW, "report-1.csv.gz"))
        write(root, f"{self.MONTH}/copy-Manifest.json", self.manifest(NEW, "report-1.csv.gz"))
        assert len(discover([str(root)], work=work).files) == 1

    def test_of_two_runs_without_a_top_manifest_both_go_on_to_where_their_slots_are_known(
        self, root: Path, work: Path
    ) -> None:
        for run in (OLD, NEW):
            write(root, f"{self.MONTH}/{run}/report-1.csv.gz", run)
            write(root, f"{self.MONTH}/{run}/report-Manifest.json", self.manifest(run, "report-1.csv.gz"))

        found = discover([str(root)], work=work)

        assert sorted(item.bill.run for item in found.files) == [OLD, NEW]
        assert found.refused == []

    def test_a_part_that_is_not_there_makes_the_bill_incomplete(self, root: Path, work: Path) -> None:
        write(root, f"{self.MONTH}/{NEW}/report-1.csv.gz")
        write(
            root,
            f"{self.MONTH}/report-Manifest.json",
            self.manifest(NEW, "report-1.csv.gz", "report-2.csv.gz"),
        )

        found = discover([str(root)], work=work)

        assert found.files == []
        assert "The manifest names report-2.csv.gz, which is not there" in found.refused[0][1].message

    def test_months_are_judged_one_by_one(self, root: Path, work: Path) -> None:
        write(root, f"{self.MONTH}/{NEW}/report-1.csv.gz")
        write(root, f"{self.MONTH}/report-Manifest.json", self.manifest(NEW, "report-1.csv.gz"))
        write(root, "pre/report/20260901-20261001/x/report-1.csv.gz")
        assert len(discover([str(root)], work=work).files) == 2

    def test_a_manifest_given_by_itself_brings_the_files_beside_it(self, root: Path, work: Path) -> None:
        write(root, "report-1.csv.gz")
        path = write(root, "report-Manifest.json", self.manifest(NEW, "report-1.csv.gz"))
        assert names(discover([str(path)], work=work), root) == ["report-1.csv.gz"]


class TestDataExports:
    def test_the_manifest_in_the_twin_folder_names_the_run(self, root: Path, work: Path) -> None:
        month = "BILLING_PERIOD=2026-10"
        for run in ("20261020T000000-a", "20261021T000000-b"):
            write(root, f"exp/data/{month}/{run}/exp-00001.snappy.parquet", run)
        key = f"s3://bucket/exp/data/{month}/20261020T000000-a/exp-00001.snappy.parquet"
        write(
            root,
            f"exp/metadata/{month}/exp-Manifest.json",
            json.dumps({"executionId": "a", "dataFiles": [key]}),
        )
        found = discover([str(root)], work=work)
        assert names(found, root) == [f"exp/data/{month}/20261020T000000-a/exp-00001.snappy.parquet"]

    def test_without_a_manifest_the_newest_run_by_its_folder_counts(self, root: Path, work: Path) -> None:
        for run in ("2026-10-20T00:00:00Z-a", "2026-10-21T00:00:00Z-b"):
            write(root, f"exp/data/BILLING_PERIOD=2026-10/{run}/1.parquet", run)
        (only,) = discover([str(root)], work=work).files
        assert "2026-10-21" in str(only.local)

    def test_of_manifests_in_the_folders_of_the_runs_the_newest_counts(self, root: Path, work: Path) -> None:
        month = "BILLING_PERIOD=2026-10"
        for run in ("20261021T000000Z-a", "20261020T000000Z-b"):
            key = f"exp/data/{month}/{run}/1.parquet"
            write(root, key, run)
            text = json.dumps({"executionId": run, "dataFiles": [f"s3://bucket/{key}"]})
            write(root, f"exp/metadata/{month}/{run}/exp-Manifest.json", text)
        (only,) = discover([str(root)], work=work).files
        assert only.bill.run == "20261021T000000Z-a"


def test_an_azure_manifest_gives_its_files_their_run(root: Path, work: Path) -> None:
    folder = "exp/20261001-20261031/202610050000/11111111-2222-4333-8444-555555555555"
    write(root, f"{folder}/part_0_0001.csv")
    manifest = {
        "manifestVersion": "2024-04-01",
        "blobs": [{"blobName": f"{folder}/part_0_0001.csv"}],
        "runInfo": {"runId": "r1", "submittedTime": "2026-10-05T00:01:02.1234567Z"},
    }
    write(root, f"{folder}/manifest.json", json.dumps(manifest))

    (only,) = discover([str(root)], work=work).files

    assert only.bill.run == "r1"
    assert only.bill.run_at is not None
    assert only.bill.run_at.isoformat() == "2026-10-05T00:01:02.123456+00:00"


def test_a_superseded_run_is_not_read_even_when_it_is_broken(
    stager: Any, as_csv: Csv, root: Path, nova: Line
) -> None:
    month = TestLegacyManifests.MONTH
    write(root, f"{month}/{OLD}/report-1.csv", "broken")
    write(root, f"{month}/{NEW}/report-1.csv", as_csv([nova]))
    write(root, f"{month}/report-Manifest.json", TestLegacyManifests().manifest(NEW, "report-1.csv"))
    staged = stager(root)
    assert staged.rejected == ()
    assert staged.slots[0].load.rows_in == 1


def test_an_incomplete_bill_is_not_loaded(stager: Any, as_csv: Csv, root: Path, nova: Line) -> None:
    month = TestLegacyManifests.MONTH
    write(root, f"{month}/{NEW}/report-1.csv", as_csv([nova]))
    write(
        root,
        f"{month}/report-Manifest.json",
        TestLegacyManifests().manifest(NEW, "report-1.csv", "report-2.csv"),
    )
    with pytest.raises(SourceRejected, match=r"report-2\.csv, which is not there"):
        stager(root)


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as listing and reading need."""

    objects: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        key = unquote(url.path).removeprefix("/bucket").lstrip("/")
        query = parse_qs(url.query)
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            found = "".join(
                f"<Contents><Key>{name}</Key><LastModified>2026-10-05T00:00:00.000Z</LastModified>"
                f'<ETag>"x"</ETag><Size>{len(body)}</Size></Contents>'
                for name, body in sorted(self.objects.items())
                if name.startswith(prefix)
            )
            self.answer(
                200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()
            )
        elif key in self.objects:
            self.answer(200, self.objects[key])
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Mon, 05 Oct 2026 00:00:00 GMT")
        self.send_header("ETag", '"x"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    objects: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("MyBucket", (Bucket,), {"objects": objects}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield objects
    server.shutdown()
    server.server_close()
    thread.join()


class TestObjectStores:
    def test_a_prefix_is_fetched_and_staged(
        self, stager: Any, as_csv: Csv, bucket: dict[str, bytes], nova: Line, claude: Line
    ) -> None:
        bucket["cur/part-1.csv"] = as_csv([nova]).encode()
        bucket["cur/part-2.csv"] = as_csv([claude]).encode()
        bucket["other/part-3.csv"] = as_csv([claude, claude]).encode()

        staged = stager("s3://bucket/cur/")

        (slot,) = staged.slots
        assert slot.load.rows_stored == 2
        assert slot.files == ("s3://bucket/cur/part-1.csv", "s3://bucket/cur/part-2.csv")
        assert [step.file for step in stager.progress if step.phase == "fetch"] == list(slot.files)

    def test_a_glob_and_a_single_key_are_fetched(self, bucket: dict[str, bytes], work: Path) -> None:
        bucket |= {"a/1.csv": b"1", "a/2.csv": b"2", "a/3.parquet": b"3"}
        assert len(discover(["s3://bucket/a/*.csv"], work=work).files) == 2
        assert [item.name for item in discover(["s3://bucket/a/3.parquet"], work=work).files] == [
            "s3://bucket/a/3.parquet"
        ]

    @pytest.mark.usefixtures("bucket")
    def test_nothing_there_is_not_found(self, work: Path) -> None:
        with pytest.raises(NotFound, match="Nothing is stored under"):
            discover(["s3://bucket/none/"], work=work)

    def test_without_the_extra_the_install_line_is_the_hint(
        self, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "obstore", None)
        with pytest.raises(ConfigError) as caught:
            discover(["gs://bucket/x"], work=work)
        assert "pip install 'costweir[objects]'" in caught.value.hint
