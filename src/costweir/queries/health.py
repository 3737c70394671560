"""Data health: for every source and account how fresh it is, what was read, skipped and quarantined, and what
has no meaning yet."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from costweir.queries.coverage import Coverage, Stored, complete_day, instant_text
from costweir.queries.result import Asked, Result, largest
from costweir.queries.rows import read_rows, row_of
from costweir.queries.scope import measure
from costweir.store.warehouse import Reader, Value


def answer_health(reader: Reader, asked: Asked) -> Result:
    """One row per source and account that has a load in the period, or charges."""
    scope = measure(reader, asked.selection, asked.currency)
    names = [item.name for item in asked.selection.by]
    found: dict[tuple[str, ...], dict[str, Value]] = {}
    if scope.lines:
        for record in read_rows(reader, asked.question.sql, scope.selection.unlimited()):
            found[tuple(str(record[f"d_{name}"]) for name in names)] = record
    loads: dict[tuple[str, ...], list[Stored]] = {}
    for load in asked.coverage.loads:
        if load.overlaps(asked.coverage.period):
            loads.setdefault(tuple(str(getattr(load, name)) for name in names), []).append(load)
    records = [
        {**_nothing(names, key), **found.get(key, {}), **_loaded(asked.coverage, loads.get(key, []))}
        for key in sorted({*found, *loads})
    ]
    shown = largest(records, scope.selection)
    return Result(
        [row_of(record, asked.question, scope) for record in shown],
        [cast("Decimal", record["m_cost"]) for record in shown],
        scope.total, scope.currency, scope.excluded, (asked.question.notes,),
    )  # fmt: skip


def _nothing(names: list[str], key: tuple[str, ...]) -> dict[str, Value]:
    zero: dict[str, Value] = dict.fromkeys(("m_cost", "m_untagged_cost", "m_unknown_cost"), Decimal(0))
    return {
        **{f"d_{name}": value for name, value in zip(names, key, strict=True)},
        **zero,
        "m_unknown_lines": 0,
    }


def _loaded(coverage: Coverage, loads: list[Stored]) -> dict[str, Value]:
    return {
        "m_last_load": instant_text(max(load.loaded_at for load in loads)) if loads else None,
        "m_complete_to": complete_day(loads),
        "m_months": len({load.period for load in loads}),
        "m_rows_in": sum(load.rows_in for load in loads),
        "m_rows_stored": sum(load.rows_stored for load in loads),
        "m_rows_skipped": sum(load.rows_skipped for load in loads),
        "m_rows_quarantined": sum(load.rows_quarantined for load in loads),
        "m_late": any(
            coverage.lateness(source, [load for load in loads if load.source == source])
            for source in {load.source for load in loads}
        ),
        "m_sample": any(load.sample for load in loads),
    }
