"""What a usage costs in whole nano-dollars, rounded up, at the price that held then (laws L5, L6, L10)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal

from costweir.domain.money import EXACT
from costweir.domain.usage import Usage
from costweir.prices.book import Book
from costweir.prices.resolve import buckets, rate_for

#: Parts of a nano-dollar that rates are kept in, so that a rate for one token is a whole number.
PARTS = 1_000_000_000
_UNIT = Decimal(10**18)
_REMEMBERED = 1024


# Made for every call, so it is frozen by agreement only.
@dataclass(slots=True)
class Cost:
    """A price in nano-dollars, the version of the rows that it comes from, and the buckets that it is for."""

    nano: int
    price_version: str
    used: Mapping[str, int] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Rates:
    """Whole rates for one unit of each bucket, in 10^-18 USD, rounded up. A bucket that is absent has no price."""

    parts: Mapping[str, int]
    free: frozenset[str]
    version: str


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one model: `name` as the book knows it, billed by `provider`.

    `routing` is that of the provider's address, and `routings` are all that a call may meet there, None for any.
    """

    book: Book
    name: str
    provider: str
    thresholds: tuple[int, ...]
    timed: bool
    routing: str = ""
    routings: frozenset[str] | None = None
    writes_are_input: bool = False
    """Whether a write to the cache that has no price of its own costs what input does."""
    _memory: dict[tuple[object, ...], Rates | None] = field(
        default_factory=dict[tuple[object, ...], "Rates | None"]
    )

    def rates(self, *, on: datetime, tier: str, routing: str, context: int) -> Rates | None:
        """The rates at a moment for a context of that many tokens; None when the book has none."""
        day: date = on if self.timed else on.date()
        # Hours are told to the minute, so a moment within one minute has one price.
        moment = day.replace(second=0, microsecond=0) if isinstance(day, datetime) else day
        band = bisect_left(self.thresholds, context)
        key = (tier, routing, moment, band)
        if key not in self._memory:
            if len(self._memory) >= _REMEMBERED:
                self._memory.clear()
            found = self.book.find(
                self.name,
                provider=self.provider,
                on=moment,
                tier=tier,
                routing=routing,
                context_tokens=context,
            )
            self._memory[key] = None if found is None else self._rates(found.rates, found.version)
        return self._memory[key]

    def cost(self, usage: Usage, *, on: datetime, tier: str, routing: str = "") -> Cost | None:
        """What a usage costs; None when a bucket that was used has no price. Without a routing that of the address."""
        rates = self.rates(on=on, tier=tier, routing=routing or self.routing, context=usage.context_tokens)
        if rates is None:
            return None
        parts, used = 0, usage.used()
        for bucket, count in used.items():
            rate = rates.parts.get(bucket)
            if rate is not None:
                parts += rate * count
            elif bucket not in rates.free:
                return None
        return Cost(-(-parts // PARTS), rates.version, used)

    def worst(self, *, on: date, tiers: frozenset[str], context: int) -> Rates | None:
        """The highest rates that a request of at most that many input tokens may meet from that day to the next; None
        when no price is known."""
        found = self.book.worst(
            self.name,
            provider=self.provider,
            on=on,
            tiers=tiers,
            routings=self.routings,
            context_tokens=context,
        )
        current = self.book.find(self.name, provider=self.provider, on=on)
        return None if found is None else self._rates(found, "" if current is None else current.version)

    def _rates(self, given: Mapping[str, Decimal], version: str) -> Rates:
        if self.writes_are_input and "cache_write" not in given and "input" in given:
            given = {**given, "cache_write": given["input"]}
        return rates_of(given, version)


def rates_of(given: Mapping[str, Decimal], version: str) -> Rates:
    """Whole rates from those of the book, with stand-ins filled in as the book does."""
    parts: dict[str, int] = {}
    free: set[str] = set()
    for bucket, rule in buckets().items():
        found = rate_for(bucket, given)
        if found is not None:
            parts[bucket] = whole_rate(found[1], rule.per)
        elif rule.free_if_absent:
            free.add(bucket)
    return Rates(parts, frozenset(free), version)


def whole_rate(rate: Decimal, per: int) -> int:
    """A rate in USD for `per` units as 10^-18 USD for one, rounded up."""
    scaled = int(EXACT.multiply(rate, _UNIT).to_integral_value(ROUND_CEILING))
    return -(-scaled // per)
