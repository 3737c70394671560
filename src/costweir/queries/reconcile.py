"""Billed against metered: the only join of the two facts. The remainder is always shown, with its cause."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from costweir.queries.render import replace_basis
from costweir.queries.result import Asked, Result, largest
from costweir.queries.rows import read_rows, row_of
from costweir.queries.scope import measure
from costweir.store.warehouse import Reader, Value

_ZERO = Decimal(0)


def answer_reconcile(reader: Reader, asked: Asked) -> Result:
    """One row per member that either side knows."""
    scope = measure(reader, asked.selection, asked.currency)
    metered = measure(reader, replace_basis(asked.selection, "metered").on("calls"), "USD")
    names = [f"d_{item.name}" for item in asked.selection.by]
    sides: dict[tuple[Value, ...], list[Decimal]] = {}
    for position, side in enumerate((scope, metered)):
        if not side.lines:
            continue
        selection = side.selection.unlimited()
        for record in read_rows(reader, asked.question.sql, selection):
            pair = sides.setdefault(tuple(record[name] for name in names), [_ZERO, _ZERO])
            pair[position] = cast("Decimal", record["m_cost"])
    records = [_record(names, key, pair) for key, pair in sides.items()]
    shown = largest(records, scope.selection)
    return Result(
        [row_of(record, asked.question, scope) for record in shown],
        [cast("Decimal", record["m_cost"]) for record in shown],
        scope.total, scope.currency, (*scope.excluded, *metered.excluded), (asked.question.notes,),
    )  # fmt: skip


def _record(names: list[str], key: tuple[Value, ...], pair: list[Decimal]) -> dict[str, Value]:
    billed, metered = pair
    found: dict[str, Value] = dict(zip(names, key, strict=True))
    return {
        **found, "m_cost": billed, "m_metered_cost": metered, "m_remainder_cost": billed - metered,
        "m_cause": _cause(billed, metered),
    }  # fmt: skip


def _cause(billed: Decimal, metered: Decimal) -> str:
    if billed == metered:
        return "none"
    if metered == 0:
        return "off-gateway"
    return "not-invoiced" if billed == 0 else "difference"
