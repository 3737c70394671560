"""The tables of bounds: every row has a bound that the walk knows, its evidence and its date, and is met by a body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

from costweir.guard.bounds import Format, read
from costweir.guard.bounds.tables import Row, document, known, table
from costweir.guard.bounds.walk import Walk

FORMATS: tuple[Format, ...] = get_args(Format)
SECTIONS = ("fields", "message", "parts", "tools", "betas")
#: A value of every field that a provider would take, where `1` is none.
VALUES: dict[str, Any] = {
    "messages": [{"role": "user", "content": "x"}], "stream": True, "stream_options": {"include_usage": True},
    "service_tier": "auto", "speed": "fast", "tools": [], "functions": [], "modalities": ["text"],
    "thinking": {"type": "adaptive"}, "cache_control": {"type": "ephemeral"}, "system": "x", "input": "x",
    "output_config": {"effort": "low"}, "prompt_cache_options": {"ttl": "30m"},
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    "content": "x", "audio": {"id": "audio_1"},
}  # fmt: skip


def rows() -> Iterator[tuple[Format, str, Row, dict[str, Any]]]:
    for form in FORMATS:
        defaults = document(form)["defaults"]
        for section in SECTIONS:
            for row in getattr(table(form), section).values():
                yield form, section, row, {**defaults, **row.options}


def body(form: Format, section: str, row: Row) -> dict[str, Any]:
    """A small body in which the row is met."""
    message: dict[str, Any] = {"role": "user", "content": "x"}
    found: dict[str, Any] = (
        {"model": "m", "messages": [message]} if form != "openai.embeddings" else {"model": "m"}
    )
    if section == "fields":
        found.setdefault(row.name, VALUES.get(row.name, 1))
    elif section == "message":
        message[row.name] = VALUES.get(row.name, "x")
    elif section == "parts":
        message["content"] = [
            {"type": row.name, "source": {"type": "url", "url": "https://x"}, "content": "x"}
        ]
        message["content"] = [
            {k: v for k, v in message["content"][0].items() if k == "type" or k in row.fields}
        ]
        if "source" not in row.fields:
            message["content"][0].pop("source", None)
    elif section == "tools":
        found["tools"] = [{"name": "f", "max_uses": 2, **({"type": row.name} if row.name else {})}]
    return found


ROWS = [pytest.param(*row, id=f"{row[0]}-{row[1]}-{row[2].name or 'untyped'}") for row in rows()]


@pytest.mark.parametrize(("form", "section", "row", "options"), ROWS)
def test_every_row_says_what_bounds_it_where_that_stands_and_since_when(
    form: Format, section: str, row: Row, options: dict[str, Any]
) -> None:
    kinds = Walk(form, b"")._kinds.keys() | ({"context", "output"} if section == "betas" else set())  # pyright: ignore[reportPrivateUsage]

    assert row.bound in kinds
    assert options["evidence"]
    assert isinstance(options["date"], date)
    assert bool(row.why) >= (row.bound == "refuse")


@pytest.mark.parametrize(("form", "section", "row", "options"), ROWS)
def test_a_body_that_meets_a_row_is_bounded_or_names_it(
    form: Format, section: str, row: Row, options: dict[str, Any]
) -> None:
    betas = [row.name] if section == "betas" else []
    shape = read(form, json.dumps(body(form, section, row)).encode(), betas=betas)

    if row.bound == "refuse":
        assert len(shape.problems) == 1
        assert row.why in shape.problems[0]
        assert row.name in shape.problems[0] or section == "parts"
    else:
        assert shape.problems == ()


@pytest.mark.parametrize("form", FORMATS)
def test_every_cost_that_a_provider_adds_by_itself_is_a_constant_with_its_evidence(form: Format) -> None:
    raw = document(form)["constants"]

    assert raw.keys() == {"request", "message", "tools", "tool"}
    assert all(row["tokens"] == 0 or row["evidence"] for row in raw.values())


@pytest.mark.parametrize("section", ["outputs", "images", "hosts", "searches"])
def test_what_is_known_of_models_and_hosts_has_its_evidence(section: str) -> None:
    found = document("models")[section]

    assert all(row["evidence"] and re.compile(row["match"]) for row in found)


@pytest.mark.parametrize(
    ("model", "output", "low", "high", "other"),
    [
        ("gpt-4o", 16_384, 85, 1_445, 1_445), ("gpt-4o-mini", 16_384, 2_833, 48_169, 48_169),
        ("o3", 100_000, 75, 1_275, 1_275), ("claude-sonnet-4-5", 64_000, 1_700, 1_700, 1_700),
        ("claude-opus-5-5", 128_000, 5_000, 5_000, 5_000), ("gpt-6-sol", 128_000, 3_000, 3_000, None),
        ("gpt-5.4", 128_000, None, None, None), ("house-model", 0, None, None, None),
    ],
)  # fmt: skip
def test_known_limits(model: str, output: int, low: int | None, high: int | None, other: int | None) -> None:
    images = known().images_of(model)

    assert known().output_of(model) == output
    assert (images.get("image_low"), images.get("image_high"), images.get("image")) == (low, high, other)


def test_the_page_about_bounds_says_the_numbers_that_the_tables_have() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs/bounds.md").read_text(encoding="utf-8")

    assert f"{known().fallback_output:,} tokens" in page
    assert {table("openai.chat").floor, table("anthropic.messages").floor} == {256}
    assert "at least 256 tokens" in page
    for refused in ("code execution", "MCP servers", "containers", "`max_uses`", "`cap_includes_reasoning"):
        assert refused in page


def hints_of(kind: Any) -> dict[str, Any]:
    """Fields of a typed dictionary, or of a block of a reply that may be sent back."""
    fields = getattr(kind, "model_fields", None)
    return (
        get_type_hints(kind)
        if fields is None
        else {row.alias or name: row.annotation for name, row in fields.items()}
    )


def names_of(kind: Any) -> set[str]:
    return set(hints_of(kind))


def members(union: Any) -> list[Any]:
    """The kinds of a union, those of unions within it too."""
    if get_origin(union) is Annotated:
        union = get_args(union)[0]
    kinds = get_args(union)
    return [inner for kind in kinds for inner in members(kind)] if kinds else [union]


def types_of(kind: Any) -> set[str]:
    """The texts that a block's or tool's `type` may have; an own tool may leave it out."""
    found: set[str] = set()
    pending = [hints_of(kind).get("type")]
    while pending:
        hint = pending.pop()
        found |= {option for option in get_args(hint) if isinstance(option, str)}
        pending += [option for option in get_args(hint) if not isinstance(option, str) and get_args(option)]
    return found


def test_every_field_and_part_that_the_openai_sdk_can_send_has_a_row() -> None:
    from openai.types import embedding_create_params
    from openai.types.chat import (
        chat_completion_content_part_param,
        chat_completion_message_param,
        chat_completion_tool_union_param,
        completion_create_params,
    )

    rows = table("openai.chat")
    sent = names_of(completion_create_params.CompletionCreateParamsNonStreaming)
    sent |= names_of(completion_create_params.CompletionCreateParamsStreaming)
    parts = members(chat_completion_content_part_param.ChatCompletionContentPartParam)

    assert sent - rows.fields.keys() == set()
    assert (
        names_of(embedding_create_params.EmbeddingCreateParams) - table("openai.embeddings").fields.keys()
        == set()
    )
    for kind in members(chat_completion_message_param.ChatCompletionMessageParam):
        assert names_of(kind) - rows.message.keys() == set()
    for kind in parts:
        for name in types_of(kind):
            assert names_of(kind) - rows.parts[name].fields - rows.everywhere.keys() == {"type"}
    for kind in members(chat_completion_tool_union_param.ChatCompletionToolUnionParam):
        assert types_of(kind) - rows.tools.keys() == set()


#: What the SDK sends as headers.
HEADERS = {"betas", "user_profile_id", "workspace_id"}


def test_every_field_part_tool_and_beta_that_the_anthropic_sdk_can_send_has_a_row() -> None:
    from anthropic.types import (
        anthropic_beta_param,
        content_block_param,
        message_create_params,
        tool_union_param,
    )
    from anthropic.types.beta import beta_content_block_param, beta_tool_union_param
    from anthropic.types.beta import message_create_params as beta_message

    rows = table("anthropic.messages")
    for kind in (
        message_create_params.MessageCreateParamsNonStreaming, message_create_params.MessageCreateParamsStreaming,
        beta_message.MessageCreateParamsNonStreaming, beta_message.MessageCreateParamsStreaming,
    ):  # fmt: skip
        assert set(kind.__annotations__) | names_of_bases(kind) <= rows.fields.keys() | HEADERS
    blocks = {kind for union in (content_block_param.ContentBlockParam, beta_content_block_param.BetaContentBlockParam)
              for kind in members(union)}  # fmt: skip
    for kind in blocks:
        for name in types_of(kind):
            assert names_of(kind) - rows.parts[name].fields - rows.everywhere.keys() == {"type"}, name
    tools = {kind for union in (tool_union_param.ToolUnionParam, beta_tool_union_param.BetaToolUnionParam)
             for kind in members(union)}  # fmt: skip
    assert {name for kind in tools for name in types_of(kind)} - rows.tools.keys() == set()
    betas = {
        name for option in get_args(anthropic_beta_param.AnthropicBetaParam) for name in get_args(option)
    }
    assert betas - rows.betas.keys() == set()


def names_of_bases(kind: Any) -> set[str]:
    """Annotations of a typed dictionary with those that it inherits, unresolved."""
    return {
        name for base in getattr(kind, "__orig_bases__", ()) for name in getattr(base, "__annotations__", ())
    }
