"""One HTTP/1.1 connection to a provider: one request and its reply at a time. Redirects are replies like any other;
nothing here follows them, and nothing here sends a request twice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import cast

import httptools

from costweir.gateway.upstream.faults import Kind, UpstreamFault
from costweir.gateway.upstream.reply import Reply

#: Bytes that the head of a reply may have.
MOST_HEAD = 64 * 1024
#: Seconds that a connection may stand idle when the provider states no limit of its own.
IDLE_SECONDS = 20
_KEEP_ALIVE = re.compile(rb"timeout=(\d{1,5})")


class Connection(asyncio.Protocol):
    """A connection of one pool. `stale_at` is when an idle one is no longer trusted to be open at the other end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._head_size = 0
        self._interim = False
        self._trusted = IDLE_SECONDS
        self.reply: Reply | None = None
        self.stale_at = 0.0
        self.reusable = False

    def usable(self, now: float) -> bool:
        """True when a request may be written on it. One that is not was never given the request."""
        return self.reusable and now < self.stale_at and not self._transport.is_closing()

    def send(self, request: bytes, reply: Reply) -> None:
        """Writes one request; what comes back goes into `reply`."""
        self.reply = reply
        reply.flow = self._transport
        self._head_size = 0
        self._transport.write(request)

    def abort(self, kind: Kind, message: str) -> None:
        """Drops the connection at once; the reply under way fails as sent."""
        self.reusable = False
        reply, self.reply = self.reply, None
        self._transport.abort()
        if reply is not None:
            reply.fail(UpstreamFault(kind, message, sent=True))

    def close(self) -> None:
        """Closes an idle connection."""
        self.reusable = False
        self._transport.close()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast("asyncio.Transport", transport)
        self.reusable = True
        self.stale_at = self._loop.time() + IDLE_SECONDS

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        reply = self.reply
        if reply is None:
            # Nobody asked: whatever this is, the next reply could not be told from it.
            return self.close()
        reply.deadline = min(self._loop.time() + reply.idle, reply.give_up)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort("malformed", "The provider's reply is not HTTP.")
        return None

    def eof_received(self) -> bool:
        """The provider said its last word."""
        self.reusable = False
        reply = self.reply
        if reply is not None and reply.status and not reply.ended and self._ends_with_connection(reply):
            self._finish()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.reusable = False
        reply, self.reply = self.reply, None
        if reply is not None:
            reply.fail(UpstreamFault("closed", "The provider closed the connection early.", sent=True))
        self._on_lost(self)

    # what the parser calls

    def on_message_begin(self) -> None:
        """A reply begins. One that nobody asked for may come with the bytes of the one before."""
        if self.reply is None:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the reply."""
        self._head_size += len(name) + len(value)
        if self.reply is not None:
            self.reply.headers.append((name.lower(), value))
        if self._head_size > MOST_HEAD:
            self.abort("too_large", "The head of the provider's reply is too large.")

    def on_headers_complete(self) -> None:
        """The head is complete."""
        reply = self.reply
        if reply is None:
            return
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._interim:
            reply.headers.clear()
            return
        reply.begin(status)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self.reply is not None and not self.reply.data(body):
            self.abort("too_large", "The provider's reply is larger than the gateway takes.")

    def on_message_complete(self) -> None:
        """The reply is complete."""
        if self._interim:
            self._interim = False
            return
        self.reusable = self.reusable and self._parser.should_keep_alive()
        self._finish()

    def _finish(self) -> None:
        reply, self.reply = self.reply, None
        if reply is None:
            return
        for name, value in reply.headers:
            if name == b"keep-alive" and (found := _KEEP_ALIVE.search(value)):
                self._trusted = max(0, min(IDLE_SECONDS, int(found[1]) - 1))
        self.stale_at = self._loop.time() + self._trusted
        if reply.flow is not None:
            reply.flow.resume_reading()
        reply.flow = None
        reply.end()

    @staticmethod
    def _ends_with_connection(reply: Reply) -> bool:
        """Without a length, the end of the connection is the end of the body."""
        return not reply.header(b"content-length") and b"chunked" not in reply.header(b"transfer-encoding")
