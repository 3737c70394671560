"""Margin: what the plans bring in against what their customers cost, from the mirrored customers and
plans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import cast

from costweir.domain.charge import NO_PLAN
from costweir.domain.money import EXACT, decimal_text, exact
from costweir.domain.period import Month
from costweir.queries.coverage import Coverage
from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.question import part
from costweir.queries.records import metered_months
from costweir.queries.result import Asked, Result, largest, mirrored_note
from costweir.queries.rows import read_rows, row_of
from costweir.queries.scope import Scope, measure
from costweir.store.warehouse import Reader, Value

#: The finest split; revenue is known per customer, plan and month.
_FINEST = tuple(DIMENSION_TABLE[name] for name in ("customer", "plan", "month"))


@dataclass(slots=True)
class _Sum:
    cost: Decimal = Decimal(0)
    revenue: Decimal = Decimal(0)
    full: Decimal = Decimal(0)
    paying: set[str] | None = None


def answer_margin(reader: Reader, asked: Asked) -> Result:
    """One row per plan, customer or month, also for those who paid and cost nothing."""
    scope = measure(reader, asked.selection, asked.currency)
    names = [item.name for item in asked.selection.by]
    sums: defaultdict[tuple[str, ...], _Sum] = defaultdict(_Sum)
    finest = replace(scope.selection.split(_FINEST), limit=None)
    for record in read_rows(reader, asked.question.sql, finest) if scope.lines else []:
        sums[tuple(str(record[f"d_{name}"]) for name in names)].cost += cast("Decimal", record["m_cost"])
    for known, price, share in _revenue(reader, asked):
        entry = sums[tuple(known[name] for name in names)]
        entry.revenue += share
        entry.full += price
        entry.paying = (entry.paying or set()) | {known["customer"]}
    records = [_record(names, key, entry, usd=scope.currency == "USD") for key, entry in sums.items()]
    shown = largest(records, scope.selection)
    notes = [
        asked.question.notes,
        *_totals(sums.values(), scope),
        *mirrored_note(reader, "customers", "plans"),
    ]
    if scope.currency != "USD":
        notes.append(f"Plans are priced in USD and the bill is in {scope.currency}, so no margin is shown.")
    return Result(
        [row_of(record, asked.question, scope) for record in shown],
        [cast("Decimal", record["m_cost"]) for record in shown],
        scope.total, scope.currency, scope.excluded, tuple(notes),
    )  # fmt: skip


def _record(names: list[str], key: tuple[str, ...], entry: _Sum, *, usd: bool) -> dict[str, Value]:
    found: dict[str, Value] = {f"d_{name}": value for name, value in zip(names, key, strict=True)}
    found["m_cost"] = entry.cost
    found["m_revenue_usd"] = entry.revenue
    found["m_full_revenue_usd"] = entry.full
    found["m_margin_usd"] = entry.revenue - entry.cost if usd else None
    found["m_paying_customers"] = len(entry.paying or ())
    return found


def _totals(sums: Iterable[_Sum], scope: Scope) -> list[str]:
    """Revenue and margin of all rows, shown or not, in one sentence."""
    whole = list(sums)
    revenue = sum((entry.revenue for entry in whole), Decimal(0))
    full = sum((entry.full for entry in whole), Decimal(0))
    if not full or scope.currency != "USD":
        return []
    margin = revenue - scope.total
    text = f"In total the revenue is {decimal_text(revenue)} USD and the margin {decimal_text(margin)} USD"
    return [f"{text}." if full == revenue else f"{text}; whole months bring in {decimal_text(full)} USD."]


def _revenue(reader: Reader, asked: Asked) -> Iterator[tuple[dict[str, str], Decimal, Decimal]]:
    """The price of every customer's plan for every month that is in scope and stored, and the share of it that
    falls on the days asked for and over."""
    months = _months(reader, asked)
    wanted = {name: set(values) for name, (_, values) in asked.selection.filter.values.items()}
    for row in reader.query(part("subscriptions")).rows:
        customer, plan, since, until, price = cast(
            "tuple[str, str | None, date | None, date | None, Decimal | None]", row
        )
        if price is None:
            continue
        for month in months:
            known = {"customer": customer, "plan": plan or NO_PLAN, "month": str(month)}
            active = (since is None or since < month.following.first) and (
                until is None or until > month.first
            )
            if active and all(known[name] in values for name, values in wanted.items()):
                yield known, price, exact(EXACT.divide(price * _days(asked, month), month.days))


def _billed(coverage: Coverage) -> set[Month]:
    return {load.month for load in coverage.loads if load.overlaps(coverage.period)}


def _metered(reader: Reader, coverage: Coverage) -> set[Month]:
    return {month for month in map(Month.parse, metered_months(reader)) if coverage.period.touches(month)}


def _days(asked: Asked, month: Month) -> int:
    """How many days of the month are asked for and over."""
    period, after = asked.coverage.period, month.following.first
    first = max(month.first, period.since or month.first)
    last = min(after, period.until or after, asked.coverage.today)
    return max(0, (last - first).days)


def _months(reader: Reader, asked: Asked) -> list[Month]:
    """From the first to the last that is stored in scope: of invoices, or of calls where these are asked for."""
    metered = asked.selection.basis == "metered"
    stored = sorted(_metered(reader, asked.coverage) if metered else _billed(asked.coverage))
    months: list[Month] = []
    while stored and (not months or months[-1] < stored[-1]):
        months.append(months[-1].following if months else stored[0])
    return months
