"""The gateway's own process. It owns the ledger, reads what people set, and ends with the server that started it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from costweir.app.weir.job import Job
from costweir.app.weir.policy import Keeper, Watch, keep_door, terms_of
from costweir.config import load
from costweir.control import Control
from costweir.errors import Error
from costweir.gateway.admission import Door
from costweir.gateway.app import Desk, create_app
from costweir.gateway.journal import Journal
from costweir.gateway.protocol import Caps, drop_the_slow, protocol_for
from costweir.gateway.roster import Roster
from costweir.gateway.serving import Serving
from costweir.gateway.witness import Witness
from costweir.guard import Start, open_ledger
from costweir.prices.book import Book

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.gateway.mock import MockProvider
    from costweir.guard.ledger import Ledger

_LOG = logging.getLogger("costweir.gateway")
DRAIN_SECONDS = 9
LOCAL_NAMES = (b"127.0.0.1", b"localhost", b"[::1]")


def main() -> int:
    """Serves what the job on standard input says, until the input ends or SIGTERM comes. The exit status."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    job = Job.of(line)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    settings = load(path=Path(job.config) if job.config else None, overrides={"data_dir": job.data_dir})
    try:
        uvloop.run(serve(settings, job))
    except Error as error:
        _LOG.error("gateway: %s %s", error.message, error.hint)
        return error.exit_code
    return 0


async def serve(settings: Settings, job: Job) -> None:
    """Opens the ledger, serves, and drains."""
    loop = asyncio.get_running_loop()
    with Control.open(settings.control_path, read_only=True) as control:
        terms, revision = terms_of(control, settings)
        start = Start(terms, revision, durability=settings.ledger.durability)
        ledger = await asyncio.to_thread(
            open_ledger, settings.ledger.url, folder=settings.data_dir, start=start
        )
        mocks = await _start_mocks(settings)
        book = Book.load(
            overrides=[row.model_dump(mode="json", exclude_none=True) for row in settings.prices]
        )
        roster = Roster.of(settings, book, mocks={name: url for name, (_, url) in mocks.items()})
        ring = control.keys.ring()
        door = Door(roster, ring)
        keep_door(door, control)
        journal = Journal(loop, _write, wants_all=settings.log_level in ("debug", "info"))
        witness = Witness(loop, journal, address=job.web)
        serving = Serving(loop, door, ledger, witness, abandoned_seconds=settings.gateway.abandoned_seconds)
        keeper = Keeper(settings, control, ledger=ledger, door=door, ring=ring)
        server = _server(settings, job, serving=serving, desk=_desk(settings, job, serving))
        tasks = [
            loop.create_task(keeper.run()),
            loop.create_task(Watch(settings.control_path, keeper.changed).run()),
            loop.create_task(drop_the_slow(server.server_state.connections)),
            loop.create_task(serving.renew()),
        ]
        keeper.changed()
        try:
            await _until_stopped(server, job)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await roster.close()
            await ledger.close()
            journal.flush()
            for mock, _ in mocks.values():
                await mock.close()


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
    serving = loop.create_task(server.serve(sockets=[socket.socket(fileno=job.listening)]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if server.started:
        os.write(job.telling, b"ready\n")
    os.close(job.telling)
    await serving


def _server(settings: Settings, job: Job, *, serving: Serving, desk: Desk) -> uvicorn.Server:
    caps = Caps(
        body=settings.gateway.max_body_bytes, head=settings.gateway.max_header_bytes,
        body_seconds=settings.gateway.client_seconds, stall_seconds=settings.gateway.client_seconds,
    )  # fmt: skip
    config = uvicorn.Config(
        create_app(desk), http=protocol_for(serving, caps, desk.hosts), loop="none", log_level="warning",
        access_log=False, server_header=False, date_header=False, lifespan="off", ws="none", backlog=4096,
        timeout_keep_alive=75, timeout_graceful_shutdown=DRAIN_SECONDS,
    )  # fmt: skip
    return uvicorn.Server(config)


def _desk(settings: Settings, job: Job, serving: Serving) -> Desk:
    ledger: Ledger = serving.ledger

    def ready() -> str:
        return "" if ledger.available else "the ledger cannot be written"

    def gauges() -> dict[str, int]:
        links = serving.door.roster.links.values()
        return {
            **{f"ledger_{name}": value for name, value in ledger.stats().items()},
            "upstream_connections": sum(link.pool.open for link in links),
            "breakers_open": sum(link.breaker.is_open for link in links),
        }

    named = {name.encode().lower() for name in settings.gateway.allowed_hosts}
    hosts = frozenset(named | set(LOCAL_NAMES)) if named or not job.public else frozenset[bytes]()
    return Desk(
        serving.door, ledger, serving.witness, ready=ready, gauges=gauges, secret=job.secret, hosts=hosts,
        created=int(time.time()),
    )  # fmt: skip


async def _start_mocks(settings: Settings) -> dict[str, tuple[MockProvider, str]]:
    """The built-in provider, for each configured one of kind `mock` that has no address. It bills as our prices say."""
    wanted = [row for row in settings.providers if row.kind == "mock" and row.base_url is None]
    if not wanted:
        return {}
    from costweir.gateway.mock import MockProvider, Rates

    kinds = ("input", "output", "cache_read", "cache_write", "request")
    priced = {row.model: row.model_dump(include=set(kinds), exclude_none=True) for row in settings.prices}
    rates = {row.upstream or row.id: Rates.usd(priced[row.id]) for row in settings.models if row.id in priced}
    started: dict[str, tuple[MockProvider, str]] = {}
    for row in wanted:
        mock = MockProvider(rates=rates)
        started[row.id] = (mock, await mock.start())
    return started


def _write(lines: bytes) -> None:
    # A reader that went away must not take the gateway with it.
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
