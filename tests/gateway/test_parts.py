"""The small parts that the request path stands on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from costweir.errors import ConfigError
from costweir.gateway.heads import added, passed_on
from costweir.gateway.journal import Journal
from costweir.gateway.names import request_id
from costweir.gateway.providers.breaker import Breaker
from costweir.gateway.providers.kinds import place_of
from costweir.gateway.recovering import Recovering
from costweir.gateway.routes import METERED, family_of
from costweir.guard import Start, open_ledger
from costweir.guard.ledger import Ask, Candidate, Hold, Refusal, Subject


@pytest.mark.parametrize(
    ("kind", "url", "authority", "prefix"),
    [
        ("openai", "", "api.openai.com", "/v1"),
        ("openai", "http://127.0.0.1:9100/v1/", "127.0.0.1:9100", "/v1"),
        ("openai", "https://llm.example/openai", "llm.example", "/openai"),
        ("openai", "http://[::1]:80/v1", "[::1]", "/v1"),
        ("anthropic", "", "api.anthropic.com", "/v1"),
        ("anthropic", "https://a.example/v1", "a.example", "/v1"),
        ("anthropic", "https://a.example/x", "a.example", "/x/v1"),
    ],
)
def test_where_a_provider_is(kind: str, url: str, authority: str, prefix: str) -> None:
    place = place_of(kind, url)
    assert (place.authority, place.prefix) == (authority, prefix)


@pytest.mark.parametrize(
    "url", ["https://u:p@a.example/v1", "https://a.example/v1?x=1", "https://:99999/", "https://a:x/"]
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        place_of("openai", url)


def test_a_breaker_opens_lets_one_call_try_and_closes() -> None:
    breaker = Breaker(failures=2, seconds=10)
    breaker.failed(0)
    assert breaker.admits(0)
    breaker.succeeded()
    for _ in range(2):
        breaker.failed(1)
    assert breaker.is_open
    assert not breaker.admits(10.9)
    assert [breaker.admits(11), breaker.admits(11), breaker.admits(12)] == [True, False, False]
    breaker.succeeded()
    assert breaker.admits(12)


def test_request_ids_sort_by_time_and_differ() -> None:
    made = [request_id() for _ in range(1000)]
    assert {len(name) for name in made} == {30}
    assert len(set(made)) == 1000
    assert [name[:16] for name in made] == sorted(name[:16] for name in made)


def test_headers_of_a_reply_are_those_a_caller_may_hear() -> None:
    given = [
        (b"content-type", b"application/json"), (b"x-ratelimit-limit-tokens", b"1"), (b"set-cookie", b"a"),
        (b"openai-organization", b"org"), (b"openai-processing-ms", b"3"), (b"connection", b"close"),
        (b"transfer-encoding", b"chunked"), (b"location", b"x"), (b"retry-after", b"2"), (b"server", b"y"),
    ]  # fmt: skip
    assert passed_on(given) == (
        b"content-type: application/json\r\nx-ratelimit-limit-tokens: 1\r\n"
        b"openai-processing-ms: 3\r\nretry-after: 2\r\n"
    )


def test_the_gateways_own_headers() -> None:
    hold = Hold(1, "req_1", 1, 300, 2_000_000, 5_000_000, strict=True, clamped=True)
    said = added("req_1", model="small", asked="big", hold=hold, cost=500_000, charged=500_000).decode()
    assert dict(line.split(": ") for line in said.splitlines()) == {
        "x-costweir-request-id": "req_1", "x-costweir-model": "small", "x-costweir-cache": "off",
        "x-costweir-cost-usd": "0.0005", "x-costweir-held-usd": "0.002", "x-costweir-remaining-usd": "0.0065",
        "x-costweir-clamped-to": "300", "x-costweir-degraded-from": "big",
    }  # fmt: skip


def test_paths_and_families() -> None:
    assert {route.path.decode() for route in METERED.values()} == {
        "/v1/chat/completions", "/v1/embeddings", "/v1/messages", "/v1/messages/count_tokens",
    }  # fmt: skip
    assert [family_of(path) for path in ("/v1/messages/batches", "/v1/files")] == ["anthropic", "openai"]


def test_lines_are_gathered_and_written_whole() -> None:
    async def run() -> None:
        written: list[bytes] = []
        journal = Journal(asyncio.get_running_loop(), written.append)
        for number in range(3):
            journal.note({"n": number})
        assert written == []
        await asyncio.sleep(0.15)
        assert written == [b'{"n":0}\n{"n":1}\n{"n":2}\n']
        journal.note({"big": "x" * 70_000})
        assert len(written) == 2
        assert msgspec.json.decode(written[1])["big"]

    asyncio.run(run())


ASK = Ask("req_1", Subject(customer="a"), (Candidate("m", "p", 1, 1, 10, 10, 5),))


def test_a_call_waits_for_the_ledger_that_is_being_opened(tmp_path: Path) -> None:
    async def run() -> None:
        waiting = Recovering(asyncio.get_running_loop())
        call = asyncio.create_task(waiting.reserve(ASK, send=True))
        await asyncio.sleep(0.01)
        assert not call.done()
        ledger = open_ledger("memory:", folder=tmp_path, start=Start())
        waiting.done(ledger)
        assert isinstance(await call, Hold)
        await ledger.close()

    asyncio.run(run())


def test_a_ledger_that_takes_too_long_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costweir.gateway.recovering.PATIENCE_SECONDS", 0.01)

    async def run() -> None:
        waiting = Recovering(asyncio.get_running_loop())
        answer = await waiting.reserve(ASK)
        assert isinstance(answer, Refusal)
        assert (answer.code, answer.retry_after) == ("ledger_unavailable", 1)

    asyncio.run(run())
