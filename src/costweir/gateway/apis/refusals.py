"""Refusals in the caller's wire format, so that its SDK raises the error it knows, with an object `costweir` beside it
that says which budget it was and why."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from costweir.gateway.turned import Turned
from costweir.guard.bounds import Format
from costweir.guard.codes import STATUSES
from costweir.guard.ledger import Refusal, usd
from costweir.guard.why import instant

_OPENAI_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "insufficient_quota", 403: "permission_error",
    404: "invalid_request_error", 405: "invalid_request_error", 413: "invalid_request_error",
    421: "invalid_request_error", 429: "rate_limit_error",
}  # fmt: skip
_ANTHROPIC_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 405: "invalid_request_error", 413: "request_too_large", 421: "invalid_request_error",
    429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip
#: Statuses that the official SDKs would not try again, said aloud for others.
_FINAL = frozenset({400, 401, 402, 403, 404, 405, 413, 421})
#: Seconds to wait where nobody said how long.
_PATIENCE = 1

_encode = msgspec.json.Encoder().encode
Written = tuple[int, bytes, bytes]


def refusal_reply(form: Format, refusal: Refusal, why_url: str) -> Written:
    """Status, header lines and body of a refusal by the ledger."""
    status = STATUSES[refusal.code]
    told: dict[str, object] = {
        "code": refusal.code,
        "request_id": refusal.request_id,
        "budget_id": refusal.budget_id or None,
        "scope": dict(refusal.scope),
        "limit_usd": None if refusal.limit is None else usd(refusal.limit),
        "settled_usd": usd(refusal.settled) if refusal.metered else None,
        "held_usd": usd(refusal.held) if refusal.metered else None,
        "needed_usd": usd(refusal.needed) if refusal.needed else None,
        "resets_at": instant(refusal.resets_at),
        "why_url": why_url or None,
        "holders": [
            {"request_id": row.request_id, "held_usd": usd(row.held), "expires_at": instant(row.expires_at)}
            for row in refusal.holders
        ],
    }
    return _written(form, status, refusal.message, told, refusal.retry_after)


def turned_body(form: Format, turned: Turned, request_id: str, why_url: str) -> Written:
    """Status, header lines and body of what the gateway itself says no to."""
    told: dict[str, object] = {
        "code": turned.code, "request_id": request_id, "budget_id": None, "scope": {}, "limit_usd": None,
        "settled_usd": None, "held_usd": None, "needed_usd": None, "resets_at": None, "why_url": why_url or None,
        "hint": turned.hint or None,
    }  # fmt: skip
    message = f"{turned.message} {turned.hint}".strip()
    return _written(form, turned.status, message, told, turned.retry_after)


def stream_error(form: Format, message: str, request_id: str, why_url: str) -> bytes:
    """The event that ends a stream which cannot be completed."""
    told = {"code": "upstream_failed", "request_id": request_id, "why_url": why_url or None}
    body = _body(form, 502, message, told)
    return b"event: error\ndata: %b\n\n" % body if form == "anthropic.messages" else b"data: %b\n\n" % body


def _written(
    form: Format, status: int, message: str, told: Mapping[str, object], wait: float | None
) -> Written:
    lines = [f"content-type: application/json\r\nx-costweir-request-id: {told['request_id']}\r\n"]
    if status in _FINAL:
        lines.append("x-should-retry: false\r\n")
    elif status in (429, 503):
        # Whole seconds, rounded up: a client that waits less would only come back in vain.
        lines.append(f"retry-after: {_PATIENCE if wait is None else max(_PATIENCE, -int(-wait // 1))}\r\n")
    return status, "".join(lines).encode("latin-1", "replace"), _body(form, status, message, told)


def _body(form: Format, status: int, message: str, told: Mapping[str, object]) -> bytes:
    if form == "anthropic.messages":
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        said: dict[str, object] = {
            "type": "error", "error": {"type": kind, "message": message}, "request_id": told["request_id"],
        }  # fmt: skip
    else:
        kind = _OPENAI_TYPES.get(status, "server_error")
        said = {"error": {"message": message, "type": kind, "param": None, "code": told["code"]}}
    return _encode({**said, "costweir": told})
