"""Logs and traces: Loki, Alloy, a Promtail file for those who must, Tempo, and what blackbox asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from costweir.telemetry.stack.places import PORTS
from costweir.telemetry.stack.text import template

if TYPE_CHECKING:
    from costweir.config import Settings

_FILES = {
    "loki/loki.yaml": "loki.yaml",
    "alloy/config.alloy": "config.alloy",
    "promtail/promtail.yaml": "promtail.yaml",
    "tempo/tempo.yaml": "tempo.yaml",
    "blackbox/blackbox.yml": "blackbox.yml",
}


def files(settings: Settings) -> Mapping[str, str]:
    """The configuration of each, with the ports of the port map and the name of the environment."""
    places = {name.upper(): str(port) for name, port in PORTS.items()}
    places["ENVIRONMENT"] = settings.environment.replace("\\", "\\\\").replace('"', '\\"')
    return {path: template(name, places) for path, name in _FILES.items()}
