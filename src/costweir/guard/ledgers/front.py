"""What every ledger does alike: the weir decides, the ledger's own journal keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from costweir.errors import ConfigError
from costweir.guard.clock import Clock
from costweir.guard.journal import Entry
from costweir.guard.ledger import (
    Ask,
    Attempt,
    Balance,
    Drift,
    Refusal,
    Settled,
    Settlement,
    Terms,
)
from costweir.guard.meters import Counts, Key, Meter, RollingMeter
from costweir.guard.policy import Policy, Scope
from costweir.guard.rebuild import rows
from costweir.guard.weir import LEASE, Weir
from costweir.guard.windows import Rolling, instant

Durability = Literal["fsync", "process"]


@dataclass(frozen=True, slots=True)
class Start:
    """What a ledger begins with. Without `terms`, those that the file keeps hold on."""

    terms: Terms | None = None
    revision: int = 0
    clock: Clock | None = None
    durability: Durability = "fsync"
    lease: int = LEASE


class Front:
    """The synchronous half of a ledger, on the event loop's thread."""

    def __init__(self, weir: Weir, clock: Clock) -> None:
        self.weir = weir
        self.clock = clock
        self._revision = 0
        # A restart confirms the clock as well.
        self._clock_confirmed = weir.policy.terms.clock_confirmed

    @property
    def revision(self) -> int:
        """The revision of the terms that hold."""
        return self._revision

    @property
    def available(self) -> bool:
        """True while what is admitted can be kept."""
        return True

    def settle(self, attempt: int, settlement: Settlement) -> Settled:
        """Charges what an attempt cost; see `Ledger.settle`."""
        return self.weir.settle(attempt, settlement)

    def release(self, attempt: int, reason: str, call: Mapping[str, object]) -> bool:
        """Gives a hold back; see `Ledger.release`."""
        return self.weir.release(attempt, reason, call)

    def extend(self, attempt: int) -> bool:
        """Renews the lease of an open attempt."""
        return self.weir.extend(attempt)

    def refused(self, ask: Ask, refusal: Refusal) -> None:
        """Keeps a refusal that was made before anything was asked here."""
        if self.available:
            self.weir.keep_refusal(ask, refusal)

    def confirm_clock(self) -> None:
        """Takes the machine's clock for right after a step."""
        self.clock.confirm()
        self.weir.gauges.rewind()

    def _obey_clock(self, terms: Terms) -> None:
        """Confirms the clock when somebody did since the last terms."""
        if terms.clock_confirmed > self._clock_confirmed:
            self.confirm_clock()
        self._clock_confirmed = terms.clock_confirmed

    def stats(self) -> Mapping[str, int]:
        """Numbers for a gauge: open attempts, suspended models, meters in memory."""
        return {
            "open": len(self.weir.open), "suspended": len(self.weir.suspended),
            "meters": sum(1 for _ in self.weir.gauges),
        }  # fmt: skip


def compiled(terms: Terms, now: int) -> Policy:
    """The policy of what people set. Raises ConfigError for a definition that cannot be read."""
    try:
        return Policy.compile(terms, now)
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise ConfigError(
            f"A budget or plan cannot be read: {error}.", hint="Look at `costweir budget list`."
        ) from error


def unavailable(ask: Ask) -> Refusal:
    """What is answered while nothing can be kept (law L8)."""
    text = "The ledger cannot be written now, so nothing is admitted."
    return Refusal("ledger_unavailable", ask.request_id, text, retry_after=1)


def balance_of(meter: Meter) -> Balance:
    """What a meter holds, for people."""
    ends = meter.ends()
    return Balance(
        meter.rule.id, dict(meter.scope), meter.window.id, meter.limit, meter.settled, meter.held, meter.debt,
        meter.open, None if ends is None else instant(ends),
    )  # fmt: skip


def within(scope: Mapping[str, str] | None, own: Mapping[str, str]) -> bool:
    """True when everything in `scope` is in `own` as well."""
    return all(own.get(kind) == value for kind, value in (scope or {}).items())


def drifts(kept: Iterable[Meter], rebuilt: Iterable[Meter], now: int) -> list[Drift]:
    """The balances that differ, of windows that are open at `now`. Amounts are settled + held + debt."""
    left: dict[Key, Meter] = {meter.key: meter for meter in rows(kept) if not_over(meter, now)}
    right: dict[Key, Meter] = {meter.key: meter for meter in rows(rebuilt) if not_over(meter, now)}
    return [
        Drift(name, window, _used(left.get(key)), _used(right.get(key)), dict(scope))
        for key in sorted(left.keys() | right.keys())
        for name, scope, window in (key,)
        if _numbers(left.get(key)) != _numbers(right.get(key))
    ]


def not_over(meter: Meter, now: int) -> bool:
    """True while a balance counts."""
    ends = meter.ends()
    return ends is None or ends > now


def attempt_of(entry: Entry, settlement: Settlement | None, ended: int | None) -> Attempt:
    """An entry with what was said when it ended."""
    return Attempt(
        entry.attempt, entry.request_id, entry.state, entry.subject, entry.model, entry.provider, entry.held,
        entry.charged, entry.debt, entry.certainty, entry.price_version, instant(entry.at),
        None if ended is None else instant(ended),
        {} if settlement is None else settlement.usage, {} if settlement is None else settlement.call,
    )  # fmt: skip


def untouched(policy: Policy, now: int, seen: set[tuple[str, Scope]]) -> Iterable[Meter]:
    """Meters of the limits that are known beforehand and that no call has met in their open window."""
    for rule in policy.rules:
        if not rule.metered:
            continue
        members: Sequence[Scope] = ()
        if not rule.each:
            members = [tuple(rule.scope.items())]
        elif rule.each == ("customer",) and "plan" in rule.scope:
            members = [
                (*rule.scope.items(), ("customer", customer))
                for customer, plan in policy.terms.customers.items()
                if plan == rule.scope["plan"]
            ]
        for scope in members:
            if (rule.id, scope) in seen:
                continue
            if isinstance(rule.span, Rolling):
                yield RollingMeter(rule, scope, rule.span)
            else:
                yield Meter(rule, scope, rule.span.at(now), Counts())


def _used(meter: Meter | None) -> int:
    return 0 if meter is None else meter.used


def _numbers(meter: Meter | None) -> tuple[int, ...]:
    if meter is None:
        return (0, 0, 0, 0, 0)
    return meter.settled, meter.held, meter.debt, meter.open, meter.calls
