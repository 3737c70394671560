"""Budgets: what was billed in the current window of each configured budget, what its limit is and what is
left."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import cast

from costweir.domain.answer import Excluded
from costweir.domain.period import Month
from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.question import part
from costweir.queries.render import Selection
from costweir.queries.result import Asked, Result, largest, mirrored_note
from costweir.queries.rows import read_rows, row_of
from costweir.queries.scope import Scope, measure
from costweir.store.warehouse import Reader, Value

#: Scopes that a bill knows, by the dimension that names them; `global` has none.
_BILLED_SCOPES = {
    "global": "", "customer": "customer", "plan": "plan", "project": "project", "feature": "feature",
    "model": "model", "provider": "provider",
}  # fmt: skip
_ROLLING = re.compile(r"rolling:(\d+)([mhd])")


@dataclass(frozen=True, slots=True)
class _Budget:
    id: str
    kind: str
    scope: str
    limit: Decimal | None
    window: str
    mode: str | None


def answer_budgets(reader: Reader, asked: Asked) -> Result:
    """One row per budget that bills can answer; the others are excluded with the reason."""
    until = asked.coverage.period.until
    day = min(asked.coverage.today, until - timedelta(days=1)) if until else asked.coverage.today
    budgets = [
        _Budget(*cast("tuple[str, str, str, Decimal | None, str, str | None]", row))
        for row in reader.query(part("budget_rows")).rows
    ]
    spent: dict[tuple[str, str], dict[str, Decimal]] = {}
    records: list[dict[str, Value]] = []
    excluded: dict[str, Excluded] = {}
    for budget in budgets:
        window = window_of(budget.window, day)
        if budget.kind not in _BILLED_SCOPES or window is None:
            kind = f"scope {budget.kind} and window {budget.window}"
            text = f"Budget {budget.id} is for {kind}, which bills cannot be split by."
            excluded[budget.id] = Excluded("metered_only", text)
            continue
        key = (budget.kind, budget.window)
        if key not in spent:
            scope = _scope(reader, asked, window)
            spent[key] = _spent(reader, asked, scope, _BILLED_SCOPES[budget.kind])
            excluded.update({item.text: item for item in scope.excluded})
        name = budget.scope if _BILLED_SCOPES[budget.kind] else ""
        records.append(_record(budget, window, spent[key].get(name, Decimal(0))))
    total = sum((cast("Decimal", record["m_cost"]) for record in records), Decimal(0))
    whole = Scope(replace(asked.selection, currency="USD"), "USD", total, 0, ())
    shown = largest(records, asked.selection)
    notes = [asked.question.notes, *mirrored_note(reader, "budgets")]
    return Result(
        [row_of(record, asked.question, whole) for record in shown],
        [cast("Decimal", record["m_cost"]) for record in shown],
        total, "USD", tuple(excluded.values()), tuple(notes),
    )  # fmt: skip


def window_of(window: str, day: date) -> tuple[date | None, date | None] | None:
    """The days of the window that `day` lies in, the second exclusive; nothing for a window that is no time.

    Minutes and hours count as the whole day, because bills know no less.
    """
    if window == "day":
        return day, day + timedelta(days=1)
    if window == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    if window == "month":
        return Month.of(day).first, Month.of(day).following.first
    if window == "total":
        return None, None
    rolling = _ROLLING.fullmatch(window)
    if rolling is None:
        return None
    days = int(rolling[1]) if rolling[2] == "d" else 1
    return day - timedelta(days=days - 1), day + timedelta(days=1)


def _scope(reader: Reader, asked: Asked, window: tuple[date | None, date | None]) -> Scope:
    within = replace(asked.selection.filter, since=window[0], until=window[1])
    return measure(reader, replace(asked.selection, filter=within, limit=None), "USD")


def _spent(reader: Reader, asked: Asked, scope: Scope, dimension: str) -> dict[str, Decimal]:
    by = (DIMENSION_TABLE[dimension],) if dimension else ()
    selection: Selection = scope.selection.split(by)
    records = read_rows(reader, asked.question.sql, selection)
    return {
        str(record[f"d_{dimension}"]) if dimension else "": cast("Decimal", record["m_cost"])
        for record in records
    }


def _record(budget: _Budget, window: tuple[date | None, date | None], cost: Decimal) -> dict[str, Value]:
    return {
        "m_cost": cost, "m_budget": budget.id, "m_scope": budget.kind, "m_scope_id": budget.scope,
        "m_window": budget.window, "m_window_since": window[0], "m_window_until": window[1],
        "m_limit_usd": budget.limit, "m_left_usd": None if budget.limit is None else budget.limit - cost,
        "m_mode": budget.mode,
    }  # fmt: skip
