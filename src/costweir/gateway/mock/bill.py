"""The mock's own bill: whole nano-dollars, each call rounded up, kept apart from any ledger (law L10)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal

from costweir.guard.ledger import NANO, dollars

_MILLION = 1_000_000
_LINES_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Rates:
    """A price list: nano-dollars per 1,000,000 tokens of each bucket, and nano-dollars per `request`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    request: int = 0

    @classmethod
    def usd(cls, rates: Mapping[str, Decimal | str]) -> Rates:
        """From USD per 1,000,000 tokens (`request`: USD each). What caching costs falls back to `input`."""
        held = {name: _nano(value) for name, value in rates.items()}
        return cls(
            input=held.get("input", 0),
            output=held.get("output", 0),
            cache_read=held.get("cache_read", held.get("input", 0)),
            cache_write=held.get("cache_write", held.get("input", 0)),
            request=held.get("request", 0),
        )

    def cost(self, used: Tokens) -> int:
        """Nano-dollars for one call, rounded up."""
        parts = (
            used.input * self.input
            + used.output * self.output
            + used.cache_read * self.cache_read
            + used.cache_write * self.cache_write
        )
        return self.request - (-parts // _MILLION)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one call used, each token in one bucket only."""

    input: int
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @property
    def prompt(self) -> int:
        """All input-side tokens."""
        return self.input + self.cache_read + self.cache_write

    def doubled(self) -> Tokens:
        """Twice of everything."""
        return Tokens(2 * self.input, 2 * self.output, 2 * self.cache_read, 2 * self.cache_write)


@dataclass(frozen=True, slots=True)
class Line:
    """One billed call. `caller` is the request id that the caller sent along, if any."""

    id: str
    caller: str
    model: str
    tokens: Tokens
    nano: int
    faults: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As `GET /bill` shows it."""
        return {
            "id": self.id, "caller": self.caller, "model": self.model, "input": self.tokens.input,
            "output": self.tokens.output, "cache_read": self.tokens.cache_read,
            "cache_write": self.tokens.cache_write, "nano": self.nano, "faults": list(self.faults),
        }  # fmt: skip


@dataclass(slots=True)
class Bill:
    """What was billed since the last reset. Totals count every line; the newest lines themselves are kept."""

    total: int = 0
    calls: int = 0
    refused: int = 0
    """Requests that were answered without billing: errors before generation, and unknown paths."""
    by_model: dict[str, int] = field(default_factory=dict[str, int])
    lines: deque[Line] = field(default_factory=lambda: deque[Line](maxlen=_LINES_KEPT))

    def add(self, line: Line) -> None:
        """Bills one call."""
        self.total += line.nano
        self.calls += 1
        self.by_model[line.model] = self.by_model.get(line.model, 0) + line.nano
        self.lines.append(line)

    def reset(self) -> None:
        """Starts an empty bill."""
        self.total = self.calls = self.refused = 0
        self.by_model.clear()
        self.lines.clear()

    def to_json(self, *, newest: int = 0) -> dict[str, object]:
        """As `GET /bill` shows it, with the newest lines that were asked for."""
        return {
            "total_nano": self.total, "total_usd": f"{dollars(self.total):f}", "calls": self.calls,
            "refused": self.refused, "by_model": dict(self.by_model),
            "lines": [line.to_json() for line in self._newest(newest)],
        }  # fmt: skip

    def _newest(self, count: int) -> Iterator[Line]:
        start = max(0, len(self.lines) - count)
        return (line for place, line in enumerate(self.lines) if place >= start)


def _nano(usd: Decimal | str) -> int:
    return int((Decimal(usd) * NANO).to_integral_value(ROUND_CEILING))
