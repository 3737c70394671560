"""A server for a few seconds: the real one, started on a temporary folder with a configuration of its own.

Its ledger is read from disk as any other process reads it, and nothing of it is left behind.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from costweir.config.writing import toml_row
from costweir.control import Control
from costweir.control.keys import KeyWish
from costweir.errors import Unreachable
from costweir.guard.ledgers.reader import LedgerReader

#: A table of the configuration file and its rows.
Tables = Sequence[tuple[str, Mapping[str, object]]]
LEDGER_FILE, CONTROL_FILE = "ledger.db", "control.db"
_START_PATIENCE = 30.0
_STOP_PATIENCE = 15.0
_STEP = 0.02
_PORTS = ("--web-port", "--gateway-port", "--mcp-port", "--otlp-port")


@dataclass(slots=True)
class ThrowAway:
    """The running server: where its gateway answers, and how it is asked."""

    folder: Path
    process: subprocess.Popen[bytes]
    key: str
    """A key of the gateway for the customer that was asked for."""
    gateway: str = ""

    @contextmanager
    def ledger(self) -> Generator[LedgerReader]:
        """The ledger as it is on disk."""
        with LedgerReader(self.folder / LEDGER_FILE) as reader:
            yield reader

    @property
    def log(self) -> Path:
        """Where the server writes what it has to say."""
        return self.folder / "server.log"

    async def until_ready(self) -> None:
        """Waits until the server says where it answers. Unreachable when it ends or takes too long."""
        told, deadline = self.folder / "server.json", monotonic() + _START_PATIENCE
        while monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError, ValueError):
                self.gateway = json.loads(told.read_text(encoding="utf-8"))["gateway"]
                return
            await asyncio.sleep(_STEP)
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said = [line for line in lines if not line.startswith("hint:")]
        raise Unreachable(
            "The throw-away server did not start" + (f": {said[-1]}" if said else "."),
            hint="Try `costweir doctor`.",
        )


@asynccontextmanager
async def throw_away(
    inside: Path, head: Mapping[str, object], tables: Tables, *, customer: str
) -> AsyncGenerator[ThrowAway]:
    """Starts a server on a temporary folder in `inside` with the configuration given; ends and removes it after."""
    inside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=inside, prefix="budget-test-") as name:
        folder = Path(name)
        rows = [toml_row(table, row) for table, row in tables]
        plain = [f"{key} = {json.dumps(value)}\n" for key, value in head.items()]
        (folder / "costweir.toml").write_text("".join(plain) + "\n".join(rows), encoding="utf-8")
        with Control.open(folder / CONTROL_FILE) as control:
            key = control.keys.create(KeyWish(customer), by="budget test")[1]
        with (folder / "server.log").open("wb") as log:
            command = [*_costweir(folder), "--quiet", "up", *(f"{port}=0" for port in _PORTS)]
            process = subprocess.Popen(command, env={}, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        server = ThrowAway(folder, process, key)
        try:
            with _ended_by_sigterm():
                await server.until_ready()
                yield server
        finally:
            await _stop(process)


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    """SIGTERM cancels the task, so that the server ends with the command that started it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        yield
        return
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    deadline = monotonic() + _STOP_PATIENCE
    while process.poll() is None and monotonic() < deadline:
        await asyncio.sleep(_STEP)
    if process.poll() is None:
        process.kill()
    process.wait()


def _costweir(folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "costweir", "--config", str(folder / "costweir.toml"), "--data-dir", str(folder),
    ]  # fmt: skip
