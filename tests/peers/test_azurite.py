"""The Azure export source against azurite, Microsoft's own emulator of Blob storage.

azurite is installed by npm into a temporary folder; AZURITE_HOME names a folder where it is already installed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.sources.live.azure_exports import Container, halves

from costweir.errors import NotAllowed, NotFound
from costweir.sources.live.azure_export import AzureExport
from costweir.sources.live.source import Window

ACCOUNT = "devstoreaccount1"
#: The key that azurite documents for its one account; it opens nothing else.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
OCTOBER = Window(date(2026, 10, 28), date(2026, 11, 1))


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = Path(os.environ.get("AZURITE_HOME") or tmp_path_factory.mktemp("azurite"))
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs node and npm")
    script = home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not script.exists():
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "azurite"]
        subprocess.run(command, cwd=home, check=True, capture_output=True, timeout=300)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = tmp_path_factory.mktemp("blobs")
    options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--blobHost", "127.0.0.1"]
    with subprocess.Popen(
        [node, str(script), *options, "--blobPort", str(port), "--location", str(data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        wait_for(port)
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        create(endpoint, "billing")
        yield endpoint
        server.terminate()


def wait_for(port: int) -> None:
    for _ in range(100):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("azurite did not start")


def create(endpoint: str, container: str) -> None:
    """Makes a container, signed with the account's key (Shared Key, version 2015-02-21 and later)."""
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    head = f"x-ms-date:{now}\nx-ms-version:2021-08-06"
    signed = "PUT" + "\n" * 12 + f"{head}\n/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
    mac = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": now, "x-ms-version": "2021-08-06", "Authorization": f"SharedKey {ACCOUNT}:{mac}"}
    request = urllib.request.Request(
        f"{endpoint}/{container}?restype=container", headers=headers, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201


def store(endpoint: str) -> Any:
    from obstore.store import AzureStore

    config = {"account_name": ACCOUNT, "account_key": KEY, "container_name": "billing", "endpoint": endpoint}
    return AzureStore(config=config, client_options={"allow_http": True})


def source(endpoint: str, url: str, key: str = KEY) -> AzureExport:
    return AzureExport("azure", url, access_key=key, endpoint=endpoint, today=lambda: date(2026, 11, 5))


def quiet(_text: str, _done: int, _all: int) -> None:
    pass


def test_the_newest_whole_run_is_fetched_byte_by_byte(azurite: str, tmp_path: Path) -> None:
    container = Container(store(azurite))
    container.run({"part_0_0001.csv": b"old"}, export="all/daily", at="2026-10-30T04:00:00")
    newest = container.run(halves(), export="all/daily", at="2026-11-02T04:00:00")
    container.run(halves(), export="all/daily", at="2026-11-03T04:00:00", manifest=False)
    asked = source(azurite, f"az://{ACCOUNT}/billing/all")
    fetched = asked.fetch(OCTOBER, into=tmp_path, report=quiet)
    found = {file.relative_to(tmp_path).as_posix(): file.read_bytes() for file in fetched.files}
    assert found == {f"{newest}/{name}": data for name, data in halves().items()}
    checked = asked.check()
    assert all(finding.ok for finding in checked.findings)
    assert checked.first_day == date(2026, 10, 1)


def test_a_wrong_key_and_a_wrong_container_are_one_sentence(azurite: str, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="may not read"):
        source(azurite, f"az://{ACCOUNT}/billing/x", key="d3Jvbmc=").fetch(
            OCTOBER, into=tmp_path, report=quiet
        )
    with pytest.raises(NotFound, match="There is no"):
        source(azurite, f"az://{ACCOUNT}/nothing/x").fetch(OCTOBER, into=tmp_path, report=quiet)
