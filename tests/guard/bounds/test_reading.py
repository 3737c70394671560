"""A body is read once: what costs more than its bytes is found, what has no bound is named, nothing else is touched."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costweir.errors import UsageError
from costweir.guard.bounds import Shape, read
from costweir.guard.bounds.reading import _plain  # pyright: ignore[reportPrivateUsage]
from costweir.guard.bounds.walk import Walk

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
MESSAGE = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
PNG = base64.b64encode(bytes(range(256)) * 40).decode()


def raw(given: object) -> bytes:
    return json.dumps(given).encode()


def chat(**more: Any) -> Shape:
    return read("openai.chat", raw({**CHAT, **more}))


def message(*, betas: tuple[str, ...] = (), **more: Any) -> Shape:
    return read("anthropic.messages", raw({**MESSAGE, **more}), betas=betas)


def said(*parts: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
numbers = st.none() | st.integers(-2, 5_000)


@given(
    body=st.fixed_dictionaries(
        {
            "model": words,
            "messages": st.lists(
                st.fixed_dictionaries({"role": words}, optional={"content": st.none() | words, "name": words}),
                max_size=4,
            ),
        },
        optional={
            "max_tokens": numbers, "max_completion_tokens": numbers, "n": st.none() | st.integers(1, 9),
            "stream": st.none() | st.booleans(), "temperature": st.floats(0, 2), "stop": st.none() | st.lists(words),
            "stream_options": st.none() | st.fixed_dictionaries({}, optional={"include_usage": st.booleans()}),
            "service_tier": st.none() | st.sampled_from(["auto", "default", "flex", "priority", "wrong"]),
        },
    ),
    tight=st.booleans(), ascii_only=st.booleans(),
)  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_the_quick_way_reads_what_the_walk_reads(body: dict[str, Any], tight: bool, ascii_only: bool) -> None:
    text = json.dumps(body, ensure_ascii=ascii_only, separators=(",", ":") if tight else None).encode()
    quick = _plain(text)
    if quick is None:
        assert body.get("service_tier") == "wrong"
        return
    if not body["model"]:
        return
    slow = Walk("openai.chat", text).shape(body, ())

    assert {name: getattr(quick, name) for name in Shape.__struct_fields__ if name != "cap_fields"} == {
        name: getattr(slow, name) for name in Shape.__struct_fields__ if name != "cap_fields"
    }
    assert set(quick.cap_fields) == set(slow.cap_fields)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"teleport": 1}, "teleport is not known"),
        ({"messages": [{"role": "user", "content": "x", "attachments": []}]}, "messages[0].attachments"),
        ({"messages": said({"type": "hologram"})}, "'hologram'"),
        ({"messages": said({"type": "text", "text": "x", "file": "f"})}, "messages[0].content[0].file"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]: a tool of type 'web_search'"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"modalities": ["smell"]}, "'smell'"),
        ({"service_tier": "imperial"}, "'imperial'"),
        ({"stream_options": {"include_everything": True}}, "stream_options.include_everything"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"prompt_cache_options": {"mode": "explicit", "ttl": "12h"}}, "ttl '12h': its price is not known"),
        (
            {"messages": said({"type": "text", "text": "x", "prompt_cache_breakpoint": {"ttl": "12h"}})},
            "'12h'",
        ),
    ],
)
def test_what_has_no_bound_is_named_in_a_chat(more: dict[str, Any], named: str) -> None:
    assert [problem for problem in chat(**more).problems if named in problem]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "without max_uses"),
        ({"tools": [{"type": "code_execution_20250825", "name": "x"}]}, "code_execution_20250825"),
        ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"thinking": {"type": "endless"}}, "thinking 'endless'"),
        ({"cache_control": {"type": "ephemeral", "ttl": "1y"}}, "ttl '1y'"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "a second request"),
        ({"output_config": {"soul": 1}}, "output_config.soul"),
        ({"speed": "ludicrous"}, "'ludicrous'"),
        ({"system": [{"type": "text", "text": "x", "secret": 1}]}, "system[0].secret"),
        (
            {"messages": said({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "orb"}]})},
            "'orb'",
        ),
    ],
)
def test_what_has_no_bound_is_named_in_a_message(more: dict[str, Any], named: str) -> None:
    assert [problem for problem in message(**more).problems if named in problem]


def test_a_beta_header_that_is_not_known_is_named() -> None:
    assert message(betas=("time-travel-2027-01-01",)).problems == (
        "the beta time-travel-2027-01-01 is not known",
    )
    assert message(betas=("prompt-caching-2024-07-31",)).problems == ()


def test_a_beta_header_may_open_a_larger_context() -> None:
    assert message(betas=("context-1m-2025-08-07",)).context == 1_000_000


def test_problems_are_few_and_short_however_many_a_caller_makes() -> None:
    shape = chat(**{f"{'x' * 1000}{number}": 1 for number in range(1000)})

    assert 0 < len(shape.problems) <= 8
    assert max(map(len, shape.problems)) < 120


def test_a_name_cannot_steer_a_terminal() -> None:
    (problem,) = chat(**{"\x1b[2Jwarp\r\n": 1}).problems

    assert problem == "?[2Jwarp?? is not known"


def test_a_shape_shows_nothing_of_what_was_said() -> None:
    assert "hello" not in repr(chat())


def test_an_image_counts_as_an_image_and_not_by_its_bytes() -> None:
    url = f"data:image/png;base64,{PNG}"
    shape = chat(
        messages=said({"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": url}})
    )

    assert shape.media == ("image",)
    assert shape.text < 200
    assert shape.needs == {"images"}


@pytest.mark.parametrize(
    ("detail", "kind"),
    [("low", "image_low"), ("high", "image_high"), ("original", "image"), ("auto", "image")],
)
def test_the_detail_of_an_image_is_read(detail: str, kind: str) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": detail}}

    assert chat(messages=said(part)).media == (kind,)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"file_data": PNG}}, "file"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file"),
        ({"type": "video_url", "video_url": {"url": "https://x"}}, "video"),
    ],
)
def test_encoded_remote_and_stored_parts_are_media(part: dict[str, Any], kind: str) -> None:
    assert chat(messages=said(part)).media == (kind,)


def test_stored_audio_of_an_answer_is_a_medium() -> None:
    assert chat(messages=[{"role": "assistant", "audio": {"id": "audio_1"}}]).media == ("stored_audio",)


def test_a_document_counts_by_what_it_is() -> None:
    def document(**source: Any) -> Shape:
        return message(messages=said({"type": "document", "source": source}))

    assert document(type="base64", data=PNG, media_type="application/pdf").media == ("file",)
    assert document(type="url", url="https://x").media == ("file",)
    assert document(type="file", file_id="f").media == ("file",)
    assert document(type="text", data="plain words").media == ()
    inner = {"type": "image", "source": {"type": "base64", "data": PNG}}
    assert document(type="content", content=[inner]).media == ("image",)


def test_an_image_in_a_tools_result_is_found() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    shape = message(messages=said({"type": "tool_result", "tool_use_id": "t", "content": [image]}))

    assert shape.media == ("image",)


def test_a_server_tool_multiplies_by_its_uses() -> None:
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    shape = message(tools=[tool, {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2}])

    assert (shape.rounds, shape.fees, shape.problems) == (5, (("web_search", 3),), ())


@pytest.mark.parametrize(
    ("place", "ttl", "wanted"),
    [
        ("system", None, "5m"),
        ("system", "1h", "1h"),
        ("tools", None, "5m"),
        ("top", "1h", "1h"),
        ("none", None, ""),
    ],
)
def test_asking_for_cache_writes_is_found_wherever_it_stands(
    place: str, ttl: str | None, wanted: str
) -> None:
    control = {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}
    places: dict[str, dict[str, Any]] = {
        "system": {"system": [{"type": "text", "text": "x", "cache_control": control}]},
        "tools": {"tools": [{"name": "f", "input_schema": {}, "cache_control": control}]},
        "top": {"cache_control": control},
        "none": {},
    }

    assert message(**places[place]).caching == wanted


def test_the_longer_life_wins() -> None:
    parts = [
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", **more}}
        for more in ({"ttl": "1h"}, {})
    ]

    assert message(messages=said(*parts)).caching == "1h"


def test_a_cache_breakpoint_of_the_usual_life_is_taken() -> None:
    part = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}

    assert chat(messages=said(part), prompt_cache_options={"mode": "explicit"}).problems == ()


def test_both_caps_are_read_and_the_smaller_one_holds() -> None:
    shape = chat(max_tokens=50, max_completion_tokens=70)

    assert (shape.cap, set(shape.cap_fields)) == (50, {"max_tokens", "max_completion_tokens"})


@pytest.mark.parametrize("cap", [0, -1, None])
def test_a_cap_that_some_servers_take_for_none_is_none(cap: int | None) -> None:
    assert (chat(max_tokens=cap).cap, chat(max_tokens=cap).cap_fields) == (None, ())


def test_choices_and_best_of_multiply() -> None:
    assert (chat(n=3).choices, chat(n=2, best_of=5).choices) == (3, 5)


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("openai.chat", b"{"), ("openai.chat", b"[]"), ("openai.chat", b"\xff"), ("openai.chat", b'{"messages": []}'),
        ("openai.chat", b'{"model": 1, "messages": []}'), ("openai.chat", b'{"model": "m", "messages": "hi"}'),
        ("openai.chat", b'{"model": "m", "messages": [1]}'),
        ("openai.chat", b'{"model": "m", "messages": [], "max_tokens": 1.5}'),
        ("openai.chat", b'{"model": "m", "messages": [], "max_tokens": "9"}'),
        ("openai.chat", b'{"model": "m", "messages": [], "n": true}'),
        ("openai.chat", b'{"model": "m", "messages": [], "n": 1025}'),
        ("openai.chat", b'{"model": "m", "messages": [], "max_tokens": 10000001}'),
        ("openai.chat", b'{"model": "m", "messages": [], "max_tokens": 1%s}' % (b"0" * 40)),
        ("anthropic.messages", b'{"model": "m", "tools": [{"type": "web_search_20250305", "max_uses": 9999}]}'),
        ("anthropic.messages", b'{"model": "m", "messages": [], "thinking": 1}'),
        ("anthropic.messages", b'{"model": "m", "messages": [], "thinking": {"type": "enabled"}}'),
        ("openai.chat", b"[" * 100_000), ("openai.chat", b'{"model": "m", "messages": ' + b'[{"content":' * 5_000),
    ],
)  # fmt: skip
def test_what_is_no_request_is_said_in_one_sentence(form: Any, body: bytes) -> None:
    with pytest.raises(UsageError) as raised:
        read(form, body)
    assert raised.value.message.endswith(".")


def test_a_key_that_stands_twice_within_the_body_is_named() -> None:
    """Two readers may take either, so a bound on one of them bounds nothing."""
    body = (
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"},'
        b'"type":"text","text":"x"}]}]}'
    )

    assert "type is there twice" in read("openai.chat", body).problems


def test_a_key_that_is_written_twice_in_two_ways_is_named() -> None:
    body = b'{"model": "m", "max_tokens": 5, "max\\u005ftokens": 500000, "tools": [], "messages": []}'

    assert "max_tokens is there twice" in read("openai.chat", body).problems


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_do_more_than_fail(body: bytes) -> None:
    for form in ("openai.chat", "openai.embeddings", "anthropic.messages"):
        try:
            read(form, body)
        except UsageError:
            continue


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
)


@given(
    body=st.dictionaries(
        st.sampled_from(["model", "messages", "tools", "system", "thinking", "stream_options", "max_tokens", "input",
                         "context_management", "output_config", "cache_control", "modalities", "speed", "metadata"]),
        json_values,
    ),
    content=json_values,
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_no_body_does_more_than_fail(body: dict[str, Any], content: Any) -> None:
    for form in ("openai.chat", "openai.embeddings", "anthropic.messages"):
        for given_body in (
            body,
            {**body, "model": "m", "messages": [{"role": "user", "content": [content]}]},
        ):
            try:
                read(form, json.dumps(given_body).encode())
            except UsageError:
                continue


def test_a_number_that_is_written_shorter_does_not_hide_a_key() -> None:
    """Read and written again, 1e9 takes the room of the key that was lost."""
    body = b'{"model":"m","messages":[],"tools":[],"user":"abc","user":"abc","metadata":[1e9,1e9,1e9]}'

    assert "user is there twice" in read("openai.chat", body).problems


keys = st.sampled_from(["a", '"', "\\", '\\"', '\\\\"', "é", "{", "\u2028", "b"])


@given(
    body=st.recursive(
        st.none() | st.integers() | keys, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner)
    ),
    ascii_only=st.booleans(), indent=st.none() | st.just(2), twice=st.booleans(),
)  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_a_key_that_stands_twice_is_found_however_the_body_is_written(
    body: Any, ascii_only: bool, indent: int | None, twice: bool
) -> None:
    metadata = json.dumps(body, ensure_ascii=ascii_only, indent=indent)
    again = ', "user": "\\"x\\\\"' if twice else ""
    raw_body = f'{{"model": "m", "messages": [], "tools": [], "user": "y", "metadata": {metadata}{again}}}'

    assert ("user is there twice" in read("openai.chat", raw_body.encode()).problems) == twice
