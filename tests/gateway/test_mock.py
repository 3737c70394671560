"""The mock provider: it answers in both wire formats, and its bill is what it generated, whatever it says."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.errors import UsageError
from costweir.gateway.mock import FAULTS, Faults, MockProvider, Rates
from costweir.gateway.mock.bill import Tokens
from costweir.gateway.mock.caller import Caller, Heard

CHEAP = Rates.usd(
    {"input": "1.00", "output": "2.00", "cache_read": "0.10", "cache_write": "1.25", "request": "0.01"}
)


def body(**more: object) -> bytes:
    given: dict[str, object] = {
        "model": "m",
        "messages": [{"role": "user", "content": "How high is the weir?"}],
    }
    return json.dumps({**given, "max_tokens": 50, **more}).encode()


def run(work: Callable[[MockProvider, Caller], Awaitable[Any]], **settings: Any) -> Any:
    async def whole() -> Any:
        provider = MockProvider(rates={"m": CHEAP}, slow_seconds=0.01, **settings)
        caller = Caller(await provider.start() + "/v1")
        try:
            return await work(provider, caller)
        finally:
            await caller.close()
            await provider.close()

    return asyncio.run(whole())


def post(path: str, sent: bytes, **settings: Any) -> tuple[MockProvider, Heard]:
    async def work(provider: MockProvider, caller: Caller) -> tuple[MockProvider, Heard]:
        return provider, await caller.post(path, sent)

    return run(work, **settings)


def events(heard: Heard) -> list[Any]:
    lines = bytes(heard.body).decode().split("\n\n")
    return [json.loads(data) for line in lines if (data := line.partition("data: ")[2]) and data != "[DONE]"]


def test_a_chat_answer_tells_what_was_billed() -> None:
    provider, heard = post("/chat/completions", body())
    reply = json.loads(heard.body)
    used = reply["usage"]
    assert heard.status == 200
    assert 1 <= used["completion_tokens"] <= 50
    assert len(reply["choices"][0]["message"]["content"].split()) == used["completion_tokens"]
    assert (
        provider.bill.total == used["prompt_tokens"] * 1_000 + used["completion_tokens"] * 2_000 + 10_000_000
    )
    assert provider.bill.by_model == {"m": provider.bill.total}


def test_the_same_request_uses_the_same_and_another_seed_something_else() -> None:
    totals = [post("/chat/completions", body(), seed=seed)[0].bill.total for seed in (1, 1, 2, 3)]
    assert totals[0] == totals[1]
    assert len(set(totals)) > 1


def test_a_stream_says_the_same_as_the_whole_answer_and_tells_usage_only_when_asked() -> None:
    _, heard = post("/chat/completions", body(stream=True, stream_options={"include_usage": True}))
    told = events(heard)
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in told if event["choices"])
    assert bytes(heard.body).endswith(b"data: [DONE]\n\n")
    assert len(text.split()) == told[-1]["usage"]["completion_tokens"]
    _, silent = post("/chat/completions", body(stream=True))
    assert b'"usage"' not in silent.body


def test_anthropic_messages_tell_usage_at_both_ends_of_a_stream() -> None:
    provider, heard = post("/messages", body(stream=True))
    told = events(heard)
    begun, ended = told[0]["message"]["usage"], told[-2]["usage"]
    assert [told[0]["type"], told[-1]["type"]] == ["message_start", "message_stop"]
    assert provider.bill.total == begun["input_tokens"] * 1_000 + ended["output_tokens"] * 2_000 + 10_000_000


def test_cached_tokens_have_their_own_rate_on_the_bill() -> None:
    marked = body(system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}])
    provider, heard = post("/messages", marked)
    used = json.loads(heard.body)["usage"]
    tokens = provider.bill.lines[0].tokens
    assert used["cache_creation_input_tokens"] == tokens.cache_write > 0
    assert provider.bill.total == CHEAP.cost(tokens)


def test_a_tool_is_called_until_its_result_is_there() -> None:
    tools = [{"type": "function", "function": {"name": "level", "parameters": {}}}]
    reply = json.loads(post("/chat/completions", body(tools=tools))[1].body)
    assert reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "level"
    answered = [{"role": "user", "content": "?"}, {"role": "tool", "content": "4 m", "tool_call_id": "c"}]
    reply = json.loads(post("/chat/completions", body(tools=tools, messages=answered))[1].body)
    assert reply["choices"][0]["finish_reason"] in ("stop", "length")


def test_embeddings_and_counting() -> None:
    reply = json.loads(
        post("/embeddings", b'{"model": "m", "input": ["one", "two"], "dimensions": 3}')[1].body
    )
    assert [len(row["embedding"]) for row in reply["data"]] == [3, 3]
    provider, heard = post("/messages/count_tokens", body())
    assert json.loads(heard.body)["input_tokens"] > 0
    assert provider.bill.total == 0


@pytest.mark.parametrize(
    ("fault", "status", "billed"),
    [
        ("omits_usage", 200, True),
        ("hangs_up", 0, True),
        ("bills_then_5xx", 500, True),
        ("slow", 200, True),
        ("rate_limits", 429, False),
        ("fails", 500, False),
        ("html", 502, False),
        ("malformed", 200, True),
    ],
)
def test_a_fault_shows_and_the_bill_is_right(fault: str, status: int, billed: bool) -> None:
    provider, heard = post("/chat/completions", body(), faults=Faults((fault,)))
    assert heard.status == status
    assert (provider.bill.total > 0) is billed
    assert (b'"usage"' in heard.body) is (fault == "slow")


@pytest.mark.parametrize("fault", ["hangs_up", "truncates", "malformed"])
def test_a_stream_that_breaks_has_no_end(fault: str) -> None:
    async def work(provider: MockProvider, caller: Caller) -> list[Heard]:
        sent = body(stream=True, stream_options={"include_usage": True})
        return [await caller.post("/chat/completions", sent) for _ in range(2)]

    for heard in run(work, faults=Faults((fault,))):
        assert b"[DONE]" not in heard.body
        assert heard.complete is (fault != "hangs_up")


def test_the_two_faults_that_break_an_assumption_bill_more_than_was_allowed() -> None:
    plain = post("/chat/completions", body())[0].bill.lines[0].tokens
    ignored = (
        post("/chat/completions", body(), faults=Faults(("ignores_max_tokens",)))[0].bill.lines[0].tokens
    )
    doubled = post("/chat/completions", body(), faults=Faults(("doubles_usage",)))[0].bill.lines[0].tokens
    assert ignored.output > 50
    assert doubled == plain.doubled()


def test_a_request_can_ask_for_its_own_fault() -> None:
    sent = body(messages=[{"role": "user", "content": "[[mock: fails]]"}])
    assert post("/chat/completions", sent)[1].status == 500


def test_a_share_of_the_requests_has_faults_and_a_seed_repeats_them() -> None:
    faults = Faults(("fails", "slow"), percent=30, seed=7)
    drawn = [faults.of(number, b"") for number in range(2_000)]
    assert drawn == [faults.of(number, b"") for number in range(2_000)]
    assert {name for names in drawn for name in names} == {"fails", "slow"}
    assert 500 < sum(bool(names) for names in drawn) < 700


def test_an_unknown_fault_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="'omit_usage' is not a fault") as refused:
        Faults(("omit_usage",))
    assert refused.value.hint == "Did you mean omits_usage?"


def test_what_is_no_request_is_refused_and_not_billed() -> None:
    for sent in (b"", b"[]", b"{}", b'{"model": 1}', b"\xff"):
        provider, heard = post("/chat/completions", sent)
        assert (heard.status, provider.bill.total, provider.bill.refused) == (400, 0, 1)


def test_the_bill_is_served_and_reset_and_faults_can_be_switched() -> None:
    async def work(provider: MockProvider, caller: Caller) -> None:
        desk = Caller(caller_url(provider))
        await caller.post("/chat/completions", body())
        bill = json.loads((await desk.get("/bill?lines=1")).body)
        assert bill["total_nano"] == provider.bill.total == bill["lines"][0]["nano"]
        assert Decimal(bill["total_usd"]) == Decimal(provider.bill.total).scaleb(-9)
        await desk.post("/reset", b"")
        assert json.loads((await desk.get("/bill")).body)["total_nano"] == 0
        switched = await desk.post("/faults", b'{"names": ["fails"], "percent": 100, "seed": 3}')
        assert switched.status == 200
        assert (await caller.post("/chat/completions", body())).status == 500
        assert (await desk.post("/faults", b'{"names": ["nonsense"]}')).status == 400
        await desk.close()

    def caller_url(provider: MockProvider) -> str:
        assert provider._server is not None
        return f"http://127.0.0.1:{provider._server.sockets[0].getsockname()[1]}"

    run(work)


def test_a_client_can_hang_up_and_is_billed() -> None:
    async def work(provider: MockProvider, caller: Caller) -> tuple[Heard, int]:
        heard = await caller.post("/chat/completions", body(stream=True), abandon_after=1)
        again = await caller.post("/chat/completions", body())
        assert again.status == 200
        return heard, provider.bill.calls

    heard, calls = run(work, faults=Faults(("slow",), percent=100))
    assert not heard.complete
    assert calls == 2


@given(st.builds(Tokens, *[st.integers(0, 10**9)] * 4))
def test_a_call_is_billed_in_whole_nano_dollars_rounded_up(tokens: Tokens) -> None:
    rates = Rates.usd({"input": "0.0375", "output": "0.15", "cache_read": "0.00009"})
    exact = (
        Decimal(tokens.input + tokens.cache_write) * Decimal("0.0375")
        + tokens.output * Decimal("0.15")
        + tokens.cache_read * Decimal("0.00009")
    ) * 1000
    assert 0 <= rates.cost(tokens) - exact < 1


def test_it_runs_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "costweir.gateway.mock", "--rate", "m=1.00,2.00", "--fault", "fails"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()

        async def call() -> int:
            caller = Caller(url)
            heard = await caller.post("/v1/chat/completions", body())
            await caller.close()
            return heard.status

        assert asyncio.run(call()) == 500
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_every_fault_is_explained() -> None:
    assert all(text for text in FAULTS.values())


@pytest.mark.parametrize(("most", "status"), [(100, 200), (10, 400)])
def test_a_prompt_beyond_the_context_is_refused_and_not_billed(most: int, status: int) -> None:
    sent = body(messages=[{"role": "user", "content": "row " * 50}])
    provider, heard = post("/chat/completions", sent, contexts={"m": most})

    assert heard.status == status
    assert provider.bill.to_json()["calls"] == (1 if status == 200 else 0)
    assert (b"maximum context length is 10 tokens" in heard.body) == (status == 400)
