"""How the ledger's values read: nano-dollars as money, scopes and windows in words, states as badges."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from costweir.domain.money import decimal_text
from costweir.guard.ledger import Attempt, Balance, dollars
from costweir.guard.why import instant
from costweir.web import format as fmt
from costweir.web.pages.table import Cell, Gauge

_STATES = {
    "HELD": ("held", "info"), "SENT": ("running", "info"), "SETTLED": ("settled", "ok"),
    "RELEASED": ("given back", "neutral"), "UNCERTAIN": ("charged at its hold", "warn"),
}  # fmt: skip
_SPANS = {"day": "today", "week": "this week", "month": "this month", "total": "in all", "session": "session"}


def money(nano: int, *, places: int | None = None) -> str:
    """`$0.0312`; under a dollar with four places."""
    return fmt.money(dollars(nano), places=places)


def limit_money(nano: int) -> str:
    """A limit: `$0.50`, and four places only where it has a part of a cent."""
    return money(nano, places=places_of(nano))


def money_cell(nano: int | None, *, places: int | None = 4, tone: str = "") -> Cell:
    """An amount in a table; an en dash for none."""
    if nano is None:
        return Cell(fmt.NOTHING)
    return Cell(money(nano, places=places), decimal_text(dollars(nano)), tone=tone)


def cost_cell(attempt: Attempt, *, places: int | None = 4) -> Cell:
    """What an attempt that ended cost; `unpriced` where nobody knows a price."""
    if attempt.cost is None:
        return Cell("unpriced", "unpriced", badge=True, tone="warn", title="No price is known for this model")
    return money_cell(attempt.cost, places=places)


def places_of(*amounts: int) -> int:
    """One precision for amounts that are read together: four places when the smallest that is not zero needs them."""
    return 2 if all(amount % 10_000_000 == 0 for amount in amounts) else 4


def state(attempt: Attempt) -> Cell:
    """The state of an attempt as a badge."""
    word, tone = _STATES[attempt.state]
    return Cell(word, attempt.state, badge=True, tone=tone)


def scope(named: Mapping[str, str]) -> str:
    """`customer acme, feature chat`; everything for none."""
    inner = {kind: name for kind, name in named.items() if not (kind == "plan" and "customer" in named)}
    return ", ".join(f"{kind} {name}" for kind, name in inner.items()) or "everything"


def window(window_id: str) -> str:
    """`this month` for `month:2026-11`; a rolling window says how long it is."""
    kind = window_id.partition(":")[0]
    if kind == "rolling":
        return f"last {window_id.partition(':')[2].partition('@')[0]}"
    return _SPANS.get(kind, window_id)


def moment(at: datetime | None) -> str:
    """`18 Nov 2026, 09:52:41 UTC`."""
    if at is None:
        return fmt.NOTHING
    shown = at.astimezone(UTC)
    return f"{fmt.day(shown.date(), today=shown.date())} {shown.year}, {shown:%H:%M:%S} UTC"


def clock(at: datetime | None) -> Cell:
    """`09:52:41`, with the whole instant in the CSV."""
    if at is None:
        return Cell(fmt.NOTHING)
    return Cell(f"{at.astimezone(UTC):%H:%M:%S}", instant(at) or "", tone="nowrap")


def gauge(balance: Balance, label: str) -> Gauge:
    """Settled and held of a limit, which is the full width."""
    limit = balance.limit or 0
    spent, held = balance.settled + balance.debt, balance.held
    full = max(limit, 1)

    def width(part: int) -> str:
        return f"{min(Decimal(100), Decimal(part) * 100 / full):.2f}%"

    used = (spent + held) * 100 // full
    tone = "bad" if used >= 100 else "warn" if used >= 80 else "ok"
    text = f"{money(spent)} settled and {money(held)} held of {limit_money(limit)}"
    return Gauge(
        label,
        width(spent),
        text,
        decimal_text(dollars(spent + held)),
        decimal_text(dollars(limit)),
        tone,
        width(held) if held else "",
    )
