"""Why spend changed: volume, mix, price, new and gone, as amounts that add up exactly to the change (law
L4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from costweir.domain.money import EXACT, exact

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Line:
    """One member in one period: `key` says what has one price (provider, model, token class), `member` (the
    start of the key) what can be new or gone; `cost` in one currency, `quantity` in tokens, zero where
    nothing is counted."""

    key: tuple[str, ...]
    member: tuple[str, ...]
    cost: Decimal
    quantity: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Mover:
    """One member and its own part of the change."""

    member: tuple[str, ...]
    before: Decimal
    after: Decimal

    @property
    def change(self) -> Decimal:
        """After minus before."""
        return EXACT.subtract(self.after, self.before)


@dataclass(frozen=True, slots=True)
class Changes:
    """The drivers. `volume + mix + price + new + gone + uncounted == after - before`, to the last digit.

    volume: more or fewer tokens at the old average price. mix: the same tokens moved to dearer or cheaper
    models and token classes. price: the same tokens at another price each. new and gone: members without
    spend in the other period. uncounted: lines that are not measured in tokens (fees, capacity, credits,
    tax).
    """

    before: Decimal
    after: Decimal
    volume: Decimal
    mix: Decimal
    price: Decimal
    new: Decimal
    gone: Decimal
    uncounted: Decimal

    @property
    def change(self) -> Decimal:
        """After minus before."""
        return EXACT.subtract(self.after, self.before)

    @property
    def drivers(self) -> tuple[tuple[str, Decimal], ...]:
        """Name and amount of every driver that moved anything, largest first."""
        named = (
            ("volume", self.volume), ("mix", self.mix), ("price", self.price),
            ("new", self.new), ("gone", self.gone), ("uncounted", self.uncounted),
        )  # fmt: skip
        return tuple(sorted((item for item in named if item[1]), key=lambda item: -abs(item[1])))


def explain(before: Sequence[Line], after: Sequence[Line]) -> Changes:
    """Splits the change between two periods of like length.

    Every step subtracts one exact amount from the next (old cost, old average price for the new tokens, old
    prices for the new tokens, new cost), so that rounding a quotient moves money between two drivers but
    never out of the sum.
    """
    old_members = {line.member for line in before if line.cost}
    new_members = {line.member for line in after if line.cost}
    new = _total(line.cost for line in after if line.member not in old_members)
    gone = -_total(line.cost for line in before if line.member not in new_members)
    old = _merge(line for line in before if line.member in new_members)
    now = _merge(line for line in after if line.member in old_members)
    counted = {key for key in old.keys() | now.keys() if _quantity(old, key) > 0 or _quantity(now, key) > 0}
    uncounted = _cost(now, now.keys() - counted) - _cost(old, old.keys() - counted)
    old_cost, new_cost = _cost(old, counted), _cost(now, counted)
    at_old_average, at_old_prices = _repriced(old, now, counted)
    return Changes(
        before=_total(line.cost for line in before),
        after=_total(line.cost for line in after),
        volume=EXACT.subtract(at_old_average, old_cost),
        mix=EXACT.subtract(at_old_prices, at_old_average),
        price=EXACT.subtract(new_cost, at_old_prices),
        new=new,
        gone=gone,
        uncounted=uncounted,
    )


def movers(before: Sequence[Line], after: Sequence[Line]) -> tuple[Mover, ...]:
    """Every member with its change, largest first; the changes add up to the whole change."""
    old: dict[tuple[str, ...], Decimal] = {}
    now: dict[tuple[str, ...], Decimal] = {}
    for lines, into in ((before, old), (after, now)):
        for line in lines:
            into[line.member] = EXACT.add(into.get(line.member, ZERO), line.cost)
    found = [
        Mover(member, old.get(member, ZERO), now.get(member, ZERO)) for member in old.keys() | now.keys()
    ]
    return tuple(sorted(found, key=lambda mover: (-abs(mover.change), mover.member)))


_Merged = dict[tuple[str, ...], tuple[Decimal, Decimal]]


def _merge(lines: Iterable[Line]) -> _Merged:
    merged: _Merged = {}
    for line in lines:
        cost, quantity = merged.get(line.key, (ZERO, ZERO))
        merged[line.key] = (EXACT.add(cost, line.cost), EXACT.add(quantity, line.quantity))
    return merged


def _quantity(lines: _Merged, key: tuple[str, ...]) -> Decimal:
    return lines.get(key, (ZERO, ZERO))[1]


def _cost(lines: _Merged, keys: Iterable[tuple[str, ...]]) -> Decimal:
    return _total(lines[key][0] for key in keys if key in lines)


def _total(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def _repriced(old: _Merged, now: _Merged, counted: set[tuple[str, ...]]) -> tuple[Decimal, Decimal]:
    """The new tokens at the old average price, and each at its own old price, both on the money grid.

    A key without an old price keeps its new cost in the second figure, so that it counts as mix and not as
    price.
    """
    old_tokens = _total(_quantity(old, key) for key in counted)
    new_tokens = _total(_quantity(now, key) for key in counted)
    old_cost = _cost(old, counted)
    at_average = old_cost
    if old_tokens > 0:
        at_average = exact(EXACT.divide(EXACT.multiply(old_cost, new_tokens), old_tokens))
    at_prices = ZERO
    for key in counted:
        cost, tokens = old.get(key, (ZERO, ZERO))
        new_cost, new_count = now.get(key, (ZERO, ZERO))
        kept = exact(EXACT.divide(EXACT.multiply(cost, new_count), tokens)) if tokens > 0 else new_cost
        at_prices = EXACT.add(at_prices, kept)
    return at_average, at_prices
