"""The servers around Costweir, as files: compose, Prometheus, Alertmanager, Loki, Alloy, Tempo and the exporters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costweir.config import Settings


def files(settings: Settings, profile: str) -> Mapping[str, str]:
    """Every file of the stack but Grafana's: path below the folder to text. The same settings give the same bytes, and
    no text holds a secret. `profile` is `lite`, `standard` or `full`; empty means all of them in one compose file."""
    from costweir.telemetry.stack import alertmanager, compose, logs, prometheus

    return {
        **compose.files(settings, profile),
        **prometheus.files(settings, profile),
        **alertmanager.files(settings),
        **logs.files(settings),
    }
