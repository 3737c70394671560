"""From a model and its terms to the rows that hold, and from those rows to one rate.

The conditions are data: a tier or routing row states what differs from the standard row, hours are
alternatives by time of day, and an uplift multiplies token rates.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from costweir.domain.money import EXACT, exact
from costweir.domain.usage import INPUT_BUCKETS, OUTPUT_BUCKETS
from costweir.prices.rate import Rate, Terms
from costweir.prices.table import STANDARD, Key, PriceList, Row, naming, routing_of, short_name

#: Uplifts multiply these; a price per request, image or search stays.
TOKEN_BUCKETS = frozenset(INPUT_BUCKETS + OUTPUT_BUCKETS)
_ONE = Decimal(1)


class Bucket(NamedTuple):
    """How one bucket is billed: `per` units a rate, whose rate stands in, and whether no rate means no
    charge.
    """

    per: int
    falls_to: tuple[str, ...]
    free_if_absent: bool


@cache
def buckets() -> Mapping[str, Bucket]:
    """The billing rule of every usage bucket, from `rules/buckets.json`."""
    raw = json.loads((files("costweir.prices") / "rules" / "buckets.json").read_text("utf-8"))["buckets"]
    return {
        name: Bucket(rule["per"], tuple(rule["falls_to"]), rule.get("absent") == "free")
        for name, rule in raw.items()
    }


@dataclass(frozen=True, slots=True)
class Found:
    """The rows that together make a rate: the later ones override. `hours` are alternatives by time of
    day.
    """

    model: str
    provider: str
    rows: tuple[Row, ...]
    hours: tuple[Row, ...]
    factor: Decimal
    uplift: str


def provider_code(provider: str) -> str:
    """Our code of a provider: `gcp` and `vertex` are google, `bedrock` is aws."""
    lowered = provider.strip().lower()
    return naming()["codes"].get(lowered, lowered)


def tier_word(tier: str) -> str:
    """Our word for a service tier: empty, default and on_demand are standard."""
    return naming()["tiers"].get(tier.lower(), tier.lower())


def routing_word(routing: str) -> str:
    """Our word for a routing: geo is regional."""
    return naming()["routings"].get(routing.lower(), routing.lower())


@lru_cache(maxsize=4096)
def _uplift(provider: str, routing: str, model: str, on: date, known_on: date) -> tuple[Decimal, str]:
    """The factor that routing puts on token rates and its version; 1 when none is known."""
    best: Mapping[str, Any] | None = None
    for entry in naming()["uplifts"]:
        if entry["provider"] != provider or entry["routing"] != routing:
            continue
        if entry["known_from"] > known_on.isoformat() or entry.get("effective", "") > on.isoformat():
            continue
        if "models" not in entry or re.search(entry["models"], short_name(model)):
            best = entry if best is None or "models" in entry or "models" not in best else best
    if best is None:
        return _ONE, ""
    digest = hashlib.sha256(repr(sorted(best.items())).encode()).hexdigest()[:10]
    return Decimal(best["factor"]), f"uplift:{digest}"


def _in_hours(window: str, moment: datetime) -> bool:
    start, _, end = window.partition("-")
    now = (moment.astimezone(UTC) if moment.tzinfo else moment).strftime("%H:%M")
    return start <= now < end if start <= end else now >= start or now < end


def rate_for(bucket: str, rates: Mapping[str, Decimal]) -> tuple[str, Decimal] | None:
    """The rate of a bucket and the bucket it was taken from: its own, else the first that stands in for
    it.
    """
    for name in (bucket, *buckets()[bucket].falls_to):
        if name in rates:
            return name, rates[name]
    return None


def rows_for(prices: PriceList, model: str, key: Key, days: tuple[date, date], code: str) -> Found | None:
    """The rows of one list that hold for a model under a tier and routing; `days` are the day and the day of
    knowledge, `code` the provider that bills. None when the list does not know the model or the tier."""
    on, known_on = days
    resolved = prices.resolve(model, routing=key.routing, known_on=known_on)
    if resolved is None:
        return None

    def current(tier: str, routing: str, hours: str = "") -> Row | None:
        return prices.current(resolved, Key(tier, routing, hours), on=on, known_on=known_on)

    rows = [current(STANDARD, ""), current(STANDARD, key.routing) if key.routing else None]
    if key.tier != STANDARD:
        tiered = [current(key.tier, ""), current(key.tier, key.routing) if key.routing else None]
        if not any(tiered):
            return None
        rows += tiered
    kept = tuple(row for row in rows if row is not None)
    if not kept:
        return None
    hours = [current(STANDARD, "", other.hours) for other in prices.series(resolved) if other.hours]
    routed = routing_of(resolved) == key.routing or any(row.key.routing for row in kept)
    factor, uplift = (_ONE, "") if routed else _uplift(code, key.routing, resolved, on, known_on)
    timed = tuple(row for row in hours if row is not None) if key.tier == STANDARD else ()
    return Found(resolved, prices.provider, kept, timed, factor, uplift)


def rate_of(found: Found, terms: Terms) -> Rate:
    """The rate that rows add up to for a context and an hour; without an hour the highest of the day's."""
    on, context = terms["on"], terms.get("context_tokens", 0)
    rates: dict[str, Decimal] = {}
    above = 0
    for row in found.rows:
        threshold, own = row.at(context)
        rates.update(own)
        above = max(above, threshold)
    used = list(found.rows)
    for row in found.hours:
        if isinstance(on, datetime) and not _in_hours(row.key.hours, on):
            continue
        _, own = row.at(context)
        if not isinstance(on, datetime):
            own = {name: max(rate, rates.get(name, rate)) for name, rate in own.items()}
        rates.update(own)
        used.append(row)
    if found.factor != _ONE:
        rates = {name: rate * found.factor if name in TOKEN_BUCKETS else rate for name, rate in rates.items()}
    last = max(used, key=lambda row: row.effective)
    return Rate(
        provider=found.provider or last.version.partition(":")[0] or "operator",
        model=found.model,
        effective=last.effective,
        known_from=max(row.known_from for row in used),
        tier=tier_word(terms.get("tier", STANDARD)),
        routing=routing_word(terms.get("routing", "")) or routing_of(found.model),
        above=above,
        rates=rates,
        version="+".join([*(row.version for row in used), *([found.uplift] if found.uplift else [])]),
        source=used[-1].source,
        evidence=used[-1].evidence,
    )


def rate_of_row(row: Row, prices: PriceList, on: date) -> Rate:
    """The rate of one row at the base band, what it leaves out taken from the standard row."""
    tiered = row.key != Key(STANDARD, "", "")
    base = prices.current(row.model, Key(STANDARD, "", ""), on=on, known_on=date.max) if tiered else None
    rows = (base, row) if base is not None else (row,)
    found = Found(row.model, prices.provider, rows, (), _ONE, "")
    return rate_of(found, {"on": on, "tier": row.key.tier, "routing": row.key.routing})


def highest_rates(
    prices: PriceList,
    model: str,
    day: date,
    *,
    tiers: frozenset[str] | None = None,
    context_tokens: int | None = None,
) -> dict[str, Decimal]:
    """The highest rate per bucket over all conditions of one model on one day, stand-ins filled in.

    `tiers` leaves out the rows of every other tier but the standard one, `context_tokens` the bands above it.
    Stand-ins are filled per list and day, because that is how a price is resolved: the highest rate of a
    bucket that one list leaves out may be that of its stand-in there.
    """
    highest: dict[str, Decimal] = {}
    for key in prices.series(model):
        if tiers is not None and key.tier != STANDARD and key.tier not in tiers:
            continue
        row = prices.current(model, key, on=day, known_on=date.max)
        for bucket, rate in row.highest(context_tokens).items() if row is not None else ():
            highest[bucket] = max(rate, highest.get(bucket, rate))
    taken = {bucket: rate_for(bucket, highest) for bucket in buckets()}
    return {bucket: found[1] for bucket, found in taken.items() if found is not None}


def highest_uplift(code: str, model: str, day: date, *, routings: frozenset[str] | None = None) -> Decimal:
    """The highest factor that any routing of a provider puts on a model on a day, or any of `routings`."""
    if routings is None:
        routings = frozenset(entry["routing"] for entry in naming()["uplifts"] if entry["provider"] == code)
    return max((_uplift(code, routing, model, day, date.max)[0] for routing in routings), default=_ONE)


def per_unit(amount: Decimal, per: int) -> Decimal:
    """`amount` by `per`; exact for powers of ten, on the money grid for hours."""
    if per == 3600:
        return exact(EXACT.divide(amount, Decimal(per)))
    return EXACT.divide(amount, Decimal(per))
