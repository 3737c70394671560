"""The short cut past ASGI behaves as a server has to: limits, slow clients, pipelining, and uvicorn's own life cycle.

What is relied on of uvicorn is pinned here, so that a new version cannot change it unseen.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import socket
from pathlib import Path

import uvicorn
from rig import CHAT, KEY, Rig, Wanted, budget, chat, rig
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from costweir.gateway.mock import Faults
from costweir.gateway.protocol import Caps

BODY = chat(max_tokens=5)


def request(body: bytes = BODY, version: str = "1.1", **headers: str) -> bytes:
    given = {
        "host": "127.0.0.1",
        "authorization": f"Bearer {KEY}",
        "content-length": str(len(body)),
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST {CHAT} HTTP/{version}\r\n{lines}\r\n".encode() + body


async def speak(made: Rig, data: bytes, *, until_closed: bool = True, seconds: float = 5) -> bytes:
    """Writes bytes and reads until the server closes, or until a first reply is whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
    heard = b""
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(seconds):
            while piece := await reader.read(65536):
                heard += piece
                if not until_closed and b"\r\n\r\n" in heard:
                    break
    finally:
        writer.close()
    return heard


def test_uvicorn_is_the_version_whose_insides_are_known() -> None:
    assert uvicorn.__version__.rpartition(".")[0] == "0.54"
    cycle = set(inspect.signature(RequestResponseCycle.__init__).parameters)
    assert cycle >= {"scope", "transport", "flow", "keep_alive", "on_response", "message_event"}
    for name in (
        "connection_made", "connection_lost", "data_received", "on_message_begin", "on_url", "on_header",
        "on_headers_complete", "on_body", "on_message_complete", "on_response_complete", "shutdown",
        "pause_writing", "resume_writing",
    ):  # fmt: skip
        assert callable(getattr(HttpToolsProtocol, name)), name
    source = inspect.getsource(httptools_impl.HttpToolsProtocol)
    for relied_on in (
        "self.cycle.response_complete", "self.cycle.disconnected = True", "self.cycle.message_event.set()",
        "self.cycle.keep_alive = False", "self.server_state.total_requests += 1", "self.app_state.copy()",
    ):  # fmt: skip
        assert relied_on in source, relied_on


def test_a_connection_carries_one_call_after_the_other_and_other_routes_between(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            caller = made.caller()
            for _ in range(3):
                assert (await caller.post(CHAT, BODY)).status == 200
                assert (await caller.get("/health")).status == 200
            assert len(made.server.server_state.connections) == 1

    asyncio.run(run())


def test_a_connection_that_is_not_used_any_more_ends(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted(caps=Caps(idle_seconds=0.2))) as made:
            began = asyncio.get_running_loop().time()
            assert (await speak(made, request())).startswith(b"HTTP/1.1 200")
            assert 0.1 < asyncio.get_running_loop().time() - began < 3

    asyncio.run(run())


def test_bytes_may_come_one_by_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
            for byte in request(connection="close"):
                writer.write(bytes([byte]))
                await writer.drain()
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()

    asyncio.run(run())


def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted(caps=Caps(body=1000))) as made:
            heard = await speak(made, request(b"{}", **{"content-length": "1001"}))
            assert heard.startswith(b"HTTP/1.1 413")
            assert json.loads(heard.partition(b"\r\n\r\n")[2])["costweir"]["code"] == "too_large"
            big = b'{"x":"' + b"y" * 2000 + b'"}'
            chunked = request(b"", **{"transfer-encoding": "chunked"}).replace(b"content-length: 0\r\n", b"")
            heard = await speak(made, chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(big), big))
            assert heard.startswith(b"HTTP/1.1 413")
            assert made.mock.bill.calls == 0

    asyncio.run(run())


def test_a_head_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted(caps=Caps(head=2000))) as made:
            assert (await speak(made, request(cookie="x" * 3000))).startswith(b"HTTP/1.1 431")
            many = "".join(f"x-{number}: y\r\n" for number in range(400))
            assert (await speak(made, f"GET /health HTTP/1.1\r\n{many}\r\n".encode())).startswith(
                b"HTTP/1.1 431"
            )
            long = f"GET /{'x' * 3000} HTTP/1.1\r\nhost: x\r\n\r\n"
            assert (await speak(made, long.encode())).startswith(b"HTTP/1.1 431")

    asyncio.run(run())


def test_clients_that_never_finish_are_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted(caps=Caps(head_seconds=0.2, body_seconds=0.4))) as made:
            started = asyncio.get_running_loop().time()
            for unfinished in (b"", b"POST /v1/chat", request()[:-5], request()[:40]):
                with contextlib.suppress(ConnectionResetError):
                    assert await speak(made, unfinished, seconds=3) == b""
            assert asyncio.get_running_loop().time() - started < 3
            assert made.mock.bill.calls == 0

    asyncio.run(run())


def test_a_client_that_does_not_read_is_dropped_and_still_charged_for_what_it_used(tmp_path: Path) -> None:
    async def run() -> None:
        wanted = Wanted([budget("5.00")], caps=Caps(stall_seconds=0.3))
        async with rig(tmp_path, wanted) as made:
            quiet = socket.socket()
            quiet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            quiet.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(quiet, ("127.0.0.1", made.port))
            await loop.sock_sendall(quiet, request(chat("[[long]] " * 50, max_tokens=4000, stream=True)))
            await asyncio.sleep(0.1)
            await made.quiet()
            quiet.close()
            (row,) = await made.attempts()
            assert row.charged == made.mock.bill.total > 0

    asyncio.run(run())


def test_a_pipelined_call_is_not_mixed_up_with_the_one_before(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            heard = await speak(made, request() + request())
            assert heard.count(b"HTTP/1.1 200") == 1
            assert made.mock.bill.calls == 1

    asyncio.run(run())


def test_http_1_0_gets_a_stream_that_ends_with_the_connection(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            heard = await speak(made, request(chat(max_tokens=20, stream=True), version="1.0"))
            head, _, body = heard.partition(b"\r\n\r\n")
            assert b"chunked" not in head
            assert body.startswith(b"data: ")
            assert body.endswith(b"data: [DONE]\n\n")

    asyncio.run(run())


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            heard = await speak(made, request(expect="100-continue", connection="close"))
            assert heard.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")

    asyncio.run(run())


def test_only_the_gateways_own_names_are_answered_to(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted(hosts=(b"127.0.0.1",))) as made:
            assert (await made.post(CHAT, BODY)).status == 200
            evil = await speak(made, request(host="evil.example"))
            assert evil.startswith(b"HTTP/1.1 421")

    asyncio.run(run())


def test_a_stop_lets_the_call_under_way_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted(faults=Faults(("slow",)), slow_seconds=0.4)) as made:
            call = asyncio.create_task(made.post(CHAT, BODY))
            await asyncio.sleep(0.1)
            made.server.should_exit = True
            assert (await call).status == 200

    asyncio.run(run())


def test_nonsense_is_answered_with_400_and_the_server_lives_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            assert (await speak(made, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400")
            assert (await made.post(CHAT, b"\xff\xfe")).status == 400
            assert (await made.post(CHAT, b"[" * 100_000)).status == 400
            assert (await made.post(CHAT, BODY)).status == 200

    asyncio.run(run())
