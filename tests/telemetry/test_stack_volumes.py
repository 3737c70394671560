"""Who may write into a volume: a new one belongs to root, unless the image has the folder with an owner of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import yaml

from costweir import config
from costweir.telemetry import render

#: Folders that an image gives to the user that it runs as, by the first part of its name.
OWNED = {
    "costweir": {"/data", "/backup", "/run/tokens"},
    "docker.io/timescale/timescaledb": {"/var/lib/postgresql/data"},
    "docker.io/prom/prometheus": {"/prometheus"},
    "docker.io/prom/alertmanager": {"/alertmanager"},
    "docker.io/grafana/grafana": {"/var/lib/grafana"},
    "docker.io/grafana/loki": {"/loki"},
    "docker.io/grafana/alloy": {"/var/lib/alloy/data"},
    "docker.io/grafana/tempo": {"/var/tempo"},
    "docker.io/library/redis": {"/data"},
    "docker.io/clickhouse/clickhouse-server": {"/var/lib/clickhouse"},
    "docker.io/chrislusf/seaweedfs": {"/data"},
}


def test_a_service_may_write_into_its_volumes(tmp_path: Path) -> None:
    made = render.rendered(config.load(environ={"HOME": str(tmp_path)}), "")
    whole = yaml.safe_load(made["compose/compose.yaml"])
    seen = 0
    for name, row in whole["services"].items():
        for mount in row.get("volumes", ()):
            source, target, *mode = mount.split(":")
            if source in whole["volumes"] and mode != ["ro"]:
                assert target in OWNED[row["image"].rpartition(":")[0]], (name, mount)
                seen += 1
    assert seen > len(OWNED)


def test_dumps_are_kept_in_the_folder_that_is_named(tmp_path: Path) -> None:
    made = render.rendered(config.load(environ={"HOME": str(tmp_path)}), "")
    row = yaml.safe_load(made["compose/compose.yaml"])["services"]["backup-postgres"]
    assert f"postgres-backup:{row['environment']['DUMPS']}" in row["volumes"]
    tools, dumps = tmp_path / "bin", tmp_path / "dumps"
    tools.mkdir()
    dumps.mkdir()
    secret = tmp_path / "password"
    secret.write_text("x")
    for name, text in {
        "psql": "echo costweir",
        "pg_dump": 'for word; do case "$word" in --file=*) echo whole > "${word#--file=}";; esac; done',
        "pg_restore": 'test -s "$2"',
        "sleep": "kill $PPID",
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    for day in range(3):
        (dumps / f"costweir-2026-01-0{day + 1}T000000Z.dump").write_text("old")
    script = made["compose/dump.sh"].replace("/run/secrets/postgres_password", str(secret))
    path = f"{tools}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": path, "DUMPS": str(dumps), "KEEP": "2"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert json.loads(ran.stdout)["event"] == "backup"
    assert ran.stderr == ""
    kept = sorted(file.name for file in dumps.glob("*"))
    assert len(kept) == 2
    assert kept[0] == "costweir-2026-01-03T000000Z.dump"
    assert (dumps / kept[1]).read_text() == "whole\n"
