"""Tests with a real container engine run only when they are asked for: `make test-containers`.

An engine that runs is used. Without one, and as root, a private `dockerd` is started in a temporary folder. The base
image is pulled; where no registry can be reached, Debian's own Python stands in for it under another name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OFFICIAL = "docker.io/library/python:3.13-slim-bookworm"
STAND_IN = "costweir-python-stand-in:bookworm"
#: The official image, unpacked, in bytes; its layers could not be looked at where no registry answers.
OFFICIAL_BYTES = 125_000_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-containers", action="store_true", help="run the tests with a container engine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-containers", default=False):
        return
    reason = pytest.mark.skip(reason="needs --run-containers")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(reason)


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine and how it is called."""

    host: str | None

    def __call__(
        self, *words: str, check: bool = True, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, **({"DOCKER_HOST": self.host} if self.host else {}), "DOCKER_BUILDKIT": "0"}
        done = subprocess.run(
            ["docker", *words], env=environ, capture_output=True, text=True, timeout=seconds
        )
        assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stderr or done.stdout}"
        return done


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if not shutil.which("docker"):
        pytest.skip("there is no docker command; on Debian: apt install docker.io")
    running = Engine(None)
    if running("info", check=False).returncode == 0:
        yield running
        return
    if not shutil.which("dockerd") or os.geteuid() != 0:
        pytest.skip("no container engine answers, and none can be started here")
    folder = tmp_path_factory.mktemp("engine")
    words = ["--data-root", "root", "--exec-root", "exec", "--pidfile", "pid"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["dockerd", "--host", f"unix://{folder}/sock", *words], cwd=folder, stdout=log, stderr=log
        )
    engine = Engine(f"unix://{folder}/sock")
    try:
        for _ in range(60):
            if engine("info", check=False).returncode == 0:
                break
            time.sleep(0.5)
        else:
            pytest.skip(f"dockerd does not start here: {(folder / 'log').read_text()[-400:]}")
        yield engine
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def base(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the Python image."""
    given = os.environ.get("COSTWEIR_TEST_PYTHON_IMAGE")
    if given:
        return given
    try:
        if docker("pull", OFFICIAL, check=False, seconds=60).returncode == 0:
            return OFFICIAL
    except subprocess.TimeoutExpired:
        pass
    if not shutil.which("mmdebstrap"):
        pytest.skip(
            "no registry answers, and there is no mmdebstrap for a stand-in; on Debian: apt install mmdebstrap"
        )
    folder = tmp_path_factory.mktemp("base")
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(
        ["mmdebstrap", "--variant=minbase", packages, "bookworm", "base.tar"], cwd=folder, check=True
    )
    docker("import", str(folder / "base.tar"), f"{STAND_IN}-bare", seconds=300)
    # What this machine trusts, so that its package registry is trusted in the build as well.
    trusted = Path("/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(trusted, folder / "ca.crt")
    (folder / "base.tar").unlink()
    (folder / "Dockerfile").write_text(
        f"FROM {STAND_IN}-bare\nCOPY ca.crt {trusted}\nENV SSL_CERT_FILE={trusted} PIP_CERT={trusted}\n"
        "RUN ln -sf /usr/bin/python3 /usr/local/bin/python\n"
    )
    docker("build", "--tag", STAND_IN, str(folder), seconds=300)
    return STAND_IN


@pytest.fixture(scope="session")
def image(docker: Engine, base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Our image, built from a copy: the old builder stumbles over files that come and go in the working tree."""
    folder = tmp_path_factory.mktemp("context")
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in ("Dockerfile", ".dockerignore", *(line[1:] for line in ignored if line.startswith("!"))):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "vega.js"))
        else:
            shutil.copy(source, folder / name)
    words = ("--network", "host", "--build-arg", f"PYTHON_IMAGE={base}", "--tag", "costweir:test")
    docker("build", *words, str(folder), seconds=1800)
    return "costweir:test"
