"""The web face as one ASGI app: the pages, the JSON routes it is given, and the headers that keep it closed.

Every reply carries the content security policy of the design: nothing inline, nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from costweir.errors import NotFound
from costweir.guard.ledgers.reader import LedgerReader
from costweir.prices.book import Book
from costweir.web.desk import Desk
from costweir.web.office import Office
from costweir.web.pages import (
    annotations,
    customers,
    directory,
    entry,
    explore,
    health,
    importer,
    incidents,
    models,
    overview,
    palette,
    plans,
    prices,
    settings,
    sources,
    start,
    unknown,
    views,
)
from costweir.web.pages.shell import Kit
from costweir.web.pages.weir.routes import weir_pages
from costweir.web.problems import Internal, problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def create_app(
    desk: Desk, *, routes: Sequence[BaseRoute] = (), allowed_hosts: Sequence[str] = LOOPBACK,
    book: Callable[[], Book] = Book.load, office: Office | None = None,
    ledger: Callable[[], LedgerReader] | None = None,
) -> Starlette:  # fmt: skip
    """The app over one desk. `routes` are mounted beside the pages; `allowed_hosts` are the names (no port)
    that a request may be addressed to, `*` allows every name. `book` gives the price book with the operator's own
    prices. Without an `office` the pages can only be read. `ledger` opens the ledger of the gateway."""
    kit = Kit(desk, book, office, ledger)
    pages: list[BaseRoute] = [
        Route("/static/{digest}/{name}", kit.assets.serve),
        *overview.routes(kit),
        *explore.routes(kit),
        *plans.routes(kit),
        *models.routes(kit),
        *customers.routes(kit),
        *views.routes(kit),
        *annotations.routes(kit),
        *health.routes(kit),
        *sources.routes(kit),
        *prices.routes(kit),
        *unknown.routes(kit),
        *settings.routes(kit),
        *start.routes(kit),
        *directory.routes(kit),
        *entry.routes(kit),
        *importer.routes(kit),
        *weir_pages(kit),
        *incidents.routes(kit),
        *palette.routes(kit),
    ]
    return Starlette(
        routes=[*routes, *pages],
        middleware=[
            Middleware(Closed, hosts=frozenset(allowed_hosts)),
            Middleware(GZipMiddleware, minimum_size=1000),
        ],
        exception_handlers={404: _missing(kit), 500: _broken(kit)},
    )


class Closed:
    """ASGI middleware: answers only to its own names, and puts the security headers on every reply."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses a host name that is not ours (DNS rebinding)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if "*" not in self._hosts and _host(Headers(scope=scope)) not in self._hosts:
            refusal = PlainTextResponse(
                "Costweir does not answer to this address. Use the one it printed when it started.\n",
                421,
            )
            await refusal(scope, receive, closed)
            return
        await self._app(scope, receive, closed)


def _host(headers: Headers) -> str:
    """The host name without its port; `[::1]:8080` is `[::1]`."""
    host = headers.get("host", "")
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _missing(kit: Kit):
    def handle(request: Request, _: Exception) -> Response:
        error = NotFound(
            f"There is no page at {request.url.path}.", hint="Go to the overview, or search with Ctrl K."
        )
        return problem(error) if request.url.path.startswith("/v1/") else kit.failure(request, error)

    return handle


def _broken(kit: Kit):
    def handle(request: Request, _: Exception) -> Response:
        error = Internal(
            "This page could not be built; the server's log has the cause.", hint="Reload the page."
        )
        reply = problem(error) if request.url.path.startswith("/v1/") else kit.failure(request, error)
        # This handler runs outside the middleware, so that the headers have to be set here.
        for name, value in _HEADERS.items():
            reply.headers.setdefault(name, value)
        return reply

    return handle
