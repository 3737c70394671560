"""The connections to one provider: kept open, bounded in number, dialled at a checked address.

A request that was not written yet may go to a fresh connection; once written it is never written again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass

from costweir.gateway.upstream.address import Resolver
from costweir.gateway.upstream.connection import Connection
from costweir.gateway.upstream.faults import UpstreamFault
from costweir.gateway.upstream.reply import Patience, Reply

#: Seconds between two looks at the deadlines of all replies; one sweep instead of three timers a call.
SWEEP_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections a pool may have, and how many bytes a whole reply."""

    connections: int = 1_024
    reply_bytes: int = 64 << 20


class Pool:
    """Connections to one host, on one event loop. `close` ends it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, resolver: Resolver, *, tls: ssl.SSLContext | None = None,
        patience: Patience | None = None, bounds: Bounds | None = None,
    ) -> None:  # fmt: skip
        self.resolver = resolver
        self._loop = loop
        self._tls = tls
        self._patience = patience or Patience()
        self._bounds = bounds or Bounds()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._dialling = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweep = loop.call_later(SWEEP_SECONDS, self._look)

    @property
    def open(self) -> int:
        """Connections now, those being dialled included."""
        return len(self._all) + self._dialling

    async def connection(self) -> Connection:
        """A connection that a request may be written on. Raises UpstreamFault with `sent` false, or AddressRefused."""
        while True:
            now = self._loop.time()
            while self._idle:
                found = self._idle.pop()
                if found.usable(now):
                    return found
                found.close()
            if self.open < self._bounds.connections:
                return await self._dial()
            await self._turn()

    def send(self, connection: Connection, request: bytes) -> Reply:
        """Writes the request and gives the reply to come."""
        reply = Reply(self._loop, self._patience, most=self._bounds.reply_bytes)
        connection.send(request, reply)
        return reply

    def give_back(self, connection: Connection) -> None:
        """Takes a connection back once its reply has ended or was given up."""
        if connection.reply is None and connection.usable(self._loop.time()):
            self._idle.append(connection)
            self._next()
        else:
            connection.abort("closed", "The reply was given up.")

    async def close(self) -> None:
        """Drops every connection."""
        self._sweep.cancel()
        for connection in list(self._all):
            connection.abort("closed", "The gateway stops.")
        self._idle.clear()
        await asyncio.sleep(0)

    async def _dial(self) -> Connection:
        self._dialling += 1
        try:
            async with asyncio.timeout(self._patience.connect):
                return await self._connect()
        except TimeoutError:
            raise UpstreamFault("connect", f"{self.resolver.host} does not answer.", sent=False) from None
        finally:
            self._dialling -= 1
            self._next()

    async def _connect(self) -> Connection:
        host = self.resolver.host
        for address in await self.resolver.addresses(self._loop.time()):
            try:
                _, made = await self._loop.create_connection(
                    lambda: Connection(self._loop, self._lost), address, self.resolver.port,
                    ssl=self._tls, server_hostname=host if self._tls is not None else None,
                )  # fmt: skip
            except ssl.SSLCertVerificationError as error:
                text = f"The certificate of {host} does not hold: {error.verify_message}."
                raise UpstreamFault("connect", text, sent=False) from error
            except OSError:
                continue
            self._all.add(made)
            return made
        raise UpstreamFault("connect", f"{host} refuses the connection.", sent=False)

    async def _turn(self) -> None:
        """Waits until a connection may be free; as long as a new one might take."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience.connect):
                await turn
        except TimeoutError:
            raise UpstreamFault("busy", "Every connection to the provider is in use.", sent=False) from None

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._next()

    def _look(self) -> None:
        """Ends the replies that are late, and the idle connections that nobody needed."""
        now = self._loop.time()
        for connection in list(self._all):
            reply = connection.reply
            if reply is not None and now > reply.deadline:
                if now > reply.give_up:
                    connection.abort("total_timeout", "The provider took too long altogether.")
                elif reply.status:
                    connection.abort("idle_timeout", "The provider fell silent.")
                else:
                    connection.abort("first_byte_timeout", "The provider did not begin to answer in time.")
        stale = [connection for connection in self._idle if not connection.usable(now)]
        for connection in stale:
            connection.close()
        self._sweep = self._loop.call_later(SWEEP_SECONDS, self._look)
