"""What happened when, drawn over every panel that shows money: loads of bills, restated days, changed prices."""

from __future__ import annotations

from collections.abc import Iterator

from costweir.queries.panels import PanelQuestion, events_sql, loads_sql
from costweir.telemetry.grafana import foundation
from costweir.telemetry.grafana.sets import Store

_EVENTS = (
    ("Bills restated", "restatements", "orange"),
    ("Calls priced anew", "call_adjustments", "purple"),
)


def marks_of(store: Store) -> Iterator[foundation.Mark]:
    """The annotations of a store that is asked in SQL."""
    if store.marks is None:
        return
    for name, question, color in _EVENTS:
        sql = events_sql(PanelQuestion(question, by=("provider", "read_on"), days="restated_on"), store.marks)
        target = foundation.sql_query(store.plugin, sql, series=False)
        yield foundation.Mark(name, "store", store.plugin, target, color)
    target = foundation.sql_query(store.plugin, loads_sql(store.marks), series=False)
    yield foundation.Mark("Bills loaded", "store", store.plugin, target, "blue")
