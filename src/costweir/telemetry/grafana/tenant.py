"""The boards of one tenant: what a token that is bound to a customer may ask, and nothing that is about everybody."""

from __future__ import annotations

from collections.abc import Iterator

from costweir.telemetry.grafana.board import Board, Panel, Row, boards
from costweir.telemetry.grafana.sets import STORES, Store

FOLDER = "dashboards-tenant"
#: The API again, under uids of its own.
TENANT = Store("tenant", FOLDER, STORES["api"].plugin, STORES["api"].uid, "own", None)
_DIMENSION = "customer"


def tenant_boards() -> Iterator[Board]:
    """Those boards of which anything is left, without live figures, which are of all customers together."""
    for board in boards():
        rows = tuple(
            Row(title=row.title, panels=kept)
            for row in board.rows
            if (kept := tuple(panel for panel in row.panels if _own(panel)))
        )
        if rows:
            choices = tuple(choice for choice in board.choices if choice != _DIMENSION)
            yield board.model_copy(update={"rows": rows, "choices": choices, "live": ()})


def _own(panel: Panel) -> bool:
    return panel.ask is not None and _DIMENSION in panel.question(()).asked.filters
