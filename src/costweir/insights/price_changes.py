"""What a change in the price book does to those who use the model: an estimate, exact in its arithmetic and open about
what it assumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from costweir.domain.answer import Answer, Cell
from costweir.domain.money import EXACT
from costweir.insights.breakdown import add, cost, cost_field
from costweir.prices.rate import PriceChange

#: Days of use that an estimate stands on.
DAYS = 30
#: Tokens that a rate is for.
PER = 1_000_000
ASSUMPTION = (
    f"As many tokens as in the last {DAYS} days, each at the new rate instead of the old one; the highest rate where it"
    " depends on the length of the context, and cache writes as those of five minutes."
)
#: Bucket of the price book for each measure of the question `tokens`.
MEASURES: Mapping[str, str] = {
    "input_tokens": "input", "output_tokens": "output", "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """What the book has for a billed model: its own provider and model id, and the tier."""

    provider: str
    model: str
    tier: str


@dataclass(frozen=True, slots=True)
class Use:
    """What one customer used of one billed model and tier. `tokens` by bucket of the price book; `cost` in the currency
    of the answer; `known` is None when the book does not know the model."""

    customer: str
    provider: str
    model: str
    tier: str
    cost: Decimal
    tokens: Mapping[str, Decimal]
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class Touch:
    """One customer whom a change touches. `monthly` is the estimated change for 30 days in US dollars, None where
    nothing can be estimated."""

    use: Use
    monthly: Decimal | None


@dataclass(frozen=True, slots=True)
class Effect:
    """One change, and whom it touches, largest cost first."""

    change: PriceChange
    touches: tuple[Touch, ...]

    @property
    def cost(self) -> Decimal:
        """What all of them spent on it."""
        return add(touch.use.cost for touch in self.touches)

    @property
    def monthly(self) -> Decimal | None:
        """The estimates together; None when there is none."""
        known = [touch.monthly for touch in self.touches if touch.monthly is not None]
        return add(known) if known else None


def uses_of(answer: Answer, known: Mapping[tuple[str, str, str], Known | None]) -> list[Use]:
    """The rows of `tokens` by customer, provider, model and tier; `known` maps the last three to the book's entry."""
    name = cost_field(answer)
    uses: list[Use] = []
    for row in answer.rows:
        key = (str(row["provider"]), str(row["model"]), str(row["tier"]))
        tokens = {bucket: _count(row.get(measure)) for measure, bucket in MEASURES.items()}
        uses.append(Use(str(row["customer"]), *key, cost(row, name), tokens, known.get(key)))
    return uses


def effects(changes: Iterable[PriceChange], uses: Sequence[Use]) -> tuple[Effect, ...]:
    """Every change with whom it touches; the largest effect first, then those without one.

    A change of one routing touches those who use the model, but is not estimated: bills do not say at which routing
    each token was used. So no token is estimated twice.
    """
    found = [Effect(change, _touches(change, uses)) for change in changes]
    found.sort(key=lambda effect: (-abs(effect.monthly or Decimal(0)), -effect.cost, effect.change.model))
    return tuple(found)


def _touches(change: PriceChange, uses: Sequence[Use]) -> tuple[Touch, ...]:
    touched = [Touch(use, _monthly(change, use)) for use in uses if _is_about(change, use)]
    return tuple(sorted(touched, key=lambda touch: (-touch.use.cost, touch.use.customer, touch.use.provider)))


def _is_about(change: PriceChange, use: Use) -> bool:
    if use.known is None or change.tier != use.known.tier:
        return False
    # An operator's own list names no provider, and its prices are used for all.
    same_list = change.provider in (use.known.provider, "operator")
    return same_list and unrouted(change.model) == unrouted(use.known.model)


def _monthly(change: PriceChange, use: Use) -> Decimal | None:
    assert use.known is not None  # noqa: S101 - a change is about known uses only
    if change.change != "changed" or change.routing or change.model != use.known.model:
        return None
    both = [name for name in change.before if name in change.after and name in use.tokens]
    if not both:
        return None
    return add(
        EXACT.divide(
            EXACT.multiply(use.tokens[name], EXACT.subtract(change.after[name], change.before[name])),
            Decimal(PER),
        )
        for name in both
    )


def unrouted(model: str) -> str:
    """A model id of the book without the routing that some lists put before it."""
    head, _, rest = model.partition(".")
    return rest if head in ("global", "regional") else model


def _count(value: Cell) -> Decimal:
    return Decimal(str(value or 0))
