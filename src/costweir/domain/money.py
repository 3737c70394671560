"""Exact money. Amounts are `Decimal` in code and plain decimal strings on the wire; a float is refused (law L10)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

#: Digits after the point that every money column of every engine keeps.
MONEY_SCALE = 18
#: Digits after the point that every quantity column keeps (tokens, hours, images).
QUANTITY_SCALE = 12

EXACT = Context(prec=76, rounding=ROUND_HALF_EVEN)
_STEP = Decimal(1).scaleb(-MONEY_SCALE)


def exact(value: Decimal | int | str) -> Decimal:
    """`value` as a Decimal on the money grid (18 places, half-even). Raises ValueError for text that is no number."""
    if isinstance(value, float):
        raise TypeError("money is never a float")
    try:
        return Decimal(value).quantize(_STEP, context=EXACT)
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is not an amount") from error


def decimal_text(value: Decimal | int) -> str:
    """Plain notation without exponent or trailing zeros, at least two places: `3842.17`, `0.00`, `0.0000021`."""
    text = format(Decimal(value), "f")
    if "." in text:
        text = text.rstrip("0")
        whole, _, places = text.partition(".")
        text = f"{whole}.{places:0<2}"
    else:
        text += ".00"
    return "0.00" if text in ("-0.00", "0.00") else text


def quantity_text(value: Decimal | int) -> str:
    """Plain notation for a count of something: `1500`, `0.25`. Never an exponent."""
    text = format(Decimal(value), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency. Adding two currencies is an error, not a guess."""

    amount: Decimal
    currency: str = "USD"

    def __post_init__(self) -> None:
        if isinstance(self.amount, float):
            raise TypeError("money is never a float")

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)

    def to_json(self) -> dict[str, str]:
        """`{"amount": "1.20", "currency": "USD"}`."""
        return {"amount": decimal_text(self.amount), "currency": self.currency}
