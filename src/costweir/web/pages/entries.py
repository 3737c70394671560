"""Customers and plans as people fill them in: the fields of the form are the columns of the file to import, and both
are read by the same rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from costweir.config.fields import AMOUNT_PATTERN
from costweir.control import Customer, Plan
from costweir.web.api.bodies import IDENTIFIER_PATTERN, LARGEST

Entry = Customer | Plan
Shape = Literal["id", "text", "plan", "day", "usd", "count"]
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `name` is also the column of a file; `shape` says what it takes."""

    name: str
    label: str
    shape: Shape
    note: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """Customers, or plans: their words, the address of their list, and their fields."""

    noun: str
    held: type[Customer] | type[Plan]
    path: str
    fields: tuple[Field, ...]

    @property
    def many(self) -> str:
        """More than one."""
        return f"{self.noun}s"


CUSTOMERS = Kind(
    "customer", Customer, "/settings/customers",
    (
        Field("id", "Id", "id", "As tags and request headers carry it. It cannot be changed later.", required=True),
        Field("name", "Name", "text", "How the pages call it; empty means the id."),
        Field("plan", "Plan", "plan", "Its price is the revenue, its budget the limit of a month."),
        Field("since", "Customer since", "day", "Revenue counts from this day; empty means from always."),
    ),
)  # fmt: skip
PLANS = Kind(
    "plan", Plan, "/settings/plans",
    (
        Field("id", "Id", "id", "Customers refer to it. It cannot be changed later.", required=True),
        Field("name", "Name", "text", "How the pages call it; empty means the id."),
        Field("price_usd", "Price a month, USD", "usd", "What a customer on it pays.", required=True),
        Field("budget_usd", "Budget a month, USD", "usd", "What one customer may cost; empty means no limit."),
        Field("session_usd", "Budget of a session, USD", "usd", "Empty means no limit."),
        Field("session_calls", "Calls in a session", "count", "Empty means no limit."),
        Field("tokens_per_minute", "Tokens a minute", "count", "Empty means no limit."),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filled:
    """What was filled in: the entry, or a sentence for each field that cannot be taken."""

    entry: Entry | None
    faults: Mapping[str, str] = field(default_factory=dict[str, str])


def values_of(kind: Kind, entry: Entry | None) -> dict[str, str]:
    """The texts of the fields; all empty without an entry."""
    held = {} if entry is None else {item.name: getattr(entry, item.name) for item in kind.fields}
    return {item.name: "" if held.get(item.name) is None else str(held[item.name]) for item in kind.fields}


def fill(kind: Kind, values: Mapping[str, str], *, before: Entry | None, plans: Collection[str]) -> Filled:
    """Reads the texts of every field. An amount that is the same number as `before` keeps how it was written."""
    given = {item.name: values.get(item.name, "").strip() for item in kind.fields}
    faults: dict[str, str] = {}
    for item in kind.fields:
        text = given[item.name]
        fault = _fault(item, text, plans) if text else f"{item.label} is needed." if item.required else ""
        if fault:
            faults[item.name] = fault
    if faults:
        return Filled(None, faults)
    held = values_of(kind, before)
    for item in kind.fields:
        old, new = held[item.name], given[item.name]
        if item.shape == "usd" and old and new and Decimal(old) == Decimal(new):
            given[item.name] = old
    return Filled(_plan(given) if kind is PLANS else _customer(given))


def _customer(given: Mapping[str, str]) -> Customer:
    return Customer(given["id"], given["name"], given["plan"], given["since"])


def _plan(given: Mapping[str, str]) -> Plan:
    return Plan(
        given["id"], given["name"], given["price_usd"], given["budget_usd"], given["session_usd"],
        _count(given["session_calls"]), _count(given["tokens_per_minute"]),
    )  # fmt: skip


def _count(text: str) -> int | None:
    return int(text) if text else None


def _fault(item: Field, text: str, plans: Collection[str]) -> str:
    if item.shape == "plan":
        return "" if text in plans else f"There is no plan {text!r}; add the plan first."
    return fault_of(item.shape, text)


def fault_of(shape: Shape, text: str) -> str:
    """Why the text cannot be taken for a field of this shape (any but a plan), or nothing."""
    right, sentence = _RULES[shape]
    return "" if right(text) else sentence


def _is_id(text: str) -> bool:
    return re.search(IDENTIFIER_PATTERN, text) is not None and text.isprintable()


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and text.isprintable()


def _is_day(text: str) -> bool:
    try:
        # fromisoformat also takes 20261101 and 2026-W44-1.
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_amount(text: str) -> bool:
    return text.isascii() and re.search(AMOUNT_PATTERN, text) is not None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 16 and 1 <= int(text) <= LARGEST


_RULES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "id": (_is_id, "An id has 1 to 200 characters on one line."),
    "text": (_is_name, f"A name has at most {LONGEST_NAME} characters on one line."),
    "day": (_is_day, "Write the day as 2026-01-31."),
    "usd": (_is_amount, "Write the amount as 1234.50, without a currency sign or commas."),
    "count": (_is_count, "Write a whole number above zero, without commas."),
}
