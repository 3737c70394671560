"""Budgets: what was billed in the current window of each configured budget, what its limit is and what is
left."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
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

#: Scopes that a bill knows; each is the name of a dimension.
_BILLED_SCOPES = frozenset({"customer", "plan", "project", "feature", "model", "provider"})
_ROLLING = re.compile(r"rolling:(\d+)([mhd])")


_Row = tuple[str, str, str, str | None, Decimal | None, str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class _Budget:
    id: str
    kind: str
    scope: str
    parts: str | None
    limit: Decimal | None
    window: str
    mode: str | None
    timezone: str | None

    def scopes(self) -> dict[str, str]:
        """What has to match, by kind; nothing for a budget that is about everything."""
        if self.parts:
            return cast("dict[str, str]", json.loads(self.parts))
        return {} if self.kind == "global" else {self.kind: self.scope}


def answer_budgets(reader: Reader, asked: Asked) -> Result:
    """One row per budget that bills can answer; the others are excluded with the reason."""
    until = asked.coverage.period.until
    day = min(asked.coverage.today, until - timedelta(days=1)) if until else asked.coverage.today
    budgets = [_Budget(*cast("_Row", row)) for row in reader.query(part("budget_rows")).rows]
    spent: dict[tuple[tuple[str, ...], str], dict[tuple[str, ...], Decimal]] = {}
    records: list[dict[str, Value]] = []
    excluded: dict[str, Excluded] = {}
    for budget in budgets:
        window, scopes = window_of(budget.window, day), budget.scopes()
        if window is None or not _BILLED_SCOPES.issuperset(scopes) or "*" in scopes.values():
            kind = f"scope {budget.kind} and window {budget.window}"
            text = f"Budget {budget.id} is for {kind}, which bills cannot be split by."
            excluded[budget.id] = Excluded("metered_only", text)
            continue
        key = (tuple(scopes), budget.window)
        if key not in spent:
            scope = _scope(reader, asked, window)
            spent[key] = _spent(reader, asked, scope, tuple(scopes))
            excluded.update({item.text: item for item in scope.excluded})
        cost = spent[key].get(tuple(scopes.values()), Decimal(0))
        records.append(_record(budget, window, cost))
    total = sum((cast("Decimal", record["m_cost"]) for record in records), Decimal(0))
    whole = Scope(replace(asked.selection, currency="USD"), "USD", total, 0, ())
    shown = largest(records, asked.selection)
    notes = [asked.question.notes, *_elsewhere(budgets), *mirrored_note(reader, "budgets")]
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


def _spent(
    reader: Reader, asked: Asked, scope: Scope, kinds: tuple[str, ...]
) -> dict[tuple[str, ...], Decimal]:
    """What was billed in the window, by the members of these kinds of scope together."""
    selection: Selection = scope.selection.split(tuple(DIMENSION_TABLE[kind] for kind in kinds))
    records = read_rows(reader, asked.question.sql, selection)
    return {
        tuple(str(record[f"d_{kind}"]) for kind in kinds): cast("Decimal", record["m_cost"])
        for record in records
    }


def _elsewhere(budgets: Sequence[_Budget]) -> list[str]:
    """Bills are by UTC day, so a window that begins at another midnight is off by its offset."""
    zones = {budget.timezone for budget in budgets} - {None, "", "UTC"}
    if not zones:
        return []
    names = ", ".join(sorted(map(str, zones)))
    return [f"Windows are shown in UTC days, also for budgets whose day begins elsewhere ({names})."]


def _record(budget: _Budget, window: tuple[date | None, date | None], cost: Decimal) -> dict[str, Value]:
    return {
        "m_cost": cost, "m_budget": budget.id, "m_scope": budget.kind, "m_scope_id": budget.scope,
        "m_window": budget.window, "m_window_since": window[0], "m_window_until": window[1],
        "m_limit_usd": budget.limit, "m_left_usd": None if budget.limit is None else budget.limit - cost,
        "m_mode": budget.mode,
    }  # fmt: skip
