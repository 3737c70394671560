"""The same stack without the guard: the gateway's server protocol and its connection pool, and nothing in between.

What Costweir does beside this (keys, bounds, holds on disk, settlement, the journal) is the difference to it.
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn
import uvloop

from costweir.gateway.exchange import Exchange
from costweir.gateway.protocol import Caps, protocol_for
from costweir.gateway.upstream.address import Resolver
from costweir.gateway.upstream.pool import Pool
from costweir.gateway.upstream.reply import Reply

HEAD = (
    b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nauthorization: Bearer sk-up\r\n"
    b"content-length: %d\r\n\r\n%b"
)


class Through:
    """Writes a stream on as it comes."""

    def __init__(self, exchange: Exchange, done: asyncio.Future[None]) -> None:
        self.exchange, self.done = exchange, done

    def on_data(self, data: bytes) -> None:
        self.exchange.write(data)

    def on_end(self) -> None:
        self.done.set_result(None)

    def on_fault(self, fault: Exception) -> None:
        self.done.set_result(None)


class PassThrough:
    """Forwards every metered request as it is."""

    def __init__(self, port: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.pool = Pool(self.loop, Resolver("127.0.0.1", port, allow_private=True))

    async def handle(self, exchange: Exchange) -> None:
        connection = await self.pool.connection()
        body = exchange.body
        reply = self.pool.send(connection, HEAD % (exchange.route.path, len(body), body))
        await reply.head()
        kind = b"content-type: " + reply.header(b"content-type") + b"\r\n"
        if reply.header(b"content-length"):
            exchange.reply(reply.status, kind, await reply.body())
        else:
            await self.stream(exchange, reply, kind)
        self.pool.give_back(connection)

    async def stream(self, exchange: Exchange, reply: Reply, kind: bytes) -> None:
        done: asyncio.Future[None] = self.loop.create_future()
        exchange.begin(reply.status, kind)
        reply.pipe(Through(exchange, done))
        await done
        exchange.end()

    def turn_away(self, exchange: Exchange, status: int) -> None:
        exchange.reply(status, b"", b"")


async def nothing_else(scope: object, receive: object, send: object) -> None:
    """The ASGI app of the other routes: there are none."""


async def main() -> None:
    protocol = protocol_for(PassThrough(int(sys.argv[2])), Caps())
    config = uvicorn.Config(
        nothing_else, host="127.0.0.1", port=int(sys.argv[1]), http=protocol, lifespan="off", access_log=False,
        log_level="error", backlog=4096, ws="none",
    )  # fmt: skip
    await uvicorn.Server(config).serve()


uvloop.run(main())
