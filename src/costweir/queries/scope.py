"""Decides the currency of an answer and its total. Money that cannot be added is left out and named, never
guessed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from costweir.domain.answer import Excluded
from costweir.domain.money import decimal_text
from costweir.queries.question import part
from costweir.queries.render import COST_COLUMNS, Selection, fill
from costweir.queries.result import number
from costweir.store.warehouse import Reader

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Part:
    currency: str
    rated: bool
    native: Decimal
    usd: Decimal
    lines: int
    missing: int


@dataclass(frozen=True, slots=True)
class Scope:
    """What an answer adds up: the selection with its cost column, the total in `currency`, and what was left
    out."""

    selection: Selection
    currency: str
    total: Decimal
    lines: int
    excluded: tuple[Excluded, ...]


def measure(reader: Reader, selection: Selection, currency: str) -> Scope:
    """Reads the totals of a selection and settles its currency.

    `currency` empty means US dollars where any row has them, else the bill's own when there is only one. Rows
    that have no amount in the answer's currency are excluded with their amount in their own.
    """
    whole = replace(selection, by=(), limit=None, cost="")
    if whole.facts == "charges" and all(dimension.rollup for dimension in whole.filter.dimensions):
        whole = whole.on("rollup")
    rows = reader.query(*fill(part("scope"), whole)).rows
    parts = [
        _Part(str(name), bool(rated), number(own), number(usd), int(number(lines)), int(number(missing)))
        for name, rated, own, usd, lines, missing in rows
    ]
    native, usd, _ = COST_COLUMNS[selection.basis]
    chosen = currency or _natural_currency(parts)
    if chosen == "USD":
        inside = [item for item in parts if item.rated]
        total, column = sum((item.usd for item in inside), _ZERO), usd
    else:
        inside = [item for item in parts if item.currency == chosen]
        total, column = sum((item.native for item in inside), _ZERO), native
    outside = [item for item in parts if item not in inside]
    return Scope(
        selection=replace(selection, cost=column, currency=chosen),
        currency=chosen,
        total=total,
        lines=sum(item.lines for item in inside),
        excluded=(*_left_out(outside, chosen, selection.basis), *_without_cost(inside, selection.basis)),
    )


def _natural_currency(parts: Sequence[_Part]) -> str:
    currencies = {item.currency for item in parts}
    if len(currencies) == 1 and not any(item.rated for item in parts):
        return currencies.pop()
    return "USD"


def _left_out(parts: Sequence[_Part], chosen: str, basis: str) -> list[Excluded]:
    sums: dict[str, tuple[Decimal, int]] = defaultdict(lambda: (_ZERO, 0))
    for item in parts:
        amount, lines = sums[item.currency]
        sums[item.currency] = (amount + item.native, lines + item.lines)
    found: list[Excluded] = []
    for currency, (amount, lines) in sorted(sums.items()):
        noun = "line" if lines == 1 else "lines"
        if basis == "metered":
            verb = "has" if lines == 1 else "have"
            found.append(Excluded("unpriced", f"{lines} metered {noun} {verb} no price yet.", rows=lines))
            continue
        reason = "no_rate" if chosen == "USD" else "other_currency"
        why = f"{'has' if lines == 1 else 'have'} no {chosen} rate" if chosen == "USD" else f"not in {chosen}"
        text = (
            f"{lines} {currency} {noun} {why}."
            if chosen == "USD"
            else f"{lines} {noun} in {currency}, {why}."
        )
        found.append(Excluded(reason, text, decimal_text(amount), currency, lines))
    return found


def _without_cost(parts: Sequence[_Part], basis: str) -> list[Excluded]:
    missing = sum(item.missing for item in parts)
    if not missing or basis == "metered":
        return []
    verb = "line has" if missing == 1 else "lines have"
    return [Excluded(f"no_{basis}_cost", f"{missing} {verb} no {basis} cost on the bill.", rows=missing)]
