"""Runs the server: takes the data directory, binds every port, says where it answers, and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from costweir import __version__
from costweir.app.desk import LocalDesk
from costweir.app.exposing import exporter, store_figures
from costweir.app.locks import SERVER_FILE, ServerLock, admin_token, write_server_file
from costweir.app.logs import begin_log
from costweir.app.mirror import sync_keys
from costweir.app.office import DeskOffice
from costweir.app.schedule import Schedule
from costweir.app.weir.side import Weir
from costweir.errors import Conflict, Error, Unreachable, UsageError
from costweir.guard.ledgers.reader import LedgerReader
from costweir.web.access import Access, Keys
from costweir.web.api import Writes, api_routes
from costweir.web.app import create_app

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.prices.book import Book
    from costweir.telemetry.logs import Log
    from costweir.telemetry.metrics import Exporter
    from costweir.web.login import Login

_LOG = logging.getLogger("costweir.server")
DRAIN_SECONDS = 10
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Ports:
    """The four ports; 0 lets the system choose."""

    web: int = 8080
    gateway: int = 4000
    mcp: int = 8090
    otlp: int = 4318


@dataclass(frozen=True, slots=True)
class Faces:
    """What `serve` starts: where it listens and what it prints about it."""

    host: str
    ports: Ports
    quiet: bool = False

    @property
    def public(self) -> bool:
        """True when other machines may reach it, so that a login is needed."""
        return self.host not in LOOPBACK


@dataclass(frozen=True, slots=True)
class _Behind:
    """What the web port shows of the parts beside it."""

    weir: Weir
    metrics: Exporter


def serve(settings: Settings, faces: Faces) -> None:
    """Runs until SIGTERM or SIGINT, then drains for at most ten seconds.

    Raises Conflict when a server runs on this data directory, Unreachable when a port is taken or the gateway does not
    start, and UsageError for more than one process of the gateway.
    """
    if settings.workers > 1:
        raise UsageError(
            f"{settings.workers} processes of the gateway need a ledger that they share.",
            hint="Leave --workers out; one process serves thousands of calls a second.",
        )
    data_dir = settings.data_dir
    lock = ServerLock.take(data_dir)
    _raise_open_files()
    sockets: dict[str, socket.socket] = {}
    try:
        for name in ("web", "gateway", "mcp", "otlp"):
            sockets[name] = _bind(faces.host, getattr(faces.ports, name), name)
        with LocalDesk(settings) as desk, begin_log(settings, "web") as log:
            sync_keys(settings, desk.control)
            asyncio.run(_run(desk, settings=settings, faces=faces, sockets=sockets, log=log))
    finally:
        for bound in sockets.values():
            bound.close()
        (data_dir / SERVER_FILE).unlink(missing_ok=True)
        lock.release()


def _raise_open_files() -> None:
    """As many open files as the system allows: each call has two connections, and many systems begin at 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _bind(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except PermissionError:
        raise UsageError(
            f"Port {port} for {name} needs more rights.", hint=f"Take a port above 1023: --{name}-port."
        ) from None
    except socket.gaierror:
        raise UsageError(
            f"Host {host!r} is not an address of this machine.", hint="Use 127.0.0.1 or 0.0.0.0."
        ) from None
    except OSError:
        raise Unreachable(
            f"Port {port} for {name} is taken on {host}.",
            hint=f"Choose another with --{name}-port, 0 for any free one.",
        ) from None
    return bound


def _url(host: str, bound: socket.socket) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    return (
        f"http://[{shown}]:{bound.getsockname()[1]}"
        if ":" in shown
        else f"http://{shown}:{bound.getsockname()[1]}"
    )


async def _run(
    desk: LocalDesk, *, settings: Settings, faces: Faces, sockets: Mapping[str, socket.socket], log: Log
) -> None:
    token_file, token = admin_token(settings.data_dir)
    keys = Keys(token)
    log.hide([token, keys.once, keys.session])
    drain = asyncio.Event()
    urls = {name: _url(faces.host, bound) for name, bound in sockets.items()}
    weir = Weir(desk, settings, sockets["gateway"], web=urls["web"], public=faces.public, write=log.lines.put)
    apps: dict[str, ASGIApp] = {name: _waiting(name) for name in ("mcp", "otlp")}
    stores = store_figures(desk, settings)
    behind = _Behind(weir, exporter(weir, stores, dropped=lambda: {"web": log.lines.dropped}))
    apps["web"] = _web(desk, settings=settings, faces=faces, keys=keys, drain=drain, behind=behind)
    servers = {name: uvicorn.Server(_uvicorn(app)) for name, app in apps.items()}

    schedule = Schedule(desk, settings)

    def stop() -> None:
        drain.set()
        schedule.halt()
        for server in servers.values():
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    if sys.stdin is None or not sys.stdin.isatty():
        # On a terminal it still means that the terminal was closed.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, weir.reload)
    tasks = [asyncio.create_task(_serve(server, sockets[name])) for name, server in servers.items()]
    try:
        await weir.start()
    except Error:
        stop()
        await asyncio.gather(*tasks)
        raise
    while not all(server.started for server in servers.values()) and not any(task.done() for task in tasks):
        await asyncio.sleep(0.01)
    described = {"pid": os.getpid(), "version": __version__, **urls}
    write_server_file(settings.data_dir, {**described, "admin_token_file": str(token_file.resolve())})
    _announce(urls, keys, faces, login=settings.oidc.public_url if settings.oidc.issuer else None)
    told = {"version": __version__, "pid": os.getpid(), **urls}
    _LOG.info("costweir %s started", __version__, extra={"event_type": "start", "fields": told})
    schedule.start()
    stores.start()
    try:
        await asyncio.wait([asyncio.create_task(drain.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
        stop()
        await asyncio.gather(weir.stop(), *tasks)
    finally:
        stores.stop()
        schedule.stop()
        _LOG.info("costweir stopped", extra={"event_type": "stop", "fields": {"version": __version__}})


def _web(
    desk: LocalDesk, *, settings: Settings, faces: Faces, keys: Keys, drain: asyncio.Event, behind: _Behind
) -> ASGIApp:
    """The pages and the API behind the door that fits the address."""

    def ready() -> str:
        return "draining" if drain.is_set() else desk.not_ready()

    hosts = ["127.0.0.1", "localhost", "[::1]", *settings.web.allowed_hosts]
    door = _door(settings)
    if door is not None:
        hosts.append(urlsplit(settings.oidc.public_url or "").hostname or "")
    office = DeskOffice(desk, settings)
    writes = Writes(load=desk.load, adopt=desk.adopt, export=desk.export)
    pages = create_app(
        desk,
        routes=[
            *api_routes(desk, writes=writes, ready=ready, office=office, metrics=behind.metrics.expose),
            *(door.routes() if door else []),
        ],
        office=office,
        allowed_hosts=["*"] if faces.public and not settings.web.allowed_hosts else hosts,
        book=cache(lambda: _book(settings)),
        ledger=None if settings.ledger_path is None else cache(partial(LedgerReader, settings.ledger_path)),
    )
    pages.state.gateway = behind.weir.url
    pages.state.stopping = drain.is_set
    # Behind a proxy on this machine everybody seems to be here, so whoever sets a login wants one.
    open_reading = not faces.public and door is None
    return Access(pages, keys=keys, open_reading=open_reading, tokens=office.token, door=door)


def _door(settings: Settings) -> Login | None:
    """The login at a provider, where one is set. Raises ConfigError when its library or its secret is missing."""
    if settings.oidc.issuer is None:
        return None
    from costweir.web.login import Login
    from costweir.web.oidc import Provider

    return Login(settings.oidc, Provider(settings.oidc, settings.oidc_secret()))


def _book(settings: Settings) -> Book:
    """The price book under the operator's own prices."""
    from costweir.prices.book import Book

    return Book.load(overrides=[row.model_dump(mode="json", exclude_none=True) for row in settings.prices])


def _uvicorn(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


async def _serve(server: uvicorn.Server, bound: socket.socket) -> None:
    # Each uvicorn server would install its own signal handlers, and the last one would win.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    await server.serve(sockets=[bound])


def _waiting(name: str) -> Starlette:
    """The port of a face that this version does not have yet: alive, not ready, and it says so."""

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        return PlainTextResponse(f"version {__version__} has no {name} yet\n", 503)

    async def absent(_: Request) -> Response:
        body = {
            "type": "urn:costweir:error:not_available", "title": "not available", "status": 501,
            "detail": f"Version {__version__} has no {name} yet.",
            "hint": "Bills, questions and the web pages are on the web port.",
        }  # fmt: skip
        return JSONResponse(body, 501, media_type="application/problem+json")

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/ready", ready),
            Route("/{path:path}", absent, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
        ]
    )


def _announce(urls: Mapping[str, str], keys: Keys, faces: Faces, *, login: str | None) -> None:
    if faces.quiet:
        return
    web = urls["web"]
    lines = [f"Costweir {__version__} is ready at {web}", f"Calls go to {urls['gateway']}"]
    if login:
        lines.append(f"People log in at {login}")
    if faces.public or login:
        lines.append(f"Log in once as admin with {web}/enter?once={keys.once}")
    lines.append("Stop it with Ctrl-C.")
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201


__all__ = ["Conflict", "Faces", "Ports", "serve"]
