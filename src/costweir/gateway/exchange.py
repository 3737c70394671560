"""One request of a hot route and the reply that is written to it, without ASGI in between."""

from __future__ import annotations

import asyncio
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl

from costweir.gateway.routes import Route

Headers = list[tuple[bytes, bytes]]

_REASONS = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 402: b"Payment Required", 403: b"Forbidden",
    404: b"Not Found", 408: b"Request Timeout", 409: b"Conflict", 413: b"Content Too Large",
    415: b"Unsupported Media Type", 421: b"Misdirected Request",
    422: b"Unprocessable Content", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large", 500: b"Internal Server Error", 502: b"Bad Gateway",
    503: b"Service Unavailable", 504: b"Gateway Timeout", 529: b"Overloaded",
}  # fmt: skip
_LINES = {status: b"HTTP/1.1 %d %b\r\n" % (status, reason) for status, reason in _REASONS.items()}


def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` with its line end."""
    return _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class Signal(Protocol):
    """What the server sets when something happened on the connection."""

    def set(self) -> None:
        """It happened."""
        ...


class Watcher(Protocol):
    """Who wants to know about the client while a stream runs."""

    def on_client_ready(self) -> None:
        """The client takes data again."""
        ...

    def on_client_gone(self) -> None:
        """Nobody reads any more."""
        ...


class _Unheard:
    def set(self) -> None:
        """Nobody waits."""


_UNHEARD = _Unheard()


class Exchange:
    """Holds the request, and writes the reply. The first attributes are what uvicorn's protocol asks of a cycle."""

    __slots__ = (
        "_flow", "_on_done", "_transport", "chunked", "disconnected", "headers", "keep_alive", "message_event",
        "more_body", "parts", "response_complete", "route", "size", "started", "watcher",
    )  # fmt: skip

    def __init__(
        self, route: Route, headers: Headers, *, transport: asyncio.Transport, flow: FlowControl, on_done: OnDone
    ) -> None:  # fmt: skip
        self.route = route
        self.headers = headers
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self.more_body = True
        self.message_event: Signal = _UNHEARD
        self.parts: list[bytes] = []
        self.size = 0
        self.started = False
        self.watcher: Watcher | None = None
        self._transport = transport
        self._flow = flow
        self._on_done = on_done
        self.chunked = True

    @property
    def body(self) -> bytes:
        """The request's body."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    def header(self, name: bytes) -> bytes:
        """The value of the first header of this lower-case name, empty without one."""
        for found, value in self.headers:
            if found == name:
                return value
        return b""

    @property
    def congested(self) -> bool:
        """True while the client reads more slowly than it is written to."""
        return self._flow.write_paused

    def reply(self, status: int, head: bytes, body: bytes) -> None:
        """Writes a whole reply; `head` is header lines with their ends. Nothing happens when one was begun."""
        if self.started or self.response_complete:
            return
        self.started = True
        closing = b"" if self.keep_alive else b"connection: close\r\n"
        if not self.disconnected:
            self._transport.write(
                b"%b%b%bcontent-length: %d\r\n\r\n%b" % (status_line(status), head, closing, len(body), body)
            )
        self.finish()

    def begin(self, status: int, head: bytes) -> None:
        """Begins a reply of unknown length. For HTTP/1.0 it ends with the connection."""
        self.started = True
        self.keep_alive = self.keep_alive and self.chunked
        framing = b"transfer-encoding: chunked\r\n" if self.chunked else b""
        closing = b"" if self.keep_alive else b"connection: close\r\n"
        self._transport.write(b"%b%b%b%b\r\n" % (status_line(status), head, framing, closing))

    def write(self, data: bytes) -> None:
        """Writes a piece of a reply that was begun."""
        if data and not self.disconnected:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def end(self) -> None:
        """Ends a reply that was begun."""
        if not self.disconnected and self.chunked:
            self._transport.write(b"0\r\n\r\n")
        self.finish()

    def break_off(self) -> None:
        """Ends a reply that cannot be completed, so that the client sees it is not whole."""
        if not self.response_complete:
            self.keep_alive = False
            if self.started:
                self._transport.close()
            self.finish()

    def finish(self) -> None:
        """The reply is over; the connection may take the next request."""
        if not self.response_complete:
            self.response_complete = True
            self.watcher = None
            self._on_done(self)


class OnDone(Protocol):
    """Told once when an exchange is over."""

    def __call__(self, exchange: Exchange, /) -> None:
        """The exchange is over."""
        ...
