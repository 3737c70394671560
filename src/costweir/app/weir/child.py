"""The gateway's own process. It owns the ledger, reads what people set, and ends with the server that started it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvicorn
import uvloop

from costweir.app.logs import begin_log
from costweir.app.weir.job import Job
from costweir.app.weir.policy import Keeper, Watch, keep_door, terms_of
from costweir.app.weir.serveable import Serveable
from costweir.config import load
from costweir.control import Control
from costweir.errors import Error, StoreLocked
from costweir.gateway.admission import Door
from costweir.gateway.app import Desk, create_app
from costweir.gateway.journal import Journal
from costweir.gateway.protocol import Caps, drop_the_slow, protocol_for
from costweir.gateway.recovering import Recovering
from costweir.gateway.serving import Serving
from costweir.gateway.witness import Witness
from costweir.guard import Start, open_ledger

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.guard.ledger import Ledger
    from costweir.telemetry.logs import Log

_LOG = logging.getLogger("costweir.gateway")
DRAIN_SECONDS = 9
#: Objects before the youngest are looked at, and how often before older ones are.
COLLECTOR = (20_000, 20, 50)
#: How long the ledger of a gateway that drains is waited for.
LOCKED_SECONDS = 15
_LOCKED_STEP_SECONDS = 0.1
LOCAL_NAMES = (b"127.0.0.1", b"localhost", b"[::1]")


def main() -> int:
    """Serves what the job on standard input says, until the input ends or SIGTERM comes. The exit status."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    job = Job.of(line)
    # Until somebody listens for it, the wish to read the file again comes too early and not as an end.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = load(path=Path(job.config) if job.config else None, overrides={"data_dir": job.data_dir})
    with begin_log(settings, "gateway", hidden=[job.secret]) as log:
        try:
            uvloop.run(serve(settings, job, log))
        except Error as error:
            _LOG.error("gateway: %s %s", error.message, error.hint)
            return error.exit_code
    return 0


async def serve(settings: Settings, job: Job, log: Log) -> None:
    """Listens, opens the ledger, serves, and drains. Until the ledger is recovered every call is refused."""
    loop = asyncio.get_running_loop()
    serveable = Serveable()
    with Control.open(settings.control_path, read_only=True) as control:
        waiting, ring = Recovering(loop), control.keys.ring()
        door = Door(await serveable.roster(settings), ring)
        keep_door(door, control)
        serving = _serving(settings, job, door, waiting=waiting, log=log)
        server = _server(settings, job, serving=serving)
        tasks = [loop.create_task(drop_the_slow(server.server_state.connections))]
        listening = loop.create_task(_until_stopped(server, job))
        try:
            ledger = await asyncio.to_thread(_open_ledger, settings, control)
            serving.ledger = ledger
            waiting.done(ledger)
            keeper = Keeper(settings, control, ledger=ledger, door=serving.door, ring=ring)
            watch = Watch(settings.control_path, keeper.changed)
            following = serveable.follow(settings, door)
            tasks += [
                loop.create_task(work) for work in (keeper.run(), watch.run(), serving.renew(), following)
            ]
            loop.add_signal_handler(signal.SIGHUP, serveable.changed)
            keeper.changed()
            _calm_the_collector()
            await _tell(server, job)
            await listening
        finally:
            server.should_exit = True
            await asyncio.gather(listening, return_exceptions=True)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await serveable.close()
            await serving.ledger.close()
            serving.witness.flush()


def _serving(settings: Settings, job: Job, door: Door, *, waiting: Recovering, log: Log) -> Serving:
    """The request path, with a ledger that is not there yet."""
    loop = asyncio.get_running_loop()
    least = logging.getLevelNamesMapping()[settings.log_level.upper()]
    journal = Journal(loop, log.lines.put, least=least, dropped=lambda: log.lines.dropped)
    witness = Witness(
        loop, journal, address=job.web, cloud_project=settings.gcp.project_id or "",
        customers=settings.metrics.customers,
    )  # fmt: skip
    # It is all of a ledger that a call meets before it has a hold.
    ledger = cast("Ledger", waiting)
    return Serving(
        loop, door, ledger, witness, abandoned_seconds=settings.gateway.abandoned_seconds,
        queue_seconds=settings.gateway.queue_seconds,
    )  # fmt: skip


def _open_ledger(settings: Settings, control: Control) -> Ledger:
    """Opens the ledger. The gateway of a server that was killed may hold it until its last calls have ended."""
    terms, revision = terms_of(control, settings)
    start = Start(terms, revision, durability=settings.ledger.durability)
    deadline = time.monotonic() + LOCKED_SECONDS
    while True:
        try:
            return open_ledger(settings.ledger.url, folder=settings.data_dir, start=start)
        except StoreLocked:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOCKED_STEP_SECONDS)


def _calm_the_collector() -> None:
    """What is there at the start stays, so nobody has to look at it again; and calls leave hardly any cycles behind.
    With the usual thresholds a tenth of a call's time goes into looking."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)


async def _tell(server: uvicorn.Server, job: Job) -> None:
    """Tells the server that started us that calls are served."""
    while not server.started and not server.should_exit:
        await asyncio.sleep(0.005)
    if server.started:
        os.write(job.telling, b"ready\n")
    os.close(job.telling)


async def _until_stopped(server: uvicorn.Server, job: Job) -> None:
    """Serves until SIGTERM, SIGINT or the end of the input, which is the end of the server that started us."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)

    def heard() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin.fileno())
            stop()

    loop.add_reader(sys.stdin.fileno(), heard)
    # uvicorn would install its own handlers over ours.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    await server.serve(sockets=[socket.socket(fileno=job.listening)])


def _server(settings: Settings, job: Job, *, serving: Serving) -> uvicorn.Server:
    caps = Caps(
        body=settings.gateway.max_body_bytes, head=settings.gateway.max_header_bytes,
        body_seconds=settings.gateway.client_seconds, stall_seconds=settings.gateway.client_seconds,
    )  # fmt: skip
    named = {name.encode().lower() for name in settings.gateway.allowed_hosts}
    hosts = frozenset(named | set(LOCAL_NAMES)) if named or not job.public else frozenset[bytes]()
    config = uvicorn.Config(
        create_app(Desk(serving, job.secret, hosts, created=int(time.time()))),
        http=protocol_for(serving, caps, hosts), loop="none", log_level="warning", access_log=False,
        server_header=False, date_header=False, lifespan="off", ws="none", backlog=4096, timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS, log_config=None,
    )  # fmt: skip
    return uvicorn.Server(config)


if __name__ == "__main__":
    sys.exit(main())
