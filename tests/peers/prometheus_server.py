"""A real Prometheus for tests: it scrapes what it is told to, and is asked in PromQL.

`apt-get install prometheus` brings 2.42, which knows the syntax of 2.x only; `PROMETHEUS` names another binary.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

#: The formats that Prometheus 2.42 asks for.
ACCEPT = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def binary(name: str = "prometheus") -> str:
    """The path of a program of Prometheus; skips the test, loudly, where it is not installed."""
    found = os.environ.get(name.upper()) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here: apt-get install prometheus prometheus-alertmanager")
    return found


@dataclass(frozen=True)
class Target:
    """Something that is scraped. `token_file` holds a bearer token."""

    job: str
    url: str
    path: str = "/metrics"
    token_file: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    def config(self) -> dict[str, Any]:
        """Its `scrape_configs` entry."""
        made: dict[str, Any] = {
            "job_name": self.job, "metrics_path": self.path,
            "static_configs": [{"targets": [urlsplit(self.url).netloc], "labels": dict(self.labels)}],
        }  # fmt: skip
        if self.token_file is not None:
            made["authorization"] = {"type": "Bearer", "credentials_file": str(self.token_file)}
        return made


@dataclass
class Prometheus:
    """One that runs."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def api(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of the HTTP API. Raises AssertionError with what it says is wrong."""
        address = f"{self.url}/api/v1/{path}"
        if parameters:
            address += "?" + urlencode(parameters)
        try:
            with urlopen(Request(address), timeout=20) as reply:
                said = json.loads(reply.read())
        except HTTPError as error:
            said = json.loads(error.read())
        assert said["status"] == "success", said
        return said["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query: `metric` and `value` each. Raises AssertionError for a wrong expression."""
        found = self.api("query", query=expression)
        return (
            found["result"] if found["resultType"] == "vector" else [{"metric": {}, "value": found["result"]}]
        )

    def value(self, expression: str) -> float | None:
        """The only value of an expression, or None."""
        found = self.query(expression)
        assert len(found) <= 1, (expression, found)
        return float(found[0]["value"][1]) if found else None

    def names(self) -> set[str]:
        """Every name of a metric that was scraped."""
        return set(self.api("label/__name__/values"))

    def targets(self) -> dict[str, dict[str, Any]]:
        """The active targets by job."""
        return {found["labels"]["job"]: found for found in self.api("targets")["activeTargets"]}

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing."""
        return self.api("alerts")["alerts"]

    def wait_for(self, expression: str, seconds: float = 20) -> list[dict[str, Any]]:
        """The result of a query as soon as there is one. Raises AssertionError in the end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.query(expression)
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"nothing for {expression!r}; targets: {self.targets()}")

    def wait_up(self, job: str, seconds: float = 20) -> None:
        """Waits until a job was scraped well."""
        self.wait_for(f'up{{job="{job}"}} == 1', seconds)


def write_config(
    folder: Path, targets: Sequence[Target], *, rules: Sequence[Path] = (), alertmanager: str = "", every: str = "1s"
) -> Path:  # fmt: skip
    """Writes a `prometheus.yml`; JSON is YAML."""
    made: dict[str, Any] = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [target.config() for target in targets],
    }
    if alertmanager:
        found = {"static_configs": [{"targets": [urlsplit(alertmanager).netloc]}]}
        made["alerting"] = {"alertmanagers": [found]}
    path = folder / "prometheus.yml"
    path.write_text(json.dumps(made, indent=2))
    return path


@contextmanager
def prometheus(
    folder: Path, targets: Sequence[Target] = (), *, config: Path | None = None, rules: Sequence[Path] = (),
    alertmanager: str = "", every: str = "1s",
) -> Iterator[Prometheus]:  # fmt: skip
    """A Prometheus on loopback that scrapes `targets`, or runs with a `config` of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    file = config or write_config(folder, targets, rules=rules, alertmanager=alertmanager, every=every)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "prometheus.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                binary(), f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage",
            ],
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        made = Prometheus(f"http://127.0.0.1:{port}", process, log)
        _until_ready(made)
        yield made
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(made: Prometheus) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urlopen(f"{made.url}/-/ready", timeout=5) as reply:
                if reply.status == 200:
                    return
        except OSError:
            pass
        assert made.process.poll() is None, made.log.read_text()
        assert time.monotonic() < deadline, made.log.read_text()
        time.sleep(0.05)


def check_metrics(exposition: str) -> list[str]:
    """What `promtool check metrics` has to remark about a text in the format 0.0.4."""
    done = subprocess.run(
        [binary("promtool"), "check", "metrics"], input=exposition.encode(), capture_output=True, timeout=30
    )
    return (done.stdout + done.stderr).decode().splitlines()
