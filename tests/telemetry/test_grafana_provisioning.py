"""Data sources, providers and scripts of Grafana: today's plugins, no secret, nothing that can be edited by hand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from costweir.config import load
from costweir.telemetry import grafana
from costweir.telemetry.grafana.provisioning import sources

#: Data sources of DSH-64 with the ids that their plugins have now.
PLUGINS = {
    "prometheus", "loki", "tempo", "grafana-postgresql-datasource", "grafana-bigquery-datasource",
    "grafana-redshift-datasource", "mssql", "grafana-azure-monitor-datasource", "cloudwatch",
    "googlecloud-logging-datasource", "stackdriver", "grafana-clickhouse-datasource", "yesoreyeram-infinity-datasource",
}  # fmt: skip


@pytest.fixture(scope="module")
def rendered() -> Mapping[str, str]:
    return grafana.files(load(path=None, environ={}, overrides={}), "")


def test_every_data_source_is_there_with_the_id_of_its_plugin() -> None:
    assert {source["type"] for source in sources()} == PLUGINS
    uids = [source["uid"] for source in sources()]
    assert len(set(uids)) == len(uids)


def test_data_sources_are_fixed_prunable_and_hold_no_secret(rendered: Mapping[str, str]) -> None:
    files = {path: text for path, text in rendered.items() if "/datasources/" in path}
    assert files
    for path, text in files.items():
        table = yaml.safe_load(text)
        assert table["apiVersion"] == 1
        assert table["prune"] is True, path
        for source in table["datasources"]:
            assert source["editable"] is False
            assert source["uid"].startswith("costweir-")
            assert "database" not in source
            for value in source.get("secureJsonData", {}).values():
                assert re.fullmatch(r"\$__file\{/run/\S+\}|\$[A-Z_]+", value), path


def test_loki_and_prometheus_have_the_settings_that_were_asked_for(rendered: Mapping[str, str]) -> None:
    table = yaml.safe_load(rendered["grafana/provisioning/datasources/costweir.yaml"])
    found = {source["uid"]: source["jsonData"] for source in table["datasources"]}
    assert found["costweir-prometheus"]["timeInterval"] == "15s"
    assert found["costweir-loki"]["maxLines"] == 1000


def test_boards_come_from_files_and_nobody_edits_them(rendered: Mapping[str, str]) -> None:
    (provider,) = yaml.safe_load(rendered["grafana/provisioning/dashboards/costweir.yaml"])["providers"]
    assert provider["allowUiUpdates"] is False
    assert provider["updateIntervalSeconds"] == 10
    assert provider["folderUid"] == "costweir"
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


class _Grafana(BaseHTTPRequestHandler):
    """Remembers what it is asked, and knows one team already."""

    asked: list[tuple[str, str, Any]]

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.asked.append((self.command, self.path, body))
        known = {
            "/api/teams/search?name=finance": {
                "totalCount": 1,
                "teams": [{"id": 7, "orgId": 1, "name": "finance"}],
            }
        }
        made = {
            "/api/teams": {"teamId": 9, "message": "Team created"},
            "/api/orgs": {"orgId": 3, "message": "made"},
        }
        found = known.get(self.path) or made.get(self.path) or {"totalCount": 0, "teams": []}
        text = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    asked: list[tuple[str, str, Any]] = []
    handler = type("Handler", (_Grafana,), {"asked": asked})
    found = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}", asked
    found.shutdown()
    found.server_close()
    thread.join()


def run(path: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(path), *args]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, timeout=30
    )


def test_teams_are_made_once_and_may_look_at_the_folder(
    rendered: Mapping[str, str], server: tuple[str, list[tuple[str, str, Any]]], tmp_path: Path
) -> None:
    script = tmp_path / "teams.sh"
    script.write_text(rendered["grafana/setup/teams.sh"], encoding="utf-8")
    done = run(script, GRAFANA_URL=server[0], GRAFANA_TOKEN="t")
    assert done.returncode == 0, done.stderr
    posted = [(path, body) for method, path, body in server[1] if method == "POST"]
    assert [body["name"] for path, body in posted if path == "/api/teams"] == ["engineering", "on-call"]
    path, body = posted[-1]
    assert path == "/api/folders/costweir/permissions"
    assert body == {"items": [{"teamId": number, "permission": 1} for number in (7, 9, 9)]}


def test_boards_can_be_brought_in_through_the_api(
    rendered: Mapping[str, str], server: tuple[str, list[tuple[str, str, Any]]], tmp_path: Path
) -> None:
    script, board = tmp_path / "import.sh", tmp_path / "executive.json"
    script.write_text(rendered["grafana/setup/import.sh"], encoding="utf-8")
    board.write_text(rendered["grafana/dashboards/executive.json"], encoding="utf-8")
    done = run(script, str(board), GRAFANA_URL=server[0], GRAFANA_TOKEN="t")
    assert done.returncode == 0, done.stderr
    ((_, path, body),) = server[1]
    assert path == "/api/dashboards/db"
    assert body["folderUid"] == "costweir"
    assert body["dashboard"]["uid"] == "costweir-executive"


def test_scripts_say_what_they_miss(rendered: Mapping[str, str], tmp_path: Path) -> None:
    for name in ("teams.sh", "tenant.sh", "import.sh"):
        script = tmp_path / name
        script.write_text(rendered[f"grafana/setup/{name}"], encoding="utf-8")
        done = run(script, "acme", str(tmp_path / "token"))
        assert done.returncode != 0
        assert "Grafana" in done.stderr
