"""`prometheus/prometheus.yml`: what is scraped, how much of it and how long it is kept, and which rules are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from costweir.telemetry.stack.places import METRICS_TOKEN
from costweir.telemetry.stack.rules import rule_files
from costweir.telemetry.stack.text import data, yaml_text

if TYPE_CHECKING:
    from costweir.config import Settings

RETENTION = "15d"
#: Four fifths of the ten gigabytes that the disk plan gives it.
RETENTION_SIZE = "8GB"
#: What blackbox asks for, from outside.
_PROBES = {"web": "http://costweir:8080/ready", "gateway": "http://costweir:4000/ready"}
_LIMITS = {"label_limit": 40, "label_name_length_limit": 128, "label_value_length_limit": 512}


def files(settings: Settings, profile: str) -> Mapping[str, str]:
    """`prometheus/prometheus.yml`, `prometheus/rules/` and `prometheus/tests/`."""
    about = (
        "For Prometheus 3.14. Rules of your own go into own/, which is never written here.",
        "Money that ties to an invoice comes from SQL; what is counted here is a live estimate.",
    )
    return {
        "prometheus/prometheus.yml": yaml_text(configuration(settings, profile), *about),
        **rule_files(settings),
    }


def configuration(settings: Settings, profile: str) -> Mapping[str, Any]:
    """The configuration as a value."""
    alerting = {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]}
    return {
        "global": {
            "scrape_interval": "15s",
            "scrape_timeout": "10s",
            "evaluation_interval": "15s",
            "external_labels": {"environment": settings.environment},
        },
        "storage": {
            "tsdb": {
                "retention": {"time": settings.prometheus.retention or RETENTION, "size": RETENTION_SIZE},
                "out_of_order_time_window": "30m",
            }
        },
        "rule_files": ["rules/*.yml", "own/*.yml"],
        **({} if profile == "lite" else {"alerting": alerting}),
        "scrape_configs": _scrapes(settings, profile),
    }


def _scrapes(settings: Settings, profile: str) -> Sequence[Mapping[str, Any]]:
    jobs = cast("Sequence[Mapping[str, Any]]", data("jobs.yaml"))
    made = [_scrape(row, settings) for row in jobs if profile in ("", *row["profiles"])]
    probes = [_probe(name, address) for name, address in _PROBES.items()]
    return [*made, *probes] if profile in ("", "full") else made


def _scrape(row: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    fixed = "standard" in row["profiles"]
    made: dict[str, Any] = {"job_name": row["job"], "sample_limit": row["samples"], **_LIMITS}
    if "token" in row:
        made["authorization"] = {"credentials_file": METRICS_TOKEN}
    labels = {"service": row["service"], "environment": settings.environment}
    address = f"{row['target']}:{row['port']}"
    if fixed:
        made["static_configs"] = [{"targets": [address], "labels": labels}]
        return made
    made["dns_sd_configs"] = [
        {"names": [row["target"]], "type": "A", "port": row["port"], "refresh_interval": "30s"}
    ]
    made["relabel_configs"] = [
        {"target_label": "instance", "replacement": address},
        *({"target_label": name, "replacement": value} for name, value in labels.items()),
    ]
    return made


def _probe(name: str, address: str) -> Mapping[str, Any]:
    """One question that blackbox asks from outside. A job of its own, because discovery finds one exporter."""
    return {
        "job_name": f"probe-{name}",
        "metrics_path": "/probe",
        "params": {"module": ["ready"]},
        "sample_limit": 1000,
        **_LIMITS,
        "dns_sd_configs": [
            {"names": ["blackbox-exporter"], "type": "A", "port": 9115, "refresh_interval": "30s"}
        ],
        "relabel_configs": [
            {"target_label": "__param_target", "replacement": address},
            {"target_label": "instance", "replacement": address},
            {"target_label": "service", "replacement": "costweir"},
        ],
    }
