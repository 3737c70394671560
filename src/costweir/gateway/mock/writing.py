"""An answer in the words of its wire format: OpenAI chat and embeddings, Anthropic messages; whole or as events."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from costweir.gateway.mock.bill import Tokens
from costweir.gateway.mock.replies import Answer

Json = dict[str, object]

_WORDS = ("the ", "weir ", "holds ", "every ", "call ", "at ", "its ", "budget ")
_CHUNKS = 12
_CREATED = 1_790_000_000
_encode = msgspec.json.Encoder().encode


def whole(given: Answer) -> bytes:
    """The answer as one JSON body."""
    if given.form == "anthropic.messages":
        return _encode(_message(given))
    if given.form == "openai.embeddings":
        return _encode(_embeddings(given))
    return _encode(_completion(given))


def events(given: Answer) -> Iterator[bytes]:
    """The answer as server-sent events, the last ones telling usage and end."""
    return _anthropic_events(given) if given.form == "anthropic.messages" else _openai_events(given)


# OpenAI


def _completion(given: Answer) -> Json:
    choices: list[Json] = [
        {"index": place, "message": _said(given), "logprobs": None, "finish_reason": _finish(given)}
        for place in range(given.choices)
    ]
    reply: Json = {
        "id": f"chatcmpl-{given.id}", "object": "chat.completion", "created": _CREATED, "model": given.model,
        "choices": choices, "service_tier": "default", "system_fingerprint": "fp_mock",
    }  # fmt: skip
    if given.tells_usage:
        reply["usage"] = _openai_usage(given.tokens)
    return reply


def _said(given: Answer) -> Json:
    if given.tool:
        return {"role": "assistant", "content": None, "tool_calls": [_function_call(given)]}
    return {"role": "assistant", "content": _text(given.words), "refusal": None}


def _function_call(given: Answer) -> Json:
    return {"id": f"call_{given.id}", "type": "function", "function": {"name": given.tool, "arguments": "{}"}}


def _finish(given: Answer) -> str:
    return "tool_calls" if given.tool else "length" if given.words >= given.cap else "stop"


def _openai_events(given: Answer) -> Iterator[bytes]:
    head: Json = {
        "id": f"chatcmpl-{given.id}", "object": "chat.completion.chunk", "created": _CREATED, "model": given.model,
    }  # fmt: skip

    def chunk(choice: int, delta: Json, reason: str | None = None) -> bytes:
        one: Json = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _data({**head, "choices": [one]})

    for choice in range(given.choices):
        yield chunk(choice, {"role": "assistant", "content": "", "refusal": None})
        if given.tool:
            yield chunk(choice, {"tool_calls": [{"index": 0, **_function_call(given)}]})
        else:
            for piece in _pieces(given.words):
                yield chunk(choice, {"content": piece})
        yield chunk(choice, {}, _finish(given))
    if given.tells_usage:
        yield _data({**head, "choices": [], "usage": _openai_usage(given.tokens)})
    yield b"data: [DONE]\n\n"


def _embeddings(given: Answer) -> Json:
    vector = [0.0625] * given.dimensions
    data = [{"object": "embedding", "index": place, "embedding": vector} for place in range(given.inputs)]
    reply: Json = {"object": "list", "data": data, "model": given.model}
    if given.tells_usage:
        reply["usage"] = {"prompt_tokens": given.tokens.prompt, "total_tokens": given.tokens.prompt}
    return reply


def _openai_usage(tokens: Tokens) -> Json:
    return {
        "prompt_tokens": tokens.prompt, "completion_tokens": tokens.output,
        "total_tokens": tokens.prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }  # fmt: skip


# Anthropic


def _message(given: Answer) -> Json:
    reply: Json = {
        "id": f"msg_{given.id}", "type": "message", "role": "assistant", "model": given.model,
        "content": [_block(given, _text(given.words))], "stop_reason": _stop(given), "stop_sequence": None,
    }  # fmt: skip
    if given.tells_usage:
        reply["usage"] = _anthropic_usage(given.tokens, given.tokens.output)
    return reply


def _block(given: Answer, text: str) -> Json:
    if given.tool:
        return {"type": "tool_use", "id": f"toolu_{given.id}", "name": given.tool, "input": {}}
    return {"type": "text", "text": text}


def _stop(given: Answer) -> str:
    return "tool_use" if given.tool else "max_tokens" if given.words >= given.cap else "end_turn"


def _anthropic_events(given: Answer) -> Iterator[bytes]:
    begun: Json = {**_message(given), "content": [], "stop_reason": None}
    if given.tells_usage:
        begun["usage"] = _anthropic_usage(given.tokens, 1)
    yield _event("message_start", {"message": begun})
    yield _event("content_block_start", {"index": 0, "content_block": _block(given, "")})
    if given.tool:
        yield _delta({"type": "input_json_delta", "partial_json": "{}"})
    else:
        for piece in _pieces(given.words):
            yield _delta({"type": "text_delta", "text": piece})
    yield _event("content_block_stop", {"index": 0})
    ended: Json = {"delta": {"stop_reason": _stop(given), "stop_sequence": None}}
    if given.tells_usage:
        ended["usage"] = {"output_tokens": given.tokens.output}
    yield _event("message_delta", ended)
    yield _event("message_stop", {})


def _anthropic_usage(tokens: Tokens, output: int) -> Json:
    return {
        "input_tokens": tokens.input, "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read, "output_tokens": output,
    }  # fmt: skip


def _delta(delta: Json) -> bytes:
    return _event("content_block_delta", {"index": 0, "delta": delta})


# Text and events


def _text(words: int, start: int = 0) -> str:
    skipped = start % len(_WORDS)
    rounds = (words + skipped) // len(_WORDS) + 1
    return "".join((_WORDS * rounds)[skipped : skipped + words])


def _pieces(words: int) -> Iterator[str]:
    size = max(1, -(-words // _CHUNKS))
    for start in range(0, words, size):
        yield _text(min(size, words - start), start)


def _data(value: object) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


def _event(kind: str, value: Json) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _encode({"type": kind, **value}))
