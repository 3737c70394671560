"""From the bytes of a request to its shape: plain chats, which most calls are, in one pass, all others by a walk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from costweir.errors import UsageError
from costweir.guard.bounds.shape import BYTES_OF_TOKEN, Format, Shape
from costweir.guard.bounds.tables import table
from costweir.guard.bounds.walk import MOST_TIMES, MOST_TOKENS, Walk, keys_twice

_HINT = "Send one JSON object as the provider's reference describes it."


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str
    content: str | None = None
    name: str | None = None
    tool_call_id: str | None = None


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    include_usage: bool | None = None


def read(format: Format, raw: bytes, *, betas: Sequence[str] = ()) -> Shape:  # noqa: A002 - the wire format
    """The shape of a body. `betas` are the names in the beta header.

    A name that stands twice at the top counts with its last value, and has to be forwarded so; within the body it is a
    problem. Raises UsageError for what is no request of this format at all; what is one and has no bound is in
    `problems`.
    """
    if format == "openai.chat" and not betas:
        shape = _plain(raw)
        if shape is not None:
            return shape
    body = _decoded(raw)
    walk = Walk(format, raw)
    twice = _twice(raw, body)
    if twice:
        walk.problem(f"{twice} is there twice")
    return walk.shape(body, betas)


def _plain(raw: bytes) -> Shape | None:
    """The shape of a chat with nothing in it but texts and free settings, or None."""
    try:
        body = _decoder().decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    rows = table("openai.chat")
    tiers = rows.tiers.get(body.service_tier or "")
    if tiers is None or (body.n or 1) > MOST_TIMES:
        return None
    count, size = len(body.messages), len(raw)
    fields = tuple(name for name in ("max_tokens", "max_completion_tokens") if (getattr(body, name) or 0) > 0)
    cap = min((getattr(body, name) for name in fields), default=None)
    if cap is not None and cap > MOST_TOKENS:
        return None
    return Shape(
        format="openai.chat",
        model=body.model,
        raw=raw,
        text=size + rows.constants["request"] + count * rows.constants["message"],
        estimate=size // BYTES_OF_TOKEN + 1,
        stream=body.stream is True,
        stream_usage=body.stream_options is not None and body.stream_options.include_usage is True,
        cap=cap,
        cap_fields=fields,
        choices=max(1, body.n or 1),
        tiers=tiers,
    )


@cache
def _decoder() -> msgspec.json.Decoder[Any]:
    """A reader of the plain form: the fields it reads, and every `free` field of the table as it stands."""
    typed: list[tuple[str, Any, Any]] = [
        ("max_tokens", int | None, None), ("max_completion_tokens", int | None, None), ("n", int | None, None),
        ("stream", bool | None, None), ("stream_options", _StreamOptions | None, None),
        ("service_tier", str | None, None),
    ]  # fmt: skip
    free = [
        (name, msgspec.Raw, msgspec.Raw(b"null"))
        for name, row in table("openai.chat").fields.items()
        if row.bound == "free"
    ]
    plain = msgspec.defstruct(
        "Plain", [("model", str), ("messages", list[_Message]), *typed, *free],
        forbid_unknown_fields=True, gc=False,
    )  # fmt: skip
    return msgspec.json.Decoder(plain)


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        body: Any = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise UsageError("The body of the request is not JSON.", hint=_HINT) from None
    if not isinstance(body, dict):
        raise UsageError("The body of the request is not a JSON object.", hint=_HINT)
    return body  # pyright: ignore[reportUnknownVariableType]


def _twice(raw: bytes, body: object) -> str:
    """A key that an object of the body has twice, or nothing. Two readers may then see two different requests."""
    again = msgspec.json.encode(body)
    if again == raw or _strings(again) == _strings(raw):
        # Every text that was sent was read, keys included, so none went over another.
        return ""
    try:
        json.loads(raw, object_pairs_hook=keys_twice)
    except (ValueError, RecursionError) as error:
        return str(error)[:80]
    return ""


def _strings(raw: bytes) -> int:
    """Twice the number of texts in a JSON document: its quotes that do not stand within one."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"")
        return raw.count(b'"') - raw.count(b'\\"')
    return raw.count(b'"')
