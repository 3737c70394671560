"""What a reply says was used: exclusive buckets when it can be true, unknown when not, never zero by ignorance."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.domain.usage import Usage
from costweir.gateway.apis import Reply, read_reply, stream_reader
from costweir.guard.bounds import Format


def chat(usage: object, **more: Any) -> Reply:
    body = {
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": usage, **more,
    }  # fmt: skip
    return read_reply("openai.chat", json.dumps(body).encode())


def message(usage: object, **more: Any) -> Reply:
    body = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": usage, **more,
    }  # fmt: skip
    return read_reply("anthropic.messages", json.dumps(body).encode())


def stream(form: Format, *events: object) -> Reply:
    reader = stream_reader(form)
    for event in events:
        reader.feed(event if isinstance(event, bytes) else json.dumps(event).encode())
    return reader.reply()


def chunk(
    text: str | None = None, *, finish: str | None = None, usage: object = None, **more: Any
) -> dict[str, Any]:
    delta = {"content": text} if text is not None else {}
    choices = [] if usage is not None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c", "model": "gpt-4o", "choices": choices, "usage": usage, **more}


TOTALS = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}


def test_inclusive_totals_become_exclusive_buckets() -> None:
    reply = chat(
        {
            **TOTALS,
            "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 10},
            "completion_tokens_details": {
                "reasoning_tokens": 20,
                "audio_tokens": 5,
                "accepted_prediction_tokens": 3,
            },
        }
    )

    assert reply.usage == Usage(
        input=60, cache_read=30, input_audio=10, output=25, reasoning=20, output_audio=5, request=1
    )
    assert (reply.finish, reply.model, reply.response_id) == ("stop", "gpt-4o-2024-08-06", "chatcmpl-1")


@pytest.mark.parametrize(
    ("word", "tier"),
    [(None, "standard"), ("default", "standard"), ("auto", "standard"), ("scale", "standard"), ("priority", "priority"),
     ("flex", "flex"), ("warp", "warp")],
)  # fmt: skip
def test_the_tier_that_served_is_the_one_that_is_priced(word: str | None, tier: str) -> None:
    assert chat(TOTALS, service_tier=word).tier == tier


@pytest.mark.parametrize(
    "usage",
    [
        None, {}, [], "many", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 100}, {"completion_tokens": 50}, {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 100, "completion_tokens": -50}, {"prompt_tokens": 100, "completion_tokens": 0},
        {"prompt_tokens": "100", "completion_tokens": 50}, {"prompt_tokens": 100.5, "completion_tokens": 50},
        {**TOTALS, "total_tokens": 10}, {**TOTALS, "total_tokens": 900},
        {**TOTALS, "prompt_tokens_details": {"cached_tokens": 101}},
        {**TOTALS, "completion_tokens_details": {"reasoning_tokens": 51}},
        {**TOTALS, "prompt_tokens_details": {"cached_tokens": -1}}, {**TOTALS, "prompt_tokens_details": 7},
    ],
)  # fmt: skip
def test_usage_that_is_missing_or_cannot_be_true_is_unknown(usage: object) -> None:
    assert chat(usage).usage is None


def test_no_output_is_true_where_nothing_was_said() -> None:
    nothing = [
        {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}
    ]
    called = [
        {"index": 0, "message": {"content": None, "tool_calls": [{"id": "t"}]}, "finish_reason": "tool_calls"}
    ]
    usage = {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}

    assert chat(usage, choices=nothing).usage == Usage(input=100, request=1)
    assert chat(usage, choices=called).usage is None


def test_reasoning_beside_the_completion_is_billed_too() -> None:
    """Some servers count reasoning only in the total."""
    reply = chat(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 215,
            "completion_tokens_details": {"reasoning_tokens": 200},
        }
    )

    assert reply.usage == Usage(input=10, output=5, reasoning=200, request=1)


@pytest.mark.parametrize("name", ["prompt_cache_hit_tokens", "cached_tokens"])
def test_other_names_of_cached_tokens_are_read(name: str) -> None:
    assert chat({**TOTALS, name: 40}).usage == Usage(input=60, cache_read=40, output=50, request=1)


def test_cache_writes_are_their_own_bucket() -> None:
    reply = chat({**TOTALS, "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 70}})

    assert reply.usage == Usage(input=20, cache_read=10, cache_write=70, output=50, request=1)


def test_cached_audio_is_counted_once_and_as_audio() -> None:
    reply = chat({**TOTALS, "prompt_tokens_details": {"cached_tokens": 90, "audio_tokens": 60}})

    assert reply.usage == Usage(input_audio=60, cache_read=40, output=50, request=1)


def test_an_embedding_has_input_only() -> None:
    body = b'{"object":"list","model":"text-embedding-3-small","data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}'

    assert read_reply("openai.embeddings", body).usage == Usage(input=8, request=1)
    assert read_reply("openai.embeddings", b'{"data":[]}').usage is None


def test_a_stream_is_known_by_its_last_chunk() -> None:
    reply = stream(
        "openai.chat", chunk(""), chunk("hi"), chunk(finish="stop"),
        chunk(usage=TOTALS, service_tier="priority"), b"[DONE]",
    )  # fmt: skip

    assert (reply.usage, reply.finish) == (Usage(input=100, output=50, request=1), "stop")
    assert (reply.tier, reply.model, reply.response_id) == ("priority", "gpt-4o", "c")


def test_a_stream_that_breaks_off_is_unknown_even_when_it_counted_as_it_went() -> None:
    counted = {**chunk("hi"), "usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}}

    assert stream("openai.chat", chunk("hi")).usage is None
    assert stream("openai.chat", counted).usage is None
    assert stream("openai.chat", counted, chunk(finish="stop")).usage is None
    assert stream("openai.chat", chunk("hi"), chunk(finish="stop"), b"[DONE]").usage is None
    assert stream("openai.chat").usage is None


def test_the_last_count_of_a_stream_is_the_one_that_counts() -> None:
    first = {**chunk("hi"), "usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}}
    last = {**chunk(finish="stop"), "usage": TOTALS}

    assert stream("openai.chat", first, last, b"[DONE]").usage == Usage(input=100, output=50, request=1)


def test_words_without_a_token_are_no_truth_in_a_stream() -> None:
    zero = {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}

    assert (
        stream("openai.chat", chunk("hi"), chunk(finish="stop"), chunk(usage=zero), b"[DONE]").usage is None
    )
    assert stream("openai.chat", chunk(finish="stop"), chunk(usage=zero), b"[DONE]").usage == Usage(
        input=100, request=1
    )


def test_what_is_no_chunk_is_passed_over() -> None:
    reply = stream(
        "openai.chat",
        b"",
        b"not json",
        b"[1]",
        chunk("x"),
        chunk(finish="stop"),
        chunk(usage=TOTALS),
        b"[DONE]",
    )

    assert reply.usage == Usage(input=100, output=50, request=1)


def test_a_message_has_its_cache_writes_by_their_life() -> None:
    reply = message(
        {
            "input_tokens": 10,
            "output_tokens": 20,
            "cache_read_input_tokens": 300,
            "cache_creation_input_tokens": 150,
            "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 100},
            "server_tool_use": {"web_search_requests": 2},
            "service_tier": "standard",
        }
    )

    assert reply.usage == Usage(
        input=10, output=20, cache_read=300, cache_write=50, cache_write_1h=100, web_search=2, request=1
    )
    assert (reply.finish, reply.model, reply.tier, reply.response_id) == (
        "end_turn", "claude-sonnet-4-5-20250929", "standard", "msg_1",
    )  # fmt: skip


def test_writes_without_a_life_are_those_of_five_minutes() -> None:
    usage = {"input_tokens": 10, "output_tokens": 20, "cache_creation_input_tokens": 150}

    assert message(usage).usage == Usage(input=10, output=20, cache_write=150, request=1)


@pytest.mark.parametrize(
    "usage",
    [
        None, {}, {"input_tokens": 10}, {"output_tokens": 10}, {"input_tokens": 0, "output_tokens": 10},
        {"input_tokens": 10, "output_tokens": 0}, {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 9,
         "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 1}},
        {"input_tokens": 10, "output_tokens": 5, "iterations": [{"type": "compaction"}, {"type": "message"}]},
    ],
)  # fmt: skip
def test_usage_of_a_message_that_cannot_be_true_is_unknown(usage: object) -> None:
    assert message(usage).usage is None


@pytest.mark.parametrize(
    ("more", "tier", "routing"),
    [
        ({}, "standard", ""), ({"service_tier": "priority"}, "standard", ""), ({"service_tier": "batch"}, "batch", ""),
        ({"speed": "fast"}, "fast", ""), ({"inference_geo": "us"}, "standard", "us"),
        ({"inference_geo": "global"}, "standard", ""), ({"inference_geo": "not_available"}, "standard", ""),
    ],
)  # fmt: skip
def test_how_a_message_was_served_decides_its_price(more: dict[str, Any], tier: str, routing: str) -> None:
    reply = message({"input_tokens": 1, "output_tokens": 1, **more})

    assert (reply.tier, reply.routing) == (tier, routing)


def started(**usage: Any) -> dict[str, Any]:
    usage = {"input_tokens": 100, "output_tokens": 1, **usage}
    return {
        "type": "message_start",
        "message": {"id": "m", "model": "claude-x", "content": [], "usage": usage},
    }


DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}


def ended(*, stop: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage}


def test_a_stream_of_a_message_ends_with_its_cumulative_counts() -> None:
    reply = stream(
        "anthropic.messages", started(cache_read_input_tokens=7), {"type": "ping"}, DELTA, DELTA,
        ended(output_tokens=50, server_tool_use={"web_search_requests": 1}), {"type": "message_stop"},
    )  # fmt: skip

    assert reply.usage == Usage(input=100, cache_read=7, output=50, web_search=1, request=1)
    assert (reply.finish, reply.model, reply.response_id) == ("end_turn", "claude-x", "m")


def test_counts_at_the_end_go_before_those_at_the_start() -> None:
    """The input grows when the provider runs tools of its own."""
    reply = stream("anthropic.messages", started(), DELTA, ended(input_tokens=9_000, output_tokens=50))

    assert reply.usage == Usage(input=9_000, output=50, request=1)


def test_a_stream_of_a_message_that_breaks_off_is_unknown() -> None:
    assert stream("anthropic.messages", started(), DELTA).usage is None
    assert stream("anthropic.messages", started(), DELTA, ended(stop=None, output_tokens=5)).usage is None
    assert stream("anthropic.messages", DELTA).usage is None
    assert stream("anthropic.messages", started(), DELTA, ended()).usage == Usage(
        input=100, output=1, request=1
    )


@pytest.mark.parametrize("space", ["", " "])
def test_events_are_read_however_they_are_written(space: str) -> None:
    reader = stream_reader("anthropic.messages")
    for event in (started(output_tokens=0), DELTA, ended(output_tokens=0)):
        reader.feed(json.dumps(event, separators=(",", f":{space}")).encode())

    assert reader.reply().usage is None, "words came, so no output at all is no truth"


@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["usage", "choices", "message", "content", "prompt_tokens", "type", "delta", "input_tokens"]),
        inner, max_size=4,
    ),
).map(lambda body: json.dumps(body).encode()))  # fmt: skip
def test_no_reply_does_more_than_be_unknown(body: bytes) -> None:
    for form in ("openai.chat", "openai.embeddings", "anthropic.messages"):
        read_reply(form, body)
        stream(form, body, body)
