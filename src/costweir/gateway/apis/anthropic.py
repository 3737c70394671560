"""Usage in Anthropic's wire format: messages and their streams, whose counts are cumulative."""

from __future__ import annotations

from typing import Annotated

import msgspec

from costweir.domain.usage import Usage
from costweir.gateway.apis.reply import Reply

Count = Annotated[int, msgspec.Meta(ge=0)]

#: Priority capacity is bought beforehand, at the standard price of its tokens.
_TIERS = {"priority": "standard"}
#: Words of `inference_geo` that are no routing of its own.
_ANYWHERE = frozenset({"", "global", "not_available"})


class _Writes(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: Count | None = None


class _Round(msgspec.Struct, gc=False):
    type: str = "message"


class _Usage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: _Writes | None = None
    server_tool_use: _ServerTools | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    iterations: list[_Round] | None = None


class _Message(msgspec.Struct):
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    content: msgspec.Raw = msgspec.Raw(b"[]")
    usage: _Usage | None = None


class _Stop(msgspec.Struct, gc=False):
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    delta: _Stop | None = None
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Message).decode
_event = msgspec.json.Decoder(_Event).decode
#: How most events begin; they count nothing, so they are not read.
_DELTAS = (b'{"type":"content_block_delta"', b'{"type": "content_block_delta"')
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_message(raw: bytes) -> Reply:
    """The reply to a message request."""
    try:
        found = _decode(raw)
    except _BROKEN:
        return Reply()
    return _reply(found, found.usage, said=bytes(found.content) not in (b"[]", b"null"))


class MessageStream:
    """Reads the events of a stream. The count of the output is known with the event that ends the message; the one at
    its start is a placeholder."""

    def __init__(self) -> None:
        self._message = _Message()
        self._usage: _Usage | None = None
        self._said = False

    def feed(self, data: bytes) -> None:
        """The data of one event; what is no event of a message is passed over."""
        if data.startswith(_DELTAS):
            self._said = True
            return
        try:
            event = _event(data)
        except _BROKEN:
            return
        if event.type == "message_start" and event.message is not None:
            self._message, self._usage = event.message, event.message.usage
        elif event.type == "content_block_delta":
            self._said = True
        elif event.type == "message_delta":
            if event.delta is not None and event.delta.stop_reason:
                self._message.stop_reason = event.delta.stop_reason
            if event.usage is not None:
                self._usage = _merged(self._usage, event.usage)

    def reply(self) -> Reply:
        """What the events said."""
        usage = self._usage if self._message.stop_reason else None
        return _reply(self._message, usage, said=self._said)


def _reply(message: _Message, usage: _Usage | None, *, said: bool) -> Reply:
    found = usage_of(usage)
    if found is not None and said and not found.output:
        found = None
    tier = "standard"
    if usage is not None:
        tier = (
            "fast"
            if usage.speed == "fast"
            else _TIERS.get(usage.service_tier or "", usage.service_tier or tier)
        )
    geo = "" if usage is None or usage.inference_geo is None else usage.inference_geo
    routing = "" if geo in _ANYWHERE else geo
    return Reply(found, message.stop_reason or "", message.model, tier, routing, message.id)


def usage_of(usage: _Usage | None) -> Usage | None:
    """Exclusive buckets from a usage object; None when it is missing or cannot be true."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    if any(row.type != "message" for row in usage.iterations or ()):
        # The totals leave out the rounds that the provider added, so they are not what is billed.
        return None
    written, read = usage.cache_creation_input_tokens or 0, usage.cache_read_input_tokens or 0
    hour = 0
    if usage.cache_creation is not None:
        hour = usage.cache_creation.ephemeral_1h_input_tokens or 0
        if hour + (usage.cache_creation.ephemeral_5m_input_tokens or 0) != written:
            return None
    if not usage.input_tokens + written + read:
        return None
    searches = 0 if usage.server_tool_use is None else usage.server_tool_use.web_search_requests or 0
    return Usage(
        input=usage.input_tokens, cache_read=read, cache_write=written - hour, cache_write_1h=hour,
        output=usage.output_tokens, request=1, web_search=searches,
    )  # fmt: skip


def _merged(before: _Usage | None, after: _Usage) -> _Usage:
    """The counts so far under the ones that came last."""
    if before is None:
        return after
    for name in _Usage.__struct_fields__:
        value = getattr(after, name)
        if value is not None:
            setattr(before, name, value)
    return before
