"""The codes that a call is refused with, and the HTTP status that each is answered with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

#: What the ledger refuses with.
LedgerCode = Literal[
    "budget_exceeded", "rate_limited", "price_unknown", "unbounded_request", "ledger_unavailable"
]
#: What the gateway refuses with before it asks the ledger, or when no provider gave an answer.
DoorCode = Literal[
    "key_invalid", "model_not_allowed", "scope_not_allowed", "endpoint_not_metered", "invalid_request", "not_found",
    "method_not_allowed", "too_large", "wrong_host", "upstream_unavailable", "upstream_timeout", "upstream_failed",
    "internal",
]  # fmt: skip
Code = LedgerCode | DoorCode

STATUSES: Mapping[Code, int] = {
    "budget_exceeded": 402, "rate_limited": 429, "price_unknown": 403, "unbounded_request": 403,
    "ledger_unavailable": 503, "key_invalid": 401, "model_not_allowed": 403, "scope_not_allowed": 403,
    "endpoint_not_metered": 403, "invalid_request": 400, "not_found": 404, "method_not_allowed": 405,
    "too_large": 413, "wrong_host": 421, "upstream_unavailable": 503, "upstream_timeout": 504, "upstream_failed": 502,
    "internal": 500,
}  # fmt: skip
#: What a rule of the operator's refuses. The others are mistakes of a caller or a provider, which `why` alone tells.
BLOCKING: tuple[Code, ...] = (
    "budget_exceeded", "rate_limited", "price_unknown", "unbounded_request", "ledger_unavailable",
    "model_not_allowed", "scope_not_allowed", "endpoint_not_metered",
)  # fmt: skip
