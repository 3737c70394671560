"""The gateway as a part of the server: its process, the way of its calls into the warehouse, and its metrics."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import msgspec

from costweir.app.weir.job import read_again
from costweir.app.weir.outbox import Outbox
from costweir.app.weir.supervisor import GatewayProcess
from costweir.control import Control
from costweir.errors import Error
from costweir.guard.ledgers.reader import LedgerReader
from costweir.telemetry.metrics import Reading
from costweir.telemetry.metrics_gateway import read_snapshot

if TYPE_CHECKING:
    from costweir.app.desk import LocalDesk
    from costweir.config import Settings

_PATIENCE_SECONDS = 2
#: Where this machine reaches itself when it listens everywhere.
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class Weir:
    """Everything of the gateway that lives in the server's process. `web` is the address of the pages;
    `write` takes lines of the log."""

    def __init__(
        self, desk: LocalDesk, settings: Settings, listening: socket.socket, *, web: str, public: bool,
        write: Callable[[bytes], object],
    ) -> None:  # fmt: skip
        self._desk = desk
        self._settings = settings
        self._address: tuple[str, int] = listening.getsockname()[:2]
        self._process = GatewayProcess(settings, listening, web=web, public=public)
        self._outbox = _outbox(desk, settings, write)

    @property
    def url(self) -> str:
        """Where callers on this machine reach the gateway."""
        host, port = self._address
        local = _LOCAL.get(host, host)
        return f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"

    async def start(self) -> None:
        """Starts the process, once there is a control database for it to read. Raises Unreachable."""
        await asyncio.to_thread(self._prepare)
        await self._process.start()
        if self._outbox is not None:
            self._outbox.start()

    async def stop(self) -> None:
        """Lets the calls under way end, for ten seconds at most."""
        await self._process.stop()
        if self._outbox is not None:
            await asyncio.to_thread(self._outbox.stop)

    def reload(self) -> None:
        """Makes the gateway read providers, models and prices again."""
        self._process.reload()
        if self._outbox is not None:
            with suppress(Error):
                # What is wrong with the file is said by the gateway.
                self._outbox.kinds = _kinds(read_again(self._settings))

    @property
    def pid(self) -> int | None:
        """The gateway's process, while one runs."""
        return self._process.pid

    def reading(self) -> Reading:
        """The counters of the gateway, with `costweir_gateway_up` and how often it was started again."""
        try:
            found, up = read_snapshot(self._fetch()), 1
        except (OSError, HTTPException, msgspec.DecodeError):
            found, up = Reading(), 0
        found.put("costweir_gateway_up", up)
        found.put("costweir_gateway_restarts_total", self._process.restarts)
        return found

    def _fetch(self) -> bytes:
        host, port = self._address
        connection = HTTPConnection(_LOCAL.get(host, host), port, timeout=_PATIENCE_SECONDS)
        try:
            connection.request(
                "GET", "/internal/metrics", headers={"authorization": f"Bearer {self._process.secret}"}
            )
            reply = connection.getresponse()
            return reply.read() if reply.status == 200 else b""
        finally:
            connection.close()

    def _prepare(self) -> None:
        """Makes sure that what the configuration file sets is in the control database."""
        try:
            _ = self._desk.control
        except Error:
            # Another command holds the warehouse; the gateway needs none.
            with Control.open(self._settings.control_path) as control:
                control.sync(self._settings)


def _outbox(desk: LocalDesk, settings: Settings, write: Callable[[bytes], object]) -> Outbox | None:
    """None for a ledger that only its own process can read."""
    path = settings.ledger_path
    if path is None:
        return None
    return Outbox(desk, lambda: LedgerReader(path), _kinds(settings), write=write)


def _kinds(settings: Settings) -> Mapping[str, str]:
    """The provider's code for the id of each configured provider."""
    return {row.id: row.kind for row in settings.providers}
