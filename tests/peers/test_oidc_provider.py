"""The login of `costweir up` at a provider that others wrote: oidc-provider-mock, on Authlib, a process of its own.

The provider is installed into a temporary environment; OIDC_PROVIDER_HOME names one where it is already installed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

import pytest

PEOPLE = [
    {"sub": "ada", "email": "ada@example.com", "email_verified": True, "groups": ["ops"]},
    {"sub": "otto", "groups": ["others"]},
]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("it did not start")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home, uv = os.environ.get("OIDC_PROVIDER_HOME"), shutil.which("uv") or shutil.which(".tools/bin/uv")
    if home is None and uv is None:
        pytest.skip("needs uv")
    folder = Path(home or tmp_path_factory.mktemp("provider"))
    if home is None:
        subprocess.run([str(uv), "venv", "-q", str(folder), "--allow-existing"], check=True, timeout=100)
        wanted = ["-q", "--python", str(folder / "bin/python"), "oidc-provider-mock>=0.3,<0.4"]
        subprocess.run([str(uv), "pip", "install", *wanted], check=True, timeout=300)
    port = free_port()
    people = [word for person in PEOPLE for word in ("--user-claims", json.dumps(person))]
    with subprocess.Popen(
        [str(folder / "bin/oidc-provider-mock"), "--port", str(port), "--require-nonce", "true", *people],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as provider:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
        provider.terminate()


@pytest.fixture
def site(issuer: str, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    (tmp_path / "costweir.toml").write_text(
        f'[oidc]\nissuer = "{issuer}"\nclient_id = "costweir"\nclient_secret_env = "OIDC_SECRET"\n'
        f'public_url = "{url}"\nroles = {{ ops = "admin" }}\n',
        encoding="utf-8",
    )
    words = ["up", "--web-port", str(port), "--gateway-port", "0", "--mcp-port", "0", "--otlp-port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "costweir", "--data-dir", str(tmp_path), *words],
        env={**os.environ, "OIDC_SECRET": "any"}, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        wait_for(port)
        yield url
        server.send_signal(signal.SIGTERM)
        said = server.communicate(timeout=20)[1]
    assert server.returncode == 0, said
    assert "Traceback" not in said


def logged_in(site: str, person: str) -> tuple[OpenerDirector, int, str]:
    """A browser that went to the pages and chose `person` at the provider: itself, the status and where it ended."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    browser.addheaders = [("Accept", "text/html")]
    with browser.open(f"{site}/settings/health", timeout=20) as page:
        form = Request(page.url, urlencode({"sub": person}).encode())  # the form posts to its own address
    try:
        with browser.open(form, timeout=20) as answer:
            return browser, answer.status, answer.url
    except HTTPError as error:
        with error:
            return browser, error.code, error.read().decode()


def test_somebody_with_a_role_comes_in_and_back_to_the_page(site: str) -> None:
    browser, status, where = logged_in(site, "ada")

    assert (status, where) == (200, f"{site}/settings/health")
    with browser.open(f"{site}/v1/audit", timeout=20) as answer:
        assert answer.status == 200


def test_somebody_without_a_role_does_not(site: str) -> None:
    browser, status, said = logged_in(site, "otto")

    assert status == 403
    assert "otto is known to the login provider and has no role" in said
    with pytest.raises(HTTPError) as refused:
        browser.open(f"{site}/v1/audit", timeout=20)
    assert refused.value.code == 401
    refused.value.close()
