"""The rules see what is wrong, and people hear of it once at the beginning and once at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from receivers import Posts, http_receiver

from costweir import config
from costweir.alerts import Watched, deliver_due, watch
from costweir.alerts.rules import failed_pulls, late_data, missing_pulls
from costweir.control import Control
from costweir.control.pulls import PullState
from costweir.domain.period import Period
from costweir.queries.coverage import Coverage, Stored
from costweir.store.warehouse import Table

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SIX = timedelta(hours=6)
FAILED = Watched(PullState("aws", status="failed", note="The key is expired."), SIX)
WELL = Watched(PullState("aws", status="ok", last_success="2026-11-20T11:00:00.000Z"), SIX)


class Loads:
    """A store that knows what was loaded, and nothing else."""

    def __init__(
        self, *, quarantined: int = 0, last_day: date = date(2026, 11, 19), sample: bool = False
    ) -> None:
        self.row = (
            "aws",
            "1",
            "2026-11",
            "aws-cur2",
            NOW,
            10,
            10 - quarantined,
            0,
            quarantined,
            last_day,
            sample,
        )

    def query(self, sql: str, params: object = None) -> Table:
        return Table(tuple(f"c{number}" for number in range(len(self.row))), (self.row,))


@pytest.fixture
def hook() -> Iterator[Posts]:
    with http_receiver() as posts:
        yield posts


def settings_of(folder: Path, url: str, events: str = "") -> config.Settings:
    file = folder / "costweir.toml"
    file.write_text(
        'name = "Tiny"\nrouting = { quiet_minutes = 0 }\n'
        f'[[channels]]\nid = "ops"\nkind = "webhook"\nurl_env = "HOOK"\nsecret_env = "SIGN"\n{events}',
        encoding="utf-8",
    )
    environ = {"HOOK": url, "SIGN": "s", "COSTWEIR_DATA_DIR": str(folder)}
    return config.load(path=file, environ=environ)


def look(
    settings: config.Settings, watched: list[Watched], loads: Loads, minute: int = 0
) -> tuple[list[str], list[str], int]:
    """One turn of the watch, with a control database that is opened anew each time."""
    now = NOW + timedelta(minutes=minute)
    with Control.open(settings.control_path) as control:
        opened, closed = watch(control, loads, watched, settings=settings, now=now)
        sent = deliver_due(control, settings, now)
    return [item.key for item in opened], [item.key for item in closed], sent


def events(posts: Posts) -> list[tuple[str, str]]:
    return [(item["event"], item["state"]) for item in (json.loads(body) for _, _, body in posts.got)]


def test_a_failed_pull_is_told_once_and_its_recovery_once(tmp_path: Path, hook: Posts) -> None:
    settings = settings_of(tmp_path, hook.url)
    assert look(settings, [FAILED], Loads()) == (["run_failed:aws"], [], 1)
    for minute in range(1, 4):
        assert look(settings, [FAILED], Loads(), minute) == ([], [], 0)
    assert look(settings, [WELL], Loads(), 5) == ([], ["run_failed:aws"], 1)
    assert look(settings, [WELL], Loads(), 6) == ([], [], 0)

    assert events(hook) == [("run_failed", "open"), ("source_recovered", "resolved")]
    first, last = (json.loads(body) for _, _, body in hook.got)
    assert first["id"] == last["id"]
    assert "The key is expired." in first["text"]


def test_a_channel_that_is_down_is_tried_again_and_hears_of_it_once(
    tmp_path: Path, hook: Posts, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(tmp_path, hook.url)
    hook.answers = [500, 503]
    assert look(settings, [FAILED], Loads())[2] == 0
    assert "was not sent to ops, tried again later: Webhook ops answered 500." in caplog.text
    assert look(settings, [FAILED], Loads(), 1)[2] == 0
    assert look(settings, [FAILED], Loads(), 3)[2] == 1
    assert look(settings, [FAILED], Loads(), 60)[2] == 0
    assert len(hook.got) == 3


def test_a_missing_secret_or_a_removed_channel_stops_nothing(tmp_path: Path, hook: Posts) -> None:
    settings = settings_of(tmp_path, "")
    assert look(settings, [FAILED], Loads())[2] == 0
    bare = config.load(
        environ={"COSTWEIR_DATA_DIR": str(tmp_path / "."), "COSTWEIR_CHANNELS": "[]", "HOME": "/"}
    )
    assert look(bare, [FAILED], Loads(), 10)[2] == 0
    assert look(settings_of(tmp_path, hook.url), [FAILED], Loads(), 100)[2] == 0
    assert hook.got == []


def test_a_channel_gets_only_the_events_it_wants(tmp_path: Path, hook: Posts) -> None:
    settings = settings_of(tmp_path, hook.url, 'events = ["run_failed"]\n')
    look(settings, [FAILED], Loads(quarantined=3))
    look(settings, [WELL], Loads(quarantined=3), 1)
    assert events(hook) == [("run_failed", "open")]


def test_more_lines_in_quarantine_are_told_until_they_are_gone(tmp_path: Path, hook: Posts) -> None:
    settings = settings_of(tmp_path, hook.url)
    assert look(settings, [], Loads(quarantined=0))[0] == []
    assert look(settings, [], Loads(quarantined=2), 1)[0] == ["quarantine_grew:aws-cur2"]
    assert look(settings, [], Loads(quarantined=5), 2)[0] == []
    assert look(settings, [], Loads(quarantined=0), 3)[1] == ["quarantine_grew:aws-cur2"]
    assert look(settings, [], Loads(quarantined=9, sample=True), 4)[0] == []
    assert events(hook) == [("quarantine_grew", "open"), ("quarantine_grew", "resolved")]


def test_a_source_that_ends_too_early_is_late_and_a_sample_never_is(tmp_path: Path, hook: Posts) -> None:
    settings = settings_of(tmp_path, hook.url)
    assert look(settings, [], Loads(last_day=date(2026, 11, 14), sample=True))[0] == []
    assert look(settings, [], Loads(last_day=date(2026, 11, 14)), 1)[0] == ["late_data:aws-cur2"]
    assert look(settings, [], Loads(), 2)[1] == ["late_data:aws-cur2"]
    assert events(hook) == [("source_late", "open"), ("source_recovered", "resolved")]


@pytest.mark.parametrize(
    ("state", "late"),
    [
        (PullState("a", status="ok", last_success="2026-11-19T13:00:00.000Z"), False),
        (PullState("a", status="ok", last_success="2026-11-19T11:00:00.000Z"), True),
        (PullState("a", status="running", first_seen="2026-11-19T11:00:00.000Z"), True),
        (PullState("a", status="failed", last_success="2026-11-01T11:00:00.000Z"), False),
        (PullState("a"), False),
    ],
)
def test_a_connection_that_nobody_pulls_is_late(state: PullState, late: bool) -> None:
    assert bool(missing_pulls([Watched(state, SIX)], NOW)) is late


def test_the_rules_say_what_to_do() -> None:
    [failed] = failed_pulls([FAILED])
    assert (failed.subject, failed.hint) == ("aws", "costweir pull aws tries it now.")
    stored = Stored("aws", "1", "2026-11", "aws-cur", NOW, 1, 1, 0, 0, date(2026, 11, 12), False)
    coverage = Coverage((stored,), Period(), NOW.date(), {"default": timedelta(hours=48)})
    [late] = late_data(coverage)
    assert late.text == "aws-cur is complete to 2026-11-13 only; its stated lag is 48 hours."
