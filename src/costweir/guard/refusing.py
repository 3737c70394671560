"""Refusals: which limit a request met, what is settled in it, who holds the rest, and when there is room again."""

from __future__ import annotations

from collections.abc import Mapping

from costweir.guard.journal import Entry, Journal
from costweir.guard.ledger import Ask, Holder, Record, Refusal, usd
from costweir.guard.meters import Meter, Pace
from costweir.guard.options import Fault, Option
from costweir.guard.windows import SECOND, instant

#: How many holders a refusal names, the largest first.
NAMED = 10
#: How many open attempts are looked through for them, and for how long the list is used again.
LOOKED_THROUGH = 2_000
LISTED_FOR = SECOND // 10
#: The longest wait that SDKs obey; told to wait longer, they come back at once.
_MINUTE = 60

_UNFIT = {
    "price_unknown": ("price_unknown", "No price is known for model {model!r}, so a strict budget cannot hold it."),
    "unbounded_request": (
        "unbounded_request",
        "Something in this request to {model!r} has no bound on what it costs, so a strict budget cannot hold it.",
    ),
    "suspended": (
        "unbounded_request",
        "Model {model!r} is suspended for strict budgets, because a call to it cost more than its bound.",
    ),
}  # fmt: skip


class Refuser:
    """Composes refusals and tells the journal of each; the first one of a budget and window is an event as well."""

    def __init__(self, journal: Journal, open_: Mapping[int, Entry]) -> None:
        self._journal = journal
        self._open = open_

    def stopped(self, ask: Ask, stop: Record, now: int) -> Refusal:
        """Somebody stopped what the request is for."""
        what = ", ".join(f"{kind} {value}" for kind, value in stop["scope"].items()) or "every call"
        reason = f": {stop['reason']}" if stop.get("reason") else ""
        return self._told(
            ask,
            Refusal(
                "budget_exceeded",
                ask.request_id,
                f"An operator stopped {what}{reason}.",
                "stop",
                stop["scope"],
            ),
            now,
        )

    def unfit(self, ask: Ask, fault: Fault | None, now: int) -> Refusal:
        """No candidate can be held at all."""
        code, text = _UNFIT[fault or "unbounded_request"]
        first = ask.candidates[0]
        message = " ".join(filter(None, (text.format(model=first.model), first.why)))
        return self._told(ask, Refusal(code, ask.request_id, message), now)  # pyright: ignore[reportArgumentType]

    def over(self, ask: Ask, option: Option, now: int) -> Refusal:
        """A limit leaves too little room."""
        spent = [meter for meter, calls in option.match.counting if meter.calls >= calls]
        if spent:
            meter = spent[0]
            message = (
                f"Budget {meter.rule.id!r} allows {meter.rule.calls} calls, and {meter.calls} were made."
            )
        else:
            meter, message = self._tightest(ask, option)
        ends = meter.ends()
        refusal = Refusal(
            "budget_exceeded", ask.request_id, message, meter.rule.id, dict(meter.scope), meter.limit,
            meter.settled + meter.debt, meter.held, option.whole, None if ends is None else instant(ends),
            window_id=meter.window.id, holders=self._holders(meter, now),
        )  # fmt: skip
        if ask.again:
            return refusal
        if not meter.blocked:
            meter.blocked = 1
            detail = {
                "limit": meter.limit,
                "settled": meter.settled,
                "held": meter.held,
                "needed": option.whole,
            }
            self._journal.tell("blocked", meter, {**detail, "request_id": ask.request_id}, now)
        return self._told(ask, refusal, now)

    def paced(self, ask: Ask, pace: Pace, tokens: int, *, wait: int | None, now: int) -> Refusal:
        """Too much in a minute, or too many calls at once. What no minute holds is refused for good."""
        rule, scope = pace.rule, dict(pace.scope)
        most = rule.tokens_per_minute
        if most is not None and tokens > most:
            text = f"Budget {rule.id!r} allows {most} tokens a minute, so this call, which counts {tokens}, never fits."
            return self._told(ask, Refusal("budget_exceeded", ask.request_id, text, rule.id, scope), now)
        if rule.parallel is not None and pace.open >= rule.parallel:
            text = f"allows {rule.parallel} calls at the same moment"
        elif most is not None and pace.tokens + tokens > most:
            text = f"allows {most} tokens a minute; this call counts {tokens}"
        else:
            text = f"allows {rule.requests_per_minute} requests a minute"
        text = f"Budget {rule.id!r} {text}."
        if wait is None:
            # Nobody knows when a call ends.
            return self._slowed(
                ask, Refusal("rate_limited", ask.request_id, text, rule.id, scope, retry_after=1), now
            )
        return self._slowed(
            ask,
            Refusal(
                "rate_limited", ask.request_id, text, rule.id, scope, resets_at=instant(now + wait),
                retry_after=min(_MINUTE, wait / SECOND),
            ),
            now,
        )  # fmt: skip

    def crowded(self, ask: Ask, now: int) -> Refusal:
        """A key began too many sessions."""
        left = 3_600 - now // SECOND % 3_600
        return self._slowed(
            ask,
            Refusal(
                "rate_limited", ask.request_id, "This key began too many new sessions in this hour.",
                scope={"key": ask.subject.key}, resets_at=instant((now // SECOND + left) * SECOND), retry_after=left,
            ),
            now,
        )  # fmt: skip

    def _slowed(self, ask: Ask, refusal: Refusal, now: int) -> Refusal:
        """A refusal that a moment later may be none; whoever waits for that keeps the last one."""
        return refusal if ask.waits else self._told(ask, refusal, now)

    def _told(self, ask: Ask, refusal: Refusal, now: int) -> Refusal:
        if ask.again and refusal.code == "budget_exceeded":
            return refusal
        self._journal.refused(ask, refusal, now)
        return refusal

    def _tightest(self, ask: Ask, option: Option) -> tuple[Meter, str]:
        """The limit that refuses, with a sentence. With stand-ins that must not be used, it may be a threshold."""
        meter, limit = min(option.match.binding, key=lambda pair: pair[1] - pair[0].used)
        if option.whole > limit - meter.used or meter.used >= limit:
            left, needed = usd(max(0, limit - meter.used)), usd(option.whole)
            return (
                meter,
                f"Budget {meter.rule.id!r} has {left} USD left of {usd(limit)}; this call may cost {needed}.",
            )
        meter = min(
            (meter for meter, _ in option.match.binding if meter.soft is not None),
            key=lambda meter: (meter.soft or 0) - meter.used,
            default=meter,
        )
        return meter, (
            f"Budget {meter.rule.id!r} is near its limit of {usd(meter.limit or 0)} USD, where a cheaper model takes "
            f"over, and {'this request allows none' if ask.no_degrade else 'none fits'}."
        )

    def _holders(self, meter: Meter, now: int) -> tuple[Holder, ...]:
        listed, holders = meter.holders
        if listed and now - listed < LISTED_FOR:
            return holders
        found: list[Entry] = []
        for count, entry in enumerate(self._open.values()):
            if count >= LOOKED_THROUGH:
                break
            if any(own.whole is meter for own in entry.meters):
                found.append(entry)
        found.sort(key=lambda entry: -entry.held)
        holders = tuple(Holder(entry.request_id, entry.held, instant(entry.lease)) for entry in found[:NAMED])
        meter.holders = (now, holders)
        return holders
