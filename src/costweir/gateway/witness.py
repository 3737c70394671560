"""What is told about every call: the counters, and a line in the journal. Nothing of what was said in it."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime

import msgspec

from costweir.gateway.call import Attempt, Call, Ending
from costweir.gateway.exchange import Headers
from costweir.gateway.journal import ERROR, INFO, WARNING, Journal
from costweir.gateway.metrics import REFUSED, Metrics
from costweir.guard.ledger import Refusal, usd

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_LEVELS = {INFO: ("INFO", "info"), WARNING: ("WARNING", "warning"), ERROR: ("ERROR", "error")}


class Witness:
    """Counts and notes. `address` is where the pages are, for the link in a refusal; `cloud_project` is the Google
    Cloud project that traces are in; so many `customers` are named in metrics."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, journal: Journal, *, address: str = "", cloud_project: str = "",
        customers: int = 0,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._journal = journal
        self._address = address.rstrip("/")
        self._cloud_project = cloud_project
        self.metrics = Metrics(customers)

    def why(self, request: str) -> str:
        """Where a refusal is explained."""
        return f"{self._address}/why/{request}" if self._address else ""

    @property
    def dropped(self) -> int:
        """How many lines were given up because nobody read them."""
        return self._journal.dropped()

    def flush(self) -> None:
        """Writes the lines that wait."""
        self._journal.flush()

    def ended(self, attempt: Attempt, ending: Ending) -> None:
        """An attempt has ended, well or not."""
        metrics, model, call = self.metrics, attempt.model, attempt.call
        provider, name, subject = model.link.id, model.id, call.subject
        trace = trace_of(call.exchange.headers)
        seen = (call.id, trace, time.time_ns() // 1_000)
        tally = metrics.tally(
            (
                provider,
                name,
                ending.outcome,
                subject.plan,
                subject.environment,
                metrics.customer(subject.customer),
            )
        )
        tally.calls += 1
        tally.cost += attempt.charged
        tally.seen = seen
        if attempt.charged > attempt.hold.held:
            metrics.debts += 1
        served = metrics.served(provider, name)
        served.count(attempt.used)
        served.latency.add(ending.micros, seen)
        if ending.first_token_ms is not None:
            served.began(ending.first_token_ms, seen)
        if ending.error:
            metrics.failed(provider, ending.error)
        elif attempt.cost is None:
            self._unknown(attempt, provider)
        if attempt.hold.choice:
            metrics.degradations[call.asked.id, name] += 1
        elif model is not call.asked:
            metrics.fallbacks[call.asked.id, name] += 1
        if attempt.hold.clamped:
            metrics.clamps += 1
        level = INFO if ending.outcome != "error" else WARNING
        if level >= self._journal.least:
            self._journal.note(self._line(attempt, ending, level=level, trace=trace))

    def _unknown(self, attempt: Attempt, provider: str) -> None:
        if attempt.used:
            self.metrics.unpriced[provider, attempt.model.id] += 1
        else:
            self.metrics.usage_missing[provider] += 1

    def refused(self, refusal: Refusal, call: Call) -> None:
        """A budget, a limit or the ledger said no."""
        self._count_refusal(refusal.code, call)
        level = ERROR if refusal.code == "ledger_unavailable" else WARNING
        if level >= self._journal.least:
            record = self._refusal(refusal.code, call.id, call, level=level)
            if refusal.budget_id:
                record["budget_id"] = refusal.budget_id
            if refusal.limit is not None:
                record |= {
                    "limit_usd": usd(refusal.limit), "settled_usd": usd(refusal.settled),
                    "held_usd": usd(refusal.held), "needed_usd": usd(refusal.needed),
                }  # fmt: skip
            self._journal.note(record)

    def turned(self, code: str, request: str, call: Call | None) -> None:
        """The gateway itself said no."""
        self._count_refusal(code, call)
        level = ERROR if code == "internal" else WARNING
        if level >= self._journal.least:
            self._journal.note(self._refusal(code, request, call, level=level))

    def failed(self, call: Call, code: str) -> None:
        """The provider's own refusal was passed on."""
        if self._journal.least <= WARNING:
            self._journal.note(self._refusal(code, call.id, call, level=WARNING))

    def _count_refusal(self, code: str, call: Call | None) -> None:
        self.metrics.refusals[code] += 1
        if call is not None and not code.startswith("upstream_"):
            # What a provider failed at was counted as its attempt.
            subject, model = call.subject, call.asked
            customer = self.metrics.customer(subject.customer)
            who = (model.link.id, model.id, REFUSED, subject.plan, subject.environment, customer)
            self.metrics.tally(who).calls += 1

    def _refusal(self, code: str, request: str, call: Call | None, *, level: int) -> dict[str, object]:
        """The line of a call that got no answer. A key that is no key is somebody who was turned away at the door."""
        severity, name = _LEVELS[level]
        at_the_door = code == "key_invalid"
        record: dict[str, object] = {
            "timestamp": now_text(), "severity": severity, "level": name,
            "message": "a key was refused" if at_the_door else f"refused: {code}", "service": "costweir",
            "process": "gateway", "event_type": "authentication" if at_the_door else "refusal",
            "request_id": request, "code": code,
        }  # fmt: skip
        if at_the_door:
            record |= {"outcome": "refused", "method": "key"}
        if call is None:
            return record
        subject = call.subject
        record |= {
            "key_id": subject.key, "customer_id": subject.customer, "session_id": subject.session,
            "plan": subject.plan, "environment": subject.environment, "request_model": call.asked.id,
            "provider": call.asked.link.id,
        }  # fmt: skip
        trace = trace_of(call.exchange.headers)
        if trace:
            record |= {"trace_id": trace} | (
                {"logging.googleapis.com/trace": self._cloud_trace(trace)} if self._cloud_project else {}
            )
        return record

    def _cloud_trace(self, trace: str) -> str:
        return f"projects/{self._cloud_project}/traces/{trace}" if trace and self._cloud_project else ""

    def _line(self, attempt: Attempt, ending: Ending, *, level: int, trace: str) -> CallLine:
        call, subject, hold = attempt.call, attempt.call.subject, attempt.hold
        provider, (into, out) = attempt.model.link.id, attempt.tokens
        unpriced = attempt.cost is None and not attempt.charged and not hold.held
        cost = None if unpriced else usd(attempt.charged)
        who = subject.customer or "untagged"
        severity, name = _LEVELS[level]
        return CallLine(
            now_text(), severity, name, f"{who} called {attempt.model.id}: {ending.outcome}, {cost or 'no price'} USD",
            call.id, f"att_{hold.attempt}", subject.key, subject.customer, subject.session, subject.plan,
            subject.environment, call.asked.id, attempt.model.id, provider, ending.outcome, ending.error,
            usd(hold.held), cost, "unknown" if attempt.cost is None else "reported", into + out, into, out,
            ending.micros // 1_000, ending.first_token_ms, trace, self._cloud_trace(trace),
        )  # fmt: skip


class CallLine(msgspec.Struct, omit_defaults=True):
    """The line of an attempt that has ended. `cost_usd` is null while no price is known (law L5)."""

    timestamp: str
    severity: str
    level: str
    message: str
    request_id: str
    attempt_id: str
    key_id: str
    customer_id: str
    session_id: str
    plan: str
    environment: str
    request_model: str
    model: str
    provider: str
    outcome: str
    error: str
    held_usd: str
    cost_usd: str | None
    usage: str
    tokens_used: int
    input_tokens: int
    output_tokens: int
    duration_ms: int
    first_token_ms: int | None = None
    trace_id: str = ""
    cloud_trace: str = msgspec.field(name="logging.googleapis.com/trace", default="")


def trace_of(headers: Headers) -> str:
    """The trace that a request belongs to, as its `traceparent` says; empty without one."""
    for name, value in headers:
        if name == b"traceparent":
            found = _TRACEPARENT.match(value)
            return found[1].decode() if found is not None else ""
    return ""


_second = (0, "")


def now_text() -> str:
    """The moment as RFC 3339 with milliseconds. The second is kept, because every call asks."""
    global _second  # noqa: PLW0603 - one text a second for the whole process
    millis = time.time_ns() // 1_000_000
    second, rest = divmod(millis, 1_000)
    if _second[0] != second:
        _second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return f"{_second[1]}.{rest:03d}Z"
