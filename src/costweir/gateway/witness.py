"""What is told about every call: the counters, and a line in the journal. Nothing of what was said in it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import msgspec

from costweir.gateway.call import Attempt, Call, Ending
from costweir.gateway.journal import Journal
from costweir.gateway.metrics import Metrics
from costweir.guard.ledger import Refusal, usd


class Witness:
    """Counts and notes. `address` is where the pages are, for the link in a refusal."""

    def __init__(self, loop: asyncio.AbstractEventLoop, journal: Journal, *, address: str = "") -> None:
        self._loop = loop
        self._journal = journal
        self._address = address.rstrip("/")
        self.metrics = Metrics()

    def why(self, request: str) -> str:
        """Where a refusal is explained."""
        return f"{self._address}/why/{request}" if self._address else ""

    def flush(self) -> None:
        """Writes the lines that wait."""
        self._journal.flush()

    def ended(self, attempt: Attempt, ending: Ending) -> None:
        """An attempt has ended, well or not."""
        metrics, model, call = self.metrics, attempt.model, attempt.call
        provider = model.link.id
        who = (provider, model.id, metrics.customer(call.subject.customer))
        metrics.requests[who] += 1
        metrics.outcomes[provider, ending.outcome] += 1
        if attempt.charged:
            metrics.cost[who] += attempt.charged
        if attempt.charged > attempt.hold.held:
            metrics.debts += 1
        tokens_in, tokens_out = attempt.tokens
        if tokens_in:
            metrics.tokens[provider, model.id, "input"] += tokens_in
        if tokens_out:
            metrics.tokens[provider, model.id, "output"] += tokens_out
        metrics.took(provider, model.id, ending.micros)
        if ending.error:
            metrics.upstream_errors[provider, ending.error] += 1
        elif attempt.cost is None:
            metrics.usage_missing[provider] += 1
        if attempt.hold.choice:
            metrics.degradations[call.asked.id, model.id] += 1
        if attempt.hold.clamped:
            metrics.clamps += 1
        if ending.outcome != "ok" or self._journal.wants_all:
            self._journal.note(_line(attempt, ending))

    def refused(self, refusal: Refusal, call: Call) -> None:
        """A budget, a limit or the ledger said no."""
        self.metrics.refusals[refusal.code] += 1
        record = self._named("call_refused", call) | {"code": refusal.code, "budget_id": refusal.budget_id}
        self._journal.note(record)

    def turned(self, code: str, request: str, call: Call | None) -> None:
        """The gateway itself said no."""
        self.metrics.refusals[code] += 1
        record = {} if call is None else self._named("call_turned_away", call)
        record |= {"time": now_text(), "event": "call_turned_away", "request_id": request, "code": code}
        self._journal.note(record)

    def failed(self, call: Call, code: str) -> None:
        """The provider's own refusal was passed on."""
        self._journal.note(self._named("call_failed", call) | {"code": code})

    def _named(self, event: str, call: Call) -> dict[str, object]:
        subject = call.subject
        return {
            "time": now_text(), "event": event, "request_id": call.id, "key": subject.key,
            "customer": subject.customer, "session": subject.session, "request_model": call.asked.id,
        }  # fmt: skip


class _CallLine(msgspec.Struct):
    """The line of an attempt that has ended."""

    time: str
    event: str
    request_id: str
    attempt_id: str
    key: str
    customer: str
    session: str
    request_model: str
    model: str
    provider: str
    outcome: str
    error: str
    held_usd: str
    charged_usd: str
    usage: str
    input_tokens: int
    output_tokens: int
    duration_ms: int


def _line(attempt: Attempt, ending: Ending) -> _CallLine:
    call, subject, hold = attempt.call, attempt.call.subject, attempt.hold
    return _CallLine(
        now_text(), "call", call.id, f"att_{hold.attempt}", subject.key, subject.customer, subject.session,
        call.asked.id, attempt.model.id, attempt.model.link.id, ending.outcome, ending.error, usd(hold.held),
        usd(attempt.charged), "unknown" if attempt.cost is None else "reported", *attempt.tokens,
        ending.micros // 1_000,
    )  # fmt: skip


_second = (0, "")


def now_text() -> str:
    """The moment as RFC 3339 with milliseconds. The second is kept, because every call asks."""
    global _second  # noqa: PLW0603 - one text a second for the whole process
    millis = time.time_ns() // 1_000_000
    second, rest = divmod(millis, 1_000)
    if _second[0] != second:
        _second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return f"{_second[1]}.{rest:03d}Z"
