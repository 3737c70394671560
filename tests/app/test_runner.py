"""The runner pulls whole months, retries only what may pass, and ends in the same store wherever it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from live import FakeSource

from costweir.app import LocalDesk
from costweir.app.runner import Order, Patience, Record, Runner, trailing_window, whole_months
from costweir.config import Settings
from costweir.control.pulls import pull_state, remember_pull
from costweir.errors import Conflict, Error, NotAllowed, SourceRejected, Unreachable, UsageError
from costweir.queries.request import Request
from costweir.sources.live.source import Fetched, Report, Window

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOW.date()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@contextmanager
def runner_of(settings: Settings, waits: list[float] | None = None) -> Iterator[tuple[Runner, LocalDesk]]:
    slept = [] if waits is None else waits
    with LocalDesk(settings) as desk:
        patience = Patience(sleep=slept.append, spread=lambda: 0.0)
        yield Runner(settings, desk.control, load=desk.load, patience=patience, now=lambda: NOW), desk


def state(desk: LocalDesk) -> list[tuple[object, ...]]:
    """What the store holds, without the names of runs."""
    charges = desk.warehouse.query(
        "SELECT c.x_account, c.x_period, c.charge_period_start AS day, SUM(c.billed_cost) AS cost, COUNT(*) AS lines"
        " FROM charges AS c GROUP BY c.x_account, c.x_period, c.charge_period_start ORDER BY day"
    ).rows
    loads = desk.warehouse.query(
        "SELECT l.x_period, l.rows_in, l.billed_total, l.content_hash FROM loads AS l ORDER BY l.x_period"
    ).rows
    return [*charges, *loads]


@pytest.mark.parametrize(
    ("today", "covered", "since"),
    [
        (date(2026, 11, 20), None, date(2026, 11, 1)),
        (date(2026, 11, 11), None, date(2026, 11, 1)),
        (date(2026, 11, 10), None, date(2026, 10, 1)),
        (date(2026, 1, 3), None, date(2025, 12, 1)),
        (date(2026, 11, 20), date(2026, 8, 15), date(2026, 8, 1)),
        (date(2026, 11, 20), date(2026, 8, 4), date(2026, 7, 1)),
        (date(2026, 11, 20), date(2026, 11, 19), date(2026, 11, 1)),
        # The clock was wrong once; a day to come is no reason to read less.
        (date(2026, 11, 20), date(2027, 1, 20), date(2026, 11, 1)),
    ],
)
def test_open_months_are_read_again_and_missed_ones_too(
    today: date, covered: date | None, since: date
) -> None:
    window = trailing_window(today, covered)

    assert window.since == since
    assert (window.until - today).days == 1


def test_given_days_are_widened_to_whole_months_but_not_beyond_today() -> None:
    assert whole_months(Window(date(2026, 9, 30), date(2026, 10, 2)), TODAY) == Window(
        date(2026, 9, 1), date(2026, 11, 1)
    )
    assert whole_months(Window(date(2026, 11, 19), date(2026, 11, 20)), TODAY) == Window(
        date(2026, 11, 1), date(2026, 11, 21)
    )
    for wrong in (
        Window(date(2026, 10, 2), date(2026, 10, 2)),
        Window(date(2026, 11, 21), date(2026, 11, 22)),
    ):
        with pytest.raises(UsageError):
            whole_months(wrong, TODAY)


def test_a_pull_stores_every_month_and_says_what_the_provider_says(settings: Settings) -> None:
    source = FakeSource(total=Decimal("62.50"))
    with runner_of(settings) as (runner, desk):
        rows = runner.run(source, Order(Window(date(2026, 10, 5), date(2026, 11, 20))))
        runs = desk.runs()
        answer = desk.ask(Request("spend", by=("month",)))
        remembered = pull_state(desk.control, "fake")

    assert [(row["period"], row["status"], row["rows_in"], row["connection"]) for row in rows] == [
        ("2026-10", "loaded", 31, "fake"),
        ("2026-11", "loaded", 19, "fake"),
    ]
    assert answer.total == "62.50"
    assert {run["connection"] for run in runs} == {"fake"}
    assert all(
        "own total of 2026-10-01 to 2026-11-20 is 62.50 USD; as fetched." in str(run["note"]) for run in runs
    )
    assert all("2 requests cost 0.02 USD." in str(run["note"]) for run in runs)
    assert (remembered.status, remembered.failures, remembered.covered_on) == ("ok", 0, "2026-11-20")
    assert list((settings.data_dir / "staging").iterdir()) == []


def test_a_total_that_differs_is_said(settings: Settings) -> None:
    with runner_of(settings) as (runner, _):
        [row] = runner.run(FakeSource(total=Decimal(24)))
    assert "is 24.00 USD; fetched were 23.75." in str(row["note"])


def test_the_same_days_again_change_nothing_and_restated_days_replace(settings: Settings) -> None:
    with runner_of(settings) as (runner, desk):
        runner.run(FakeSource())
        before = state(desk)
        [again] = runner.run(FakeSource())
        assert again["status"] == "unchanged"
        assert state(desk) == before
        [restated] = runner.run(FakeSource(cost="2.00"))
        assert restated["status"] == "loaded"
        assert desk.ask(Request("spend")).total == "38.00"


def test_what_may_pass_is_tried_three_times_with_growing_pauses(settings: Settings) -> None:
    waits: list[float] = []
    with runner_of(settings, waits) as (runner, _):
        [row] = runner.run(FakeSource(errors=[Unreachable("429"), Unreachable("502")]))
        assert row["status"] == "loaded"
        assert waits == [5, 10]
        with pytest.raises(Unreachable, match="third"):
            runner.run(FakeSource(errors=[Unreachable("1"), Unreachable("2"), Unreachable("third")]))


@pytest.mark.parametrize("error", [NotAllowed("The key is expired."), SourceRejected("Unknown shape.")])
def test_what_will_not_pass_fails_at_once_and_the_log_has_the_sentence(
    settings: Settings, error: Error
) -> None:
    waits: list[float] = []
    with runner_of(settings, waits) as (runner, desk):
        runner.run(FakeSource())
        before = state(desk)
        with pytest.raises(type(error)):
            runner.run(FakeSource(cost="9", errors=[error]))
        [failed] = [run for run in desk.runs() if run["status"] == "failed"]
        assert state(desk) == before
        remembered = pull_state(desk.control, "fake")
        runner.run(FakeSource())
        healed = pull_state(desk.control, "fake")

    assert waits == []
    assert (failed["note"], failed["connection"], failed["source"]) == (error.message, "fake", "anthropic")
    assert (remembered.status, remembered.failures, remembered.transient) == ("failed", 1, False)
    assert (healed.status, healed.failures) == ("ok", 0)


def test_a_store_that_is_held_for_a_moment_is_waited_for_without_fetching_again(settings: Settings) -> None:
    source = FakeSource()
    refusals = [Unreachable("held"), Unreachable("held")]
    with LocalDesk(settings) as desk:

        def load(job: object) -> object:
            if refusals:
                raise refusals.pop()
            return desk.load(job)  # pyright: ignore

        runner = Runner(settings, desk.control, load=load, patience=Patience(sleep=lambda _: None),  # pyright: ignore
                        now=lambda: NOW)  # fmt: skip
        [row] = runner.run(source)

    assert row["status"] == "loaded"
    assert len(source.windows) == 1


def test_a_source_without_rows_is_a_run_and_no_failure(settings: Settings) -> None:
    with runner_of(settings) as (runner, desk):
        [row] = runner.run(FakeSource(last_day=date(2026, 10, 1)))
        [run] = desk.runs()
    assert (row["status"], run["status"]) == ("unchanged", "unchanged")
    assert "no rows" in str(run["note"])


def test_a_dry_run_stores_and_remembers_nothing(settings: Settings) -> None:
    with runner_of(settings) as (runner, desk):
        [row] = runner.run(FakeSource(), Order(dry_run=True))
        assert row["status"] == "loaded"
        assert state(desk) == []
        assert desk.runs() == []
        assert pull_state(desk.control, "fake").last_attempt == ""


def test_a_pull_of_old_days_does_not_count_as_having_caught_up(settings: Settings) -> None:
    with runner_of(settings) as (runner, desk):
        runner.run(FakeSource(), Order(Window(date(2026, 3, 1), date(2026, 4, 1))))
        assert pull_state(desk.control, "fake").covered_on == ""
        held = pull_state(desk.control, "fake")
        remember_pull(desk.control, type(held)("fake", covered_on="2026-08-15"))
        runner.run(FakeSource(), Order(Window(date(2026, 11, 1), date(2026, 11, 20))))
        assert pull_state(desk.control, "fake").covered_on == "2026-08-15"
        source = FakeSource()
        runner.run(source)
        assert source.windows[0].since == date(2026, 8, 1)
        assert pull_state(desk.control, "fake").covered_on == "2026-11-20"


def test_two_runs_of_a_source_cannot_collide_and_two_sources_can_run(settings: Settings) -> None:
    with runner_of(settings) as (runner, _):

        def second() -> None:
            with pytest.raises(Conflict, match="Another run is pulling fake now"):
                runner.run(FakeSource())
            [other] = runner.run(FakeSource(id="other"))
            assert other["status"] == "loaded"

        [row] = runner.run(FakeSource(after_page=second))
        assert row["status"] == "unchanged"


def test_a_coarser_reader_is_compared_with_the_finer_load_and_does_not_replace_it(settings: Settings) -> None:
    with LocalDesk(settings) as desk:
        jobs: list[dict[str, object]] = []

        def load(job: dict[str, object], source: str = "aws-cur2") -> object:
            slots = [{**slot, "source": source} for slot in job["slots"]]  # pyright: ignore
            jobs.append({**job, "slots": slots})
            return desk.load(jobs[-1])

        runner = Runner(settings, desk.control, load=load, now=lambda: NOW)  # pyright: ignore
        runner.run(FakeSource())
        before = state(desk)
        coarse = Runner(
            settings,
            desk.control,
            load=lambda job: load(job, "aws-ce"),  # pyright: ignore
            now=lambda: NOW,
        )
        [row] = coarse.run(FakeSource(cost="1.00", last_day=TODAY))
        assert state(desk) == before
        [again] = runner.run(FakeSource(cost="1.50"))
    assert row["status"] == "unchanged"
    assert (
        "The finer aws-cur2 load of this bill stays: it holds 23.75 USD, and aws-ce says 20.00 USD."
        in str(row["note"])
    )
    assert "ends on 2026-11-19, and aws-ce on 2026-11-20" in str(row["note"])
    assert again["status"] == "loaded"


PULLER = """
import sys
sys.path.insert(0, {here!r})
from datetime import UTC, date, datetime
from pathlib import Path
from live import FakeSource, hang
from costweir.app import LocalDesk
from costweir.app.runner import Order, Runner
from costweir.config import Settings
from costweir.sources.live.source import Window

settings = Settings(data_dir=Path(sys.argv[1]))
moment = sys.argv[2]
with LocalDesk(settings) as desk:
    def load(job):
        if moment == "before":
            hang()
        rows = desk.load(job if moment != "between" else {{**job, "slots": job["slots"][:1]}})
        hang()
        return rows
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    source = FakeSource(cost="3.00", after_page=hang if moment == "fetch" else lambda: None)
    Runner(settings, desk.control, load=load, now=lambda: now).run(
        source, Order(Window(date(2026, 10, 1), date(2026, 11, 20))))
"""


@pytest.mark.parametrize("moment", ["fetch", "before", "between", "after"])
def test_killed_anywhere_and_run_again_it_ends_in_the_same_store(
    settings: Settings, tmp_path: Path, moment: str
) -> None:
    order = Order(Window(date(2026, 10, 1), date(2026, 11, 20)))
    with runner_of(Settings(data_dir=tmp_path / "never-killed")) as (runner, desk):
        runner.run(FakeSource(cost="3.00"), order)
        wanted = state(desk)
    code = PULLER.format(here=str(Path(__file__).parent))
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(settings.data_dir), moment], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "page\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    with runner_of(settings) as (runner, desk):
        assert pull_state(desk.control, "fake").status == "running"
        assert not [run for run in desk.runs() if run["status"] == "running"]
        runner.run(FakeSource(cost="3.00"), order)
        assert state(desk) == wanted
        assert pull_state(desk.control, "fake").status == "ok"


def test_what_a_killed_pull_left_is_removed_a_day_later(settings: Settings) -> None:
    room = settings.data_dir / "staging"
    for name, age in (("live-fake-old", 90_000), ("pull-young", 60)):
        (room / name).mkdir(parents=True)
        os.utime(room / name, (NOW.timestamp() - age,) * 2)
    os.utime(room / "pull-young")
    with runner_of(settings) as (runner, _):
        runner.run(FakeSource())
    assert [path.name for path in room.iterdir()] == ["pull-young"]


def test_what_a_killed_pull_of_the_same_source_left_is_removed_at_once(settings: Settings) -> None:
    room = settings.data_dir / "staging"
    for name in ("live-fake-ab3_ef7h", "live-fake-two-ab3_ef7h", "live-fake2-ab3_ef7h"):
        (room / name).mkdir(parents=True)
    with runner_of(settings) as (runner, _):
        runner.run(FakeSource())
    assert {path.name for path in room.iterdir()} == {"live-fake-two-ab3_ef7h", "live-fake2-ab3_ef7h"}


@dataclass
class Remembering(FakeSource):
    """Reads on from where it was, as the BigQuery export does."""

    state: dict[str, str] = field(default_factory=dict[str, str])
    reread: str = ""

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        fetched = super().fetch(window, into=into, report=report)
        self.state = {"table": str(int(self.state.get("table", "0")) + 1)}
        return fetched


def test_what_a_source_remembers_is_kept_once_the_rows_are_loaded_and_not_before(settings: Settings) -> None:
    def marks(desk: LocalDesk) -> str:
        return desk.control.get("marks:fake")

    with runner_of(settings) as (runner, desk):
        runner.run(Remembering(), Order(dry_run=True))
        assert marks(desk) == ""
        source = Remembering()
        runner.run(source)
        assert (marks(desk), source.reread) == ('{"table": "1"}', "changed")

        def refuse(job: object) -> list[Record]:
            raise SourceRejected("no")

        failing = Runner(settings, desk.control, load=refuse, now=lambda: NOW)
        with pytest.raises(SourceRejected):
            failing.run(Remembering(cost="7"))
        assert marks(desk) == '{"table": "1"}'
        again = Remembering()
        runner.run(again, Order(Window(date(2026, 11, 1), date(2026, 11, 2))))
        assert (marks(desk), again.reread) == ('{"table": "2"}', "window")
