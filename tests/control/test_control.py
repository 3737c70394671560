"""What people set is never lost, and a load that a crash cut short says so."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from costweir import config
from costweir.control import Budget, Control, Customer, Outcome, Plan
from costweir.errors import Conflict, NotAllowed, NotFound, StoreLocked, Unreachable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


def settings_of(folder: Path, text: str) -> config.Settings:
    file = folder / "costweir.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(path=file, environ={})


OUTCOME = Outcome(
    status="loaded",
    account="123",
    period="2026-10",
    rows_in=10,
    rows_stored=7,
    rows_skipped=2,
    rows_quarantined=1,
    billed_total=Decimal("12.345"),
    file_total=Decimal(20),
    currency="USD",
    content_hash="abc",
)


def test_a_run_is_written_at_its_start_and_completed_at_its_end(path: Path) -> None:
    with Control.open(path) as control:
        name = control.start_run(source="aws-cur", files=["a.csv", "b.csv"])
        assert control.runs()[0].status == "running"
        control.finish_run(name, OUTCOME)
        [run] = control.runs()

    shown = run.to_json()
    assert shown["run_id"] == name
    assert (run.source, run.account, run.period, run.status) == ("aws-cur", "123", "2026-10", "loaded")
    assert (run.billed_total, run.file_total, run.currency) == ("12.345", "20.00", "USD")
    assert shown["files"] == ["a.csv", "b.csv"]
    assert run.started_at.endswith("Z")
    assert run.finished_at >= run.started_at


def test_the_counts_of_a_run_have_to_add_up(path: Path) -> None:
    with Control.open(path) as control:
        name = control.start_run(source="focus")
        with pytest.raises(ValueError, match="stored"):
            control.finish_run(name, Outcome(status="loaded", rows_in=3, rows_stored=1))
        assert control.runs()[0].status == "running"


def test_finishing_a_run_that_never_started_is_refused(path: Path) -> None:
    with Control.open(path) as control, pytest.raises(NotFound):
        control.finish_run("nothing", Outcome(status="failed"))


def test_runs_come_newest_first_and_no_more_than_asked_for(path: Path) -> None:
    with Control.open(path) as control:
        names = [control.start_run(source="focus", run_id=f"run-{number}") for number in range(5)]
        assert [run.run_id for run in control.runs(3)] == names[:1:-1]


KILLED = """
import os, signal, sys
from pathlib import Path
from costweir.control import Control
control = Control.open(Path(sys.argv[1]))
control.start_run(source="aws-cur", run_id="cut-short")
print("started", flush=True)
sys.stdin.readline()
"""


def start_and_hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def test_a_run_that_a_killed_process_left_shows_as_failed_at_the_next_open(path: Path) -> None:
    process = start_and_hold(path)
    with process:
        with Control.open(path) as control:
            assert control.runs()[0].status == "running"
        with Control.open(path, read_only=True) as reader:
            assert reader.runs()[0].status == "running"
        os.kill(process.pid, signal.SIGKILL)

    with Control.open(path, read_only=True) as reader:
        assert reader.runs()[0].status == "failed"
    with Control.open(path) as control:
        [run] = control.runs()
    assert run.status == "failed"
    assert "ended before the load" in run.note
    assert run.finished_at


def test_what_the_file_no_longer_says_goes_and_what_was_set_by_hand_stays(tmp_path: Path, path: Path) -> None:
    with Control.open(path) as control:
        control.add(Customer("by-hand", "By Hand"))
        control.sync(
            settings_of(
                tmp_path,
                'plans = [ { id = "p", price_usd = "49.50" } ]\n'
                'customers = [ { id = "acme", plan = "p", since = "2026-01-31" }, { id = "zeta" } ]\n'
                'budgets = [ { id = "b", scope = { customer = "acme" }, limit_usd = "1.10" } ]\n',
            )
        )
        assert [row.id for row in control.customers()] == ["acme", "by-hand", "zeta"]
        assert control.customers()[0].to_json() == {
            "id": "acme", "name": "acme", "plan": "p", "since": "2026-01-31", "origin": "config",
        }  # fmt: skip
        assert control.plans()[0].price_usd == "49.50"
        budget = control.budgets()[0].to_json()
        assert (budget["scope"], budget["limit_usd"]) == ({"customer": "acme"}, "1.10")

        control.sync(settings_of(tmp_path, 'customers = [ { id = "zeta" } ]'))

        assert [row.id for row in control.customers()] == ["by-hand", "zeta"]
        assert control.plans() == []
        assert control.budgets() == []


def test_a_hand_made_entry_that_the_file_covers_comes_back_when_the_file_lets_go(
    tmp_path: Path, path: Path
) -> None:
    with Control.open(path) as control:
        control.add(Customer("acme", "By hand"))
        control.sync(settings_of(tmp_path, 'customers = [ { id = "acme", name = "From the file" } ]'))
        assert [row.name for row in control.customers()] == ["From the file"]
        control.sync(settings_of(tmp_path, ""))
        assert [row.name for row in control.customers()] == ["By hand"]
        assert control.drop(Customer, "acme") is True
        assert control.drop(Customer, "acme") is False
        assert control.customers() == []


def test_a_sync_that_fails_changes_nothing(tmp_path: Path, path: Path) -> None:
    with Control.open(path) as control:
        control.sync(settings_of(tmp_path, 'customers = [ { id = "acme" } ]'))
        with pytest.raises(ValueError, match="origin"):
            control.replace(
                Customer, "config", [Customer("new", origin="config"), Customer("x", origin="user")]
            )
        assert [row.id for row in control.customers()] == ["acme"]


def test_the_sample_world_is_below_everything_else(path: Path) -> None:
    with Control.open(path) as control:
        control.replace(Plan, "demo", [Plan("p", price_usd="1.00", origin="demo")])
        control.add(Plan("p", price_usd="2.00"))
        assert control.plans()[0].price_usd == "2.00"
        control.add(Budget("b", {"limit_usd": "1", "scope": {"customer": "ä"}}))
        assert control.budgets()[0].definition["scope"] == {"customer": "ä"}


def test_what_is_remembered_survives_a_restart(path: Path) -> None:
    with Control.open(path) as control:
        control.put("since", "2026")
        control.put("since", "2027")
        control.save_view("cost by model", "/explore?by=model")
        control.save_view("cost by model", "/explore?by=model&limit=5")
    with Control.open(path) as control:
        assert control.get("since") == "2027"
        assert control.get("never", "nothing") == "nothing"
        assert [(view.name, view.link) for view in control.views()] == [
            ("cost by model", "/explore?by=model&limit=5")
        ]
        assert control.drop_view("cost by model") is True
        assert control.views() == []


@pytest.mark.parametrize(
    "link", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_a_saved_view_cannot_lead_to_another_site(path: Path, link: str) -> None:
    with Control.open(path) as control, pytest.raises(ValueError, match="not a page"):
        control.save_view("x", link)


def test_many_threads_write_and_read_without_losing_a_row(path: Path) -> None:
    with Control.open(path) as control:

        def work(worker: int) -> None:
            for number in range(20):
                control.add(Customer(f"{worker}-{number}"))
                control.customers()

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(control.customers()) == 80


def test_two_handles_on_one_file_see_each_other(path: Path) -> None:
    with Control.open(path) as one, Control.open(path) as other:
        one.put("key", "value")
        assert other.get("key") == "value"


def test_reading_only_refuses_to_write(path: Path) -> None:
    Control.open(path).close()
    with Control.open(path, read_only=True) as control, pytest.raises(NotAllowed):
        control.put("a", "b")


def test_reading_a_file_that_is_not_there_reads_an_empty_one_and_makes_nothing(path: Path) -> None:
    with Control.open(path, read_only=True) as control:
        assert control.runs() == []
        assert control.customers() == []
    assert list(path.parent.iterdir()) == []


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    Control.open(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    Control.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()

    for read_only in (False, True):
        with pytest.raises(Conflict, match="newer"):
            Control.open(path, read_only=read_only)


def test_a_file_that_is_no_database_is_refused_in_one_sentence(path: Path) -> None:
    path.write_bytes(b"this is no database at all, only text that somebody put there" * 20)

    for read_only in (False, True):
        with pytest.raises(Unreachable, match="no database"):
            Control.open(path, read_only=read_only)


def test_a_file_that_another_process_holds_is_told_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costweir.control.database.BUSY_MILLISECONDS", 50)
    with Control.open(path) as control:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLocked):
            control.put("a", "b")
        other.close()
        control.put("a", "b")


def test_a_failed_statement_rolls_everything_back(path: Path) -> None:
    from costweir.control.database import Database

    database = Database.open(path)
    with pytest.raises(RuntimeError), database.write() as run:  # noqa: PT012 - the block is the transaction
        run("INSERT INTO meta VALUES ('a', 'b')")
        raise RuntimeError
    assert database.read("SELECT * FROM meta") == []
    database.close()
    database.close()


def test_a_reader_waits_for_the_first_start_that_is_still_making_the_file(path: Path) -> None:
    Control.open(path).close()
    raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    version = raw.execute("PRAGMA user_version").fetchone()[0]
    raw.execute("PRAGMA user_version = 1")
    with pytest.raises(Conflict, match="older version"):
        Control.open(path, read_only=True)

    writers = path.with_name("control.db.writers").open("a+")
    fcntl.flock(writers, fcntl.LOCK_SH)
    done = threading.Timer(0.3, lambda: raw.execute(f"PRAGMA user_version = {version}"))
    done.start()
    with Control.open(path, read_only=True) as control:
        assert control.runs() == []
    done.join()
    raw.close()
    writers.close()
