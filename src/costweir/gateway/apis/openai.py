"""Usage in OpenAI's wire formats: chat completions, their streams, and embeddings. Other servers that speak the format
report some counts under names of their own."""

from __future__ import annotations

from typing import Annotated

import msgspec

from costweir.domain.usage import Usage
from costweir.gateway.apis.reply import Reply

Count = Annotated[int, msgspec.Meta(ge=0)]

#: Service tiers of replies in the words of the price book; what is not here keeps its name.
_TIERS = {"": "standard", "default": "standard", "auto": "standard", "scale": "standard"}
_DONE = b"[DONE]"


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: Count | None = None
    """DeepSeek's name of cached tokens."""
    cached_tokens: Count | None = None
    """Moonshot's."""


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    message: msgspec.Raw = msgspec.Raw(b"")
    delta: _Delta | None = None


class _Reply(msgspec.Struct):
    id: str = ""
    model: str = ""
    service_tier: str | None = None
    choices: list[_Choice] = []
    usage: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Reply).decode
_usage = msgspec.json.Decoder(_Usage | None).decode
_delta = msgspec.json.Decoder(_Delta | None).decode


def read_chat(raw: bytes) -> Reply:
    """The reply to a chat completion."""
    return _reply(raw, chat=True)


def read_embeddings(raw: bytes) -> Reply:
    """The reply to an embeddings request."""
    return _reply(raw, chat=False)


def _reply(raw: bytes, *, chat: bool) -> Reply:
    try:
        found = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Reply()
    usage = usage_of(found.usage, chat=chat)
    if (
        usage is not None
        and chat
        and not _outputs(usage)
        and any(_says(row.message) for row in found.choices)
    ):
        # Words without a single token are no truth.
        usage = None
    finish = next((row.finish_reason for row in found.choices if row.finish_reason), "")
    return Reply(usage, finish, found.model, _tier(found.service_tier), "", found.id)


class ChatStream:
    """Reads the chunks of a stream. Usage counts once the answer is complete, because some servers report it as they
    go, and only the last count is what they bill."""

    def __init__(self) -> None:
        self._id = self._model = self._finish = ""
        self._tier: str | None = None
        self._usage: Usage | None = None
        self._said = self._done = self._last = False

    def feed(self, data: bytes) -> None:
        """The data of one event; what is no chunk is passed over."""
        if data == _DONE:
            self._done = True
            return
        try:
            chunk = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        self._id, self._model = self._id or chunk.id, self._model or chunk.model
        self._tier = chunk.service_tier or self._tier
        for row in chunk.choices:
            self._finish = row.finish_reason or self._finish
            self._said = self._said or (row.delta is not None and _spoken(row.delta))
        if chunk.usage != b"null":
            self._usage = usage_of(chunk.usage, chat=True)
            self._last = not chunk.choices

    def reply(self) -> Reply:
        """What the chunks said."""
        usage = self._usage if self._done or (self._finish and self._last) else None
        if usage is not None and self._said and not _outputs(usage):
            usage = None
        return Reply(usage, self._finish, self._model, _tier(self._tier), "", self._id)


def usage_of(raw: bytes | msgspec.Raw, *, chat: bool) -> Usage | None:
    """Exclusive buckets from a usage object; None when it is missing or cannot be true."""
    try:
        found = _usage(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if found is None or not found.prompt_tokens:
        # No request has an empty prompt.
        return None
    into, out = (
        found.prompt_tokens_details or _InputDetails(),
        found.completion_tokens_details or _OutputDetails(),
    )
    reasoning, completion = out.reasoning_tokens or 0, found.completion_tokens
    if completion is None:
        if chat:
            return None
        completion = 0
    total = found.total_tokens
    if total is not None and total != found.prompt_tokens + completion:
        if total != found.prompt_tokens + completion + reasoning:
            return None
        # Some servers leave reasoning out of the completion tokens and bill it all the same.
        completion += reasoning
    cached = into.cached_tokens or found.prompt_cache_hit_tokens or found.cached_tokens or 0
    written, heard, spoken = into.cache_write_tokens or 0, into.audio_tokens or 0, out.audio_tokens or 0
    if heard and cached <= found.prompt_tokens:
        # Cached audio is in both counts; it is taken as audio, which costs more.
        cached = min(cached, max(0, found.prompt_tokens - written - heard))
    try:
        return Usage(
            input=found.prompt_tokens - cached - written - heard, cache_read=cached, cache_write=written,
            input_audio=heard, output=completion - reasoning - spoken, reasoning=reasoning, output_audio=spoken,
            request=1,
        )  # fmt: skip
    except ValueError:
        return None


def _outputs(usage: Usage) -> int:
    return usage.output + usage.reasoning + usage.output_audio


def _says(message: msgspec.Raw) -> bool:
    try:
        found = _delta(message) if message else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return True
    return found is not None and _spoken(found)


def _spoken(delta: _Delta) -> bool:
    return bool(delta.content or delta.refusal or bytes(delta.tool_calls) not in (b"", b"null", b"[]"))


def _tier(word: str | None) -> str:
    return _TIERS.get(word or "", word or "standard")
