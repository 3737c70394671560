"""One call on its way through the gateway, and one attempt of it at a provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from costweir.domain.usage import INPUT_BUCKETS, OUTPUT_BUCKETS
from costweir.gateway.apis import Reply
from costweir.gateway.exchange import Exchange
from costweir.gateway.identity import Identity, Key
from costweir.gateway.roster import Served
from costweir.gateway.splice import Pieces
from costweir.guard.bounds import Bound, Cost, Shape, cost_of
from costweir.guard.ledger import Hold, Ledger, Settled, Settlement, Subject

_INPUTS, _OUTPUTS = frozenset(INPUT_BUCKETS), frozenset(OUTPUT_BUCKETS)


@dataclass(slots=True)
class Call:
    """A request that was admitted to be tried. `began` is when, on the clock of `perf_counter`."""

    id: str
    exchange: Exchange
    pieces: Pieces
    shape: Shape
    asked: Served
    key: Key
    identity: Identity
    began: float
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def subject(self) -> Subject:
        """For whom it is."""
        return self.identity.subject


@dataclass(slots=True)
class Ending:
    """How an attempt ended, for the ledger's row and the log. Times are whole milliseconds and microseconds."""

    outcome: str
    error: str = ""
    finish: str = ""
    response_model: str = ""
    first_token_ms: int | None = None
    micros: int = 0
    detail: str = ""
    """More about the error, for the operator alone: it may name hosts and addresses."""


class Attempt:
    """One hold, from SENT to its end. Whatever happens it ends exactly once: leaving it open charges the hold."""

    __slots__ = ("_ledger", "bound", "call", "charged", "cost", "hold", "model", "open", "tokens", "used")

    def __init__(self, ledger: Ledger, call: Call, model: Served, *, hold: Hold, bound: Bound) -> None:
        self._ledger = ledger
        self.call = call
        self.model = model
        self.hold = hold
        self.bound = bound
        self.open = True
        self.cost: int | None = None
        self.charged = 0
        self.used: Mapping[str, int] = {}
        self.tokens = (0, 0)
        """In and out, as far as they are known."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.open:
            self.charge(Ending("error", "interrupted"))

    def price(self, reply: Reply) -> Cost | None:
        """What a reply costs; None without usage, or without a price for it."""
        if reply.usage is None:
            return None
        return cost_of(reply.usage, self.model.terms, on=self.call.at, tier=reply.tier, routing=reply.routing)

    def settle(self, reply: Reply, cost: Cost | None, ending: Ending) -> Settled:
        """Settles what a reply states, at its price; without usage, or without a price for it, the hold is charged."""
        if cost is None:
            if reply.usage is not None:
                self._count(reply.usage.used())
            return self.charge(ending)
        self._count(cost.used)
        self.open = False
        self.cost = cost.nano
        facts = self._facts(ending, cost.price_version)
        into, out = self.tokens
        settlement = Settlement(cost.nano, "reported", into + out, self.used, facts)
        done = self._ledger.settle(self.hold.attempt, settlement)
        self.charged = done.charged + done.debt
        return done

    def charge(self, ending: Ending) -> Settled:
        """Charges the hold, because nobody knows what it cost."""
        self.open = False
        settlement = Settlement(None, "unknown", self.bound.tokens, self.used, self._facts(ending))
        done = self._ledger.settle(self.hold.attempt, settlement)
        self.charged = done.charged + done.debt
        return done

    def release(self, reason: str, ending: Ending) -> None:
        """Gives the hold back: the provider billed nothing."""
        self.open = False
        self._ledger.release(self.hold.attempt, reason, self._facts(ending))

    def _facts(self, ending: Ending, price_version: str = "") -> Mapping[str, object]:
        """What the warehouse's Call has besides the ledger's own row."""
        call = self.call
        facts: dict[str, object] = {
            "operation": call.exchange.route.operation, "request_model": call.asked.id,
            "response_model": ending.response_model or self.model.upstream, "outcome": ending.outcome,
            "duration_ms": ending.micros // 1_000,
            "hold": [self.bound.fixed, self.hold.cap, self.bound.output_rate],
        }  # fmt: skip
        if self.hold.worst:
            facts["worst_case"] = self.hold.worst
        if self.model is not call.asked:
            facts["degraded_from"] = call.asked.id
        if ending.error:
            facts["error_type"] = ending.error
        if ending.detail:
            facts["error_detail"] = ending.detail
        if ending.finish:
            facts["finish_reason"] = ending.finish
        if ending.first_token_ms is not None:
            facts["first_token_ms"] = ending.first_token_ms
        if call.identity.query_type:
            facts["query_type"] = call.identity.query_type
        if price_version:
            facts["price_version"] = price_version
        return facts

    def _count(self, used: Mapping[str, int]) -> None:
        self.used = used
        into = out = 0
        for bucket, count in used.items():
            if bucket in _INPUTS:
                into += count
            elif bucket in _OUTPUTS:
                out += count
        self.tokens = (into, out)
