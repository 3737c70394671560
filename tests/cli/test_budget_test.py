"""`costweir budget test`: a real gateway and ledger against a provider with its own bill, in miniature."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from costweir.app import stand, trial
from costweir.cli.budget_test import budget_test
from costweir.cli.frame import run
from costweir.control import Control

FIELDS = {
    "limit_usd", "provider_billed_usd", "settled_usd", "held_usd", "debt_usd", "overspend_usd", "admitted", "blocked",
    "unused_usd", "smallest_hold_usd", "assumptions_broken", "ledger_equals_bill",
}  # fmt: skip


class _Healthy(BaseHTTPRequestHandler):
    """A gateway that says that it is well, and nothing else."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Nothing."""


Try = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def attempt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Try:
    def call(*words: str) -> tuple[int, dict[str, Any], str]:
        small = ["--clients", "40", "--requests", "200", "--limit-usd", "0.10"]
        code = run(budget_test, [*small, "--data-dir", str(tmp_path / "data"), "--json", *words])
        out, err = capfd.readouterr()
        return code, json.loads(out) if out else {}, err

    return call


def test_a_budget_holds_and_nothing_is_left_behind(attempt: Try, tmp_path: Path) -> None:
    code, told, _ = attempt("--seed", "5")
    assert code == 0
    assert set(told) >= FIELDS
    amount = {name: Decimal(value) for name, value in told.items() if name.endswith("_usd")}
    assert amount["overspend_usd"] == 0
    assert amount["provider_billed_usd"] == amount["settled_usd"] > Decimal("0.09")
    assert told["ledger_equals_bill"] is True
    assert told["admitted"] > 0 < told["blocked"]
    assert 0 <= amount["unused_usd"] < amount["smallest_hold_usd"]
    assert told["assumptions_broken"] == []
    assert list((tmp_path / "data").iterdir()) == []


def test_callers_that_leave_and_answers_without_usage_are_charged(attempt: Try) -> None:
    code, told, _ = attempt("--fault", "omits_usage", "--fault", "client_aborts", "--fault", "bills_then_5xx")
    assert code == 0
    assert Decimal(told["provider_billed_usd"]) < Decimal(told["settled_usd"]) <= Decimal(told["limit_usd"])
    assert told["uncertain_attempts"]


def test_a_broken_assumption_is_debt_and_named(attempt: Try) -> None:
    code, told, _ = attempt("--fault", "ignores_max_tokens")
    assert code == 0
    assert told["assumptions_broken"] == ["ignores_max_tokens"]
    assert Decimal(told["debt_usd"]) > 0
    assert Decimal(told["overspend_usd"]) <= Decimal(told["debt_usd"])


def test_a_bill_that_the_ledger_does_not_know_fails(attempt: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand, "billed_rates", lambda: {**stand.RATES, "output": "30.00"})
    code, told, err = attempt()
    assert code == 5
    assert told["ledger_equals_bill"] is False
    assert "Overspent" in err or "Drift" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fault", "omit_usage"], "'omit_usage' is not a fault"),
        (["--limit-usd", "0"], "is not a limit"),
        (["--limit-usd", "nan"], "is not a limit"),
    ],
)
def test_what_makes_no_sense_is_refused(attempt: Try, words: list[str], said: str) -> None:
    code, _, err = attempt(*words)
    assert code == 2
    assert said in err


def test_a_customer_without_a_plan_is_tried_with_a_dollar(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = ["--clients", "5", "--requests", "10", "--data-dir", str(tmp_path), "--json"]
    assert run(budget_test, ["nobody", *small]) == 0
    assert json.loads(capfd.readouterr().out)["limit_usd"] == "1.00"


def test_a_customers_own_plan_is_the_limit(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "costweir.toml"
    config.write_text(
        'plans = [{id = "tier_1", price_usd = "49", budget_usd = "0.04"}]\n'
        'customers = [{id = "acme", plan = "tier_1"}]\n'
    )
    words = [
        "acme",
        "--clients",
        "10",
        "--requests",
        "60",
        "--config",
        str(config),
        "--data-dir",
        str(tmp_path / "d"),
    ]
    assert run(budget_test, [*words, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["limit_usd"] == "0.04"


def test_people_see_a_table_a_refusal_and_one_verdict(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--clients", "20", "--requests", "100", "--limit-usd", "0.05", "--data-dir", str(tmp_path)]
    assert run(budget_test, words) == 0
    out = capfd.readouterr().out
    assert "as the caller sees it: HTTP 402" in out
    assert '"code": "budget_exceeded"' in out
    assert out.splitlines()[-1].startswith("✔ Held: the provider billed $0.0")


RUNNING = """
log_level = "error"
providers = [ { id = "m", kind = "mock" } ]
models = [ { id = "big", provider = "m", context_tokens = 32000, max_output_tokens = 1000 } ]
prices = [ { model = "big", effective = "2026-01-01", input = "3.00", output = "15.00" } ]
"""


def test_a_gateway_that_runs_can_be_tried_and_keeps_nothing_of_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, data = tmp_path / "costweir.toml", tmp_path / "data"
    config.write_text(RUNNING)
    flags = ["--config", str(config), "--data-dir", str(data)]
    ports = [f"--{face}-port=0" for face in ("web", "gateway", "mcp", "otlp")]
    server = subprocess.Popen(
        [sys.executable, "-m", "costweir", *flags, "--quiet", "up", *ports], env={}, stdout=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 30
        while not (data / "server.json").exists() and time.monotonic() < until:
            time.sleep(0.05)
        url = json.loads((data / "server.json").read_text())["gateway"]
        words = [
            "--clients",
            "30",
            "--requests",
            "150",
            "--limit-usd",
            "0.05",
            *flags,
            "--url",
            url,
            "--json",
        ]
        code = run(budget_test, words)
        told = json.loads(capfd.readouterr().out)
        with Control.open(data / "control.db", read_only=True) as control:
            kept = control.budgets(), [key.revoked_at is None for key in control.keys.listed()]
    finally:
        server.terminate()
        server.wait(15)
    assert code == 0
    assert told["ledger_equals_bill"] is True
    assert Decimal(told["overspend_usd"]) == 0 < Decimal(told["provider_billed_usd"])
    assert kept == ([], [False])


def test_a_running_gateway_without_a_mock_provider_is_not_tried(attempt: Try) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, _, err = attempt("--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert code == 2
    assert "a trial would cost money" in err


@pytest.mark.parametrize(("url", "wanted"), [("http://127.0.0.1:9", 3), ("nowhere", 2)])
def test_a_gateway_that_is_not_there_is_not_tried(attempt: Try, url: str, wanted: int) -> None:
    code, _, err = attempt("--url", url)
    assert code == wanted
    assert url in err


def test_more_callers_than_open_files_are_refused_with_the_number_that_fits(
    attempt: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial.resource, "getrlimit", lambda _kind: (256, 1024))
    code, _, err = attempt("--clients", "500")
    assert code == 2
    assert "500 callers need 1,256 open files, and 1,024 are allowed here." in err
    assert "--clients 384" in err
