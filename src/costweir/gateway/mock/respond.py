"""From a request to the bytes that answer it, with the bill and the faults on the way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import parse_qs

import msgspec

from costweir.errors import UsageError
from costweir.gateway.mock import replies, writing
from costweir.gateway.mock.faults import Faults
from costweir.gateway.mock.provider import Provider
from costweir.gateway.mock.replies import Answer, Form

_FORMS: dict[bytes, Form] = {
    b"/chat/completions": "openai.chat",
    b"/embeddings": "openai.embeddings",
    b"/messages": "anthropic.messages",
}
_COUNT = b"/messages/count_tokens"
_JSON, _HTML = b"application/json", b"text/html"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-request-id: %s\r\ntransfer-encoding: chunked\r\n\r\n"
)
_REASONS = {
    200: b"OK", 400: b"Bad Request", 404: b"Not Found", 429: b"Too Many Requests",
    500: b"Internal Server Error", 502: b"Bad Gateway",
}  # fmt: skip
_END = b"0\r\n\r\n"
_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(slots=True)
class Asked:
    """One HTTP request. `caller` is the request id it carried."""

    method: bytes = b""
    path: bytes = b""
    query: bytes = b""
    caller: str = ""
    body: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is written: pieces, with seconds before the first and between them, and whether the line is cut after."""

    pieces: tuple[bytes, ...]
    wait: float = 0
    gap: float = 0
    hangs_up: bool = False


def respond(provider: Provider, asked: Asked) -> Reply:
    """Answers one request."""
    form: Form | None = next((held for path, held in _FORMS.items() if asked.path.endswith(path)), None)
    if form is not None and asked.method == b"POST":
        return _generated(provider, form, asked)
    if asked.path.endswith(_COUNT):
        return _counted(asked)
    return _desk(provider, asked)


def _counted(asked: Asked) -> Reply:
    try:
        return _json({"input_tokens": replies.count(bytes(asked.body))})
    except ValueError as wrong:
        return _problem(400, str(wrong), "invalid_request_error")


def _generated(provider: Provider, form: Form, asked: Asked) -> Reply:
    number = provider.number()
    faults = provider.faults.of(number, bytes(asked.body))
    unbilled = next((name for name in faults if name in _UNBILLED), "")
    if unbilled:
        provider.bill.refused += 1
        return _UNBILLED[unbilled]
    try:
        answer = provider.decide(form, bytes(asked.body), number, caller=asked.caller, faults=faults)
    except ValueError as wrong:
        provider.bill.refused += 1
        return _problem(400, str(wrong), "invalid_request_error")
    if "bills_then_5xx" in faults:
        return _problem(500, "The server had an error while processing your request.", "server_error")
    reply = _streamed(answer, faults) if answer.stream else _whole(answer, faults)
    if "hangs_up" in faults and number % 2:
        reply = replace(reply, pieces=(), hangs_up=True)
    if "slow" in faults:
        return replace(reply, wait=provider.slow_seconds, gap=provider.slow_seconds / 10)
    return reply


def _whole(answer: Answer, faults: tuple[str, ...]) -> Reply:
    body = writing.whole(answer)
    if "malformed" in faults:
        body = body[: len(body) // 2]
    written = _http(200, _JSON, body, answer.id)
    if "hangs_up" in faults or "truncates" in faults:
        return Reply((written[: -len(body) // 2],), hangs_up=True)
    return Reply((written,))


def _streamed(answer: Answer, faults: tuple[str, ...]) -> Reply:
    chunks = [b"%x\r\n%s\r\n" % (len(event), event) for event in writing.events(answer)]
    if "malformed" in faults:
        half = b'data: {"id": "chatc\n\n'
        chunks = [chunks[0], b"%x\r\n%s\r\n" % (len(half), half)]
    cut = "hangs_up" in faults or "truncates" in faults
    if cut:
        chunks = chunks[: len(chunks) // 2]
    opening = _STREAM_HEAD % answer.id.encode() + chunks[0]
    hangs_up = "hangs_up" in faults
    last = () if hangs_up else (_END,)
    pieces = (opening, *chunks[1:], *last)
    return Reply(pieces, hangs_up=hangs_up)


def _desk(provider: Provider, asked: Asked) -> Reply:
    """What is no generation: the bill, its reset, the switch of the faults, models and health."""
    match asked.method, asked.path:
        case b"GET", b"/bill":
            wanted = parse_qs(asked.query).get(b"lines", [b"0"])[0]
            return _json(provider.bill.to_json(newest=int(wanted) if wanted.isdigit() else 0))
        case b"POST", b"/reset":
            provider.bill.reset()
            return _json({})
        case b"POST", b"/faults":
            return _switch(provider, bytes(asked.body))
        case b"GET", b"/health" | b"/ready":
            return _json({"status": "ok"})
        case b"GET", path if path.endswith(b"/models"):
            return _json(provider.models())
        case _:
            provider.bill.refused += 1
            return _problem(404, "The mock provider has no such path.", "invalid_request_error")


def _switch(provider: Provider, body: bytes) -> Reply:
    try:
        wanted = cast("dict[str, Any]", msgspec.json.decode(body, type=dict))
        percent, seed = int(wanted.get("percent", 100)), int(wanted.get("seed", 0))
        provider.faults = Faults(tuple(wanted.get("names", ())), percent, seed)
    except (ValueError, TypeError, UsageError) as wrong:
        return _problem(400, str(wrong), "invalid_request_error")
    return _json({"names": list(provider.faults.names), "percent": percent, "seed": seed})


def _json(value: object) -> Reply:
    return Reply((_http(200, _JSON, msgspec.json.encode(value)),))


def _problem(status: int, message: str, kind: str) -> Reply:
    body = msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": None}})
    return Reply((_http(status, _JSON, body),))


def _http(status: int, content_type: bytes, body: bytes, request_id: str = "") -> bytes:
    return b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\nx-request-id: %s\r\ncontent-length: %d\r\n\r\n%s" % (
        status, _REASONS[status], content_type, request_id.encode() or b"mock", len(body), body,
    )  # fmt: skip


_UNBILLED = {
    "rate_limits": _problem(429, "Rate limit reached.", "rate_limit_error"),
    "fails": _problem(500, "The server is overloaded.", "server_error"),
    "html": Reply((_http(502, _HTML, _PAGE),)),
}
