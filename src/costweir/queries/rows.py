"""Answers a question that is one query: the split, its measures and its ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from costweir.domain.answer import Cell
from costweir.queries.dimensions import METERED, Dimension
from costweir.queries.question import Question
from costweir.queries.render import Selection, fill
from costweir.queries.result import Asked, Result, cell, in_order, mirrored_note, number, ratio_cell
from costweir.queries.scope import Scope, measure
from costweir.store.warehouse import Reader, Value


def answer_rows(reader: Reader, asked: Asked) -> Result:
    """The rows of the question, largest first; a series of days or months in order of time."""
    scope = measure(reader, asked.selection, asked.currency)
    records = read_rows(reader, asked.question.sql, scope.selection) if scope.lines else []
    # single lines stay as the query ranked them: the largest first, whatever their day
    ordered = records if "{lines}" in asked.question.sql else in_order(records, scope.selection)
    rows = [row_of(record, asked.question, scope) for record in ordered]
    return Result(
        rows, [number(record["m_cost"]) for record in ordered], scope.total, scope.currency, scope.excluded,
        tuple(_notes(reader, asked, scope)),
    )  # fmt: skip


def read_rows(reader: Reader, sql: str, selection: Selection) -> list[dict[str, Value]]:
    """Runs a catalogue template."""
    return reader.query(*fill(sql, selection)).records()


def row_of(record: Mapping[str, Value], question: Question, scope: Scope) -> dict[str, Cell]:
    """One row on the wire: dimensions, `<basis>_cost`, measures, ratios."""
    cost = number(record["m_cost"])
    row = dimension_cells(record, scope.selection.by)
    row[f"{scope.selection.basis}_cost"] = cell(cost, "money")
    for name, kind in question.measures.items():
        row[name] = cell(record.get(f"m_{name}"), kind)
    values = {"cost": cost, "total": scope.total}
    for name, ratio in question.ratios.items():
        for term in (ratio.of, ratio.per):
            if term not in values:
                values[term] = number(record.get(f"m_{term}"))
        row[name] = ratio_cell(ratio, values)
    return row


def dimension_cells(record: Mapping[str, Value], by: Sequence[Dimension]) -> dict[str, Cell]:
    """The dimensions of a row on the wire."""
    return {item.name: cell(record[f"d_{item.name}"], item.kind) for item in by}


def _notes(reader: Reader, asked: Asked, scope: Scope) -> list[str]:
    notes = [asked.question.notes] if asked.question.notes else []
    used = {item.name for item in (*scope.selection.by, *scope.selection.filter.dimensions)}
    if "plan" in used and scope.selection.facts not in METERED:
        notes += mirrored_note(reader, "customers")
        notes.append("Plans are those of now, also for days before a customer changed plan.")
    if "customer_approved_models" in asked.question.only:
        notes += mirrored_note(reader, "customer_approved_models")
    return notes
