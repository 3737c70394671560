"""Where things are in the rendered deployment: one port map, and the files that secrets and tokens are read from.

Every renderer takes its addresses from here, so that a port is written down once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costweir.config import Settings

#: Service to port. The ones of Costweir are the defaults of `costweir up`.
PORTS: Mapping[str, int] = {
    "web": 8080,
    "gateway": 4000,
    "mcp": 8090,
    "otlp": 4318,
    "grafana": 3000,
    "langfuse": 3001,
    "prometheus": 9090,
    "alertmanager": 9093,
    "loki": 3100,
    "alloy": 12345,
    "tempo": 3200,
    "postgres": 5432,
    "redis": 6379,
    "clickhouse": 8123,
    "objects": 8333,
    "node-exporter": 9100,
    "cadvisor": 8081,
    "postgres-exporter": 9187,
    "redis-exporter": 9121,
    "blackbox-exporter": 9115,
    "promtail": 9080,
}

#: Folder of the secrets inside a container; each is a file of the name that `compose/secrets.sh` makes.
SECRETS = "/run/secrets"
#: Folder of the tokens that Costweir makes for the other services, in a volume that only they mount.
TOKENS = "/run/tokens"
METRICS_TOKEN = f"{TOKENS}/metrics"
GRAFANA_TOKEN = f"{TOKENS}/grafana"


def published(settings: Settings) -> Mapping[str, int]:
    """The ports on the host: the port map, with what the settings say of ours and of Prometheus."""
    own = {
        "web": settings.web.port,
        "gateway": settings.gateway.port,
        "mcp": settings.mcp.port,
        "otlp": settings.otlp.port,
        "prometheus": settings.prometheus.port,
    }
    return {**PORTS, **{name: port for name, port in own.items() if port}}
