"""Boards, data sources and rights of Grafana, written from the catalogue and never by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costweir.config import Settings


def files(settings: Settings, profile: str) -> Mapping[str, str]:
    """Path below the rendered folder to text; `profile` empty means all of them. `lite` has no Grafana."""
    from costweir.telemetry.grafana.board import boards
    from costweir.telemetry.grafana.drawing import draw
    from costweir.telemetry.grafana.provisioning import provisioned
    from costweir.telemetry.grafana.sets import STORES
    from costweir.telemetry.grafana.tenant import FOLDER, TENANT, tenant_boards

    if profile == "lite":
        return {}
    home = f"http://localhost:{settings.web.port or 8080}"
    drawn = {
        f"grafana/{store.folder}/{board.slug}.json": draw(board, store, home)
        for store in STORES.values()
        for board in boards()
    }
    own = {f"grafana/{FOLDER}/{board.slug}.json": draw(board, TENANT, home) for board in tenant_boards()}
    return {**drawn, **own, **dict(provisioned(profile))}
