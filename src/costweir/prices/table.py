"""One price list in memory: rows that are only ever appended, and the aliases that lead to them (law L6).

A row has the day it took effect and the day we learned it. For a day and a state of knowledge the row with
the latest effective day counts, and among those the one that was learned last.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from costweir.prices.match import Rule, matches
from costweir.prices.rate import ALWAYS

_ROUTING = re.compile(r"^(?:global|regional)\.")
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
STANDARD = "standard"


class Key(NamedTuple):
    """The conditions that one series of rows is for. `hours` is a UTC window such as `00:30-16:30`, or
    empty.
    """

    tier: str
    routing: str
    hours: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a price list. `bands` are (threshold, rates) in rising order; rates are decimal strings."""

    model: str
    key: Key
    effective: date
    known_from: date
    rates: Mapping[str, str]
    bands: tuple[tuple[int, Mapping[str, str]], ...]
    ended: bool
    source: str
    evidence: str
    version: str

    def at(self, context_tokens: int) -> tuple[int, dict[str, Decimal]]:
        """The threshold passed (0 when none) and the rates that hold for a context of that many tokens."""
        resolved, above = dict(self.rates), 0
        for threshold, rates in self.bands:
            if context_tokens > threshold:
                resolved.update(rates)
                above = threshold
        return above, {bucket: Decimal(text) for bucket, text in resolved.items()}

    def highest(self, context_tokens: int | None = None) -> dict[str, Decimal]:
        """The highest rate per bucket over all context bands, or over those that a context of at most that many
        tokens may fall into."""
        worst = {bucket: Decimal(text) for bucket, text in self.rates.items()}
        for threshold, rates in self.bands:
            if context_tokens is not None and context_tokens <= threshold:
                continue
            for bucket, text in rates.items():
                worst[bucket] = max(Decimal(text), worst.get(bucket, Decimal(0)))
        return worst


@dataclass(frozen=True, slots=True)
class Alias:
    """The rule that leads to a model, as known from a day on."""

    model: str
    rule: Rule
    known_from: date
    context: int = 0


def _day(text: object) -> date:
    return date.fromisoformat(str(text)) if text else ALWAYS


def read_row(raw: Mapping[str, Any], provider: str, sources: Mapping[str, Mapping[str, str]]) -> Row:
    """A row from its JSON form. The version is a digest of everything the row says, so it survives
    reordering.
    """
    key = Key(raw.get("tier", STANDARD), raw.get("routing", ""), raw.get("hours", ""))
    source = sources.get(raw.get("source", ""), {})
    text = json.dumps({"provider": provider, **raw}, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return Row(
        model=raw["model"],
        key=key,
        effective=_day(raw.get("effective")),
        known_from=_day(raw.get("known_from")),
        rates=raw.get("rates", {}),
        bands=tuple((band["above"], band["rates"]) for band in raw.get("bands", ())),
        ended=raw.get("ended", False),
        source=source.get("name", raw.get("source", "")),
        evidence=raw.get("evidence") or source.get("evidence", ""),
        version=f"{provider}:{raw['model']}:{digest}",
    )


@cache
def naming() -> dict[str, Any]:
    """The naming rules: provider codes, tier and routing words, prefixes and suffixes, uplifts, curated
    aliases.
    """
    return json.loads((files("costweir.prices") / "rules" / "providers.json").read_text("utf-8"))


@cache
def _affixes() -> tuple[re.Pattern[str], re.Pattern[str]]:
    return re.compile(naming()["vendor_prefix"]), re.compile(naming()["date_suffix"])


def short_name(model: str) -> str:
    """A model id in lower case without routing, vendor prefix, date and version suffix:
    `claude-sonnet-4-6`.
    """
    prefix, suffix = _affixes()
    return suffix.sub("", prefix.sub("", model.lower(), count=1), count=1)


def vendor_free(model: str) -> str:
    """A model id in lower case without routing and vendor prefix; dates stay."""
    return _affixes()[0].sub("", model.lower(), count=1)


def routing_of(model: str) -> str:
    """`global` or `regional` when the price list keeps two entries for one model, else empty."""
    head = model.partition(".")[0]
    return head if head in ("global", "regional") else ""


@dataclass(slots=True)
class PriceList:
    """The rows and aliases of one provider, or of the operator (`provider` is then what the rows say, or
    empty).
    """

    provider: str
    rows: Sequence[Row]
    aliases: Sequence[Alias] = ()
    orders: Sequence[tuple[date, Sequence[str]]] = ()
    _series: dict[str, dict[Key, list[Row]]] = field(default_factory=dict[str, dict[Key, list[Row]]])
    _ids: dict[str, str] = field(default_factory=dict[str, str])
    _short: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _since: dict[str, date] = field(default_factory=dict[str, date])
    _ranked: dict[date, list[tuple[str, Rule]]] = field(default_factory=dict[date, list[tuple[str, Rule]]])

    def __post_init__(self) -> None:
        for row in self.rows:
            self._series.setdefault(row.model, {}).setdefault(row.key, []).append(row)
        for item in (*self.aliases, *self.rows):
            if item.model not in self._since:
                self._ids[item.model.lower()] = item.model
                self._short.setdefault(short_name(item.model), []).append(item.model)
            self._since[item.model] = min(item.known_from, self._since.get(item.model, item.known_from))

    @property
    def models(self) -> list[str]:
        """Every model of the list, in the list's order."""
        return list(self._since)

    def series(self, model: str) -> Mapping[Key, Sequence[Row]]:
        """The rows of one exact model id, by condition."""
        return self._series.get(model, {})

    def current(self, model: str, key: Key, *, on: date, known_on: date) -> Row | None:
        """The row that holds on a day in a state of knowledge; None when there is none or the price has
        ended.
        """
        best: Row | None = None
        for row in self._series.get(model, {}).get(key, ()):
            if row.effective > on or row.known_from > known_on:
                continue
            if best is None or (row.effective, row.known_from) >= (best.effective, best.known_from):
                best = row
        return None if best is None or best.ended else best

    def resolve(self, reference: str, *, routing: str, known_on: date) -> str | None:
        """The model id that a reference means: exact id, then alias rule, then the name without vendor and
        date.
        """
        reference = reference.strip().lower()
        found = self._by_rule(reference, known_on) or self._by_short_name(reference, routing, known_on)
        if found is None or not routing or routing_of(found) in ("", routing):
            return found
        return next((twin for twin in self.siblings(found) if routing_of(twin) == routing), None)

    def siblings(self, model: str) -> Sequence[str]:
        """The ids that differ from `model` in routing only, itself included."""
        bare = _ROUTING.sub("", model)
        return [twin for twin in self._short.get(short_name(model), ()) if _ROUTING.sub("", twin) == bare]

    def _by_rule(self, reference: str, known_on: date) -> str | None:
        exact = self._ids.get(reference)
        if exact is not None and self._since[exact] <= known_on:
            return exact
        rules = self._rules(known_on)
        for text in dict.fromkeys((reference, _COMPACT_DATE.sub(r"-\1-\2-\3", reference))):
            for model, rule in rules:
                if matches(rule, text):
                    return model
        return None

    def _by_short_name(self, reference: str, routing: str, known_on: date) -> str | None:
        bare = vendor_free(reference)
        named = [*self._curated(bare, known_on)]
        if not named and bare == short_name(reference):
            # a dated version that the list does not name may cost something else, so only undated
            # names get here
            named = self._short.get(bare, [])
        known = [model for model in named if self._since.get(model, date.max) <= known_on]
        wanted = routing or "regional"
        return max(
            known, key=lambda model: (routing_of(model) == wanted, model.lower() == bare, model), default=None
        )

    def _curated(self, name: str, known_on: date) -> Iterator[str]:
        for entry in naming()["aliases"]:
            known = _day(entry.get("known_from")) <= known_on
            if known and (entry["provider"], entry["alias"]) == (self.provider, name):
                yield entry["model"]

    def _rules(self, known_on: date) -> list[tuple[str, Rule]]:
        if known_on not in self._ranked:
            latest = {alias.model: alias.rule for alias in self.aliases if alias.known_from <= known_on}
            order = next((ids for day, ids in reversed(self.orders) if day <= known_on), ())
            rank = {model: position for position, model in enumerate(order)}
            self._ranked[known_on] = sorted(latest.items(), key=lambda item: rank.get(item[0], len(rank)))
        return self._ranked[known_on]


def parse_list(raw: Mapping[str, Any]) -> PriceList:
    """A price list from its JSON form (`provider, sources, models, order, rates`)."""
    provider, sources = raw["provider"], raw.get("sources", {})
    return PriceList(
        provider,
        [read_row(row, provider, sources) for row in raw["rates"]],
        [
            Alias(entry["id"], entry["match"], _day(entry.get("known_from")), entry.get("context", 0))
            for entry in raw["models"]
        ],
        [(_day(entry.get("known_from")), entry["ids"]) for entry in raw.get("order", ())],
    )


@cache
def bundled(provider: str) -> PriceList | None:
    """The price list that is shipped for a provider, read on first use; None when there is none."""
    if not re.fullmatch(r"[a-z0-9_.-]+", provider):
        return None
    path = files("costweir.prices") / "data" / f"{provider}.json"
    return parse_list(json.loads(path.read_text("utf-8"))) if path.is_file() else None


@cache
def index() -> tuple[Mapping[str, Any], ...]:
    """The providers of the shipped book: `id, name, known_from, fallback, match`, in order of preference."""
    raw = json.loads((files("costweir.prices") / "data" / "index.json").read_text("utf-8"))
    return tuple(raw["providers"])


def provider_entries(known_on: date) -> Iterable[Mapping[str, Any]]:
    """The latest known entry of every provider."""
    latest: dict[str, Mapping[str, Any]] = {}
    for entry in index():
        if _day(entry.get("known_from")) <= known_on:
            latest[entry["id"]] = entry
    return latest.values()
