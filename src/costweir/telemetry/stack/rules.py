"""Recording and alert rules of Prometheus with their unit tests, from the rows of `data/rules.yaml`.

A row says once what is watched, how bad it is and what people are told, and carries the cases that prove it: one that
fires, one that does not, and what happens without any data. So a rule cannot be shipped without its tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from costweir.telemetry.stack.places import published
from costweir.telemetry.stack.text import data, yaml_text

if TYPE_CHECKING:
    from costweir.config import Settings

Row = Mapping[str, Any]

#: Where each rule is explained; a heading of the page bears its name.
RUNBOOK = "docs/runbook.md"
_LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
_VALUE = re.compile(r"\{\{ \$value[^}]*\}\}")


def groups() -> Sequence[Row]:
    """The groups of the data file, in order: `name`, `about`, `every`, and `records` or `alerts`."""
    return cast("Sequence[Row]", data("rules.yaml"))


def rule_files(settings: Settings) -> Mapping[str, str]:
    """`prometheus/rules/` and `prometheus/tests/`, one file for each group."""
    links = _links(settings)
    made: dict[str, str] = {}
    records = [f"../rules/{row['name']}.yml" for row in groups() if "records" in row]
    for row in groups():
        name = row["name"]
        made[f"prometheus/rules/{name}.yml"] = yaml_text({"groups": [_group(row, links)]}, row["about"])
        uses = any("costweir:" in one["expr"] for one in row.get("alerts", ()))
        needed = list(dict.fromkeys([*(records if uses else []), f"../rules/{name}.yml"]))
        tests = {"rule_files": needed, "evaluation_interval": "1m", "tests": list(_tests(row, links))}
        about = f"Unit tests of {name}: `promtool test rules {name}.yml` in this folder."
        made[f"prometheus/tests/{name}.yml"] = yaml_text(tests, about)
    return made


def _links(settings: Settings) -> Mapping[str, str]:
    ports = published(settings)
    return {
        "grafana": (settings.grafana.root_url or f"http://localhost:{ports['grafana']}").rstrip("/"),
        "costweir": (settings.oidc.public_url or f"http://localhost:{ports['web']}").rstrip("/"),
    }


def _group(row: Row, links: Mapping[str, str]) -> Mapping[str, Any]:
    rules = [_record(one) for one in row.get("records", ())] + [
        _alert(one, links) for one in row.get("alerts", ())
    ]
    return {"name": row["name"], "interval": row["every"], "rules": rules}


def _record(one: Row) -> Mapping[str, Any]:
    return {"record": one["record"], "expr": _expression(one)}


def _alert(one: Row, links: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "alert": one["alert"],
        "expr": _expression(one),
        **({"for": one["for"]} if one.get("for") else {}),
        "labels": _labels(one),
        "annotations": _annotations(one, links),
    }


def _expression(one: Row) -> str:
    return one["expr"].strip()


def _labels(one: Row) -> Mapping[str, str]:
    """What routes, groups and mutes; `budget_scope` is the same on all alerts about one budget."""
    return {
        "severity": one["severity"],
        "team": one["team"],
        "plane": one["plane"],
        "budget_scope": one.get("scope", "none"),
    }


def _annotations(one: Row, links: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "summary": one["summary"],
        "description": one["description"],
        "runbook_url": f"{RUNBOOK}#{one['alert'].lower()}",
        "dashboard": f"{links['grafana']}/d/{one['board']}",
        "link": f"{links['costweir']}{one['page']}",
    }


def _tests(row: Row, links: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
    made: list[Mapping[str, Any]] = []
    for one in row.get("records", ()):
        made += [_record_test(one, case) for case in one["cases"]]
    for one in row.get("alerts", ()):
        made += [_fires(one, case, links) for case in one["fires"]]
        made += [_quiet(one, case) for case in one["quiet"]]
        made += [_without_data(one, links)]
    return made


def _record_test(one: Row, case: Row) -> Mapping[str, Any]:
    found = [
        {"labels": one["record"] + sample["labels"], "value": sample["value"]} for sample in case["gives"]
    ]
    asked = {"expr": one["record"], "eval_time": case["at"], "exp_samples": found}
    return {
        "name": f"{one['record']}: {case['when']}",
        "interval": "1m",
        "input_series": _series(case),
        "promql_expr_test": [asked],
    }


def _fires(one: Row, case: Row, links: Mapping[str, str]) -> Mapping[str, Any]:
    return _alert_test(one, case, [_expected(one, alert, links) for alert in case["gives"]])


def _quiet(one: Row, case: Row) -> Mapping[str, Any]:
    return _alert_test(one, case, [])


def _without_data(one: Row, links: Mapping[str, str]) -> Mapping[str, Any]:
    """Without any series a rule is silent, unless the absence itself is what it tells."""
    case: Row = {"when": "no data", "series": {}, "at": "6h"}
    gives = one.get("without_data", ())
    return _alert_test(one, case, [_expected(one, alert, links) for alert in gives])


def _alert_test(one: Row, case: Row, expected: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    asked: dict[str, Any] = {"alertname": one["alert"], "eval_time": case["at"]}
    if expected:
        asked["exp_alerts"] = expected
    return {
        "name": f"{one['alert']}: {case['when']}",
        "interval": "1m",
        "input_series": _series(case),
        "alert_rule_test": [asked],
    }


def _series(case: Row) -> Sequence[Mapping[str, str]]:
    rows = cast("Mapping[str, object]", case["series"])
    return [{"series": name, "values": str(values)} for name, values in rows.items()]


def _expected(one: Row, alert: Row, links: Mapping[str, str]) -> Mapping[str, Any]:
    """Labels and annotations of an alert that fires: `labels` are the ones of the series, `value` is its value as the
    text shows it."""
    own = {key: str(value) for key, value in alert.items() if key != "value"}

    def filled(text: str) -> str:
        text = _LABEL.sub(lambda found: own.get(found[1], ""), text)
        return _VALUE.sub(str(alert.get("value", "")), text)

    labels = {key: filled(value) for key, value in _labels(one).items()}
    notes = {key: filled(value) for key, value in _annotations(one, links).items()}
    return {"exp_labels": {**own, **labels}, "exp_annotations": notes}
