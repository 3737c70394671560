"""Answers the questions about the last minutes and hours: their windows end at an instant and not at midnight."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from costweir.queries.question import Question
from costweir.queries.render import fill
from costweir.queries.result import Asked, Result, in_order, number
from costweir.queries.rows import row_of
from costweir.queries.scope import measure
from costweir.store.warehouse import Parameter, Reader

#: How far back each parameter `$at_...` of such a question lies.
WINDOWS = {
    "5m": timedelta(minutes=5), "15m": timedelta(minutes=15), "30m": timedelta(minutes=30), "1h": timedelta(hours=1),
    "6h": timedelta(hours=6), "1d": timedelta(days=1), "3d": timedelta(days=3),
}  # fmt: skip
_PARAMETER = re.compile(r"\$at_(\w+)")


def answer_recent(reader: Reader, asked: Asked) -> Result:
    """The rows, with what falls into each window beside what falls into the days asked for."""
    scope = measure(reader, asked.selection, asked.currency)
    records = []
    if scope.lines:
        records = reader.query(
            *fill(asked.question.sql, scope.selection, _instants(asked.question, end_of(asked)))
        ).records()
    ordered = in_order(records, scope.selection)
    return Result(
        [row_of(record, asked.question, scope) for record in ordered],
        [number(record["m_cost"]) for record in ordered],
        scope.total, scope.currency, scope.excluded, (asked.question.notes,),
    )  # fmt: skip


def end_of(asked: Asked) -> datetime:
    """Where the windows end: now, or at the midnight that ends the days asked for."""
    until = asked.coverage.period.until
    midnight = datetime.combine(until, time(), UTC) if until else asked.now
    return min(asked.now, midnight)


def _instants(question: Question, end: datetime) -> dict[str, Parameter]:
    """The parameters that the question names. Calls are stored in UTC without a zone."""
    naive = end.astimezone(UTC).replace(tzinfo=None)
    return {f"at_{name}": naive - WINDOWS[name] for name in set(_PARAMETER.findall(question.sql))}
