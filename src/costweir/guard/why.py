"""Why a request was admitted or refused, by the very numbers of the ledger: nothing here is computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, cast

from costweir.errors import NotFound
from costweir.guard.ledger import Attempt, Balance, Candidate, Refused, Subject, usd

Record = dict[str, object]


class Reader(Protocol):
    """What is asked of a ledger."""

    def attempts(self, *, request_id: str = "", state: str = "", limit: int = 100) -> Sequence[Attempt]:
        """Rows, newest first."""
        ...

    def refusals(self, *, request_id: str = "", limit: int = 100) -> Sequence[Refused]:
        """Refusals, newest first."""
        ...

    def balances(self, scope: Mapping[str, str] | None = None) -> Sequence[Balance]:
        """Every limit of every open window."""
        ...


@dataclass(frozen=True, slots=True)
class Why:
    """One request, explained. `summary` is for people; everything else is what the ledger holds."""

    request_id: str
    outcome: str
    summary: str
    subject: Subject
    attempts: Sequence[Attempt]
    refused: Refused | None
    budgets: Sequence[Balance]

    def to_json(self) -> Record:
        """All of it; amounts are decimal strings in USD."""
        named = {name: getattr(self.subject, name) for name in Subject.__slots__}
        return {
            "request_id": self.request_id,
            "outcome": self.outcome,
            "summary": self.summary,
            "subject": {name: value for name, value in named.items() if value},
            "attempts": [attempt_record(row) for row in self.attempts],
            "refusal": None if self.refused is None else _refusal(self.refused),
            "budgets": [balance_record(row) for row in self.budgets],
        }


def explain(reader: Reader, request_id: str) -> Why:
    """Everything that the ledger knows of a request. Raises NotFound."""
    attempts = sorted(reader.attempts(request_id=request_id), key=lambda row: row.attempt)
    refusals = reader.refusals(request_id=request_id, limit=1)
    refused = refusals[0] if refusals else None
    if not attempts and refused is None:
        raise NotFound(
            f"The ledger has no request {request_id!r}.",
            hint="The id is in the reply's header x-costweir-request-id; refusals are kept for a while only.",
        )
    subject = attempts[-1].subject if attempts else cast("Refused", refused).ask.subject
    things = {(row.model, row.provider) for row in attempts}
    if refused is not None:
        things |= {(row.model, row.provider) for row in refused.ask.candidates}
    budgets = [row for row in reader.balances() if _concerns(row, subject, things)]
    return Why(request_id, *_told(attempts, refused), subject, attempts, refused, budgets)


def attempt_record(row: Attempt) -> Record:
    """An attempt as the contract's section 6 writes it, and more. The keys are always the same; `settled_usd` is None
    where no price is known."""
    told = row.call
    return {
        "attempt_id": f"att_{row.attempt}",
        "request_id": row.request_id,
        "state": row.state,
        "model": row.model,
        "provider": row.provider,
        "held_usd": usd(row.held),
        "settled_usd": None if row.cost is None else usd(row.charged),
        "debt_usd": usd(row.debt),
        "usage": row.certainty or "unknown",
        "tokens": dict(row.usage),
        "price_version": row.price_version,
        "created_at": instant(row.created_at),
        "ended_at": instant(row.ended_at),
        "outcome": row.outcome or None,
        "error_type": row.error or None,
        "error_detail": told.get("error_detail"),
        "finish_reason": told.get("finish_reason"),
        "degraded_from": told.get("degraded_from"),
        "hold": _hold(told.get("hold")),
        "worst_case_usd": usd(worst) if isinstance(worst := told.get("worst_case"), int) else None,
    }


def _hold(told: object) -> Record | None:
    """What a hold is made of, where the attempt ended as calls do."""
    if not isinstance(told, list) or len(cast("list[int]", told)) != 3:
        return None
    fixed, cap, rate = cast("list[int]", told)
    return {"input_usd": usd(fixed), "output_tokens": cap, "output_token_usd": usd(rate)}


def balance_record(row: Balance) -> Record:
    """A balance as the contract's section 6 writes it, and when it resets."""
    return {
        "budget_id": row.budget_id,
        "scope": dict(row.scope),
        "window_id": row.window_id,
        "limit_usd": None if row.limit is None else usd(row.limit),
        "settled_usd": usd(row.settled),
        "held_usd": usd(row.held),
        "debt_usd": usd(row.debt),
        "remaining_usd": None if row.remaining is None else usd(row.remaining),
        "open_holds": row.open_holds,
        "resets_at": instant(row.resets_at),
    }


def instant(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds; None for none."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refusal(refused: Refused) -> Record:
    refusal = refused.refusal
    room = None if refusal.limit is None else max(0, refusal.limit - refusal.settled - refusal.held)
    return {
        "code": refusal.code,
        "message": refusal.message,
        "at": instant(refused.at),
        "budget_id": refusal.budget_id or None,
        "scope": dict(refusal.scope),
        "window_id": refusal.window_id or None,
        "limit_usd": None if refusal.limit is None else usd(refusal.limit),
        "settled_usd": usd(refusal.settled) if refusal.metered else None,
        "held_usd": usd(refusal.held) if refusal.metered else None,
        "needed_usd": usd(refusal.needed) if refusal.needed else None,
        "remaining_usd": None if room is None else usd(room),
        "resets_at": instant(refusal.resets_at),
        "retry_after_seconds": refusal.retry_after,
        "no_degrade": refused.ask.no_degrade,
        "holders": [
            {"request_id": row.request_id, "held_usd": usd(row.held), "expires_at": instant(row.expires_at)}
            for row in refusal.holders
        ],
        "candidates": [_candidate(row, room) for row in refused.ask.candidates],
    }


def _candidate(row: Candidate, room: int | None) -> Record:
    """What one model would have needed, and how many output tokens would have fitted into the room."""
    return {
        "model": row.model,
        "provider": row.provider,
        "priced": row.priced,
        "bounded": row.bounded,
        "reason": row.why or None,
        "output_tokens": row.cap,
        "needed_usd": usd(row.fixed + row.cap * row.output_rate),
        "least_usd": usd(row.fixed + row.floor * row.output_rate),
        "fitting_output_tokens": fitting(row, room) if row.priced and row.bounded else None,
    }


def fitting(row: Candidate, room: int | None) -> int | None:
    """Output tokens that fit into a room: None when the input alone does not, or when there is no limit in USD."""
    if room is None or row.fixed > room:
        return None
    return min(row.cap, (room - row.fixed) // row.output_rate) if row.output_rate else row.cap


def _told(attempts: Sequence[Attempt], refused: Refused | None) -> tuple[str, str]:
    """Outcome and summary."""
    if refused is not None:
        before = f"After {_count(len(attempts), 'attempt')}: " if attempts else ""
        return "refused", before + _refusal_text(refused)
    last = attempts[-1]
    cost = usd(sum(row.charged + row.debt for row in attempts))
    tries = f" in {_count(len(attempts), 'attempt')}" if len(attempts) > 1 else ""
    if last.state in ("HELD", "SENT"):
        return "open", f"Under way at {last.model}; {usd(last.held)} USD is held for it."
    if last.state == "RELEASED":
        return "failed", f"Failed at {last.provider}{tries}; its hold was given back and {cost} USD charged."
    if last.state == "UNCERTAIN" and not last.price_version:
        return "uncertain", (
            f"{last.model} was sent the call{tries}. No price is known for it, so nobody knows yet what it cost, and"
            " nothing was charged."
        )
    if last.state == "UNCERTAIN":
        return "uncertain", (
            f"{last.model} was sent the call and nobody knows what it cost, so the hold of {usd(last.held)} USD is"
            f" charged{tries}."
        )
    asked = last.call.get("degraded_from")
    instead = f" in place of {asked}" if asked else ""
    return (
        "served",
        f"Answered by {last.model}{instead}{tries} for {cost} USD; {usd(last.held)} USD was held for it.",
    )


def _refusal_text(refused: Refused) -> str:
    refusal = refused.refusal
    room = 0 if refusal.limit is None else max(0, refusal.limit - refusal.settled - refusal.held)
    if refusal.code != "budget_exceeded" or refusal.limit is None or refusal.needed <= room:
        # Not the dollars were too few: it was the calls, the pace, the price, or that nothing may stand in.
        return refusal.message
    scope = ", ".join(f"{kind} {name}" for kind, name in refusal.scope.items()) or "everything"
    until = f" until {instant(refusal.resets_at)}" if refusal.resets_at is not None else ""
    text = (
        f"Budget {refusal.budget_id} for {scope} has {usd(room)} of {usd(refusal.limit)} USD left{until}:"
        f" {usd(refusal.settled)} is settled and {usd(refusal.held)} held. The call needed {usd(refusal.needed)}."
    )
    fits = [(row.model, fitting(row, room)) for row in refused.ask.candidates]
    best = next(((model, cap) for model, cap in fits if cap), None)
    if best is None:
        return text + " Its input alone is more than that."
    return text + f" {_count(best[1] or 0, 'output token')} of {best[0]} would have fitted."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _concerns(row: Balance, subject: Subject, things: set[tuple[str, str]]) -> bool:
    """Whether a balance is about this request: each kind of its scope names the request's own."""
    for kind, name in row.scope.items():
        if kind == "model":
            if all(model != name for model, _ in things):
                return False
        elif kind == "provider":
            if all(provider != name for _, provider in things):
                return False
        elif getattr(subject, kind, None) != name:
            return False
    return True
