"""Each kind of live source the whole way: `connect` prints, checks and writes it, `up` pulls it by itself, and `ask`
gives the bill of its double; also after the provider has restated a day."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.sources.live.kinds import KINDS, following, month

from costweir.control import Control
from costweir.control.pulls import PullState, pull_state, remember_pull

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

UP = ["up", "--web-port", "0", "--gateway-port", "0", "--mcp-port", "0", "--otlp-port", "0"]


@contextmanager
def up(folder: Path) -> Iterator[list[str]]:
    """The server as its own process; what it said on stderr is in the list afterwards."""
    said: list[str] = []
    server = subprocess.Popen(
        [sys.executable, "-m", "costweir", *UP],
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield said
    finally:
        server.send_signal(signal.SIGTERM)
        said.append(server.communicate(timeout=20)[1])
    assert server.returncode == 0, said


def state(folder: Path) -> PullState:
    if not (folder / "server.json").exists():
        return PullState("live")
    with Control.open(folder / "control.db", read_only=True) as control:
        return pull_state(control, "live")


def pulled_by_the_schedule(folder: Path) -> PullState:
    """The state after a pull that nobody asked for."""
    deadline = time.monotonic() + 60
    while (found := state(folder)).status not in ("ok", "failed"):
        assert time.monotonic() < deadline, f"it was not pulled: {found}"
        time.sleep(0.1)
    return found


def make_due(folder: Path) -> None:
    """As if the last pull had been long ago."""
    with Control.open(folder / "control.db") as control:
        remember_pull(control, PullState("live", last_attempt="2026-01-01T00:00:00.000Z"))


def spent(cli: Cli) -> Decimal:
    since, until = f"{month():%Y-%m-%d}", f"{following():%Y-%m-%d}"
    done = cli("ask", "spend", "--since", since, "--until", until, "--json")
    assert done.code in (0, 4), done.err
    return Decimal(done.json["total"])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", list(KINDS))
def test_a_source_is_connected_pulled_by_the_schedule_and_asked_about(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = home / "data"
    folder.mkdir()
    with KINDS[name]() as kind:
        for variable, value in kind.environ.items():
            monkeypatch.setenv(variable, value)

        done = cli(
            "connect", kind.provider, "--id", "live", *kind.words, "--every", "1m", "--write", "--json"
        )
        assert done.code == 0, done.err + done.out
        told = done.json
        assert (told["kind"], told["ok"], told["written"]) == (name, True, True)
        assert kind.allows in told["policy"]
        assert told["usual_lag_hours"] >= 1
        assert (told["rows"], told["first_day"], told["last_day"]) == (
            kind.rows, kind.first and kind.first.isoformat(), kind.last and kind.last.isoformat(),
        )  # fmt: skip
        [written] = tomllib.loads((folder / "costweir.toml").read_text())["sources"]
        assert (written["id"], written["kind"], written["every"]) == ("live", name, "1m")

        bill = kind.total()
        with up(folder) as said:
            assert pulled_by_the_schedule(folder).note == ""
            assert spent(cli) == bill
        kind.restate()
        assert kind.total() != bill
        make_due(folder)
        with up(folder) as later:
            assert pulled_by_the_schedule(folder).note == ""
            assert spent(cli) == kind.total()
            runs = cli("runs", "--json").json["rows"]

        assert [(run["connection"], run["status"]) for run in runs] == [("live", "loaded")] * 2
        assert all(
            run["rows_in"] == run["rows_stored"] + run["rows_skipped"] + run["rows_quarantined"]
            for run in runs
        )
        kept = "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
        for secret in kind.secrets:
            assert secret not in kept + done.out + done.err + "".join(said + later)
