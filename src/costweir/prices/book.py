"""The price book: which rate holds for a model on a day, and what a usage costs.

It keeps L5 (what has no known rate is unpriced, never zero) and L6 (a row has the day it took effect and the
day we learned it; rows are only appended). Nothing here opens a socket.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Unpack

from costweir.domain.money import EXACT
from costweir.domain.usage import Usage
from costweir.errors import NotFound, UsageError
from costweir.prices.match import matches
from costweir.prices.overlay import for_provider, load_overlay, operator_list
from costweir.prices.rate import PriceChange, Priced, PriceLine, Rate, Terms
from costweir.prices.resolve import (
    TOKEN_BUCKETS,
    Found,
    buckets,
    highest_rates,
    highest_uplift,
    per_unit,
    provider_code,
    rate_for,
    rate_of,
    rate_of_row,
    routing_word,
    rows_for,
    tier_word,
)
from costweir.prices.table import STANDARD, Key, PriceList, Row, bundled, provider_entries, short_name

_REMEMBERED = 4096


class Book:
    """All known prices. Made by `Book.load`; immutable for its users and safe to share between threads."""

    def __init__(self, operator: Sequence[PriceList] = ()) -> None:
        self._operator = tuple(operator)
        self._memory: dict[tuple[object, ...], Found | None] = {}

    @classmethod
    def load(
        cls, *, overlays: Sequence[Path] = (), overrides: Sequence[Mapping[str, object]] = ()
    ) -> Book:  # fmt: skip
        """The shipped book under the operator's prices: `overrides` win over `overlays`, later overlays over
        earlier.

        Shipped lists are read on first use, one provider at a time. Raises ConfigError for a price that
        cannot be understood.
        """
        lists = [operator_list(overrides)] if overrides else []
        return cls(lists + [load_overlay(path) for path in reversed(overlays)])

    def find(self, model: str, **terms: Unpack[Terms]) -> Rate | None:
        """The rate of a model under `terms` (see `Terms`); None when no list knows one.

        An exact id wins, then the alias rules of the list, then the name without vendor prefix and date; a
        provider without the model falls back as its list says (azure to openai's prices). A tier without rows
        is unknown, not standard.
        """
        found = self._found(model, terms)
        return None if found is None else rate_of(found, terms)

    def price(self, usage: Usage, *, model: str, **terms: Unpack[Terms]) -> Priced:
        """What a usage costs in USD, exact. Unpriced, with what is missing, as soon as one used bucket has no
        rate.
        """
        terms.setdefault("context_tokens", usage.context_tokens)
        rate = self.find(model, **terms)
        if rate is None:
            return Priced("unpriced", None, missing=(self._reason(model, terms),))
        lines: list[PriceLine] = []
        missing: list[str] = []
        for bucket, quantity in usage.used().items():
            rule = buckets()[bucket]
            taken = rate_for(bucket, rate.rates)
            if taken is None:
                if not rule.free_if_absent:
                    missing.append(bucket)
                continue
            name, price = taken
            amount = EXACT.multiply(price, Decimal(quantity))
            lines.append(PriceLine(bucket, quantity, price, per_unit(amount, rule.per), name))
        if missing:
            return Priced("unpriced", None, tuple(lines), rate.version, tuple(missing))
        total = sum((line.amount for line in lines), Decimal(0))
        return Priced("priced", total, tuple(lines), rate.version)

    def worst(
        self, model: str, *, provider: str = "", on: date,
        tiers: frozenset[str] | None = None, routings: frozenset[str] | None = None,
        context_tokens: int | None = None,
    ) -> Mapping[str, Decimal] | None:  # fmt: skip
        """The highest rate per bucket that could apply on a day or the next: over tiers, context bands,
        hours, routing and every list that knows the model (design §6). None when the model has no price; a
        bucket that is absent has no bound.

        Where not all of them can, `tiers` says which tiers may apply besides the standard one, `routings` which
        routings, and `context_tokens` how large the context may get.
        """
        code, day = provider_code(provider), on.date() if isinstance(on, datetime) else on
        worst: dict[str, Decimal] = {}
        for prices in self._lists(model, code, date.max):
            resolved = prices.resolve(model, routing="", known_on=date.max)
            for twin in prices.siblings(resolved) if resolved is not None else ():
                factor = highest_uplift(code, twin, day, routings=routings)
                for when in (day, day + timedelta(days=1)):
                    rates = highest_rates(prices, twin, when, tiers=tiers, context_tokens=context_tokens)
                    for bucket, rate in rates.items():
                        raised = rate * factor if bucket in TOKEN_BUCKETS else rate
                        worst[bucket] = max(raised, worst.get(bucket, raised))
        return worst or None

    def steps(self, model: str, *, provider: str = "") -> tuple[tuple[int, ...], bool]:
        """Where prices of a model change: the context thresholds of every list that knows it, and whether any of
        them has prices by the hour."""
        thresholds: set[int] = set()
        timed = False
        for prices in self._lists(model, provider_code(provider), date.max):
            resolved = prices.resolve(model, routing="", known_on=date.max)
            for twin in prices.siblings(resolved) if resolved is not None else ():
                for key, rows in prices.series(twin).items():
                    timed = timed or bool(key.hours)
                    thresholds |= {threshold for row in rows for threshold, _ in row.bands}
        return tuple(sorted(thresholds)), timed

    def context_of(self, model: str, *, provider: str = "") -> int:
        """The context window of a model in tokens, the largest that a list states; 0 when none does."""
        largest = 0
        for prices in self._lists(model, provider_code(provider), date.max):
            resolved = prices.resolve(model, routing="", known_on=date.max)
            largest = max([largest, *(row.context for row in prices.aliases if row.model == resolved)])
        return largest

    def list(self, *, provider: str = "", match: str = "", on: date) -> Sequence[Rate]:
        """The rates in force on a day, base band, one per model, tier and routing; `match` is part of a model
        id.

        NotFound for a provider without prices.
        """
        rates: list[Rate] = []
        for prices in self._all_lists(provider):
            for model in prices.models:
                if match.lower() not in model.lower():
                    continue
                for key in prices.series(model):
                    row = prices.current(model, key, on=on, known_on=date.max)
                    if row is not None and not key.hours:
                        rates.append(rate_of_row(row, prices, on))
        return rates

    def show(self, model: str, *, provider: str = "") -> Mapping[str, object]:
        """A model's entry: `provider, model, context_tokens, rows` with every row ever learned, newest last.

        NotFound when no list knows the model.
        """
        for prices in self._lists(model, provider_code(provider), date.max):
            resolved = prices.resolve(model, routing="", known_on=date.max)
            if resolved is None:
                continue
            rows = [
                row
                for twin in prices.siblings(resolved)
                for rows in prices.series(twin).values()
                for row in rows
            ]
            context = [alias.context for alias in prices.aliases if alias.model == resolved]
            return {
                "provider": prices.provider or "operator",
                "model": resolved,
                "context_tokens": (context or [0])[-1] or None,
                "rows": sorted(rows, key=lambda row: (row.model, row.key, row.known_from, row.effective)),
            }
        raise NotFound(
            f"No price is known for the model {model!r}.",
            hint="See `costweir prices list`, or state a price under `prices` in the configuration.",
        )

    def diff(self, since: date, until: date) -> Sequence[PriceChange]:
        """What changed between the book as it stood on `since` and as it stood on `until`, each with that
        day's knowledge, and what was learned in between about days after `until`. Where nothing was known on
        `since`, the first knowledge is the base. UsageError when `since` is after `until`.
        """
        if since > until:
            raise UsageError(f"The day {since} is after {until}.", hint="Give the earlier day first.")
        changes: list[PriceChange] = []
        for prices in self._all_lists(""):
            first = min((row.known_from for row in prices.rows), default=since)
            base = max(since, first)
            for model in prices.models:
                for key, rows in prices.series(model).items():
                    before = prices.current(model, key, on=since, known_on=base)
                    after = prices.current(model, key, on=until, known_on=max(until, base))
                    upcoming = [
                        row for row in rows if row.effective > until and base < row.known_from <= until
                    ]
                    changes.extend(_changes(prices.provider, before, after, upcoming))
        return changes

    def _all_lists(self, provider: str) -> Iterator[PriceList]:
        code = provider_code(provider)
        names = [entry["id"] for entry in provider_entries(date.max)]
        if (
            code
            and code not in names
            and not any(for_provider(prices, code).rows for prices in self._operator)
        ):
            raise NotFound(
                f"No prices are known for the provider {provider!r}.",
                hint=f"Known are {', '.join(sorted(names))}.",
            )
        for prices in self._operator:
            yield for_provider(prices, code)
        for name in [code] if code else dict.fromkeys(names):
            shipped = bundled(name)
            if shipped is not None:
                yield shipped

    def _lists(self, model: str, code: str, known_on: date) -> Iterator[PriceList]:
        """The lists to ask, in order: the operator's, the provider's own, those it falls back to."""
        for prices in self._operator:
            yield for_provider(prices, code)
        entries = {entry["id"]: entry for entry in provider_entries(known_on)}
        reference = model.lower()
        if code:
            names = [code, *entries.get(code, {}).get("fallback", ())]
        else:
            bare = short_name(reference)
            names = [
                name for name, entry in entries.items()
                if "match" in entry and (matches(entry["match"], reference) or matches(entry["match"], bare))
            ]  # fmt: skip
        for name in names:
            shipped = bundled(name)
            if shipped is not None:
                yield shipped

    def _found(self, model: str, terms: Terms) -> Found | None:
        on = terms["on"]
        day = on.date() if isinstance(on, datetime) else on
        known_on = terms.get("known_on") or date.max
        tier, routing = tier_word(terms.get("tier", STANDARD)), routing_word(terms.get("routing", ""))
        code = provider_code(terms.get("provider", ""))
        memory = (model, code, day, known_on, tier, routing)
        if memory not in self._memory:
            if len(self._memory) >= _REMEMBERED:
                self._memory.clear()
            candidates = (
                rows_for(prices, model, Key(tier, routing, ""), (day, known_on), code)
                for prices in self._lists(model, code, known_on)
            )
            self._memory[memory] = next((found for found in candidates if found is not None), None)
        return self._memory[memory]

    def _reason(self, model: str, terms: Terms) -> str:
        tier = tier_word(terms.get("tier", STANDARD))
        if tier != STANDARD and self._found(model, {**terms, "tier": STANDARD}) is not None:
            return f"tier:{tier}"
        return "model"


def _changes(
    provider: str, before: Row | None, after: Row | None, upcoming: Sequence[Row]
) -> Iterator[PriceChange]:
    pairs = [(before, after, after)]
    pairs.extend((after, None if row.ended else row, row) for row in upcoming)
    for old, new, stated in pairs:
        was, now = old.highest() if old is not None else {}, new.highest() if new is not None else {}
        if was == now:
            continue
        names = [name for name in buckets() if was.get(name) != now.get(name)]
        row = stated or old
        assert row is not None  # noqa: S101 - one side differs, so one side is there
        yield PriceChange(
            "new" if old is None else "ended" if new is None else "changed",
            provider or "operator",
            row.model,
            row.key.tier,
            row.effective,
            row.known_from,
            {name: was[name] for name in names if name in was},
            {name: now[name] for name in names if name in now},
            row.evidence,
            row.key.routing,
        )
