"""What the servers' own tools say of the rendered files: promtool, its unit tests of every rule, and amtool.

Debian's promtool is of 2.42 and its amtool of 0.25. They do not know `storage.tsdb.retention` in the file (3.x) and the
`url_file` of a webhook (0.26), so these are taken out before they look; `PROMTOOL` and `AMTOOL` name newer ones, which
get the files as they are.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_server import binary

from costweir import config
from costweir.telemetry import render
from costweir.telemetry.stack.rules import groups


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered")
    settings = config.load(environ={"HOME": str(out)})
    render.write(out, render.rendered(settings))
    return out


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=120)


def is_old(tool: str, known: tuple[int, int]) -> bool:
    """Whether a tool is older than the version that knows everything we write."""
    said = subprocess.run([binary(tool), "--version"], capture_output=True, text=True)
    found = re.search(r"version (\d+)\.(\d+)", said.stdout + said.stderr)
    assert found, said
    return (int(found[1]), int(found[2])) < known


def for_old_alertmanager(whole: dict[str, Any]) -> dict[str, Any]:
    """A configuration as 0.25 reads it."""
    for receiver in whole["receivers"]:
        for row in receiver.get("webhook_configs", []):
            row["url"] = f"http://127.0.0.1:9/{Path(row.pop('url_file')).name}"
    return whole


@pytest.fixture
def alertmanager(folder: Path, tmp_path: Path) -> Path:
    whole = yaml.safe_load((folder / "alertmanager/alertmanager.yml").read_text())
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(for_old_alertmanager(whole) if is_old("amtool", (0, 26)) else whole))
    return path


def test_promtool_takes_the_configuration(folder: Path, tmp_path: Path) -> None:
    whole = yaml.safe_load((folder / "prometheus/prometheus.yml").read_text())
    if is_old("promtool", (3, 8)):
        del whole["storage"]["tsdb"]["retention"]
    whole["rule_files"] = [f"{folder}/prometheus/rules/*.yml"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(whole))
    (tmp_path / "token").write_text("x")

    done = run(binary("promtool"), "check", "config", "--syntax-only", "prometheus.yml", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules(folder: Path) -> None:
    rules = sorted(str(path) for path in (folder / "prometheus/rules").glob("*.yml"))
    done = run(binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *rules, cwd=folder)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(rules)


@pytest.mark.parametrize("name", [row["name"] for row in groups()])
def test_every_rule_fires_is_quiet_and_knows_what_no_data_means(folder: Path, name: str) -> None:
    done = run(binary("promtool"), "test", "rules", f"{name}.yml", cwd=folder / "prometheus/tests")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_rule_would_be_found(folder: Path, tmp_path: Path) -> None:
    """The unit tests judge: with another threshold they fail."""
    for part in ("rules", "tests"):
        (tmp_path / part).mkdir()
        for path in (folder / "prometheus" / part).glob("*.yml"):
            (tmp_path / part / path.name).write_text(path.read_text())
    rules = tmp_path / "rules/budgets.yml"
    rules.write_text(rules.read_text().replace(">= 0.8", ">= 0.9"))

    assert run(binary("promtool"), "test", "rules", "budgets.yml", cwd=tmp_path / "tests").returncode == 1


def test_amtool_takes_the_configuration(alertmanager: Path) -> None:
    done = run(binary("amtool"), "check-config", str(alertmanager), cwd=alertmanager.parent)

    assert done.returncode == 0, done.stdout + done.stderr


ROUTES: Mapping[str, str] = {
    "severity=critical team=platform plane=request": "pager,chat-critical",
    "severity=critical team=finops plane=budget": "pager,chat-critical",
    "severity=warning team=finops plane=budget": "chat",
    "severity=warning team=platform plane=platform": "chat",
    "severity=info team=finops plane=request": "mail",
    "alertname=Heartbeat severity=info": "heartbeat",
    "alertname=Other": "chat",
}


@pytest.mark.parametrize(("labels", "receivers"), ROUTES.items())
def test_an_alert_takes_its_route(alertmanager: Path, labels: str, receivers: str) -> None:
    words = ("config", "routes", "test", f"--config.file={alertmanager}", f"--verify.receivers={receivers}")
    done = run(binary("amtool"), *words, *labels.split(), cwd=alertmanager.parent)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_of_the_rules_has_a_receiver_that_tells_somebody(
    alertmanager: Path, folder: Path
) -> None:
    """No rule has labels that no route was meant for."""
    for row in groups():
        for one in row.get("alerts", ()):
            labels = [f"{key}={one[key]}" for key in ("severity", "team", "plane")] + [
                f"alertname={one['alert']}"
            ]
            words = ("config", "routes", "test", f"--config.file={alertmanager}")
            said = run(binary("amtool"), *words, *labels, cwd=folder).stdout.strip()
            assert said in ("pager,chat-critical", "chat", "mail", "heartbeat"), one["alert"]
