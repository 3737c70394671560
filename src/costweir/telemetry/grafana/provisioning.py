"""What Grafana reads at its start: data sources and the provider of the boards; and for tenants a place of their
own, with a token that sees one customer. No secret is written, only where it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, cast

_HEAD = "# Made by `costweir render`; do not edit.\n"
#: The folder that every board lies in.
FOLDER, FOLDER_UID = "Costweir", "costweir"
#: The one data source of a tenant's organisation. Its uid is that of the usual one: the boards are the same.
_TENANT = {
    "name": "Costweir API",
    "type": "yesoreyeram-infinity-datasource",
    "uid": "costweir-api",
    "access": "proxy",
    "url": "http://costweir:8080",
    "orgId": "$TENANT_ORG_ID",
    "secureJsonData": {"bearerToken": "$__file{/run/tokens/$TENANT}"},
    "jsonData": {
        "auth_method": "bearerToken",
        "allowedHosts": ["http://costweir:8080"],
        "timeoutInSeconds": 30,
    },
}


@cache
def _table() -> Mapping[str, Any]:
    import yaml

    text = (_folder() / "datasources.yaml").read_text(encoding="utf-8")
    return cast("Mapping[str, Any]", yaml.safe_load(text))


def covers() -> tuple[str, ...]:
    """The requirements that data sources and providers meet."""
    return (*cast("list[str]", _table()["covers"]), "DSH-66", "DSH-67", "DSH-69")


def sources() -> tuple[Mapping[str, Any], ...]:
    """Every data source that is rendered, provisioned or not."""
    return tuple(cast("Mapping[str, Any]", entry["source"]) for entry in _table()["sources"])


def provisioned(profile: str) -> Iterator[tuple[str, str]]:
    """Path and text of every file; `profile` empty means all of them."""
    files: dict[str, list[Mapping[str, Any]]] = {}
    for entry in _table()["sources"]:
        profiles = cast("list[str]", entry.get("profiles", []))
        if profiles and profile and profile not in profiles:
            continue
        folder = "provisioning/datasources" if profiles else "more/datasources"
        files.setdefault(f"grafana/{folder}/{entry['file']}.yaml", []).append(entry["source"])
    for path, found in files.items():
        yield path, _datasources([{**source, "editable": False} for source in found])
    yield "grafana/provisioning/dashboards/costweir.yaml", _provider("/etc/grafana/dashboards")
    yield "grafana/tenant/datasources/costweir.yaml", _datasources([{**_TENANT, "editable": False}])
    yield (
        "grafana/tenant/dashboards/costweir.yaml",
        _provider("/etc/grafana/dashboards-tenant", org="$TENANT_ORG_ID"),
    )
    for name in ("teams.sh", "tenant.sh", "import.sh", "tenants.sql"):
        yield f"grafana/setup/{name}", (_folder() / name).read_text(encoding="utf-8")


def _datasources(found: list[dict[str, Any]]) -> str:
    return _written({"apiVersion": 1, "prune": True, "datasources": found})


def _provider(path: str, *, org: str = "") -> str:
    provider: dict[str, object] = {
        "name": "costweir",
        "folder": FOLDER,
        "folderUid": FOLDER_UID,
        "type": "file",
        "allowUiUpdates": False,
        "disableDeletion": False,
        "updateIntervalSeconds": 10,
        "options": {"path": path, "foldersFromFilesStructure": False},
    }
    return _written({"apiVersion": 1, "providers": [{**provider, **({"orgId": org} if org else {})}]})


def _written(value: object) -> str:
    import yaml

    return _HEAD + yaml.safe_dump(value, sort_keys=False, width=110, allow_unicode=True)


def _folder() -> Any:
    return resources.files("costweir.telemetry.grafana") / "data"
