"""Which environment variable sets which setting. `COSTWEIR_WEB__PORT` sets `web.port`; the names that
other tools already use are taken too, and lose against a `COSTWEIR_` name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from costweir.config.problems import Problem, nearest
from costweir.config.settings import Settings

PREFIX = "COSTWEIR_"

#: Names of the requirements API-04 to API-07, and the setting each one fills.
KNOWN_NAMES: Mapping[str, str] = {
    "LOG_LEVEL": "log_level",
    "ENVIRONMENT": "environment",
    "DATABASE_URL": "database.url",
    "DB_HOST": "database.host",
    "DB_NAME": "database.name",
    "DB_USER": "database.user",
    "DB_PASSWORD": "database.password",
    "PROMETHEUS_URL": "prometheus.url",
    "PROMETHEUS_PORT": "prometheus.port",
    "PROMETHEUS_RETENTION": "prometheus.retention",
    "GF_SERVER_ROOT_URL": "grafana.root_url",
    "GF_AUTH_ANONYMOUS_ENABLED": "grafana.anonymous",
    "GF_SECURITY_ADMIN_PASSWORD": "grafana.admin_password",
    "GCP_PROJECT_ID": "gcp.project_id",
    "AWS_REGION": "aws.region",
    "AZURE_SUBSCRIPTION_ID": "azure.subscription_id",
    "AZURE_TENANT_ID": "azure.tenant_id",
    "AZURE_CLIENT_ID": "azure.client_id",
    "AZURE_CLIENT_SECRET": "azure.client_secret",
    "REDSHIFT_HOST": "redshift.host",
    "REDSHIFT_USER": "redshift.user",
    "REDSHIFT_PASSWORD": "redshift.password",
}

#: Variables of ours that are no settings.
_NOT_SETTINGS = frozenset({"COSTWEIR_CONFIG", "COSTWEIR_DATA_DIR", "COSTWEIR_DEBUG"})
_FOR_DEVELOPERS = ("COSTWEIR_TEST_", "COSTWEIR_BENCH_")
# Kubernetes gives every pod these for a service named "costweir" or "costweir-...".
_SERVICE_LINK = re.compile(r"COSTWEIR_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")


def variable_of(key: str) -> str:
    """The variable that sets a dotted key: `web.port` is set by `COSTWEIR_WEB__PORT`."""
    return PREFIX + key.upper().replace(".", "__")


def scalar_keys() -> dict[str, Any]:
    """Every dotted key that one variable may set, with its annotation; a list counts as one key."""
    keys: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        section = section_type(field.annotation)
        if section is None:
            keys[name] = field.annotation
        else:
            keys |= {f"{name}.{inner}": part.annotation for inner, part in section.model_fields.items()}
    return keys


def section_type(annotation: object) -> type[BaseModel] | None:
    """The model class when a field is a section of its own, else None."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def from_environment(environ: Mapping[str, str]) -> tuple[dict[str, tuple[Any, str]], list[Problem]]:
    """Dotted key to (value, name of the variable), and what is wrong. An empty variable counts as not set."""
    found: dict[str, tuple[Any, str]] = {}
    problems: list[Problem] = []
    for name, key in KNOWN_NAMES.items():
        # A Kubernetes service named "prometheus" puts its whole address into PROMETHEUS_PORT.
        if environ.get(name) and not environ[name].startswith("tcp://"):
            found[key] = (environ[name], name)
    keys = scalar_keys()
    by_variable = {variable_of(key): key for key in keys}
    for name in sorted(environ):
        if (
            not name.startswith(PREFIX)
            or not environ[name]
            or name in _NOT_SETTINGS
            or name.startswith(_FOR_DEVELOPERS)
        ):
            continue
        key = by_variable.get(name)
        if key is None:
            if not _SERVICE_LINK.fullmatch(name):
                problems.append(
                    Problem("environment", name, "is not a setting", nearest=nearest(name, by_variable))
                )
            continue
        value, problem = _value(name, environ[name], listed=_is_listed(keys[key]))
        if problem is None:
            found[key] = (value, name)
        else:
            problems.append(problem)
    return found, problems


def _is_listed(annotation: Any) -> bool:
    options = (annotation, *get_args(annotation))
    return any(get_origin(option) in (tuple, Mapping) for option in options)


def _value(name: str, text: str, *, listed: bool) -> tuple[Any, Problem | None]:
    if not listed:
        return text, None
    try:
        # An amount stays the text it is written as; no float ever stands for it.
        return json.loads(text, parse_float=str), None
    except ValueError:
        return None, Problem("environment", name, "is not JSON; here a list or table is written as in JSON")
