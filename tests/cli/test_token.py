"""`costweir token` and `costweir audit`, with and without a running server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

UP = ["up", "--web-port", "0", "--gateway-port", "0", "--mcp-port", "0", "--otlp-port", "0"]


def costweir(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "costweir", "--data-dir", str(folder), *words],
        capture_output=True, text=True, timeout=60, env={"HOME": str(folder), "PATH": ""},
    )  # fmt: skip


def shown(folder: Path, *words: str) -> Any:
    done = costweir(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=["alone", "beside a server"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "alone":
        yield tmp_path
        return
    with served(tmp_path):
        yield tmp_path


class served:  # noqa: N801 - used as a context
    """A server on a data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> str:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "costweir", "--data-dir", str(self.folder), "--quiet", *UP]
        )
        deadline = time.monotonic() + 30
        while not (self.folder / "server.json").exists():
            assert self.process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)
        return json.loads((self.folder / "server.json").read_text())["web"]

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)


def asked(url: str, token: str) -> int:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request("GET", "/v1/questions", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_token_is_made_listed_and_revoked(data: Path) -> None:
    made = shown(data, "token", "create", "--scope", "read", "--customer", "acme", "--expires", "30d")
    assert {"id", "token", "prefix", "scope", "customer", "expires_at"} <= made.keys()
    assert (made["schema"], made["scope"], made["customer"]) == ("costweir.token/1", "read", "acme")
    assert made["token"].startswith(made["prefix"])

    [row] = shown(data, "token", "list")["rows"]
    assert row["id"] == made["id"]
    assert "token" not in row
    assert made["token"] not in costweir(data, "token", "list").stdout

    ended = shown(data, "token", "revoke", made["prefix"])
    assert ended["revoked_at"] is not None
    changes = shown(data, "audit", "list")["rows"]
    assert [row["action"] for row in changes] == ["token.revoke", "token.create"]
    assert made["token"] not in json.dumps(changes)
    assert shown(data, "audit", "verify")["ok"] is True


def test_a_wrong_scope_time_or_id_is_one_sentence(data: Path) -> None:
    for code, *words in (
        (2, "create", "--scope", "root"),
        (2, "create", "--expires", "soon"),
        (2, "create", "--scope", "admin", "--customer", "acme"),
        (1, "revoke", "tok_none"),
    ):
        done = costweir(data, "token", *words, "--json")
        assert done.returncode == code, words
        assert json.loads(done.stderr)["error"]["hint"]


def test_a_token_made_before_the_server_started_opens_it_until_it_is_revoked(tmp_path: Path) -> None:
    made = shown(tmp_path, "token", "create")
    with served(tmp_path) as url:
        assert asked(url, made["token"]) == 200
        assert asked(url, made["token"][:-1] + "~") == 401
        shown(tmp_path, "token", "revoke", made["id"])
        assert asked(url, made["token"]) == 401


def test_an_altered_chain_exits_5_and_names_the_row(tmp_path: Path) -> None:
    import sqlite3

    shown(tmp_path, "token", "create")
    shown(tmp_path, "token", "create")
    with sqlite3.connect(tmp_path / "control.db") as connection:
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 1")
    connection.close()

    done = costweir(tmp_path, "audit", "verify", "--json")
    assert done.returncode == 5
    assert json.loads(done.stdout)["broken_at"] == 1
    assert "row 1" in json.loads(done.stderr)["error"]["message"]
