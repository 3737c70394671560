"""Cells for the kinds of values that answers have: money, counts, prices, shares, days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from costweir.domain.answer import Cell as Value
from costweir.domain.money import decimal_text
from costweir.web import format as fmt
from costweir.web.pages.table import Cell


def money(value: Value, currency: str, *, places: int | None = 2, tone: str = "") -> Cell:
    """An amount; an en dash where the answer has none."""
    if value is None:
        return Cell(fmt.NOTHING)
    amount = Decimal(str(value))
    return Cell(fmt.money(amount, currency, places=places), decimal_text(amount), tone=tone)


def matrix(value: Value, currency: str) -> Cell:
    """An amount inside a matrix, where zero is a muted `0`."""
    found = money(value, currency)
    return Cell("0", "0.00", tone="muted") if found.raw == "0.00" else found


def signed(value: Decimal, currency: str) -> Cell:
    """A change."""
    return Cell(fmt.signed(value, currency, places=2), decimal_text(value))


def count(value: Value) -> Cell:
    """A count; an en dash for zero tokens, where nothing is billed in tokens."""
    number = Decimal(str(value or 0))
    return Cell(fmt.count(number), str(value)) if number else Cell(fmt.NOTHING, "", tone="muted")


def per_thousand(value: Value, currency: str) -> Cell:
    """A price per 1,000 tokens."""
    if value is None:
        return Cell(fmt.NOTHING, title="Under 1,000 tokens")
    return Cell(fmt.per_thousand(Decimal(str(value)), currency), str(value))


def share(value: Value, *, tone: str = "muted") -> Cell:
    """A ratio of the answer as percent."""
    return Cell(fmt.NOTHING) if value is None else Cell(fmt.ratio(Decimal(str(value))), str(value), tone=tone)


def percent(part: Value, whole: Value) -> str:
    """A share of two amounts in words; nothing without a whole."""
    total = Decimal(str(whole or 0))
    return fmt.percent(Decimal(str(part or 0)), total) if total else ""


def when(value: Value, today: date) -> Cell:
    """A day."""
    if not value:
        return Cell(fmt.NOTHING)
    return Cell(fmt.day(date.fromisoformat(str(value)[:10]), today=today), str(value)[:10])


def number(row: Mapping[str, Value], name: str) -> Decimal:
    """An exact number of a row; zero where there is none."""
    return Decimal(str(row.get(name) or 0))
