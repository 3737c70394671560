"""The headers of replies: what a provider said that its caller may hear, and what the gateway adds."""

from __future__ import annotations

from collections.abc import Iterable

from costweir.guard.ledger import Hold, usd

_KEPT = frozenset({
    b"content-type", b"content-encoding", b"cache-control", b"retry-after", b"retry-after-ms", b"x-request-id",
    b"request-id", b"x-should-retry",
})  # fmt: skip
_KEPT_BEGINNINGS = (b"openai-", b"x-ratelimit-", b"anthropic-ratelimit-")
#: Header names that were seen, and whether they pass.
_SEEN: dict[bytes, bool] = {}


def _passes(name: bytes) -> bool:
    found = _SEEN.get(name)
    if found is None:
        found = name in _KEPT or (name.startswith(_KEPT_BEGINNINGS) and name != b"openai-organization")
        if len(_SEEN) < 1024:
            _SEEN[name] = found
    return found


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The header lines of a provider's reply that its caller gets. Cookies, hops and accounts stay here."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers if _passes(pair[0])])


def added(
    request_id: str, *, model: str, asked: str, hold: Hold | None, cost: int | None, charged: int
) -> bytes:
    """The gateway's own header lines. `cost` is None while it is not known; `charged` is what of the hold is spent."""
    lines = [f"x-costweir-request-id: {request_id}\r\nx-costweir-model: {model}\r\nx-costweir-cache: off\r\n"]
    if cost is not None:
        lines.append(f"x-costweir-cost-usd: {usd(cost)}\r\n")
    if hold is not None:
        lines.append(f"x-costweir-held-usd: {usd(hold.held)}\r\n")
        if hold.remaining is not None:
            lines.append(f"x-costweir-remaining-usd: {usd(max(0, hold.remaining + hold.held - charged))}\r\n")
        if hold.clamped:
            lines.append(f"x-costweir-clamped-to: {hold.cap}\r\n")
    if model != asked:
        lines.append(f"x-costweir-degraded-from: {asked}\r\n")
    return "".join(lines).encode("latin-1", "replace")
