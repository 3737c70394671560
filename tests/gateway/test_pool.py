"""Connections to a provider: kept, bounded, timed, checked; and no request is ever written twice."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from costweir.gateway.upstream.address import Resolver
from costweir.gateway.upstream.faults import AddressRefused, UpstreamFault
from costweir.gateway.upstream.pool import Bounds, Pool
from costweir.gateway.upstream.reply import Patience, Reply

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
QUICK = Patience(connect=0.5, first_byte=0.4, idle=0.4, total=2)


@contextlib.asynccontextmanager
async def pool_to(
    peer: Peer, *, patience: Patience = QUICK, bounds: Bounds | None = None, tls: ssl.SSLContext | None = None,
    allow_private: bool = True,
) -> AsyncIterator[tuple[Pool, list[bytes]]]:  # fmt: skip
    seen: list[bytes] = []
    peers: list[asyncio.Task[object] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                seen.append(await reader.readuntil(b"\r\n\r\n"))
                await peer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    resolver = Resolver("127.0.0.1", port, allow_private=allow_private)
    pool = Pool(loop, resolver, patience=patience, bounds=bounds, tls=tls)
    try:
        yield pool, seen
    finally:
        await pool.close()
        server.close()
        await asyncio.wait(
            [peer for peer in peers if peer is not None] or [asyncio.create_task(asyncio.sleep(0))]
        )


async def says(data: bytes, *, close: bool = False, after: float = 0) -> Peer:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(after)
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return peer


async def ask(pool: Pool) -> tuple[Reply, bytes]:
    connection = await pool.connection()
    reply = pool.send(connection, REQUEST)
    try:
        return reply, await reply.body()
    finally:
        pool.give_back(connection)


async def fault_of(pool: Pool) -> UpstreamFault:
    with pytest.raises(UpstreamFault) as caught:
        await ask(pool)
    return caught.value


def test_a_connection_is_used_again() -> None:
    async def run() -> None:
        async with pool_to(await says(OK)) as (pool, seen):
            for _ in range(3):
                reply, body = await ask(pool)
                assert (reply.status, body) == (200, b"ok")
            assert pool.open == 1
            assert len(seen) == 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "close", "kind"),
    [
        (b"", True, "closed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", True, "closed"),
        (b"what is this\r\n\r\n", False, "malformed"),
        (b"", False, "first_byte_timeout"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", False, "idle_timeout"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", False, "too_large"),
    ],
)
def test_what_was_sent_and_not_answered_is_never_sent_again(data: bytes, close: bool, kind: str) -> None:
    async def run() -> None:
        async with pool_to(await says(data, close=close)) as (pool, seen):
            fault = await fault_of(pool)
            assert (fault.kind, fault.sent) == (kind, True)
            assert len(seen) == 1

    asyncio.run(run())


def test_a_reply_that_grows_without_end_is_cut_off() -> None:
    async def run() -> None:
        data = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000
        async with pool_to(await says(data), bounds=Bounds(reply_bytes=1000)) as (pool, _):
            assert (await fault_of(pool)).kind == "too_large"

    asyncio.run(run())


def test_a_reply_that_trickles_ends_at_the_total() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

    async def run() -> None:
        patience = Patience(connect=1, first_byte=1, idle=1, total=0.3)
        async with pool_to(trickle, patience=patience) as (pool, _):
            assert (await fault_of(pool)).kind == "total_timeout"

    asyncio.run(run())


def test_a_request_goes_to_a_fresh_connection_when_the_idle_one_is_gone() -> None:
    async def run() -> None:
        async with pool_to(await says(OK, close=True)) as (pool, seen):
            for _ in range(3):
                assert (await ask(pool))[1] == b"ok"
                await asyncio.sleep(0.02)
            assert len(seen) == 3

    asyncio.run(run())


def test_a_server_that_says_how_long_it_keeps_a_connection_is_believed() -> None:
    async def run() -> None:
        data = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok"
        async with pool_to(await says(data)) as (pool, _):
            first = await pool.connection()
            await pool.send(first, REQUEST).body()
            pool.give_back(first)
            second = await pool.connection()
            assert second is not first
            pool.give_back(second)

    asyncio.run(run())


def test_an_unasked_reply_ends_the_connection() -> None:
    async def run() -> None:
        async with pool_to(await says(OK + OK)) as (pool, _):
            assert (await ask(pool))[1] == b"ok"
            await asyncio.sleep(0.02)
            assert pool.open == 0

    asyncio.run(run())


def test_an_interim_reply_is_not_the_answer() -> None:
    async def run() -> None:
        async with pool_to(await says(b"HTTP/1.1 100 Continue\r\nx-early: 1\r\n\r\n" + OK)) as (pool, _):
            reply, body = await ask(pool)
            assert (reply.status, body, reply.header(b"x-early")) == (200, b"ok", b"")
            assert (await ask(pool))[1] == b"ok"

    asyncio.run(run())


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async def run() -> None:
        async with pool_to(await says(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)) as (pool, _):
            assert (await ask(pool))[1] == b"all of it"

    asyncio.run(run())


def test_a_redirect_is_a_reply_and_is_not_followed() -> None:
    async def run() -> None:
        data = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
        async with pool_to(await says(data)) as (pool, seen):
            reply, _ = await ask(pool)
            assert reply.status == 307
            assert len(seen) == 1

    asyncio.run(run())


def test_more_callers_than_connections_take_turns_and_then_give_up() -> None:
    async def run() -> None:
        async with pool_to(await says(OK, after=0.05), bounds=Bounds(connections=2)) as (pool, seen):
            assert [body for _, body in await asyncio.gather(*(ask(pool) for _ in range(8)))] == [b"ok"] * 8
            assert pool.open <= 2
            held = [await pool.connection() for _ in range(2)]
            with pytest.raises(UpstreamFault) as caught:
                await pool.connection()
            assert (caught.value.kind, caught.value.sent) == ("busy", False)
            for connection in held:
                pool.give_back(connection)
            assert len(seen) == 8

    asyncio.run(run())


def test_nobody_there_means_nothing_was_sent() -> None:
    async def run() -> None:
        pool = Pool(asyncio.get_running_loop(), Resolver("127.0.0.1", 1, allow_private=True), patience=QUICK)
        with pytest.raises(UpstreamFault) as caught:
            await pool.connection()
        assert (caught.value.kind, caught.value.sent) == ("connect", False)
        await pool.close()

    asyncio.run(run())


def test_this_machine_is_not_dialled_without_leave() -> None:
    async def run() -> None:
        async with pool_to(await says(OK), allow_private=False) as (pool, seen):
            with pytest.raises(AddressRefused):
                await pool.connection()
            assert seen == []

    asyncio.run(run())


def test_an_untrusted_certificate_is_not_spoken_to() -> None:
    async def run() -> None:
        async with pool_to(await says(OK), tls=ssl.create_default_context()) as (pool, seen):
            with pytest.raises(UpstreamFault) as caught:
                await pool.connection()
            assert not caught.value.sent
            assert seen == []

    asyncio.run(run())
