"""Answers `call_prices`: metered calls by the price that was applied, with those that have none (law L5)."""

from __future__ import annotations

from dataclasses import replace

from costweir.queries.result import Asked, Result, in_order, number
from costweir.queries.rows import read_rows, row_of
from costweir.queries.scope import measure
from costweir.store.warehouse import Reader


def answer_call_prices(reader: Reader, asked: Asked) -> Result:
    """The rows, unpriced calls included with a cost of nothing and their number; they are named as excluded too."""
    scope = measure(reader, asked.selection, asked.currency)
    if not scope.lines and not scope.excluded:
        return Result([], [], scope.total, scope.currency)
    # without the condition that leaves out what has no price
    records = read_rows(reader, asked.question.sql, replace(asked.selection, cost="", limit=None))
    names = [f"d_{item.name}" for item in scope.selection.by]
    finer = ("m_price_version", "m_usage_certainty", "m_context_class")
    records.sort(key=lambda record: [str(record[name]) for name in (*names, *finer)])
    records.sort(key=lambda record: number(record["m_cost"]), reverse=True)
    ordered = in_order(records[: asked.selection.limit], scope.selection)
    return Result(
        [row_of(record, asked.question, scope) for record in ordered],
        [number(record["m_cost"]) for record in ordered],
        scope.total, scope.currency, scope.excluded, (asked.question.notes,),
    )  # fmt: skip
