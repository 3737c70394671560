"""What the sample firm buys, read from `catalogue.yaml`: SKUs in the strings of real bills, and prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import yaml

#: Full months before the current one. Months are counted from 0, the oldest; CURRENT is the open month.
FULL_MONTHS = 12
CURRENT = 12


@dataclass(frozen=True, slots=True, eq=False)
class Sku:
    """One line of a stream: a thing with a unit and a price.

    `text` and `unit` stand in the bill verbatim; one pricing unit is `block` tokens (or images, hours ...).
    `prices` are US dollars a pricing unit for each of the 13 months. `amount` is what one request uses.
    """

    sku_id: str
    token_class: str
    text: str
    unit: str
    block: int
    prices: tuple[Decimal, ...]
    amount: int
    counts_tokens: bool


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One model as one provider sells it. `form` tells AWS marketplace lines from AWS's own."""

    id: str
    provider: str
    model: str
    form: str
    service: str
    region: str
    skus: tuple[Sku, ...]

    def request_cost(self, month: int) -> Decimal:
        """US dollars that one request costs in a month of the world."""
        return sum((sku.prices[month] * sku.amount / sku.block for sku in self.skus), Decimal(0))


@dataclass(frozen=True, slots=True)
class Workload:
    """One feature on one provider: which streams serve it, with their share in per cent for each month."""

    id: str
    provider: str
    feature: str
    project: str
    shares: tuple[tuple[Stream, tuple[int, ...]], ...]

    def request_cost(self) -> Decimal:
        """US dollars of one request in the last full month in which the workload is used at all."""
        for month in range(CURRENT - 1, -1, -1):
            cost = sum(
                (stream.request_cost(month) * share[month] / 100 for stream, share in self.shares), Decimal(0)
            )
            if cost:
                return cost
        raise ValueError(f"the workload {self.id} is never used")


@cache
def read_data(name: str) -> Any:
    """One YAML file of this room, parsed."""
    return yaml.safe_load(resources.files("costweir.demo").joinpath(name).read_text(encoding="utf-8"))


def _prices(spec: str | Mapping[int, str]) -> tuple[Decimal, ...]:
    steps = {0: spec} if isinstance(spec, str) else dict(spec)
    current = Decimal(0)
    prices: list[Decimal] = []
    for month in range(FULL_MONTHS + 1):
        current = Decimal(steps[month]) if month in steps else current
        prices.append(current)
    return tuple(prices)


def _sku(stream: str, entry: Mapping[str, Any]) -> Sku:
    return Sku(
        sku_id=str(entry.get("sku", "")) or f"{stream}-{entry['class']}",
        token_class=str(entry["class"]),
        text=str(entry["text"]),
        unit=str(entry["unit"]),
        block=int(entry["block"]),
        prices=_prices(entry["price"]),
        amount=int(entry["amount"]),
        counts_tokens=bool(entry.get("tokens", True)) and entry["unit"] != "Pulses",
    )


@cache
def streams() -> Mapping[str, Stream]:
    """Every stream by id."""
    return {
        entry["id"]: Stream(
            id=entry["id"],
            provider=entry["provider"],
            model=entry["model"],
            form=entry.get("form", ""),
            service=entry["service"],
            region=entry["region"],
            skus=tuple(_sku(entry["id"], line) for line in entry["lines"]),
        )
        for entry in read_data("catalogue.yaml")["streams"]
    }


@cache
def workloads() -> Mapping[str, Workload]:
    """Every workload by id."""
    known = streams()
    return {
        name: Workload(
            id=name,
            provider=name.partition(".")[0],
            feature=entry["feature"],
            project=entry["project"],
            shares=tuple((known[stream], tuple(share)) for stream, share in entry["streams"].items()),
        )
        for name, entry in read_data("catalogue.yaml")["workloads"].items()
    }
