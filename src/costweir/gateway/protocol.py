"""uvicorn's HTTP protocol with a short cut: metered routes skip ASGI, every other route goes to the app as usual.

Life cycle, keep-alive timers and draining stay uvicorn's. Written against uvicorn 0.54; a test pins what is relied on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from costweir.gateway.exchange import Exchange
from costweir.gateway.routes import METERED, Route


@dataclass(frozen=True, slots=True)
class Caps:
    """What a client may send, in bytes, and how long it may take to send it, in seconds."""

    body: int = 32 << 20
    head: int = 64 << 10
    head_seconds: float = 15
    body_seconds: float = 120
    stall_seconds: float = 60
    idle_seconds: float = 75


class Handler(Protocol):
    """Answers metered requests."""

    def handle(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """Answers one request whose body is complete."""
        ...

    def turn_away(self, exchange: Exchange, status: int) -> None:
        """Answers a request that is not read: too large (413), or for another host (421)."""
        ...


class WeirProtocol(HttpToolsProtocol):
    """One connection of a client. `since` is when it began to owe us a request, `stalled` when it stopped reading, and
    `idle` when a metered call on it ended; 0 while that is not so."""

    handler: ClassVar[Handler]
    caps: ClassVar[Caps]
    hosts: ClassVar[frozenset[bytes]]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.since = self.loop.time()
        self.stalled = 0.0
        self.idle = 0.0
        self._in_body = False
        self._head_size = 0
        self._deaf = False

    # what the parser calls

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head_size = 0
        self._in_body = False
        self.idle = 0.0
        self.since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """A piece of its address."""
        self.url += url
        self._head_size += len(url)
        if self._head_size > self.caps.head:
            self._head_too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        self._head_size += len(name) + len(value)
        if self._head_size > self.caps.head:
            self._head_too_large()

    def on_headers_complete(self) -> None:
        """Its head is complete: a metered route is taken here, the rest is uvicorn's."""
        if self._deaf:
            return
        self._in_body = True
        before = cast("Any", self.cycle)
        if isinstance(before, Exchange) and not before.response_complete:
            # A second request before the first reply. That reply comes, then the connection ends; whoever pipelined
            # has to ask again.
            before.keep_alive = False
            self._deaf = True
            return
        route = METERED.get(self.url.partition(b"?")[0])
        parser = cast("httptools.HttpRequestParser", self.parser)
        waits = before is not None and not before.response_complete
        if route is None or parser.get_method() != b"POST" or parser.should_upgrade() or waits:
            self._pass_on()
            return
        self._take(route, parser)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        exchange = cast("Exchange | None", self.cycle)
        if self._deaf:
            return
        if not isinstance(exchange, Exchange):
            super().on_body(body)
            return
        exchange.size += len(body)
        if exchange.size > self.caps.body:
            self._turn_away(exchange, 413)
            return
        exchange.parts.append(body)

    def on_message_complete(self) -> None:
        """It is complete."""
        self.since = 0.0
        self._in_body = False
        exchange = cast("Exchange | None", self.cycle)
        if self._deaf:
            return
        if not isinstance(exchange, Exchange):
            super().on_message_complete()
            return
        exchange.more_body = False
        task = self.loop.create_task(self.handler.handle(exchange))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # what the transport calls

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.since = self.stalled = 0.0
        exchange = cast("Exchange | None", self.cycle)
        super().connection_lost(exc)
        if isinstance(exchange, Exchange) and exchange.watcher is not None:
            exchange.watcher.on_client_gone()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        super().pause_writing()
        self.stalled = self.loop.time()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self.stalled = 0.0
        exchange = cast("Exchange | None", self.cycle)
        if isinstance(exchange, Exchange) and exchange.watcher is not None:
            exchange.watcher.on_client_ready()

    # our own

    def late(self, now: float) -> bool:
        """True when the client has taken too long to send a request or to read a reply, or asked for nothing more."""
        if self.stalled:
            return now - self.stalled > self.caps.stall_seconds
        if self.idle:
            return now - self.idle > self.caps.idle_seconds
        if not self.since:
            return False
        return now - self.since > (self.caps.body_seconds if self._in_body else self.caps.head_seconds)

    def _take(self, route: Route, parser: httptools.HttpRequestParser) -> None:
        exchange = Exchange(
            route, self.headers, transport=self.transport, flow=self.flow, on_done=self._exchange_done
        )
        exchange.keep_alive = parser.should_keep_alive()
        exchange.chunked = parser.get_http_version() == "1.1"
        self.cycle = cast("Any", exchange)
        length = exchange.header(b"content-length")
        if self.hosts and _host(exchange.header(b"host")) not in self.hosts:
            self._turn_away(exchange, 421)
        elif length.isdigit() and int(length) > self.caps.body:
            self._turn_away(exchange, 413)
        elif self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _pass_on(self) -> None:
        """Gives the request to uvicorn as if it had seen its beginning."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()

    def _head_too_large(self) -> None:
        if not self._deaf:
            self._deaf = True
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()

    def _turn_away(self, exchange: Exchange, status: int) -> None:
        """Refuses a request before it is read to its end."""
        self._deaf = True
        exchange.keep_alive = False
        self.handler.turn_away(exchange, status)

    def _exchange_done(self, exchange: Exchange) -> None:
        self.server_state.total_requests += 1
        if exchange.keep_alive and not self.transport.is_closing():
            # The sweep looks after idle connections; a timer for each call would cost more than parsing it.
            self.idle = self.loop.time()
            self.flow.resume_reading()
            return
        if exchange.more_body and not self.transport.is_closing():
            # Closing now would reset the connection under a client that still sends, and our answer would be lost.
            self.transport.write_eof()
            self.since = self.loop.time()
        else:
            self.transport.close()


def _host(value: bytes) -> bytes:
    """A host name without its port."""
    return value.partition(b"]")[0] + b"]" if value.startswith(b"[") else value.partition(b":")[0].lower()


def protocol_for(handler: Handler, caps: Caps, hosts: Iterable[bytes] = ()) -> type[WeirProtocol]:
    """The protocol class of one server. `hosts` are the names it answers to; none means any."""
    members = {"handler": handler, "caps": caps, "hosts": frozenset(hosts)}
    return type("BoundWeirProtocol", (WeirProtocol,), members)


async def drop_the_slow(connections: Iterable[asyncio.Protocol], *, every: float = 1.0) -> None:
    """Ends the connections of clients that are late, once a second; one sweep instead of timers for every request."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(every)
        now = loop.time()
        for connection in list(connections):
            if isinstance(connection, WeirProtocol) and connection.late(now):
                connection.transport.abort()
