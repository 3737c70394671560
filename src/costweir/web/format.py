"""How numbers, money, dates and deltas look. A rounded amount never becomes nothing, and zero means zero
(law L5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

MINUS = "−"
DASH = "–"
#: Shown where a value is unknown or does not apply; the reason is given beside it or on hover.
NOTHING = DASH

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONG_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
_ONE = Decimal(1)


def _number(value: Decimal, places: int) -> str:
    return f"{abs(value).quantize(_ONE.scaleb(-places), rounding=ROUND_HALF_UP):,f}"


def sign_of(currency: str) -> str:
    """`$` for US dollars, otherwise the ISO code and a space."""
    return "$" if currency == "USD" else f"{currency} "


def money_places(amounts: Iterable[Decimal]) -> int:
    """One precision for a column: 2 places when any amount is 1 or more, else 4."""
    sizes = [abs(amount) for amount in amounts]
    return 2 if not sizes or max(sizes) >= 1 or max(sizes) == 0 else 4


def money(amount: Decimal, currency: str = "USD", *, places: int | None = None) -> str:
    """`$3,842.17`, `$0.4479`, `−$150.00`, `<$0.0001`, `$0.00`; `places` fixes the precision of a column or
    tile."""
    mark = sign_of(currency)
    if amount == 0:
        return f"{mark}0.00" if places != 0 else f"{mark}0"
    digits = places if places is not None else (2 if abs(amount) >= 1 else 4)
    minus = MINUS if amount < 0 else ""
    smallest = _ONE.scaleb(-digits)
    if abs(amount) < smallest:
        return f"{minus}<{mark}{smallest:f}"
    return f"{minus}{mark}{_number(amount, digits)}"


def money_round(amount: Decimal, currency: str = "USD") -> str:
    """A budget or another round figure: `$6,500`; cents only where there are any (`$6,500.50`)."""
    whole = amount == amount.to_integral_value()
    return money(amount, currency, places=0 if whole and amount != 0 else 2)


def money_range(low: Decimal, high: Decimal, currency: str = "USD") -> str:
    """`$6,450–6,990`: one sign and an en dash; under 100 with cents, because a rounded range would lie."""
    places = 0 if abs(high) >= 100 else 2
    minus = MINUS if low < 0 else ""
    return f"{minus}{sign_of(currency)}{_number(low, places)}{DASH}{_number(high, places)}"


def signed(amount: Decimal, currency: str = "USD", *, places: int | None = None) -> str:
    """A change: `+$412.06`, `−$3.26`, `$0.00`."""
    text = money(amount, currency, places=places)
    return f"+{text}" if amount > 0 else text


def percent(part: Decimal, whole: Decimal, *, places: int = 1) -> str:
    """`12.0%` of a whole; an en dash when there is no whole, `<0.1%` for what would round to nothing."""
    return NOTHING if whole == 0 else ratio(part / whole, places=places)


def ratio(value: Decimal, *, places: int = 1) -> str:
    """A ratio as percent: 0.12 is `12.0%`."""
    scaled = value * 100
    smallest = _ONE.scaleb(-places)
    minus = MINUS if scaled < 0 else ""
    if scaled != 0 and abs(scaled) < smallest / 2:
        return f"{minus}<{smallest:f}%"
    return f"{minus}{_number(scaled, places)}%"


def change_percent(now: Decimal, before: Decimal) -> str:
    """`+12.0%`, `−1.7%`; empty when the base is under 1, where a percentage says nothing."""
    if abs(before) < 1:
        return ""
    change = (now - before) / abs(before)
    text = ratio(change)
    return f"+{text}" if change > 0 else text


def points(value: Decimal) -> str:
    """A difference of two shares: 0.011 is `+1.1 pt`."""
    scaled = value * 100
    mark = "+" if scaled > 0 else MINUS if scaled < 0 else ""
    return f"{mark}{_number(scaled, 1)} pt"


@dataclass(frozen=True, slots=True)
class Delta:
    """A change with its base: `amount` (`+$412.06`), `percent` (`+12.0%` or empty), `base` (`1–18 Oct`)."""

    amount: str
    percent: str
    base: str
    arrow: str

    @property
    def text(self) -> str:
        """`+$412.06 (+12.0%) vs 1–18 Oct`."""
        share = f" ({self.percent})" if self.percent else ""
        return f"{self.amount}{share} vs {self.base}"


def delta(now: Decimal, before: Decimal, *, base: str, currency: str = "USD") -> Delta:
    """The change from `before` to `now`, both in `currency`, against the base named in words."""
    change = now - before
    arrow = "▲" if change > 0 else "▼" if change < 0 else ""
    return Delta(signed(change, currency), change_percent(now, before), base, arrow)


def count(value: Decimal | int) -> str:
    """An exact count: `136,210`; parts of a whole keep two places."""
    number = Decimal(value)
    places = 0 if number == number.to_integral_value() else 2
    return f"{MINUS if number < 0 else ''}{_number(number, places)}"


def short_count(value: Decimal | int) -> str:
    """A count for a tile: `1.4 M`, `136 k`, `812`."""
    number = Decimal(value)
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if abs(number) >= size:
            scaled = number / size
            return f"{MINUS if number < 0 else ''}{_number(scaled, 0 if abs(scaled) >= 100 else 1)} {unit}"
    return count(number)


def per_million(price: Decimal, currency: str = "USD") -> str:
    """Unit price per 1,000,000 tokens: `$3.00`, with four places under 0.10."""
    return money(price, currency, places=4 if 0 < abs(price) < Decimal("0.1") else 2)


def per_thousand(price: Decimal, currency: str = "USD") -> str:
    """Unit price per 1,000 tokens with five places: `$0.00300`."""
    return money(price, currency, places=5)


def day(value: date, *, today: date) -> str:
    """`18 Nov`; with the year when it is not this year."""
    year = "" if value.year == today.year else f" {value.year}"
    return f"{value.day} {_MONTHS[value.month - 1]}{year}"


def days(first: date, last: date, *, today: date) -> str:
    """An inclusive range: `1–18 Nov`, `28 Oct–3 Nov`, `1 Dec 2025–3 Jan 2026`."""
    if first == last:
        return day(first, today=today)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}{DASH}{day(last, today=today)}"
    if first.year == last.year:
        return f"{first.day} {_MONTHS[first.month - 1]}{DASH}{day(last, today=today)}"
    ends = (f"{edge.day} {_MONTHS[edge.month - 1]} {edge.year}" for edge in (first, last))
    return DASH.join(ends)


def month(value: date) -> str:
    """`November 2026`."""
    return f"{_LONG_MONTHS[value.month - 1]} {value.year}"


def short_month(value: date) -> str:
    """`Nov 2026`."""
    return f"{_MONTHS[value.month - 1]} {value.year}"


def instant(text: str, *, today: date) -> str:
    """An RFC 3339 instant as `18 Nov, 09:52 UTC`; text that is no instant is returned as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{day(moment.date(), today=today)}, {moment:%H:%M} UTC"


def age(span: timedelta) -> str:
    """Two units at most: `6 min 39 s`, `2 h`, `12 d`."""
    seconds = max(int(span.total_seconds()), 0)
    minutes = seconds // 60
    units = (("d", seconds // 86400), ("h", minutes // 60 % 24), ("min", minutes % 60), ("s", seconds % 60))
    first = next((index for index, (_, amount) in enumerate(units) if amount), 3)
    shown = [f"{amount} {unit}" for unit, amount in units[first : first + 2] if amount]
    return " ".join(shown) or "0 s"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 customer`, `1,204 calls`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
