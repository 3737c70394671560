"""Keeps the gateway's process alive: starts it on the socket that the server bound, starts it again after a crash, and
ends it with the server. Callers that connect in between wait in the socket's queue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from costweir.app.weir.job import Job
from costweir.errors import Unreachable

if TYPE_CHECKING:
    from costweir.config import Settings

_LOG = logging.getLogger("costweir.gateway")
#: Seconds until a crashed gateway is started again; doubles up to the second while it keeps crashing.
_PAUSES = (0.2, 10.0)
#: A process that served this long has proved itself.
_STEADY_SECONDS = 30
_START_SECONDS = 60
_DRAIN_SECONDS = 10
_BACKLOG = 4096


class GatewayProcess:
    """The gateway as the server sees it. `secret` opens its internal routes."""

    def __init__(self, settings: Settings, listening: socket.socket, *, web: str, public: bool) -> None:
        self.secret = secrets.token_urlsafe(32)
        self._settings = settings
        self._listening = listening
        self._web = web
        self._public = public
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._ready = False
        self._keeping: asyncio.Task[None] | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The process's id while one runs."""
        return None if self._process is None else self._process.pid

    @property
    def ready(self) -> bool:
        """True while calls are served."""
        return self._ready

    async def start(self) -> None:
        """Starts it and waits until it serves. Raises Unreachable when it does not begin."""
        self._listening.listen(_BACKLOG)
        if not await self._launch():
            await self.stop()
            raise Unreachable("The gateway did not start.", hint="Its last lines above say why.")
        self._keeping = asyncio.create_task(self._keep())

    def reload(self) -> None:
        """Makes it read its file again, if it serves; one that starts reads it anyway."""
        if self._ready and self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """Ends it after the calls under way, within ten seconds."""
        self._stopping = True
        self._ready = False
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _launch(self) -> bool:
        """Starts one process; True once it serves."""
        reading, telling = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "costweir.app.weir.child", stdin=asyncio.subprocess.PIPE,
                pass_fds=(self._listening.fileno(), telling), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(telling)
        self._process = process
        job = Job(
            str(self._settings.file) if self._settings.file else "", str(self._settings.data_dir),
            self._listening.fileno(), telling, self.secret, self._web, self._public,
        )  # fmt: skip
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.write(job.line())
        try:
            async with asyncio.timeout(_START_SECONDS):
                self._ready = await asyncio.to_thread(os.read, reading, 16) == b"ready\n"
        except TimeoutError:
            self._ready = False
        finally:
            os.close(reading)
        return self._ready

    async def _keep(self) -> None:
        """Starts it again whenever it ends by itself."""
        pause = _PAUSES[0]
        while not self._stopping and self._process is not None:
            began = time.monotonic()
            status = await self._process.wait()
            self._ready = False
            if time.monotonic() - began > _STEADY_SECONDS:
                pause = _PAUSES[0]
            self.restarts += 1
            _LOG.error("gateway: it ended with status %s and is started again in %.1f s", status, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _PAUSES[1])
            await self._launch()
