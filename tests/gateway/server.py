"""`costweir up` as a process, with the built-in provider, for tests that need the real thing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

PORTS = ("--web-port", "0", "--gateway-port", "0", "--mcp-port", "0", "--otlp-port", "0")
CONFIG = """
providers = [ { id = "local", kind = "mock" } ]
models = [
  { id = "big", provider = "local", context_tokens = 128000, max_output_tokens = 4096 },
  { id = "small", provider = "local", context_tokens = 128000, max_output_tokens = 4096 },
  { id = "clever", provider = "local", context_tokens = 128000, max_output_tokens = 4096 },
]
prices = [
  { model = "big", effective = "2026-01-01", input = "3.00", output = "15.00" },
  { model = "small", effective = "2026-01-01", input = "0.30", output = "1.50" },
  { model = "clever", effective = "2026-01-01", input = "3.00", output = "15.00" },
]
customers = [ { id = "acme" }, { id = "poor" }, { id = "other" } ]
budgets = [
  { id = "acme-day", scope = { customer = "acme" }, limit_usd = "50.00", window = "day" },
  { id = "poor-total", scope = { customer = "poor" }, limit_usd = "0.000001", window = "total" },
]
"""


@dataclass
class Server:
    """A server under way."""

    data_dir: Path
    process: subprocess.Popen[bytes]
    described: dict[str, Any]

    @property
    def gateway(self) -> str:
        return self.described["gateway"]

    def costweir(self, *words: str) -> dict[str, Any]:
        """The JSON answer of a command."""
        done = subprocess.run(
            [sys.executable, "-m", "costweir", "--data-dir", str(self.data_dir), *words, "--json"],
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    def key(self, customer: str, *words: str) -> str:
        """A new key that works."""
        return self.costweir("key", "create", "--customer", customer, *words)["key"]

    def post(self, path: str, body: Mapping[str, Any], key: str) -> tuple[int, dict[str, Any]]:
        """One call."""
        request = Request(
            self.gateway + path, json.dumps(body).encode(), {"authorization": f"Bearer {key}"}, method="POST"
        )
        try:
            with urlopen(request, timeout=20) as reply:
                return reply.status, json.loads(reply.read())
        except OSError as error:
            if not hasattr(error, "code"):
                raise
            return error.code, json.loads(error.read())  # pyright: ignore

    def get(self, face: str, path: str) -> str:
        """A page."""
        with urlopen(self.described[face] + path, timeout=20) as reply:
            return reply.read().decode()

    def calls(self) -> int:
        """How many calls the warehouse holds."""
        rows = json.loads(self.get("web", "/v1/answers/spend?by=model"))["rows"]
        return sum(row["lines"] for row in rows)

    def log(self) -> str:
        """Everything that it said."""
        return (self.data_dir.parent / "server.log").read_text()

    def gateway_pid(self) -> int:
        """The gateway's process."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    words = (folder / "cmdline").read_bytes().split(b"\0")
                    parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                except OSError:
                    continue
                if b"costweir.app.weir.child" in words and int(parent) == self.process.pid:
                    return int(folder.name)
        return 0

    def wait_for(self, met: Callable[[], bool], seconds: float = 10) -> bool:
        """Whether it happens in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if met():
                return True
            time.sleep(0.02)
        return False


def start(folder: Path, config: str = CONFIG, environ: Mapping[str, str] | None = None) -> Server:
    """Starts a server on `folder`."""
    data_dir = folder / "data"
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "costweir.toml").write_text(config)
    told = data_dir / "server.json"
    told.unlink(missing_ok=True)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "costweir", "--data-dir", str(data_dir), "up", *PORTS],
            stdout=log, stderr=log, env={**os.environ, **(environ or {})},
        )  # fmt: skip
    deadline = time.monotonic() + 60
    while not told.exists():
        assert process.poll() is None, (folder / "server.log").read_text()
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
    return Server(data_dir, process, json.loads(told.read_text()))


def stop(server: Server) -> int:
    """Stops it as an operator would; its exit status."""
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(timeout=30)


@contextmanager
def running(folder: Path, config: str = CONFIG, environ: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server for a test."""
    server = start(folder, config, environ)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            stop(server)
