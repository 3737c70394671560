"""A command line that runs in this process, away from the user's own files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from costweir.cli.commands import root
from costweir.cli.frame import run


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.err.splitlines()[-1])["error"]


Cli = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any configuration; the data directory is below it."""
    for name in ("COSTWEIR_CONFIG", "COSTWEIR_DEBUG", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COSTWEIR_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def cli(home: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs `costweir` with these words."""

    def call(*words: str) -> Done:
        capfd.readouterr()
        code = run(root, words)
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return call
