"""The mock's server: HTTP/1.1 on asyncio and httptools, quick enough never to be what a test waits for."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import httptools

from costweir.gateway.mock.provider import Provider
from costweir.gateway.mock.respond import Asked, Reply, respond


class MockProvider(Provider):
    """The provider on a port. `await start()` gives its address; `bill` is what it charged."""

    _server: asyncio.Server | None = None

    async def start(self, *, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens, and returns the base URL without a path. Port 0 takes any free one."""
        self._open: set[_Connection] = set()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self, self._open), host, port, backlog=4096
        )
        return f"http://{host}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stops listening and drops what is open."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._open):
            connection.drop()
        await asyncio.sleep(0)
        await self._server.wait_closed()
        self._server = None


class _Connection(asyncio.Protocol):
    """One connection. Requests are answered in order; a slow answer keeps the next one waiting."""

    def __init__(self, provider: Provider, everyone: set[_Connection]) -> None:
        self._provider = provider
        self._everyone = everyone
        self._parser = httptools.HttpRequestParser(self)
        self._asked = Asked()
        self._waiting: deque[Asked] = deque()
        self._slowly: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._everyone.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._everyone.discard(self)
        self._transport = None
        if self._slowly is not None:
            self._slowly.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.drop()

    def drop(self) -> None:
        """Hangs up without a word."""
        if self._transport is not None:
            self._transport.abort()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._asked = Asked()

    def on_url(self, url: bytes) -> None:
        self._asked.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower in (b"x-request-id", b"x-costweir-request-id"):
            self._asked.caller = value.decode("latin-1")
        elif lower == b"expect":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._asked.body += body

    def on_message_complete(self) -> None:
        asked = self._asked
        asked.method = self._parser.get_method()
        asked.path, _, asked.query = asked.path.partition(b"?")
        if self._slowly is None:
            self._answer(asked)
        else:
            self._waiting.append(asked)

    # Answering.

    def _answer(self, asked: Asked) -> None:
        reply = respond(self._provider, asked)
        if reply.wait:
            self._slowly = asyncio.get_running_loop().create_task(self._dribble(reply))
            return
        self._write(b"".join(reply.pieces))
        if reply.hangs_up:
            self._hang_up()

    async def _dribble(self, reply: Reply) -> None:
        await asyncio.sleep(reply.wait)
        for piece in reply.pieces:
            self._write(piece)
            await asyncio.sleep(reply.gap)
        if reply.hangs_up:
            self._hang_up()
        self._slowly = None
        while self._waiting and self._slowly is None:
            self._answer(self._waiting.popleft())

    def _write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()
