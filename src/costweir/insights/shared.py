"""Who carries the costs that nobody used alone. Whatever is divided, the parts add up exactly to the whole (law L4).

A line belongs to the first rule that matches it. Weights are taken from the direct cost of the same month, before
anything is shared, so that the order of the rules moves no money between customers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from costweir.domain.answer import Answer
from costweir.domain.charge import UNTAGGED
from costweir.domain.money import EXACT, MONEY_SCALE, decimal_text
from costweir.insights.breakdown import add, cost, cost_field

ZERO = Decimal(0)
Way = Literal["spend", "tokens", "equal"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One shared cost. `match` maps `customer`, `service` and `project` to the value that each has to have; `by` is how
    it is divided, or fixed shares per customer (any positive numbers)."""

    name: str
    match: Mapping[str, str]
    by: Way | Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Spent:
    """A part of the month: what one customer cost for one service and project."""

    customer: str
    service: str
    project: str
    cost: Decimal
    tokens: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Carried:
    """What one customer pays: its own cost and its part of every rule."""

    customer: str
    direct: Decimal
    shared: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])

    @property
    def shared_total(self) -> Decimal:
        """All parts together."""
        return add(self.shared.values())

    @property
    def total(self) -> Decimal:
        """Own cost and parts."""
        return EXACT.add(self.direct, self.shared_total)


@dataclass(frozen=True, slots=True)
class Applied:
    """What one rule did: the amount it found and how many customers carry it. `kept` is true when nobody could, and
    the amount stayed where the bill has it."""

    rule: Rule
    amount: Decimal
    customers: int
    kept: bool


@dataclass(frozen=True, slots=True)
class Chargeback:
    """`rows` (largest first) add up to `total`, which is the plain sum of what came in."""

    rows: tuple[Carried, ...]
    rules: tuple[Applied, ...]
    total: Decimal


def spent_of(answer: Answer) -> list[Spent]:
    """The rows of `spend` by customer, service and project. Raises ValueError for an answer that was cut off."""
    if Decimal(answer.other):
        raise ValueError("an answer with a limit does not hold every customer")
    name = cost_field(answer)
    return [
        Spent(
            str(row["customer"]), str(row["service"]), str(row["project"]), cost(row, name),
            Decimal(str(row.get("tokens") or 0)),
        )
        for row in answer.rows
    ]  # fmt: skip


def charge_back(spent: Sequence[Spent], rules: Sequence[Rule]) -> Chargeback:
    """Divides what the rules match over the customers, exactly.

    `spend` and `tokens` weigh by direct cost and direct tokens, `equal` gives every customer with direct cost the same;
    untagged cost carries nothing. When no customer has a weight, the amount stays where the bill has it.
    """
    found: dict[str, list[Spent]] = {rule.name: [] for rule in rules}
    direct: list[Spent] = []
    for part in spent:
        rule = next((rule for rule in rules if _matches(rule, part)), None)
        (direct if rule is None else found[rule.name]).append(part)
    own = _sums(direct)
    weights = {"spend": own, "tokens": _sums(direct, tokens=True), "equal": dict.fromkeys(own, Decimal(1))}
    shared: dict[str, dict[str, Decimal]] = {}
    applied: list[Applied] = []
    for rule in rules:
        parts = found[rule.name]
        amount = add(part.cost for part in parts)
        by = weights[rule.by] if isinstance(rule.by, str) else rule.by
        over = {name: weight for name, weight in by.items() if weight > 0 and name != UNTAGGED}
        for customer, money in (divide(amount, over) if over else _sums(parts)).items():
            if over:
                shared.setdefault(customer, {})[rule.name] = money
            else:
                own = {**own, customer: EXACT.add(own.get(customer, ZERO), money)}
        applied.append(Applied(rule, amount, len(over), kept=not over and bool(parts)))
    rows = [Carried(name, own.get(name, ZERO), shared.get(name, {})) for name in own.keys() | shared.keys()]
    rows.sort(key=lambda row: (-row.total, row.customer))
    return Chargeback(tuple(rows), tuple(applied), add(part.cost for part in spent))


def divide(amount: Decimal, weights: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Parts of `amount` in proportion to `weights`, on the money grid of 18 places, adding up exactly to it.

    Each part is rounded towards zero, and the units that are left go to the largest remainders, then by name. Raises
    ValueError for a negative weight or when all are zero.
    """
    if any(weight < 0 for weight in weights.values()) or not any(weights.values()):
        raise ValueError("weights are zero or more, and one of them is above zero")
    # Finer than the grid only for an amount that is finer itself.
    scale = max(MONEY_SCALE, -int(amount.as_tuple().exponent))
    units = int(amount.copy_abs().scaleb(scale, context=EXACT))
    whole = sum((Fraction(weight) for weight in weights.values()), Fraction(0))
    exact = {name: units * Fraction(weight) / whole for name, weight in weights.items()}
    parts = {name: int(part) for name, part in exact.items()}
    left = units - sum(parts.values())
    for name in sorted(exact, key=lambda name: (parts[name] - exact[name], name))[:left]:
        parts[name] += 1
    sign = -1 if amount < 0 else 1
    return {name: Decimal(sign * part).scaleb(-scale, context=EXACT) for name, part in parts.items()}


def _matches(rule: Rule, part: Spent) -> bool:
    return all(getattr(part, name) == value for name, value in rule.match.items())


def _sums(parts: Iterable[Spent], *, tokens: bool = False) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for part in parts:
        sums[part.customer] = EXACT.add(sums.get(part.customer, ZERO), part.tokens if tokens else part.cost)
    return sums


def chargeback_record(found: Chargeback, answer: Answer, month: str) -> dict[str, object]:
    """The whole of it as JSON; `month` is `YYYY-MM` and `answer` what it was divided from."""
    rows = [
        {
            "customer": row.customer,
            "direct_cost": decimal_text(row.direct),
            "shared": {name: decimal_text(amount) for name, amount in row.shared.items()},
            "shared_cost": decimal_text(row.shared_total),
            "total_cost": decimal_text(row.total),
        }
        for row in found.rows
    ]
    applied = [
        {
            "name": item.rule.name,
            "match": dict(item.rule.match),
            "by": item.rule.by if isinstance(item.rule.by, str) else "shares",
            "amount": decimal_text(item.amount),
            "customers": item.customers,
            "divided": not item.kept,
        }
        for item in found.rules
    ]
    return {
        "month": month, "basis": answer.basis, "currency": answer.currency,
        "rows": rows, "rules": applied, "total": decimal_text(found.total),
        "excluded": [item.to_json() for item in answer.excluded], "as_of": dict(answer.as_of),
        "complete_to": dict(answer.complete_to), "complete": answer.complete, "link": answer.link,
    }  # fmt: skip
