"""One message when something begins to be wrong and one when it ends, also after a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costweir.control import Control
from costweir.control.incidents import MOST_ATTEMPTS, Condition

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATE = Condition("source_late:aws", "source_late", "aws", "aws is late.", "Wait.")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


def ops(_event: str) -> tuple[str, ...]:
    return ("ops",)


def test_an_incident_opens_once_however_often_it_is_seen_and_across_restarts(path: Path) -> None:
    for minute in range(3):
        with Control.open(path) as control:
            opened, closed = control.incidents.observe([LATE], told=ops, now=NOW + timedelta(minutes=minute))
            assert (len(opened), closed) == (1 if minute == 0 else 0, [])
    with Control.open(path) as control:
        [incident] = control.incidents.listed()
        [delivery] = control.incidents.due(NOW + timedelta(hours=1))
    assert incident.opened_at == "2026-11-20T12:00:00.000Z"
    assert incident.updated_at == "2026-11-20T12:02:00.000Z"
    assert (delivery.message, delivery.channel, delivery.incident) == ("open", "ops", incident)


def test_the_end_is_told_to_whom_the_beginning_was_told(path: Path) -> None:
    with Control.open(path) as control:
        control.incidents.observe([LATE], told=lambda _: ("ops", "mail"), now=NOW)
        first, second = control.incidents.due(NOW)
        assert {first.channel, second.channel} == {"ops", "mail"}
        control.incidents.sent(first)
        control.incidents.not_sent(second, "no answer", NOW)
        _, closed = control.incidents.observe([], told=ops, now=NOW + timedelta(minutes=1))
        assert [item.state for item in closed] == ["resolved"]
        [end] = control.incidents.due(NOW + timedelta(days=1))
        states = {row["channel"]: row["state"] for row in control.incidents.deliveries(end.incident.id)
                  if row["message"] == "open"}  # fmt: skip
    assert (end.message, end.channel) == ("resolved", first.channel)
    assert states == {first.channel: "sent", second.channel: "dropped"}


def test_the_same_matter_may_come_back_as_a_new_incident(path: Path) -> None:
    with Control.open(path) as control:
        for step, seen in enumerate(([LATE], [], [LATE])):
            control.incidents.observe(seen, told=ops, now=NOW + timedelta(minutes=step))
        assert [item.state for item in control.incidents.listed()] == ["open", "resolved"]


def test_a_channel_that_refuses_is_tried_later_and_at_last_given_up(path: Path) -> None:
    with Control.open(path) as control:
        control.incidents.observe([LATE], told=ops, now=NOW)
        now = NOW
        tries = 0
        while tries < MOST_ATTEMPTS:
            [delivery] = control.incidents.due(now)
            control.incidents.not_sent(delivery, "503", now)
            tries += 1
            assert control.incidents.due(now + timedelta(seconds=59)) == []
            now += timedelta(hours=5)
        assert control.incidents.due(now) == []
        [row] = control.incidents.deliveries(delivery.incident.id)
    assert (row["state"], row["attempts"], row["note"]) == ("failed", MOST_ATTEMPTS, "503")
