"""Answers `cache_savings`: what tokens from a cache would have cost as plain input."""

from __future__ import annotations

from collections.abc import Mapping

from costweir.domain.money import EXACT, exact
from costweir.queries.result import Asked, Result, in_order, number
from costweir.queries.rows import read_rows, row_of
from costweir.queries.scope import measure
from costweir.store.warehouse import Reader, Value


def answer_cache_savings(reader: Reader, asked: Asked) -> Result:
    """One row per member, with what its cache saved at the average price of its own input."""
    scope = measure(reader, asked.selection, asked.currency)
    records = read_rows(reader, asked.question.sql, scope.selection) if scope.lines else []
    ordered = in_order(records, scope.selection)
    return Result(
        [row_of({**record, **_saved(record)}, asked.question, scope) for record in ordered],
        [number(record["m_cost"]) for record in ordered],
        scope.total, scope.currency, scope.excluded, (asked.question.notes,),
    )  # fmt: skip


def _saved(record: Mapping[str, Value]) -> dict[str, Value]:
    tokens, cached = number(record["m_input_tokens"]), number(record["m_cache_read_tokens"])
    if not tokens:
        return {"m_uncached_cost": None, "m_saved_cost": None}
    uncached = exact(EXACT.divide(EXACT.multiply(number(record["m_input_cost"]), cached), tokens))
    return {"m_uncached_cost": uncached, "m_saved_cost": uncached - number(record["m_cache_read_cost"])}
