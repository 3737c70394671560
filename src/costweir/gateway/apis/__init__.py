"""The wire formats: what replies say was used, and how a refusal is said. Requests are read by `guard.bounds`."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from costweir.gateway.apis import anthropic, openai
from costweir.gateway.apis.refusals import Written, refusal_reply, stream_error, turned_body
from costweir.gateway.apis.reply import Reply, StreamReader
from costweir.guard.bounds import Format

_USAGE = {"include_usage": True}
_READERS = {
    "openai.chat": openai.read_chat,
    "openai.embeddings": openai.read_embeddings,
    "anthropic.messages": anthropic.read_message,
}


def read_reply(form: Format, raw: bytes) -> Reply:
    """What a whole reply says about itself."""
    return _READERS[form](raw)


def stream_reader(form: Format) -> StreamReader:
    """A reader for the events of one stream."""
    return anthropic.MessageStream() if form == "anthropic.messages" else openai.ChatStream()


def with_usage(options: msgspec.Raw | None) -> dict[str, Any]:
    """Stream options that ask for usage, whatever else the caller asked for."""
    given: object = msgspec.json.decode(options) if options else None
    return (
        {**cast("dict[str, Any]", given), "include_usage": True} if isinstance(given, dict) else dict(_USAGE)
    )


__all__ = [
    "Reply", "StreamReader", "Written", "read_reply", "refusal_reply", "stream_error", "stream_reader", "turned_body",
    "with_usage",
]  # fmt: skip
