"""A client that costs little: one keep-alive connection, one call at a time, and it can hang up in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools


@dataclass(slots=True)
class Heard:
    """What came back. `status` is 0 when the connection ended before an answer; `complete` when all of it came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False


class Caller:
    """Calls one server. A connection that was lost is opened again with the next call."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._prefix = parts.path.rstrip("/")
        given = {"host": f"{self._host}:{self._port}", "content-type": "application/json", **(headers or {})}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self._line: _Line | None = None

    async def get(self, path: str) -> Heard:
        """Asks for a path. OSError when nobody listens."""
        return await self._call("GET", path, b"", abandon_after=None)

    async def post(self, path: str, body: bytes, *, abandon_after: int | None = None) -> Heard:
        """Sends a body; hangs up once `abandon_after` bytes of the answer came. OSError when nobody listens."""
        return await self._call("POST", path, body, abandon_after=abandon_after)

    @property
    def connected(self) -> bool:
        """True while the connection stands."""
        return self._line is not None and not self._line.lost

    async def connect(self) -> None:
        """Opens the connection, if it is not. OSError when nobody listens."""
        if self._line is None or self._line.lost:
            loop = asyncio.get_running_loop()
            _, self._line = await loop.create_connection(_Line, self._host, self._port)

    async def close(self) -> None:
        """Ends the connection."""
        if self._line is not None:
            self._line.drop()
            self._line = None
            await asyncio.sleep(0)

    async def _call(self, method: str, path: str, body: bytes, *, abandon_after: int | None) -> Heard:
        await self.connect()
        line = cast(_Line, self._line)
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}content-length: {len(body)}\r\n\r\n"
        return await line.call(head.encode() + body, abandon_after)


class _Line(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._heard = Heard()
        self._done: asyncio.Future[Heard] | None = None
        self._abandon_after: int | None = None

    async def call(self, request: bytes, abandon_after: int | None) -> Heard:
        self._heard, self._abandon_after = Heard(), abandon_after
        self._done = asyncio.get_running_loop().create_future()
        self._write(request)
        if abandon_after == 0:
            self.drop()
        try:
            return await self._done
        except asyncio.CancelledError:
            self.drop()
            raise

    def drop(self) -> None:
        self.lost = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._transport = None
        self._finish()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.drop()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._heard.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._heard.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._heard.body += body
        if self._abandon_after is not None and len(self._heard.body) >= self._abandon_after:
            self.drop()

    def on_message_complete(self) -> None:
        if self._heard.status >= 200:
            self._heard.complete = not self.lost
            if not self._parser.should_keep_alive():
                self.drop()
            self._finish()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(self._heard)
