"""The child process: progress, errors and kills reach the caller, and nothing is left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from costweir.errors import ConfigError, Error, SourceRejected, UsageError
from costweir.sources.attribution import AttributionRules
from costweir.sources.stage import Progress, StageOptions, stage
from costweir.sources.staging.pieces import CUT_FROM

Line = dict[str, str]
Csv = Callable[..., str]


@pytest.fixture
def bill(tmp_path: Path, as_csv: Csv, nova: Line, claude: Line) -> Path:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova, claude]))
    return path


def children() -> set[int]:
    """The processes that this one has started."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if listed.exists():
        return {int(pid) for pid in listed.read_text().split()}
    with subprocess.Popen(["pgrep", "-P", str(os.getpid())], stdout=subprocess.PIPE, text=True) as asked:
        return {int(pid) for pid in asked.communicate()[0].split()} - {asked.pid}


def test_a_run_crosses_the_process_border_unharmed(bill: Path, tmp_path: Path, stager: Any) -> None:
    steps: list[Progress] = []

    staged = stage([str(bill)], into=tmp_path / "in", options=StageOptions(), progress=steps.append)

    (mine,), (here,) = staged.slots, stager(bill).slots
    for name in ("slot", "rows_in", "billed_total", "file_total", "content_hash", "rules_hash", "first_day"):
        assert getattr(mine.load, name) == getattr(here.load, name)
    assert {step.phase for step in steps} == {"find", "read", "write"}
    assert mine.charges.is_relative_to(staged.directory)
    assert not (staged.directory / "work").exists()


def test_options_cross_the_border(bill: Path, tmp_path: Path) -> None:
    rules = AttributionRules.load().with_accounts({"444455556666": "globex"})
    options = StageOptions(source="aws-cur", sample=True, attribution=rules)
    staged = stage([str(bill)], into=tmp_path / "in", options=options)
    assert staged.slots[0].load.sample
    assert staged.slots[0].load.source == "aws-cur"


@pytest.mark.parametrize(
    ("paths", "options", "kind"),
    [
        ([], StageOptions(), UsageError),
        (["nowhere.csv"], StageOptions(), UsageError),
        (["ftp://host/x.csv"], StageOptions(), UsageError),
        (["*.nothing"], StageOptions(), UsageError),
        (["bill.csv"], StageOptions(source="nope"), ConfigError),
        (["bill.csv"], StageOptions(source="focus"), SourceRejected),
    ],
)
def test_errors_keep_their_kind_and_their_hint(
    bill: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    paths: list[str],
    options: Any,
    kind: type[Error],
) -> None:
    monkeypatch.chdir(bill.parent)
    with pytest.raises(kind) as caught:
        stage(paths, into=tmp_path / "in", options=options)
    assert caught.value.message
    assert caught.value.hint
    assert list((tmp_path / "in").glob("*")) == []


@pytest.fixture
def large(tmp_path: Path, as_csv: Csv, nova: Line) -> Path:
    path = tmp_path / "large.csv"
    head, line = as_csv([nova]).splitlines()
    path.write_text("\n".join([head, *[line] * 150_000]))
    return path


def test_a_killed_child_is_one_clear_error_and_the_next_run_is_as_if_nothing_was(
    large: Path, tmp_path: Path
) -> None:
    before = children()
    killed: list[int] = []

    def kill(step: Progress) -> None:
        if step.phase == "read" and not killed:
            killed.extend(children() - before)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(Error, match="ended before it was done; nothing was loaded") as caught:
        stage([str(large)], into=tmp_path / "in", options=StageOptions(), progress=kill)
    assert killed
    assert caught.value.hint
    assert list((tmp_path / "in").iterdir()) == []

    again = stage([str(large)], into=tmp_path / "in", options=StageOptions())
    assert again.slots[0].load.rows_stored == 150_000


def test_what_a_killed_run_left_is_swept_by_the_next(bill: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / "in" / f"stage-{gone.pid}-1"
    mine = tmp_path / "in" / f"stage-{os.getpid()}-1"
    for folder in (left, mine):
        (folder / "charges").mkdir(parents=True)

    stage([str(bill)], into=tmp_path / "in", options=StageOptions())

    assert not left.exists()
    assert mine.exists()


def test_a_caller_that_gives_up_ends_the_child(large: Path, tmp_path: Path) -> None:
    class GaveUpError(Exception):
        pass

    before = children()

    def give_up(_step: Progress) -> None:
        raise GaveUpError

    with pytest.raises(GaveUpError):
        stage([str(large)], into=tmp_path / "in", options=StageOptions(), progress=give_up)
    assert children() == before
    assert list((tmp_path / "in").iterdir()) == []


@pytest.fixture
def little_disk() -> Iterator[None]:
    """No file of this process or its children may grow past 200 KB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, CUT_FROM["none"]], ids=["at once", "in pieces"])
def test_a_full_disk_is_one_clear_error(
    tmp_path: Path, as_csv: Csv, nova: Line, request: pytest.FixtureRequest, size: int
) -> None:
    path = tmp_path / "bill.csv"
    text = as_csv([nova | {"lineItem/ResourceId": os.urandom(64).hex()} for _ in range(8000)])
    header, _, lines = text.partition("\n")
    path.write_text(f"{header}\n{lines * (1 + size // len(lines))}")
    request.getfixturevalue("little_disk")

    with pytest.raises(Error) as caught:
        stage([str(path)], into=tmp_path / "in", options=StageOptions())

    assert type(caught.value) is Error
    assert "is full; nothing was loaded" in caught.value.message
    assert "Free some space" in caught.value.hint
    assert list((tmp_path / "in").iterdir()) == []


def test_two_runs_at_once_do_not_disturb_each_other(bill: Path, tmp_path: Path) -> None:
    found: list[int] = []

    def run() -> None:
        staged = stage([str(bill)], into=tmp_path / "in", options=StageOptions())
        found.append(staged.slots[0].load.rows_stored)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2, 2]
