"""What the gateway must never do: dial where it should not, let a caller choose where, repeat a key, mix up customers,
or keep content."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import CHAT, KEY, MESSAGES, FakeKey, Wanted, budget, chat, message, rig

from costweir.config import load
from costweir.errors import ConfigError
from costweir.gateway.app import is_own
from costweir.gateway.identity import identify
from costweir.gateway.metrics import snapshot
from costweir.gateway.turned import Turned

CANARY = "sk-canary-5f1e0c"
WORD = "canary-prompt-77d1"


@contextlib.asynccontextmanager
async def parrot(status: str, *, stream: bool = False) -> AsyncIterator[str]:
    """A provider that repeats everything it was sent, its key with it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            said = json.dumps(
                {"error": {"message": (head + await reader.readexactly(length)).decode()}}
            ).encode()
            kind = b"text/event-stream" if stream else b"application/json"
            body = b"data: " + said + b"\n\n" if stream else said
            writer.write(
                b"HTTP/1.1 %b\r\ncontent-type: %b\r\nset-cookie: a=%b\r\nopenai-organization: org-ours\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%b"
                % (status.encode(), kind, CANARY.encode(), len(body), body)
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(
    "status", ["200 OK", "400 Bad", "401 No", "403 No", "404 No", "429 Slow", "500 Oh", "302 Go"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_providers_key_reaches_nobody(
    tmp_path: Path,
    status: str,
    stream: bool,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "key").write_text(CANARY + "\n")

    async def run() -> None:
        wanted = Wanted(provider=f'api_key_file = "{tmp_path}/key"\nretries = 0')
        async with (
            parrot(status, stream=stream) as base,
            rig(tmp_path, replace(wanted, base=base)) as made,
        ):
            heard = await made.post(CHAT, chat(WORD, max_tokens=9, stream=stream))
            await made.quiet()
            link = made.serving.door.roster.links["up"]
            assert link.secret == CANARY.encode()
            told = [
                json.dumps(heard.headers), bytes(heard.body).decode(), repr(link), repr(made.serving),
                repr(snapshot(made.serving.witness.metrics, made.serving.gauges())),
                repr(await made.attempts()),
            ]  # fmt: skip
            made.serving.witness.flush()
            told += [line.decode() for line in made.lines]
            assert [text for text in told if CANARY in text] == []
            assert "org-ours" not in told[0]
            assert [text for text in told[2:] if WORD in text] == []

    caplog.set_level(logging.DEBUG)
    asyncio.run(run())
    out = capsys.readouterr()
    assert CANARY not in caplog.text + out.out + out.err


def test_a_callers_own_key_is_in_no_log(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            await made.post(CHAT, chat())
            await made.post(CHAT, chat(), key="cw-wrong-but-secret")
            made.serving.witness.flush()
            lines = b"".join(made.lines)
            assert KEY.encode() not in lines
            assert b"cw-wrong-but-secret" not in lines

    asyncio.run(run())


@pytest.mark.parametrize("name", ["api_base", "base_url", "api_key", "host", "endpoint"])
def test_a_caller_cannot_choose_where_its_call_goes(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        dialled: list[bool] = []

        async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            dialled.append(True)
            writer.close()

        server = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
        there = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with rig(tmp_path) as made:
            heard = await made.post(
                CHAT, chat(**{name: there}), **{f"x-{name}": there, "x-costweir-base-url": there}
            )
            assert heard.status == 200
            assert made.mock.bill.calls == 1
        server.close()
        assert dialled == []

    asyncio.run(run())


def test_a_provider_inside_the_network_is_not_dialled_without_leave(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            for link in made.serving.door.roster.links.values():
                link.pool.resolver.allow_private = False
            heard = await made.post(CHAT, chat())
            assert heard.status == 503
            assert made.mock.bill.calls == 0
            assert {row.state for row in await made.attempts()} == {"RELEASED"}

    asyncio.run(run())


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async def run() -> None:
        away = "307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/"
        async with (
            parrot(away) as base,
            rig(tmp_path, Wanted(base=base, provider="retries = 0")) as made,
        ):
            heard = await made.post(CHAT, chat())
            assert heard.status == 502
            assert "location" not in heard.headers

    asyncio.run(run())


def test_a_key_in_the_configuration_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[[providers]]\nid = "a"\nkind = "openai"\napi_key = "sk-plain"\n')
    with pytest.raises(ConfigError) as caught:
        load(path=file, environ={}, overrides={"data_dir": str(tmp_path)})
    assert "sk-plain" not in str(caught.value) + caught.value.hint


NAMES = st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([
            b"x-costweir-customer", b"x-costweir-session", b"x-costweir-user", b"x-costweir-feature",
            b"x-costweir-project", b"x-costweir-environment", b"x-costweir-query-type", b"x-other", b"authorization",
        ]),
        NAMES.map(str.encode),
    ),
    max_size=6,
)  # fmt: skip


@given(NAMES, st.sets(st.sampled_from(["session", "user", "customer"])), HEADERS)
def test_a_call_is_for_the_keys_customer_or_is_refused(
    customer: str, may: set[str], headers: list[tuple[bytes, bytes]]
) -> None:
    key = FakeKey(customer=customer, may_assert=tuple(may))
    subject = None
    with contextlib.suppress(Turned):
        subject = identify(key, headers, plan_of={customer: "tier_1"}).subject
    named = {name.removeprefix(b"x-costweir-").decode() for name, _ in headers}
    if subject is None:
        assert named & {"customer", "session", "user"} - may
        return
    assert subject.key == key.id
    if "customer" not in may:
        assert (subject.customer, subject.plan) == (customer, "tier_1")
    if "session" not in may:
        assert subject.session == ""
    if "user" not in may:
        assert subject.user == ""


SCOPES = st.fixed_dictionaries({}, optional={
    "customer": st.sampled_from("ab"), "key": st.sampled_from("kl"), "session": st.sampled_from("st"),
    "plan": st.sampled_from("pq"), "model": st.sampled_from("mn"),
})  # fmt: skip


@given(SCOPES)
def test_the_budget_of_a_customer_names_nobody_else(scope: dict[str, str]) -> None:
    if is_own(scope, customer="a", key="k", session=""):
        assert scope.get("customer", "a") == "a"
        assert scope.get("key", "k") == "k"
        assert {"customer", "key"} & scope.keys()


def test_customers_do_not_see_each_other(tmp_path: Path) -> None:
    async def run() -> None:
        budgets = [budget("5.00", "b-acme"), budget("5.00", "b-zeta", scope={"customer": "zeta"})]
        async with rig(tmp_path, Wanted(budgets)) as made:
            made.keys.held["zeta"] = FakeKey("key_z", customer="zeta")
            ours = made.caller(**{"x-costweir-session": "acme-session"})
            theirs = made.caller("zeta", **{"x-costweir-session": "zeta-session"})
            said = b""
            for caller in (ours, theirs, ours, theirs):
                for heard in (
                    await caller.post(CHAT, chat(max_tokens=9)),
                    await caller.post(MESSAGES, message(stream=True)),
                    await caller.get("/v1/models"),
                    await caller.get("/v1/me/budget"),
                ):
                    assert heard.status == 200
                    if caller is theirs:
                        said += json.dumps(heard.headers).encode() + heard.body
            for name in (b"acme", b"key_1"):
                assert name not in said

    asyncio.run(run())


def test_the_internal_route_is_not_there_for_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            assert (await made.caller().get("/internal/metrics")).status == 404
            assert (await made.caller("inside").get("/internal/metrics")).status == 200

    asyncio.run(run())
