"""Fills the texts and links of rules with the fields of a row, as people read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from urllib.parse import quote

from costweir.domain.answer import Cell

Row = Mapping[str, Cell]

#: `{field}`, or `{field:usd}`, `{field:percent}` and `{field:tenth}`.
_FIELD = re.compile(r"\{(\w+)(?::(\w+))?\}")
_CENT = Decimal("0.01")
_TENTH = Decimal("0.1")
_SMALL = Decimal("0.0001")


def names_in(template: str) -> list[str]:
    """The fields that a template names."""
    return [match[1] for match in _FIELD.finditer(template)]


def fill(template: str, row: Row) -> str:
    """The text, with `?` for what the row does not know."""
    return _FIELD.sub(lambda match: shown(row.get(match[1]), match[2] or ""), template)


def address(template: str, row: Row) -> str:
    """The link; what is filled in cannot leave its place."""
    return _FIELD.sub(lambda match: quote(_text(row.get(match[1])), safe=""), template)


def shown(value: Cell, form: str = "") -> str:
    """A value in words: `usd` as dollars, `percent` of a share, `tenth` with one digit, anything else as it is."""
    if value is None:
        return "?"
    amount = decimal(value)
    if form == "usd" and amount is not None:
        return f"{_dollars(amount)} USD"
    if form == "percent" and amount is not None:
        return f"{(amount * 100).quantize(_TENTH, ROUND_HALF_UP):f}".removesuffix(".0") + " %"
    if form == "tenth" and amount is not None:
        return f"{amount.quantize(_TENTH, ROUND_HALF_UP):f}".removesuffix(".0")
    return _text(value)


def _dollars(amount: Decimal) -> str:
    """Cents from a dollar on, and below it as many digits as tell it from zero."""
    if abs(amount) >= 1 or not amount:
        return f"{amount.quantize(_CENT, ROUND_HALF_UP):,f}"
    step = min(_SMALL, Decimal(1).scaleb(amount.adjusted() - 1))
    whole, _, part = f"{amount.quantize(step, ROUND_HALF_UP):f}".partition(".")
    return f"{whole}.{part.rstrip('0'):0<2}"


def decimal(value: Cell) -> Decimal | None:
    """A number, or None for what is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _text(value: Cell) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else " ".join(str(value).split())
