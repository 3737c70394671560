"""The profile `lite` with a real engine: the services of the rendered compose file, run with exactly its rules."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from tests.containers.conftest import OFFICIAL_BYTES, Engine

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"]
LARGEST = 350_000_000

pytestmark = pytest.mark.timeout(2400)


def words_of(row: dict[str, Any], volumes: dict[str, str], *, name: str) -> list[str]:
    """`docker run` with what the compose file says; ports are any free ones."""
    limits = row["deploy"]["resources"]["limits"]
    words = [
        "--name",
        name,
        "--user",
        row["user"],
        "--read-only",
        "--init",
        "--pids-limit",
        str(row["pids_limit"]),
    ]
    words += [
        "--memory",
        limits["memory"],
        "--cpus",
        limits["cpus"],
        "--log-driver",
        row["logging"]["driver"],
    ]
    words += [f"--cap-drop={one}" for one in row["cap_drop"]]
    words += [f"--security-opt={one}" for one in row["security_opt"]]
    words += [f"--tmpfs={one}" for one in row["tmpfs"]]
    words += [f"--log-opt={key}={value}" for key, value in row["logging"]["options"].items()]
    for key, value in row.get("environment", {}).items():
        words += [
            "--env",
            f"{key}={value.partition(':-')[2].rstrip('}') if value.startswith('${') else value}",
        ]
    for mount in row["volumes"]:
        held, _, inside = mount.partition(":")
        words += ["--volume", f"{volumes[held]}:{inside}"]
    for port in row.get("ports", []):
        words += ["--publish", f"127.0.0.1::{port.rpartition(':')[2]}"]
    if "network_mode" in row:
        words += ["--network", row["network_mode"]]
    # The check itself is the image's own.
    disabled = row["healthcheck"].get("disable")
    words += ["--no-healthcheck"] if disabled else ["--health-interval", "2s"]
    return words


def wait(docker: Engine, name: str, wanted: str, seconds: float = 90) -> str:
    end = time.monotonic() + seconds
    state = ""
    while time.monotonic() < end:
        state = docker(
            "inspect", "--format", "{{.State.Health.Status}} {{.State.Status}}", name
        ).stdout.strip()
        if state.startswith(wanted) or "exited" in state:
            return state
        time.sleep(0.5)
    return state


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def volumes(docker: Engine, tmp_path: Path) -> Iterator[dict[str, str]]:
    made = {name: f"{name}-{uuid4().hex[:8]}" for name in ("costweir-data", "costweir-backup")}
    (tmp_path / "config").mkdir(mode=0o755)
    yield {**made, "./config": str(tmp_path / "config")}
    for name in made.values():
        docker("volume", "rm", "--force", name)


@pytest.fixture
def names(docker: Engine) -> Iterator[list[str]]:
    made: list[str] = []
    yield made
    for name in made:
        docker("rm", "--force", name, check=False)


def start(docker: Engine, image: str, name: str, words: list[str], *more: str) -> None:
    docker("run", "--detach", *words, image, *more)


def port_of(docker: Engine, name: str, inside: int) -> int:
    return int(docker("port", name, f"{inside}/tcp").stdout.splitlines()[0].rpartition(":")[2])


def test_the_image_is_small_and_runs_as_nobody(docker: Engine, image: str, base: str) -> None:
    size, of_base = (
        int(docker("image", "inspect", "--format", "{{.Size}}", name).stdout) for name in (image, base)
    )
    settings = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image).stdout)

    assert size - of_base + OFFICIAL_BYTES < LARGEST, (
        f"{size - of_base:,} bytes of ours on a base of {of_base:,}"
    )
    assert settings["User"] == "10001:10001"
    assert settings["Healthcheck"]
    assert not [one for one in settings["Env"] if "KEY" in one or "TOKEN" in one or "PASSWORD" in one]


def test_lite_serves_on_a_read_only_root_without_rights(
    docker: Engine, image: str, volumes: dict[str, str], names: list[str]
) -> None:
    name = f"lite-{uuid4().hex[:8]}"
    names.append(name)
    start(docker, image, name, words_of(COMPOSE["costweir-lite"], volumes, name=name))

    assert wait(docker, name, "healthy").startswith("healthy"), docker("logs", name, check=False).stderr
    web, gateway = port_of(docker, name, 8080), port_of(docker, name, 4000)
    assert get(f"http://127.0.0.1:{web}/health")[0] == 200
    assert get(f"http://127.0.0.1:{web}/ready")[0] == 200
    # Other machines may reach it, so nobody reads without a login.
    assert get(f"http://127.0.0.1:{web}/v1/questions")[0] == 401
    assert get(f"http://127.0.0.1:{web}/metrics")[0] == 401
    # The gateway is a process of its own, and may be ready a moment later.
    end = time.monotonic() + 30
    while (found := get(f"http://127.0.0.1:{gateway}/ready"))[0] != 200:
        assert time.monotonic() < end, found
        time.sleep(0.2)
    assert docker("exec", name, "id", "-u").stdout.strip() == "10001"
    assert docker("exec", name, "touch", "/opt/x", check=False).returncode != 0
    held = docker("exec", name, "sh", "-c", "grep CapEff /proc/1/status").stdout.split()[1]
    assert int(held, 16) == 0
    made = docker("exec", name, "costweir", "token", "create", "--scope", "read", "--json").stdout
    request = urllib.request.Request(f"http://127.0.0.1:{web}/metrics")
    request.add_header("Authorization", f"Bearer {json.loads(made)['token']}")
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert b"costweir_gateway_up 1" in reply.read()

    began = time.monotonic()
    docker("stop", "--time", "15", name)
    assert time.monotonic() - began < 14
    assert docker("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip() == "0"


def test_backup_copies_while_lite_runs_and_the_copy_can_be_served(
    docker: Engine, image: str, volumes: dict[str, str], names: list[str]
) -> None:
    lite, other = (f"{word}-{uuid4().hex[:8]}" for word in ("lite", "backup"))
    names += [lite, other]
    start(docker, image, lite, words_of(COMPOSE["costweir-lite"], volumes, name=lite))
    assert wait(docker, lite, "healthy").startswith("healthy"), docker("logs", lite, check=False).stderr
    docker("exec", lite, "costweir", "key", "create", "--customer", "acme", "--json")

    row = COMPOSE["backup"]
    start(docker, image, other, words_of(row, volumes, name=other), *row["command"])
    found = ""
    for _ in range(60):
        found = docker("exec", other, "sh", "-c", "ls /backup/*Z", check=False).stdout
        if found:
            break
        time.sleep(0.5)
    assert {"control.db", "facts.duckdb", "ledger.db"} <= {*found.split()}, docker(
        "logs", other, check=False
    ).stderr

    # Restore: the files of one copy are the data directory of a new server.
    docker("stop", "--time", "15", lite)
    mounts = (
        "--volume",
        f"{volumes['costweir-backup']}:/backup:ro",
        "--volume",
        f"{volumes['costweir-data']}:/data",
    )
    restore = "rm -rf /data/* && cp /backup/*Z/* /data/"
    docker("run", "--rm", "--network", "none", "--entrypoint", "sh", *mounts, image, "-c", restore)
    docker("start", lite)
    assert wait(docker, lite, "healthy").startswith("healthy"), docker("logs", lite, check=False).stderr
    keys = json.loads(docker("exec", lite, "costweir", "key", "list", "--json").stdout)["rows"]
    assert [row["customer"] for row in keys] == ["acme"]
