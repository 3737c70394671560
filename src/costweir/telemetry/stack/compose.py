"""The compose file and what stands beside it. Every service gets the house rules here, so that none can forget one:
a read-only root, no capabilities, no new privileges, a user of its own, limits, rotated logs, a pinned image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from costweir import __version__
from costweir.telemetry.stack.places import PORTS, SECRETS, published
from costweir.telemetry.stack.text import data, template, yaml_text

if TYPE_CHECKING:
    from costweir.config import Settings

Service = Mapping[str, Any]

#: The profiles, each with what the one before it has. A file that is rendered for one has only its services.
PROFILES = ("lite", "standard", "full")
EVERY_PROFILE = "full"
#: Networks that have no way out. The front has one, because published ports and outgoing calls need it.
_INNER = ("monitoring", "data", "socket")
_CONDITIONS = {
    "healthy": "service_healthy",
    "done": "service_completed_successfully",
    "started": "service_started",
}
_MOST_PROCESSES = 512
_UNIT = re.compile(r"(\d+)([MG])")


def services(profile: str) -> Mapping[str, Service]:
    """The rows of the services that a profile starts; without one profile in particular, every service."""
    rows = cast("Mapping[str, Service]", data("services.yaml"))
    return {name: row for name, row in rows.items() if profile in ("", *row["profiles"])}


def images() -> Mapping[str, Mapping[str, str]]:
    """Name, tag, user and evidence of every image."""
    return data("images.yaml")


def image_of(name: str) -> str:
    """The image as compose writes it."""
    row = images()[name]
    return f"{row['name']}:{row['tag'].replace('VERSION', __version__)}"


def memory_of(row: Service) -> int:
    """The memory limit of a service, in MiB."""
    found = _UNIT.fullmatch(row["memory"])
    assert found is not None  # noqa: S101 - our own data, which a test reads
    return int(found[1]) * (1024 if found[2] == "G" else 1)


def files(settings: Settings, profile: str) -> Mapping[str, str]:
    """`compose/`: the compose file, the scripts that it mounts, and the one that makes the secrets."""
    rows = services(profile)
    ports = published(settings)
    secrets = sorted({name for row in rows.values() for name in row.get("secrets", ())})
    whole: dict[str, Any] = {
        "name": "costweir",
        "services": {name: _service(name, row, settings=settings, ports=ports) for name, row in rows.items()},
        "networks": {name: _network(name) for name in _networks(rows)},
        "volumes": {name: {} for name in _volumes(rows)},
        **({"secrets": {name: {"file": f"./secrets/{name}"} for name in secrets}} if secrets else {}),
    }
    made = {
        "compose/compose.yaml": yaml_text(whole, *_about(rows)),
        "compose/secrets.sh": template("secrets.sh"),
    }
    made["compose/.gitignore"] = "/secrets/\n/config/\n"
    made["README.md"] = template("README.md", _told(profile, ports))
    if "postgres" in rows:
        made["compose/dump.sh"] = template("dump.sh")
        made["compose/postgres/10-roles.sh"] = template("roles.sh")
        made["compose/tokens.py"] = template("tokens.py.in")
    if "clickhouse" in rows:
        made["compose/clickhouse/small.xml"] = template("clickhouse.xml")
    return made


def _told(profile: str, ports: Mapping[str, int]) -> Mapping[str, str]:
    """The places of the README: the profiles with what they may use, and the ports that are published."""
    chosen = [name for name in PROFILES if profile in ("", name)]
    sums: list[str] = []
    for name in chosen:
        rows = {key: row for key, row in services(name).items() if not row.get("once")}
        memory = sum(memory_of(row) for row in rows.values())
        processors = sum(Decimal(row["cpus"]) for row in rows.values())
        sums.append(f"| `{name}` | {', '.join(rows)} | {memory / 1024:.1f} GiB | {processors} |")
    shown = services(profile)
    open_ports = sorted({item.partition(":")[0] for row in shown.values() for item in row.get("publish", ())})
    return {
        "PROFILE": profile or "standard",
        "SUMS": "\n".join(sums),
        "PORTS": "\n".join(f"| {ports[name]} | {name} |" for name in open_ports),
    }


def _about(rows: Mapping[str, Service]) -> Sequence[str]:
    chosen = [name for name in PROFILES if any(name in row["profiles"] for row in rows.values())]
    return (
        f"Once: `sh secrets.sh` makes the secrets. Then: `docker compose --profile {'|'.join(chosen)} up --detach`.",
        "Nothing is published outside this machine. See docs/deploy.md.",
    )


def _service(name: str, row: Service, *, settings: Settings, ports: Mapping[str, int]) -> Mapping[str, Any]:
    once = row.get("once", False)
    made: dict[str, Any] = {
        "image": image_of(row["image"]),
        **({"build": {"context": "../..", "dockerfile": "Dockerfile"}} if row["image"] == "costweir" else {}),
        "profiles": row["profiles"],
        "labels": {"org.opencontainers.image.description": row["about"]},
        "user": images()[row["image"]]["user"],
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": _MOST_PROCESSES,
        "init": row.get("init", True),
        "restart": "no" if once else "unless-stopped",
        "deploy": {"resources": {"limits": {"cpus": row["cpus"], "memory": row["memory"]}}},
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
    }
    for key in ("entrypoint", "command", "env_file", "network_mode", "secrets", "volumes"):
        if key in row:
            made[key] = row[key]
    if "shm" in row:
        made["shm_size"] = row["shm"]
    if "environment" in row:
        made["environment"] = _filled(row["environment"], settings, ports)
    if "command" in row:
        made["command"] = _filled(row["command"], settings, ports)
    made["tmpfs"] = row.get("tmpfs", ["/tmp"])  # noqa: S108 - inside the container
    if "publish" in row:
        made["ports"] = [_port(item, ports) for item in row["publish"]]
    if "networks" in row:
        made["networks"] = {
            net: {"aliases": names} if names else {} for net, names in row["networks"].items()
        }
    if "needs" in row:
        made["depends_on"] = {other: {"condition": _CONDITIONS[how]} for other, how in row["needs"].items()}
    watched = {"interval": "15s", "timeout": "5s", "retries": 5, **row.get("health", {})}
    made["healthcheck"] = watched if "health" in row else {"disable": True}
    return made


def _filled(value: Any, settings: Settings, ports: Mapping[str, int]) -> Any:
    """The places of the data file in capital letters, as the settings say."""
    if isinstance(value, Mapping):
        rows = cast("Mapping[str, Any]", value)
        return {key: _filled(inner, settings, ports) for key, inner in rows.items()}
    if isinstance(value, list):
        return [_filled(inner, settings, ports) for inner in cast("list[Any]", value)]
    words = {
        "GRAFANA_ROOT_URL": settings.grafana.root_url or f"http://localhost:{ports['grafana']}",
        "GRAFANA_PLUGINS": ",".join(data("plugins.yaml")),
        "localhost:PROMETHEUS": f"localhost:{ports['prometheus']}",
        "localhost:ALERTMANAGER": f"localhost:{ports['alertmanager']}",
        "localhost:LANGFUSE": f"localhost:{ports['langfuse']}",
        ":-ENVIRONMENT}": f":-{settings.environment}}}",
    }
    for word, meant in words.items():
        value = value.replace(word, meant) if isinstance(value, str) else value
    return value


def _port(item: str, ports: Mapping[str, int]) -> str:
    name, _, inside = item.partition(":")
    return f"127.0.0.1:{ports[name]}:{inside or PORTS[name]}"


def _network(name: str) -> Mapping[str, Any]:
    return {"driver": "bridge", **({"internal": True} if name in _INNER else {})}


def _networks(rows: Mapping[str, Service]) -> Sequence[str]:
    return sorted({net for row in rows.values() for net in row.get("networks", ())})


def _volumes(rows: Mapping[str, Service]) -> Sequence[str]:
    mounts = [mount.partition(":")[0] for row in rows.values() for mount in row.get("volumes", ())]
    return sorted({mount for mount in mounts if mount[0] not in "./"})


__all__ = ["EVERY_PROFILE", "PROFILES", "SECRETS", "files", "image_of", "images", "memory_of", "services"]
