"""What is told about every call: the counters, and a line in the journal. Nothing of what was said in it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

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
        tokens_in, tokens_out = attempt.tokens()
        if tokens_in:
            metrics.tokens[provider, model.id, "input"] += tokens_in
        if tokens_out:
            metrics.tokens[provider, model.id, "output"] += tokens_out
        metrics.took(provider, model.id, ending.micros)
        if ending.error:
            metrics.upstream_errors[provider, ending.error] += 1
        elif attempt.usage is None:
            metrics.usage_missing[provider] += 1
        if attempt.hold.choice:
            metrics.degradations[call.asked.id, model.id] += 1
        if attempt.hold.clamped:
            metrics.clamps += 1
        self._journal.call(self._line(attempt, ending), well=ending.outcome == "ok")

    def refused(self, refusal: Refusal, call: Call) -> None:
        """A budget, a limit or the ledger said no."""
        self.metrics.refusals[refusal.code] += 1
        record = self._named("call_refused", call) | {"code": refusal.code, "budget_id": refusal.budget_id}
        self._journal.call(record, well=False)

    def turned(self, code: str, request: str, call: Call | None) -> None:
        """The gateway itself said no."""
        self.metrics.refusals[code] += 1
        record = {"time": _now(), "event": "call_turned_away", "request_id": request, "code": code}
        self._journal.call(
            record if call is None else self._named("call_turned_away", call) | record, well=False
        )

    def failed(self, call: Call, code: str) -> None:
        """The provider's own refusal was passed on."""
        self._journal.call(self._named("call_failed", call) | {"code": code}, well=False)

    def _line(self, attempt: Attempt, ending: Ending) -> dict[str, object]:
        tokens_in, tokens_out = attempt.tokens()
        return self._named("call", attempt.call) | {
            "attempt_id": f"att_{attempt.hold.attempt}", "model": attempt.model.id,
            "provider": attempt.model.link.id, "outcome": ending.outcome, "error": ending.error,
            "held_usd": usd(attempt.hold.held), "charged_usd": usd(attempt.charged),
            "usage": "unknown" if attempt.usage is None else "reported", "input_tokens": tokens_in,
            "output_tokens": tokens_out, "duration_ms": ending.micros // 1_000,
        }  # fmt: skip

    def _named(self, event: str, call: Call) -> dict[str, object]:
        subject = call.subject
        return {
            "time": _now(), "event": event, "request_id": call.id, "key": subject.key,
            "customer": subject.customer, "session": subject.session, "request_model": call.asked.id,
        }  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
