"""The schedule pulls what is due in a process of its own, survives what goes wrong, and ends with the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.sources.live.doubles_http import Asked, Reply, serving
from tests.sources.live.doubles_organisation import KEY, OrganisationDouble, anthropic_cost

from costweir.app.schedule import next_due
from costweir.control import Control
from costweir.control.pulls import PullState, pull_state, remember_pull
from costweir.sources.live.anthropic import COSTS

SIX = timedelta(hours=6)
AT = "2026-11-20T12:00:00.000Z"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
UP = ["up", "--web-port", "0", "--gateway-port", "0", "--mcp-port", "0", "--otlp-port", "0", "--quiet"]


def test_a_source_that_was_never_tried_is_due_at_once() -> None:
    assert next_due(PullState("a"), SIX, NOON) < NOON
    ahead = PullState("a", last_attempt="2030-01-01T00:00:00.000Z", status="ok")
    assert next_due(ahead, SIX, NOON) < NOON


@pytest.mark.parametrize(
    ("state", "wait"),
    [
        (PullState("a", last_attempt=AT, status="ok"), SIX),
        (PullState("a", last_attempt=AT, status="failed", failures=1), SIX),
        (PullState("a", last_attempt=AT, status="failed", failures=1, transient=True), timedelta(minutes=15)),
        (PullState("a", last_attempt=AT, status="failed", failures=3, transient=True), timedelta(minutes=60)),
        (PullState("a", last_attempt=AT, status="failed", failures=99, transient=True), SIX),
        (PullState("a", last_attempt=AT, status="interrupted"), timedelta(seconds=20)),
    ],
)
def test_the_next_pull_is_an_interval_away_and_sooner_after_what_may_pass(
    state: PullState, wait: timedelta
) -> None:
    due = next_due(state, SIX, NOON)
    assert abs(due - NOON - wait) <= wait / 10
    assert next_due(state, SIX, NOON + SIX) == due


def test_sources_do_not_march_in_step() -> None:
    due = {next_due(PullState(f"s{number}", last_attempt=AT, status="ok"), SIX, NOON) for number in range(50)}
    assert len(due) > 40
    assert max(due) - min(due) > timedelta(minutes=30)


class Double:
    """An organisation that may hang, and hooks that arrive."""

    def __init__(self) -> None:
        self.organisation = OrganisationDouble(anthropic=True)
        self.today = datetime.now(UTC).date()
        self.organisation.put(COSTS, self.today.isoformat(),
                              anthropic_cost("Claude Opus 5 Usage - Input Tokens", "125"))  # fmt: skip
        self.hanging = threading.Event()
        self.asked = threading.Event()
        self.hooks: list[dict[str, Any]] = []
        self.slow_hook = 0

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/hook":
            self.hooks.append(json.loads(asked.body))
            time.sleep(self.slow_hook)
            return Reply()
        self.asked.set()
        if self.hanging.is_set():
            time.sleep(30)
        return self.organisation.answer(asked)


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
def url(double: Double) -> Iterator[str]:
    with serving(double.answer) as address:
        yield address
        double.hanging.clear()


@pytest.fixture
def configured(tmp_path: Path, url: str) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "costweir.toml").write_text(
        f'[[sources]]\nid = "claude"\nkind = "anthropic"\nbase_url = "{url}"\n'
        f'[[channels]]\nid = "ops"\nkind = "webhook"\nurl_env = "HOOK"\nsecret_env = "SIGN"\n'
        "[routing]\nquiet_minutes = 0\n",
        encoding="utf-8",
    )
    return folder


def start(folder: Path, url: str, key: str = KEY) -> subprocess.Popen[str]:
    environ = {**os.environ, "ANTHROPIC_ADMIN_KEY": key, "HOOK": f"{url}/hook", "SIGN": "s"}
    return subprocess.Popen(
        [sys.executable, "-m", "costweir", "--data-dir", str(folder), *UP],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def until(what: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def stop(server: subprocess.Popen[str]) -> tuple[float, str]:
    """The seconds that the drain took, and what was on stderr."""
    begun = time.monotonic()
    server.send_signal(signal.SIGTERM)
    said = server.communicate(timeout=20)[1]
    assert server.returncode == 0, said
    return time.monotonic() - begun, said


def state(folder: Path) -> PullState:
    with Control.open(folder / "control.db", read_only=True) as control:
        return pull_state(control, "claude")


def ask(folder: Path, path: str) -> Any:
    web = json.loads((folder / "server.json").read_text())["web"]
    connection = HTTPConnection(urlsplit(web).netloc, timeout=20)
    connection.request("GET", path)
    body = json.loads(connection.getresponse().read())
    connection.close()
    return body


def test_up_pulls_by_itself_and_answers_meanwhile(configured: Path, url: str) -> None:
    server = start(configured, url)
    try:
        until(lambda: (configured / "control.db").exists() and state(configured).status == "ok")
        answer = ask(configured, "/v1/answers/spend")
        runs = ask(configured, "/v1/runs")["rows"]
    finally:
        _, said = stop(server)
    assert answer["total"] == "1.25"
    assert [(run["status"], run["connection"]) for run in runs] == [("loaded", "claude")]
    assert KEY not in said


def test_a_pull_that_fails_is_told_once_and_its_recovery_once(
    configured: Path, double: Double, url: str
) -> None:
    server = start(configured, url, key="sk-wrong")
    try:
        until(lambda: double.hooks)
        assert state(configured).status == "failed"
    finally:
        stop(server)
    with Control.open(configured / "control.db") as control:
        remember_pull(control, PullState("claude", status="failed", failures=1))
    server = start(configured, url)
    try:
        until(lambda: len(double.hooks) >= 2)
    finally:
        _, said = stop(server)
    assert [(hook["event"], hook["state"]) for hook in double.hooks] == [
        ("run_failed", "open"),
        ("source_recovered", "resolved"),
    ]
    assert "sk-wrong" not in json.dumps(double.hooks) + said


def test_a_stop_ends_the_pull_within_the_drain_and_the_next_start_takes_it_up(
    configured: Path, double: Double, url: str
) -> None:
    double.hanging.set()
    server = start(configured, url)
    try:
        assert double.asked.wait(30)
        assert ask(configured, "/v1/status")["empty"] is True
    finally:
        seconds, _ = stop(server)
    assert seconds < 10
    assert state(configured).status in ("interrupted", "running")
    double.hanging.clear()
    done = subprocess.run(
        [sys.executable, "-m", "costweir", "--data-dir", str(configured), "pull", "claude", "--json"],
        env={**os.environ, "ANTHROPIC_ADMIN_KEY": KEY}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["rows"]
    assert (row["status"], row["billed_total"]) == ("loaded", "1.25")


def test_a_source_that_is_added_to_the_file_is_pulled_without_a_restart(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    server = start(folder, url)
    try:
        until((folder / "server.json").exists)
        (folder / "costweir.toml").write_text("[[sources]]\nid = 1\n", encoding="utf-8")
        time.sleep(2.5)
        (folder / "costweir.toml").write_text(
            f'[[sources]]\nid = "claude"\nkind = "anthropic"\nbase_url = "{url}"\n', encoding="utf-8"
        )
        until(lambda: state(folder).status == "ok")
    finally:
        stop(server)


def test_a_channel_that_hangs_does_not_hold_up_the_stop(configured: Path, double: Double, url: str) -> None:
    double.slow_hook = 9
    server = start(configured, url, key="sk-wrong")
    until(lambda: double.hooks)
    seconds, said = stop(server)
    assert seconds < 10
    assert "Traceback" not in said


def test_a_killed_server_leaves_nothing_that_stops_the_next_one(
    configured: Path, double: Double, url: str
) -> None:
    double.hanging.set()
    server = start(configured, url)
    assert double.asked.wait(30)
    server.kill()
    server.communicate(timeout=20)
    double.hanging.clear()
    again = start(configured, url)
    try:
        # The process that pulled ends with the server that was killed, and lets go of the source.
        until(lambda: state(configured).status == "ok", seconds=60)
        assert ask(configured, "/v1/answers/spend")["total"] == "1.25"
    finally:
        stop(again)
