"""The whole program with real bills: demo, up, and every command through the server and without it."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from costweir import demo
from costweir.cli.commands import root
from costweir.cli.frame import run

#: One worker, because loading the sample world is the long part; and more time than a single question gets.
pytestmark = [pytest.mark.xdist_group("sample-world"), pytest.mark.timeout(400)]

FREE = ["--web-port", "0", "--gateway-port", "0", "--mcp-port", "0", "--otlp-port", "0"]


WRITE_WORLD = demo.write_world


def small_world(out: Path, *, seed: int) -> demo.World:
    world = WRITE_WORLD(out, seed=seed, scale=0.01)
    return replace(world, pull_paths=world.pull_paths[2:4])


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as `costweir demo` leaves it, with a hundredth of the lines and the bills of two clouds."""
    data = tmp_path_factory.mktemp("sample") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "write_world", small_world)
        patch.setenv("COSTWEIR_DATA_DIR", str(data))
        assert run(root, ["demo", "--no-serve", "--quiet"]) == 0
    return data


@pytest.fixture
def sample(home: Path, loaded: Path) -> Path:
    """This test's own copy of the loaded sample world."""
    return Path(shutil.copytree(loaded, home / "data"))


def start(data: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "costweir", "up", *FREE, "--data-dir", str(data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not (data / "server.json").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.fixture
def server(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(home / "data")
    with process:
        yield process
        process.kill()


def test_the_demo_is_loaded_by_the_users_own_readers_and_adds_up(cli: Cli, sample: Path) -> None:
    runs = cli("runs", "--json", "--limit", "1000").json["rows"]

    assert {run["status"] for run in runs} == {"loaded"}
    for row in runs:
        assert row["rows_in"] == row["rows_stored"] + row["rows_skipped"] + row["rows_quarantined"]
    total = cli("ask", "spend", "--json").json["total"]
    assert Decimal(total) > 0
    for dimension in ("customer", "provider", "model", "day"):
        answer = cli("ask", "spend", "--by", dimension, "--limit", "3", "--json").json
        parts = sum(Decimal(row["billed_cost"]) for row in answer["rows"]) + Decimal(answer["other"])
        assert parts == Decimal(answer["total"]) == Decimal(total)
    assert len(cli("ask", "margin", "--json").json["rows"]) > 0
    assert cli("doctor").code == 0


def test_pulling_the_same_bills_again_changes_nothing(cli: Cli, sample: Path) -> None:
    before = cli("ask", "spend", "--by", "month", "--json").json["rows"]

    done = cli("pull", "files", str(sample / "sample-bills/focus"), "--json")

    assert done.code == 0
    assert {row["status"] for row in done.json["rows"]} == {"unchanged"}
    assert cli("ask", "spend", "--by", "month", "--json").json["rows"] == before


def test_a_dry_run_stores_nothing(cli: Cli, home: Path, loaded: Path) -> None:
    done = cli("pull", "files", str(loaded / "sample-bills/focus"), "--dry-run", "--json")

    assert done.code == 0
    assert {row["status"] for row in done.json["rows"]} == {"loaded"}
    assert done.json["dry_run"] is True
    assert cli("runs", "--json").json["rows"] == []
    assert cli("ask", "spend", "--json").json["total"] == "0.00"


def test_the_demo_never_mixes_with_bills_of_your_own(cli: Cli, home: Path, loaded: Path) -> None:
    assert cli("pull", "files", str(loaded / "sample-bills/focus")).code == 0

    done = cli("demo", "--no-serve", "--json")

    assert done.code == 1
    assert done.error["code"] == "conflict"
    assert "--data-dir" in done.error["hint"]
    assert not (home / "data/sample-bills").exists()
    assert not (home / "data/costweir.toml").exists()


def test_a_file_that_is_no_bill_fails_and_the_others_are_loaded(cli: Cli, home: Path, loaded: Path) -> None:
    bad = home / "notes.csv"
    bad.write_text("a,b\n1,2\n")

    done = cli("pull", "files", str(loaded / "sample-bills/focus"), str(bad), "--json")

    assert done.code == 1
    statuses = [row["status"] for row in done.json["rows"]]
    assert statuses.count("failed") == 1
    assert statuses.count("loaded") == len(statuses) - 1 > 0
    assert "notes.csv" in done.error["message"]
    alone = cli("pull", "files", str(bad), "--json")
    assert alone.code == 1
    assert alone.error["code"] == "source_rejected"


def test_the_server_writes_what_the_contract_says_and_drains_on_sigterm(
    home: Path, server: subprocess.Popen[str]
) -> None:
    described = json.loads((home / "data/server.json").read_text())

    assert {"pid", "version", "web", "gateway", "mcp", "otlp", "admin_token_file"} <= described.keys()
    assert described["pid"] == server.pid
    assert stat.S_IMODE(Path(described["admin_token_file"]).stat().st_mode) == 0o600
    for name in ("web", "gateway", "mcp", "otlp"):
        with urllib.request.urlopen(described[name] + "/health") as reply:
            assert reply.status == 200
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=12) == 0
    assert not (home / "data/server.json").exists()


def test_a_second_server_on_one_data_directory_exits_1(cli: Cli, server: subprocess.Popen[str]) -> None:
    done = cli("up", *FREE, "--json")

    assert done.code == 1
    assert done.error["code"] == "conflict"


def test_commands_answer_the_same_through_the_server_and_without_it(cli: Cli, sample: Path) -> None:
    asked = (
        ["ask", "spend", "--by", "model", "--limit", "3", "--json"],
        ["ask", "spend", "--where", "customer=untagged", "--since", "2026-01-01", "--json"],
        ["runs", "--json", "--limit", "5"],
        ["questions", "--json"],
        ["quarantine", "--json"],
    )
    alone = [cli(*words).json for words in asked]
    with start(sample) as process:
        together = [cli(*words).json for words in asked]
        again = cli("pull", "files", str(sample / "sample-bills/focus"), "--json")
        health = {row["check"]: row for row in cli("doctor", "--json").json["rows"]}
        process.terminate()

    assert together == alone
    assert process.returncode == 0
    assert "runs at http://127.0.0.1" in health["server"]["detail"]
    assert again.code == 0
    assert {row["status"] for row in again.json["rows"]} == {"unchanged"}


def test_charges_leave_as_a_focus_file(cli: Cli, home: Path, sample: Path) -> None:
    out = home / "focus.csv"

    done = cli("export", "focus", "--out", str(out), "--json")

    assert done.code == 0
    assert done.json["bytes"] == out.stat().st_size > 0
    checked = cli("export", "validate", str(out), "--json")
    assert checked.code == 0, checked.err
    assert checked.json["ok"] is True
    assert checked.json["file_rows"] > 0


def test_a_file_that_breaks_a_rule_of_focus_exits_5(cli: Cli, home: Path) -> None:
    out = home / "bad.csv"
    out.write_text("BilledCost,BillingCurrency\nten,USD\n")

    done = cli("export", "validate", str(out), "--json")

    assert done.code == 5
    assert done.error["code"] == "check_failed"
    assert done.json["rows"][0]["level"] == "must"
