"""Who appears in the sample world, read from `cast.yaml`: customers, plans, budgets and hand-picked roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from costweir.demo.catalogue import read_data
from costweir.domain.period import Month


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of the sample firm; `budget_usd` is what a customer may cost in a month."""

    id: str
    name: str
    price_usd: str
    budget_usd: str
    session_usd: str
    session_calls: int
    tokens_per_minute: int


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer of the sample firm, since its first day. The firm itself has no plan."""

    id: str
    name: str
    plan: str
    since: date


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget in the words of the configuration file; an empty scope is the whole firm."""

    id: str
    scope: Mapping[str, str]
    limit_usd: str
    window: str
    mode: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody whose usage is played: `spend` in US dollars a month, `joined` in months before now."""

    id: str
    spend: Decimal
    joined: int
    ramp: int
    uses: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Runaway:
    """The customer that runs away: so many times its usual day, for so many days in a row."""

    customer: str
    times: int
    days: int


def _cast() -> Any:
    return read_data("cast.yaml")


def plans() -> tuple[Plan, ...]:
    """The plans, cheapest first."""
    return tuple(Plan(**entry) for entry in _cast()["plans"])


def budgets() -> tuple[Budget, ...]:
    """The budgets of the firm and of a few customers."""
    return tuple(Budget(**entry) for entry in _cast()["budgets"])


def customers(today: date) -> tuple[Customer, ...]:
    """The customers, then the firm itself; `since` is counted back from the month of `today`."""
    entries = [*_cast()["customers"], _cast()["internal"]]
    return tuple(
        Customer(entry["id"], entry["name"], entry.get("plan", ""), _months_before(today, entry["joined"]))
        for entry in entries
    )


@cache
def actors() -> tuple[Actor, ...]:
    """Everybody whose usage appears on a bill, the untagged calls included."""
    cast = _cast()
    entries = [*cast["customers"], cast["internal"], cast["capacity_trial"], cast["unlabelled"]]
    return tuple(
        Actor(
            id=entry["id"],
            spend=Decimal(str(entry["spend"])),
            joined=entry["joined"],
            ramp=entry.get("ramp", 0),
            uses=tuple(entry["uses"].items()),
        )
        for entry in entries
    )


def runaway() -> Runaway:
    """The story's runaway customer."""
    return Runaway(**_cast()["runaway"])


def _months_before(today: date, months: int) -> date:
    month = Month.of(today)
    for _ in range(months):
        month = month.previous
    return month.first
