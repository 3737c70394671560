"""The server as a stranger meets it: a real process, real ports, real signals."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

UP = ["up", "--web-port", "0", "--gateway-port", "0", "--mcp-port", "0", "--otlp-port", "0"]


@dataclass
class Running:
    process: subprocess.Popen[str]
    data_dir: Path
    described: dict[str, Any]

    def get(self, face: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        return fetch(self.described[face], path, headers)


def fetch(url: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request("GET", path, headers=headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def costweir(data_dir: Path, *args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "costweir", "--data-dir", str(data_dir), *args],
        capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def start(data_dir: Path, *extra: str) -> Running:
    process = subprocess.Popen(
        [sys.executable, "-m", "costweir", "--data-dir", str(data_dir), *UP, *extra],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    path = data_dir / "server.json"
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the server did not start: {process.communicate()}")
        time.sleep(0.02)
    return Running(process, data_dir, json.loads(path.read_text()))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    running = start(tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.terminate()
    running.process.communicate(timeout=20)


def test_server_json_names_every_face_and_a_private_token_file(server: Running) -> None:
    assert set(server.described) >= {"pid", "version", "web", "gateway", "mcp", "otlp", "admin_token_file"}
    assert server.described["pid"] == server.process.pid
    mode = Path(server.described["admin_token_file"]).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("face", ["web", "gateway", "mcp", "otlp"])
def test_every_port_says_that_it_is_alive_and_whether_it_is_ready(server: Running, face: str) -> None:
    assert server.get(face, "/health")[0] == 200
    assert server.get(face, "/ready")[0] in (200, 503)


def test_web_is_ready_and_has_metrics(server: Running) -> None:
    assert server.get("web", "/ready")[0] == 200
    status, text = server.get("web", "/metrics")
    assert status == 200
    assert "costweir_build_info" in text


def test_a_second_server_on_the_same_data_directory_exits_1(server: Running) -> None:
    second = costweir(server.data_dir, *UP)
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert server.get("web", "/health")[0] == 200


def test_sigterm_drains_and_exits_0_and_leaves_no_server_file(server: Running) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=12) == 0
    assert not (server.data_dir / "server.json").exists()


def test_commands_go_through_the_running_server(server: Running) -> None:
    reply = costweir(server.data_dir, "questions", "--json")
    assert reply.returncode == 0, reply.stderr
    ids = {row["id"] for row in json.loads(reply.stdout)["rows"]}
    assert ids >= {
        "spend", "tokens", "unit_cost", "customers", "sessions", "budgets", "margin", "reconcile", "data_health",
    }  # fmt: skip
    answer = costweir(server.data_dir, "ask", "spend", "--json")
    assert answer.returncode == 0, answer.stderr
    through_api = json.loads(server.get("web", "/v1/answers/spend")[1])
    assert json.loads(answer.stdout) == through_api


def test_a_server_file_left_by_a_killed_server_counts_as_none(tmp_path: Path) -> None:
    running = start(tmp_path)
    running.process.kill()
    running.process.communicate(timeout=20)
    assert (tmp_path / "server.json").exists()
    reply = costweir(tmp_path, "questions", "--json")
    assert reply.returncode == 0, reply.stderr
    again = start(tmp_path)
    again.process.terminate()
    again.process.communicate(timeout=20)


def test_a_foreign_host_name_is_refused(server: Running) -> None:
    assert server.get("web", "/", {"Host": "evil.example"})[0] == 421


def test_unknown_question_is_a_problem_document_with_a_hint(server: Running) -> None:
    status, text = server.get("web", "/v1/answers/spent")
    body = json.loads(text)
    assert status == 400
    assert body["code"] == "usage"
    assert "spend" in body["hint"] + body["detail"]


def test_loading_over_the_api_needs_the_admin_token(server: Running) -> None:
    connection = HTTPConnection(urlsplit(server.described["web"]).netloc, timeout=20)
    connection.request("POST", "/v1/loads", body=b"{}", headers={"Content-Type": "application/json"})
    reply = connection.getresponse()
    assert reply.status == 401
    connection.close()


def test_another_address_than_loopback_needs_a_login(tmp_path: Path) -> None:
    running = start(tmp_path, "--host", "0.0.0.0")
    try:
        port = urlsplit(running.described["web"]).port
        local = f"http://127.0.0.1:{port}"
        assert fetch(local, "/")[0] == 401
        assert fetch(local, "/health")[0] == 200
        token = Path(running.described["admin_token_file"]).read_text().strip()
        assert fetch(local, "/v1/questions", {"Authorization": f"Bearer {token}"})[0] == 200
    finally:
        running.process.terminate()
        out, err = running.process.communicate(timeout=20)
    assert token not in out + err
