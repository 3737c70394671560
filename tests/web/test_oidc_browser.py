"""The login with everything real: `costweir up`, a provider in a process of its own, and Chromium between them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Site:
    url: str
    issuer: str
    folder: Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    provider = subprocess.Popen(
        [sys.executable, "-m", "tests.web.oidc_provider", f"{url}/oidc/callback"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert provider.stdout is not None
    issuer = provider.stdout.readline().strip()
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "costweir.toml").write_text(
        f'[oidc]\nissuer = "{issuer}"\nclient_id = "costweir"\nclient_secret_env = "OIDC_SECRET"\n'
        f'public_url = "{url}"\nroles = {{ ops = "admin", all = "viewer" }}\n',
        encoding="utf-8",
    )
    words = [
        "up",
        "--web-port",
        url.rpartition(":")[2],
        "--gateway-port",
        "0",
        "--mcp-port",
        "0",
        "--otlp-port",
        "0",
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "costweir", "--data-dir", str(folder), *words],
        env={**os.environ, "OIDC_SECRET": "s3cret"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (folder / "server.json").exists():
        assert server.poll() is None, server.communicate()
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.05)
    yield Site(url, issuer, folder)
    server.send_signal(signal.SIGTERM)
    said = server.communicate(timeout=20)[1]
    provider.communicate(timeout=20)
    assert f"People log in at {url}" in said
    assert "s3cret" not in said
    assert "Traceback" not in said


def test_somebody_logs_in_looks_around_and_leaves(site: Site, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)

    page.goto(f"{site.url}/settings/health?x=1")
    assert page.url.startswith(f"{site.issuer}/authorize")
    page.click("#vera")
    assert page.url == f"{site.url}/settings/health?x=1"
    assert page.locator(".visitor").inner_text().split("\n")[0].startswith("Vera Viewer")
    assert problems == []

    page.click(".visitor button")
    assert page.url == f"{site.url}/oidc/out"
    assert page.locator("h1").inner_text() == "Logged out"
    page.click("text=Log in")
    page.click("#otto")
    assert page.locator("[role=alert]").inner_text().startswith("otto is known to the login provider")
    page.click("text=Log in")
    page.click("#ada")
    assert page.url == f"{site.url}/"
    names = {cookie["name"]: cookie for cookie in context.cookies() if cookie.get("domain") == "127.0.0.1"}
    assert names["costweir_login"]["httpOnly"]
    assert names["costweir_login"]["sameSite"] == "Lax"
    assert "costweir_login" not in page.evaluate("document.cookie")
    context.close()


def test_the_command_line_and_tokens_are_not_asked_to_log_in(site: Site) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "costweir", "--data-dir", str(site.folder), "questions", "--json"],
        capture_output=True, text=True, timeout=60, env={**os.environ, "OIDC_SECRET": "s3cret"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"]
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{site.url}/v1/questions", timeout=20)
    assert refused.value.code == 401
    refused.value.close()
    made = subprocess.run(
        [sys.executable, "-m", "costweir", "--data-dir", str(site.folder), "token", "create", "--json"],
        capture_output=True, text=True, timeout=60, env={**os.environ, "OIDC_SECRET": "s3cret"},
    )  # fmt: skip
    token = json.loads(made.stdout)["token"]
    asked = Request(f"{site.url}/v1/questions", headers={"Authorization": f"Bearer {token}"})
    with urlopen(asked, timeout=20) as answer:
        assert answer.status == 200


def test_a_secret_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "costweir.toml").write_text(
        '[oidc]\nissuer = "https://id.example.com"\nclient_id = "c"\nclient_secret_env = "NO_SUCH_SECRET"\n'
        'public_url = "https://costs.example.com"\ndefault_role = "viewer"\n',
        encoding="utf-8",
    )
    words = ["up", "--web-port", "0", "--gateway-port", "0", "--mcp-port", "0", "--otlp-port", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "costweir", "--data-dir", str(tmp_path), *words],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "NO_SUCH_SECRET, which is not set" in done.stderr
