"""What people set, compiled into rules, and which rules a request meets.

A rule counts one thing for each member: `scope` names what has to match, `each` the kinds of which each member has the
limit for itself. A plan is a kind of many, so a budget of a plan holds for each customer that is on it *now*, and
counts all that this customer spent in the window: moving to another plan resets nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Literal

from costweir.guard.ledger import NANO, Record, Subject, Terms
from costweir.guard.windows import PerSession, Span, Window, nanoseconds, parse

Mode = Literal["strict", "debt", "observe"]
Values = Mapping[str, str]
Scope = tuple[tuple[str, str], ...]

#: What a budget may be about, the most selective first.
KINDS = (
    "session", "user", "key", "customer", "feature", "project", "plan", "tenant", "environment", "model", "provider",
)  # fmt: skip
#: In a scope: every member has the limit for itself.
EACH = "*"
#: A session's cap of $0.50 warns at $0.30.
SESSION_THRESHOLDS = (60, 80, 95, 100)
THRESHOLDS = (50, 80, 95, 100)
#: The highest threshold from here to 99 is where a cheaper model takes over.
DEGRADES_FROM = 90


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One budget, ready to count. Amounts are nano-dollars."""

    id: str
    scope: Values
    each: tuple[str, ...]
    span: Span
    shape: str
    """What is counted. Rules of equal shape share their counters, whatever their limits are."""
    limit: int | None = None
    mode: Mode = "strict"
    thresholds: tuple[int, ...] = THRESHOLDS
    calls: int | None = None
    parallel: int | None = None
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None

    @property
    def degrades_at(self) -> int | None:
        """The committed amount from which a cheaper model takes over, None where none does."""
        steps = [step for step in self.thresholds if DEGRADES_FROM <= step < 100]
        return None if self.limit is None or not steps else self.limit * steps[-1] // 100

    def refuses_like(self, other: Rule) -> bool:
        """True when it has the same limit and thresholds."""
        return self.limit == other.limit and self.mode == other.mode and self.thresholds == other.thresholds

    @property
    def metered(self) -> bool:
        """True when it limits what is counted in its window."""
        return self.limit is not None or self.calls is not None

    @property
    def paced(self) -> bool:
        """True when it limits calls in time or at once."""
        return not (self.tokens_per_minute is self.requests_per_minute is self.parallel is None)

    def meets(self, values: Values) -> bool:
        """True when a request with these values is counted."""
        return all(values[kind] == wanted for kind, wanted in self.scope.items())

    def member(self, values: Values) -> Scope:
        """Whose counter a request goes to, as pairs of kind and value."""
        each = self.each
        if isinstance(self.span, PerSession) and not values["session"]:
            # Calls that name no session share the one of their key.
            each = tuple(dict.fromkeys("key" if kind == "session" else kind for kind in each))
        return (*self.scope.items(), *((kind, values[kind]) for kind in each))

    def window(self, values: Values, at: int) -> Window:
        """The window in which a request of that instant is counted."""
        if isinstance(self.span, PerSession) and not values["session"]:
            return self.span.unnamed(at)
        return self.span.at(at)


class Policy:
    """The rules of one moment. `changes_at` is when an expiry makes another policy of the same terms; `has_debt` says
    that there are budgets in debt mode."""

    def __init__(self, terms: Terms, rules: Iterable[Rule], *, changes_at: int | None = None) -> None:
        self.terms = terms
        self.rules = tuple(rules)
        self.changes_at = changes_at
        self.has_debt = any(rule.mode == "debt" and rule.limit is not None for rule in self.rules)
        self._about: dict[tuple[str, str], list[Rule]] = {}
        for rule in self.rules:
            kind = next((kind for kind in KINDS if kind in rule.scope), "")
            self._about.setdefault((kind, rule.scope.get(kind, "")), []).append(rule)

    @classmethod
    def compile(cls, terms: Terms, now: int) -> Policy:
        """The rules that hold at `now`. ValueError for a definition that cannot be read."""
        rules: list[Rule] = []
        ends: list[int] = []
        for record in terms.budgets:
            current = _current(record, now, ends)
            if current is not None:
                rules.append(_rule(current))
        for plan in terms.plans:
            rules += _plan_rules(plan)
        return cls(terms, rules, changes_at=min(ends, default=None))

    @cached_property
    def by_id(self) -> Mapping[str, Rule]:
        """The rules by their budget's id."""
        return {rule.id: rule for rule in self.rules}

    def values(self, subject: Subject, model: str, provider: str) -> Values:
        """What scopes are matched with. A customer's plan is the one it is on now."""
        return {
            "session": subject.session, "user": subject.user, "key": subject.key, "customer": subject.customer,
            "feature": subject.feature, "project": subject.project, "plan": self.plan_of(subject),
            "tenant": subject.tenant, "environment": subject.environment, "model": model, "provider": provider,
        }  # fmt: skip

    def plan_of(self, subject: Subject) -> str:
        """The plan that a subject is on."""
        return self.terms.customers.get(subject.customer, subject.plan)

    def match(self, values: Values) -> list[Rule]:
        """The rules that a request meets, in the order of their ids."""
        found = list(self._about.get(("", ""), ()))
        for kind, value in values.items():
            found += (rule for rule in self._about.get((kind, value), ()) if rule.meets(values))
        return sorted(found, key=lambda rule: rule.id)

    def stop(self, values: Values) -> Record | None:
        """The stop that a request meets: a freeze, or a session that somebody stopped."""
        for stop in self.terms.stops:
            scope: Values = stop["scope"]
            if all(values.get(kind) == wanted for kind, wanted in scope.items()):
                return stop
        return None

    def changed(self, before: Policy) -> tuple[list[Rule], set[str]]:
        """The rules whose counters have to be counted anew, and the ids whose old counters go.

        A rule about a plan counts anew when customers came to the plan or left it.
        """
        moved = {
            plan
            for customer in self.terms.customers.keys() | before.terms.customers.keys()
            if (old := before.terms.customers.get(customer)) != (new := self.terms.customers.get(customer))
            for plan in (old, new)
        }
        same = {
            rule.id
            for rule in self.rules
            if (was := before.by_id.get(rule.id)) is not None
            and was.shape == rule.shape
            and rule.scope.get("plan") not in moved - {None}
        }
        anew = [rule for rule in self.rules if rule.id not in same]
        return anew, before.by_id.keys() - same


def nano(text: object) -> int:
    """A decimal string in USD as nano-dollars, cut off: a limit is never rounded up."""
    return int(Decimal(str(text)) * NANO)


def _current(record: Record, now: int, ends: list[int]) -> Record | None:
    """The definition that holds at `now`; what expires later is noted in `ends`."""
    expires = record.get("expires")
    if not expires:
        return record
    end = nanoseconds(datetime.fromisoformat(expires))
    if now < end:
        ends.append(end)
        return record
    then = record.get("then")
    return None if then is None else _current({"id": record["id"], **then}, now, ends)


def _rule(record: Record) -> Rule:
    given: Mapping[str, str | None] = record.get("scope") or {}
    scope = {kind: value for kind, value in given.items() if value}
    window, timezone = record.get("window") or "month", record.get("timezone") or "UTC"
    each = [kind for kind in KINDS if scope.get(kind) == EACH]
    fixed = {kind: scope[kind] for kind in KINDS if kind in scope and kind not in each}
    span = parse(window, timezone)
    wanted = ("customer",) if "plan" in fixed else ()
    wanted = ("customer", "session") if isinstance(span, PerSession) else wanted
    each += [kind for kind in wanted if kind not in fixed and kind not in each]
    limit = record.get("limit_usd")
    return Rule(
        id=record["id"],
        scope=fixed,
        each=tuple(each),
        span=span,
        shape=json.dumps([fixed, each, window, timezone], sort_keys=True),
        limit=None if limit is None else nano(limit),
        mode=record.get("mode") or "strict",
        thresholds=tuple(record.get("thresholds") or THRESHOLDS),
        **{
            name: record.get(name)
            for name in ("calls", "parallel", "tokens_per_minute", "requests_per_minute")
        },
    )


def _plan_rules(plan: Record) -> Iterable[Rule]:
    """A plan's limits, which hold for each of its customers: USD a month, USD and calls a session, tokens a minute."""
    name, scope = plan["id"], {"plan": plan["id"]}
    if plan.get("budget_usd"):
        yield _rule({"id": f"plan:{name}:month", "scope": scope, "limit_usd": plan["budget_usd"]})
    if plan.get("session_usd") or plan.get("session_calls"):
        session = {"limit_usd": plan.get("session_usd") or None, "calls": plan.get("session_calls")}
        yield _rule({
            "id": f"plan:{name}:session", "scope": scope, "window": "session",
            "thresholds": SESSION_THRESHOLDS, **session,
        })  # fmt: skip
    if plan.get("tokens_per_minute"):
        tokens = plan["tokens_per_minute"]
        yield _rule({"id": f"plan:{name}:minute", "scope": scope, "tokens_per_minute": tokens})
