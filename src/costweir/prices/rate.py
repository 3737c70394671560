"""The values of the price book: a rate, a priced usage and a price change. Amounts are exact Decimals in
USD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal, Required, TypedDict

#: `effective` of a row whose first day no source states: it holds for every earlier day.
ALWAYS = date.min


class Terms(TypedDict, total=False):
    """What decides which rate applies, beside the model.

    `on` is the UTC day of the call; a datetime picks the hour of time-of-day prices, a date their maximum.
    `known_on` is the day whose knowledge is used, the present knowledge when absent. `tier` is standard,
    batch, flex, priority, fast ...; `routing` is "", global, regional, datazone; `context_tokens` are all
    input-side tokens.
    """

    provider: str
    on: Required[date]
    known_on: date | None
    tier: str
    routing: str
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Rate:
    """The rates of one model under given conditions, resolved from one or more rows of the book.

    `rates` are USD per unit of the bucket: per 1,000,000 tokens or characters, per request, image, page or
    search, and per hour for seconds. `above` is the context threshold whose band applies (0 = base).
    `version` names the rows.
    """

    provider: str
    model: str
    effective: date
    known_from: date
    tier: str
    routing: str
    above: int
    rates: Mapping[str, Decimal]
    version: str
    source: str
    evidence: str


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One bucket of a priced usage: `amount = quantity x rate / per`. `priced_as` is the bucket whose rate
    was used.
    """

    bucket: str
    quantity: int
    rate: Decimal
    amount: Decimal
    priced_as: str


@dataclass(frozen=True, slots=True)
class Priced:
    """The price of a usage in USD. `amount` is None when `status` is unpriced; then `missing` says why (law
    L5): `model`, `tier:batch`, or the buckets without a rate. `lines` hold what could be priced.
    """

    status: Literal["priced", "unpriced"]
    amount: Decimal | None
    lines: tuple[PriceLine, ...] = ()
    price_version: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceChange:
    """What the book learned about one model, tier and routing. `before` and `after` hold the changed buckets only."""

    change: Literal["new", "changed", "ended"]
    provider: str
    model: str
    tier: str
    effective: date
    known_from: date
    before: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    after: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    evidence: str = ""
    routing: str = ""
