"""The official SDKs as clients of a running server: what works with the provider works with the gateway, and a refusal
by a budget is not tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from server import Server, running

TOOL = {"name": "weather", "description": "The weather of a city.", "schema": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sdks")) as made:
        yield made


class Counted(httpx2.Client):
    """Counts what is sent."""

    sent = 0

    def send(self, *given: Any, **named: Any) -> httpx2.Response:
        self.sent += 1
        return super().send(*given, **named)


@pytest.fixture
def http() -> Iterator[Counted]:
    with Counted() as client:
        yield client


@pytest.fixture
def chats(server: Server, http: Counted) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.gateway}/v1", api_key=server.key("acme"), http_client=http)


@pytest.fixture
def messages(server: Server, http: Counted) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=server.gateway, api_key=server.key("acme"), http_client=http)


def test_openai_chat(chats: openai.OpenAI) -> None:
    raw = chats.chat.completions.with_raw_response.create(
        model="big", messages=[{"role": "user", "content": "hello"}], max_completion_tokens=20
    )
    reply = raw.parse()
    assert reply.choices[0].message.content
    assert reply.usage is not None
    assert 0 < reply.usage.completion_tokens <= 20
    assert raw.headers["x-costweir-cost-usd"]


def test_openai_stream(chats: openai.OpenAI) -> None:
    chunks = list(
        chats.chat.completions.create(
            model="big",
            messages=[{"role": "user", "content": "hello"}],
            max_completion_tokens=20,
            stream=True,
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def test_openai_stream_with_usage(chats: openai.OpenAI) -> None:
    chunks = list(
        chats.chat.completions.create(
            model="big", messages=[{"role": "user", "content": "hello"}], max_completion_tokens=20, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []


def test_openai_tools(chats: openai.OpenAI) -> None:
    reply = chats.chat.completions.create(
        model="big", messages=[{"role": "user", "content": "the weather in Bonn?"}], max_completion_tokens=60,
        tools=[{"type": "function", "function": {
            "name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}}],
    )  # fmt: skip
    assert reply.choices[0].finish_reason


def test_openai_embeddings_and_models(chats: openai.OpenAI) -> None:
    reply = chats.embeddings.create(model="big", input=["one", "two"])
    assert len(reply.data) == 2
    assert {model.id for model in chats.models.list()} == {"big", "small", "clever"}
    assert chats.models.retrieve("small").id == "small"


def test_anthropic_message_stream_tools_and_count(messages: anthropic.Anthropic) -> None:
    asked: list[Any] = [{"role": "user", "content": "hello"}]
    reply = messages.messages.create(model="clever", max_tokens=20, messages=asked)
    assert reply.usage.output_tokens <= 20
    with messages.messages.stream(model="clever", max_tokens=20, messages=asked) as stream:
        assert "".join(stream.text_stream)
        assert stream.get_final_message().usage.output_tokens <= 20
    tools: list[Any] = [{"name": TOOL["name"], "input_schema": TOOL["schema"]}]
    assert messages.messages.create(model="clever", max_tokens=40, messages=asked, tools=tools).stop_reason
    assert messages.messages.count_tokens(model="clever", messages=asked).input_tokens > 0


def test_errors_are_the_ones_that_the_openai_sdk_knows(server: Server, http: Counted) -> None:
    client = openai.OpenAI(base_url=f"{server.gateway}/v1", api_key="cw-wrong", http_client=http)
    with pytest.raises(openai.AuthenticationError) as wrong:
        client.chat.completions.create(model="big", messages=[{"role": "user", "content": "x"}])
    assert wrong.value.code == "key_invalid"
    right = client.with_options(api_key=server.key("acme"))
    with pytest.raises(openai.PermissionDeniedError) as missing:
        right.chat.completions.create(model="nothing", messages=[{"role": "user", "content": "x"}])
    assert missing.value.code == "model_not_allowed"
    with pytest.raises(openai.PermissionDeniedError) as files:
        right.files.list()
    assert files.value.code == "endpoint_not_metered"
    with pytest.raises(openai.BadRequestError):
        right.chat.completions.create(model="big", messages="no list")  # type: ignore[arg-type]
    assert http.sent == 4


def test_errors_are_the_ones_that_the_anthropic_sdk_knows(server: Server, http: Counted) -> None:
    client = anthropic.Anthropic(base_url=server.gateway, api_key="cw-wrong", http_client=http)
    asked: list[Any] = [{"role": "user", "content": "x"}]
    with pytest.raises(anthropic.AuthenticationError):
        client.messages.create(model="clever", max_tokens=5, messages=asked)
    right = client.with_options(api_key=server.key("acme"))
    with pytest.raises(anthropic.PermissionDeniedError):
        right.messages.create(model="nothing", max_tokens=5, messages=asked)
    with pytest.raises(anthropic.PermissionDeniedError):
        right.messages.batches.list()
    assert http.sent == 3


def test_a_refusal_by_a_budget_is_asked_once(server: Server, http: Counted) -> None:
    poor = server.key("poor")
    with pytest.raises(openai.APIStatusError) as first:
        openai.OpenAI(
            base_url=f"{server.gateway}/v1", api_key=poor, http_client=http, max_retries=5
        ).chat.completions.create(model="big", messages=[{"role": "user", "content": "x"}])
    assert (first.value.status_code, http.sent) == (402, 1)
    assert json.loads(first.value.response.text)["costweir"]["budget_id"] == "poor-total"
    with pytest.raises(anthropic.APIStatusError) as second:
        anthropic.Anthropic(
            base_url=server.gateway, api_key=poor, http_client=http, max_retries=5
        ).messages.create(model="clever", max_tokens=5, messages=[{"role": "user", "content": "x"}])
    assert (second.value.status_code, http.sent) == (402, 2)


def test_what_the_sdks_did_is_in_the_warehouse_within_two_seconds(
    server: Server, chats: openai.OpenAI
) -> None:
    before = server.calls()
    chats.chat.completions.create(
        model="big", messages=[{"role": "user", "content": "hello"}], max_completion_tokens=20
    )
    assert server.wait_for(lambda: server.calls() == before + 1, seconds=2)


def test_content_is_nowhere_on_the_disk(server: Server, chats: openai.OpenAI, tmp_path: Path) -> None:
    canary = "canary-9f31b7"
    reply = chats.chat.completions.create(
        model="big", messages=[{"role": "user", "content": canary}], max_completion_tokens=20, user=canary
    )
    assert reply.choices
    server.wait_for(lambda: False, seconds=1)
    holding = [
        path.name
        for path in server.data_dir.rglob("*")
        if path.is_file() and canary.encode() in path.read_bytes()
    ]
    assert holding == []
    assert canary not in server.log()
