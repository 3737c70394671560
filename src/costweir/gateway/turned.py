"""What the gateway says no to, before or instead of a provider."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "key_invalid", "model_not_allowed", "scope_not_allowed", "endpoint_not_metered", "invalid_request",
    "not_found", "method_not_allowed", "too_large", "wrong_host", "rate_limited", "ledger_unavailable",
    "upstream_unavailable", "upstream_timeout", "upstream_failed", "internal",
]  # fmt: skip

STATUSES: dict[Code, int] = {
    "key_invalid": 401, "model_not_allowed": 403, "scope_not_allowed": 403, "endpoint_not_metered": 403,
    "invalid_request": 400, "not_found": 404, "method_not_allowed": 405, "too_large": 413, "wrong_host": 421,
    "rate_limited": 429, "ledger_unavailable": 503, "upstream_unavailable": 503, "upstream_timeout": 504,
    "upstream_failed": 502, "internal": 500,
}  # fmt: skip


class Turned(Exception):
    """A call that is not forwarded, or whose provider gave no reply that could be passed on.

    `retry_after` is in seconds, where waiting helps.
    """

    def __init__(self, code: Code, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.hint = hint
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """Its HTTP status."""
        return STATUSES[self.code]
