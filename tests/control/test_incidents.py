"""One message when something begins to be wrong and one when it ends, also after a restart; and what people do about it
is kept and audited."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from costweir.control import Control
from costweir.control.incidents import Condition, Incident
from costweir.control.incidents_outbox import LEASE, MOST_ATTEMPTS, Delivery
from costweir.errors import Conflict, NotFound, UsageError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE, FIVE = timedelta(minutes=1), timedelta(minutes=5)
LATE = Condition("source_late:aws", "source_late", "aws", "aws is late.", "Wait.")
SPENT = Condition(
    "budget_threshold:acme:80", "budget_threshold", "acme", "acme has spent 80 %.", period="2026-11-20"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
def control(path: Path) -> Iterator[Control]:
    with Control.open(path) as opened:
        yield opened


def ops(_: Condition) -> tuple[str, ...]:
    return ("ops",)


def both(_: Condition) -> tuple[str, ...]:
    return ("ops", "mail")


def see(
    control: Control, *conditions: Condition, at: timedelta = timedelta(), quiet: timedelta = FIVE
) -> None:
    control.incidents.observe(conditions, told=ops, now=NOW + at, quiet=quiet)


def send(control: Control, at: timedelta = timedelta()) -> list[str]:
    """Sends what is due, and gives what it was."""
    outbox, sent = control.incidents.outbox, list[str]()
    while due := outbox.due(NOW + at):
        taken = outbox.claim(due, NOW + at)
        outbox.sent(taken, thread="t")
        sent += [delivery.message for delivery in taken]
    return sent


def the_one(control: Control) -> Incident:
    [incident] = control.incidents.listed()
    return incident


def test_an_incident_opens_once_however_often_it_is_seen_and_across_restarts(path: Path) -> None:
    for minute in range(3):
        with Control.open(path) as control:
            opened, closed = control.incidents.observe([LATE], told=ops, now=NOW + timedelta(minutes=minute))
            assert (len(opened), closed) == (1 if minute == 0 else 0, [])
    with Control.open(path) as control:
        incident = the_one(control)
        [delivery] = control.incidents.outbox.due(NOW + timedelta(hours=1))
    assert incident.opened_at == incident.updated_at == "2026-11-20T12:00:00.000Z"
    assert (delivery.message, delivery.channel, delivery.incident) == ("open", "ops", incident)


def test_the_end_is_told_to_whom_the_beginning_was_told(control: Control) -> None:
    control.incidents.observe([LATE], told=both, now=NOW)
    outbox = control.incidents.outbox
    first, second = outbox.claim(outbox.due(NOW), NOW)
    assert {first.channel, second.channel} == {"ops", "mail"}
    outbox.sent([first], thread="x")
    outbox.not_sent([second], "no answer", NOW)
    _, closed = control.incidents.observe([], told=ops, now=NOW + MINUTE)
    assert [item.state for item in closed] == ["resolved"]
    [end] = outbox.due(NOW + timedelta(days=1))
    states = {row["channel"]: row["state"] for row in outbox.of(end.incident.id) if row["message"] == "open"}
    assert (end.message, end.channel, end.thread) == ("resolved", first.channel, "x")
    assert states == {first.channel: "sent", second.channel: "dropped"}


def test_what_comes_back_within_the_quiet_time_is_the_same_incident_and_nobody_hears_of_it(
    control: Control,
) -> None:
    see(control, LATE)
    assert send(control) == ["open"]
    for minute in range(1, 9):
        see(control, *([LATE] if minute % 2 == 0 else []), at=minute * MINUTE)
        assert send(control, minute * MINUTE) == []
    assert the_one(control).state == "open"
    see(control, at=9 * MINUTE)
    assert send(control, 13 * MINUTE) == []
    assert send(control, 14 * MINUTE) == ["resolved"]


def test_what_comes_back_later_is_a_new_incident(control: Control) -> None:
    for step, seen in enumerate(([LATE], [], [LATE])):
        see(control, *seen, at=step * 10 * MINUTE)
        send(control, step * 10 * MINUTE)
    assert [item.state for item in control.incidents.listed()] == ["open", "resolved"]


def test_in_a_named_period_it_stays_the_same_incident_and_who_heard_of_its_end_hears_that_it_is_back(
    control: Control,
) -> None:
    see(control, SPENT)
    see(control, at=MINUTE)
    see(control, SPENT, at=timedelta(hours=3))
    assert send(control, timedelta(hours=3)) == ["open"]
    see(control, at=timedelta(hours=4))
    assert send(control, timedelta(hours=5)) == ["resolved"]
    see(control, SPENT, at=timedelta(hours=6))
    assert send(control, timedelta(hours=6)) == ["reopened"]
    assert (the_one(control).episode, the_one(control).state) == (2, "open")


def test_it_is_told_when_it_gets_worse_once_and_not_when_it_gets_better(control: Control) -> None:
    worse = replace(LATE, severity="critical")
    for minute, condition in enumerate((LATE, worse, LATE, worse)):
        see(control, condition, at=minute * MINUTE)
    assert send(control, 3 * MINUTE) == ["open"]
    see(control, replace(LATE, key="other", subject="b"), replace(LATE, severity="critical"), at=4 * MINUTE)
    assert {incident.severity for incident in control.incidents.listed()} == {"critical", "warning"}


def test_what_got_worse_after_it_was_told_is_told_in_the_thread_and_to_whom_it_concerns_now(
    control: Control,
) -> None:
    def pager_too(condition: Condition) -> tuple[str, ...]:
        return ("ops", "pager") if condition.severity == "critical" else ("ops",)

    see(control, LATE)
    send(control)
    worse = replace(LATE, severity="critical")
    control.incidents.observe([worse], told=pager_too, now=NOW + MINUTE)
    due = {item.channel: (item.message, item.thread) for item in control.incidents.outbox.due(NOW + MINUTE)}
    assert due == {"ops": ("escalated", "t"), "pager": ("open", "")}


def test_the_lesser_of_two_matters_waits_while_the_channel_knows_of_the_worse(control: Control) -> None:
    less = Condition("b:80", "budget", "acme", "80 %", period="d", severity="warning")
    more = Condition("b:100", "budget", "acme", "100 %", period="d", severity="critical")
    other = Condition("c:80", "budget", "globex", "80 %", period="d")
    see(control, less, more, other)
    assert send(control) == ["open", "open"]
    told = [row["state"] for item in control.incidents.listed() if item.key == "b:80"
            for row in control.incidents.outbox.of(item.id)]  # fmt: skip
    assert told == ["pending"]
    see(control, less, other, at=MINUTE)
    assert send(control, MINUTE) == ["open"]


def test_a_channel_that_fails_is_tried_later_and_at_last_given_up_and_counted(control: Control) -> None:
    see(control, LATE)
    outbox, now = control.incidents.outbox, NOW
    for _ in range(MOST_ATTEMPTS):
        [delivery] = outbox.claim(outbox.due(now), now)
        outbox.not_sent([delivery], "503", now)
        assert outbox.due(now + timedelta(seconds=14)) == []
        now += timedelta(hours=5)
    assert outbox.due(now) == []
    [row] = outbox.of(delivery.incident.id)
    assert (row["state"], row["attempts"], row["note"]) == ("failed", MOST_ATTEMPTS, "503")
    assert control.incidents.counts().delivery_failures == MOST_ATTEMPTS


def test_a_refusal_that_would_come_again_is_given_up_at_once(control: Control) -> None:
    see(control, LATE)
    outbox = control.incidents.outbox
    outbox.not_sent(outbox.claim(outbox.due(NOW), NOW), "403", NOW, final=True)
    assert outbox.due(NOW + timedelta(days=2)) == []
    assert control.incidents.counts().delivery_failures == 1


def test_what_a_killed_process_began_to_send_is_sent_again_under_the_same_key(path: Path) -> None:
    keys: list[str] = []
    for minute in (0, 1, 3):
        with Control.open(path) as control:
            see(control, LATE, at=minute * MINUTE)
            outbox = control.incidents.outbox
            keys += [
                item.key for item in outbox.claim(outbox.due(NOW + minute * MINUTE), NOW + minute * MINUTE)
            ]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert LEASE > MINUTE


def test_two_processes_never_send_the_same_at_once(control: Control) -> None:
    see(control, LATE)
    outbox = control.incidents.outbox
    due: list[Delivery] = outbox.due(NOW)
    assert (len(outbox.claim(due, NOW)), len(outbox.claim(due, NOW))) == (1, 0)


def test_an_end_that_may_have_been_told_is_followed_by_its_return(control: Control) -> None:
    """The process that told the end was killed before it could note that."""
    see(control, SPENT)
    send(control)
    see(control, at=MINUTE, quiet=timedelta())
    outbox = control.incidents.outbox
    assert [item.message for item in outbox.claim(outbox.due(NOW + MINUTE), NOW + MINUTE)] == ["resolved"]
    see(control, SPENT, at=2 * MINUTE)
    assert send(control, 10 * MINUTE) == ["resolved", "reopened"]


def test_a_clock_that_was_wrong_keeps_nothing_from_being_told(control: Control) -> None:
    year = timedelta(days=365)
    see(control, LATE, at=year)
    outbox = control.incidents.outbox
    outbox.not_sent(outbox.claim(outbox.due(NOW + year), NOW + year), "503", NOW + year)
    control.incidents.snooze(the_one(control).id, NOW + year + MINUTE, by="ada", now=NOW + year)
    see(control, LATE)
    assert send(control) == ["open"]
    assert the_one(control).state == "open"


def test_people_acknowledge_snooze_own_note_and_resolve_and_all_of_it_is_audited(control: Control) -> None:
    see(control, LATE)
    send(control)
    incidents, name = control.incidents, the_one(control).id
    acked = incidents.acknowledge(name, by="ada", now=NOW + MINUTE, owner="ada")
    assert (acked.state, acked.owner) == ("acknowledged", "ada")
    assert incidents.acknowledge(name, by="bob", now=NOW + MINUTE) == acked
    incidents.snooze(name, NOW + timedelta(hours=2), by="ada", now=NOW + 2 * MINUTE)
    incidents.assign(name, "bob", by="ada", now=NOW + 3 * MINUTE)
    incidents.note(name, "The export is stuck at AWS.", by="bob", now=NOW + 4 * MINUTE)
    over = incidents.resolve(name, by="bob", now=NOW + 5 * MINUTE)
    assert (over.state, over.put_aside) == ("resolved", True)

    assert send(control, 5 * MINUTE) == ["acknowledged", "snoozed", "owner", "note", "resolved"]
    assert [(entry.actor, entry.what) for entry in incidents.timeline(name)] == [
        ("", "open"), ("ada", "acknowledged"), ("ada", "snoozed"), ("ada", "owner"), ("bob", "note"),
        ("bob", "resolved"),
    ]  # fmt: skip
    audited = [(row.actor, row.action, row.subject) for row in reversed(control.audit.listed())]
    assert audited == [
        (who, f"incident.{what}", f"incident:{name}")
        for who, what in (
            ("ada", "ack"),
            ("ada", "snooze"),
            ("ada", "assign"),
            ("bob", "note"),
            ("bob", "resolve"),
        )
    ]
    assert control.audit.verify().ok


def test_what_was_closed_by_hand_stays_closed_until_it_is_gone_or_gets_worse(control: Control) -> None:
    see(control, LATE)
    send(control)
    control.incidents.resolve(the_one(control).id, by="ada", now=NOW + MINUTE)
    assert send(control, MINUTE) == ["resolved"]
    see(control, LATE, at=2 * MINUTE)
    assert the_one(control).state == "resolved"
    see(control, replace(LATE, severity="critical"), at=3 * MINUTE)
    assert send(control, 3 * MINUTE) == ["reopened"]
    control.incidents.resolve(the_one(control).id, by="ada", now=NOW + 4 * MINUTE)
    see(control, at=5 * MINUTE)
    see(control, LATE, at=timedelta(hours=1))
    assert len(control.incidents.listed()) == 2


def test_a_sleeping_incident_wakes_when_its_time_is_over_or_when_it_gets_worse(control: Control) -> None:
    see(control, LATE)
    send(control)
    name = the_one(control).id
    control.incidents.snooze(name, NOW + timedelta(hours=1), by="ada", now=NOW)
    see(control, LATE, at=30 * MINUTE)
    assert send(control, 30 * MINUTE) == ["snoozed"]
    see(control, LATE, at=timedelta(hours=1))
    assert send(control, timedelta(hours=1)) == ["awake"]
    control.incidents.snooze(name, NOW + timedelta(hours=9), by="ada", now=NOW + timedelta(hours=2))
    see(control, replace(LATE, severity="critical"), at=timedelta(hours=3))
    assert send(control, timedelta(hours=3)) == ["snoozed", "escalated"]
    assert the_one(control).state == "open"


@pytest.mark.parametrize("until", [NOW, NOW - MINUTE, NOW + timedelta(days=91)])
def test_a_sleep_ends_in_the_future_and_not_too_late(control: Control, until: datetime) -> None:
    see(control, LATE)
    with pytest.raises(UsageError):
        control.incidents.snooze(the_one(control).id, until, by="ada", now=NOW)


def test_what_is_over_or_unknown_cannot_be_changed(control: Control) -> None:
    see(control, LATE)
    see(control, at=MINUTE)
    name = the_one(control).id
    with pytest.raises(Conflict):
        control.incidents.acknowledge(name, by="ada", now=NOW)
    with pytest.raises(NotFound):
        control.incidents.acknowledge("none", by="ada", now=NOW)
    with pytest.raises(UsageError):
        control.incidents.note(name, " ", by="ada", now=NOW)
    control.incidents.note(name, "It was the export.", by="ada", now=NOW)


def test_a_channel_that_is_set_later_hears_of_what_nobody_heard_of(control: Control) -> None:
    control.incidents.observe([LATE], told=lambda _: (), now=NOW)
    assert send(control) == []
    see(control, LATE, at=MINUTE)
    assert send(control, MINUTE) == ["open"]


def test_what_is_open_is_counted_by_severity(control: Control) -> None:
    see(control, LATE, SPENT, replace(LATE, key="x", severity="critical"))
    control.incidents.acknowledge(control.incidents.listed(severities=("critical",))[0].id, by="a", now=NOW)
    counts = control.incidents.counts()
    assert counts.open == {"critical": 1, "warning": 2, "info": 0}
    assert (counts.waiting, counts.delivery_failures) == (2, 0)


def test_the_list_is_narrowed_by_state_and_severity(control: Control) -> None:
    see(control, LATE, SPENT)
    see(control, replace(SPENT, severity="critical"), at=MINUTE)
    listed = control.incidents.listed
    assert [item.key for item in listed(states=("resolved",))] == [LATE.key]
    assert [item.key for item in listed(severities=("critical", "info"))] == [SPENT.key]
    assert listed(states=("open",), severities=("info",)) == []


def test_incidents_of_an_older_version_are_kept_with_what_was_sent(path: Path) -> None:
    folder = files("costweir.control") / "migrations"
    steps = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=str)
    old = [item.read_text(encoding="utf-8") for item in steps if item.name < "0009"]
    with sqlite3.connect(path) as connection:
        for step in old:
            connection.executescript(step)
        connection.execute(f"PRAGMA user_version = {len(old)}")
        connection.execute(
            "INSERT INTO incidents VALUES ('i1', 'source_late:aws', 'source_late', 'aws', 'open', 'late', '',"
            " '2026-11-20T11:00:00.000Z', '2026-11-20T11:00:00.000Z', '')"
        )
        connection.execute("INSERT INTO deliveries VALUES ('i1', 'open', 'ops', 'sent', 1, '', '')")
    connection.close()
    with Control.open(path) as control:
        see(control, LATE)
        assert the_one(control).id == "i1"
        assert [entry.what for entry in control.incidents.timeline("i1")] == ["open"]
        see(control, at=MINUTE)
        assert send(control, timedelta(hours=1)) == ["resolved"]


def test_a_thousand_matters_at_once_after_as_many_before_are_looked_at_in_no_time(control: Control) -> None:
    """Each day has a thousand of its own; what is over must not slow what is wrong."""
    many: list[Condition] = []
    for day in range(4):
        at = timedelta(days=day)
        many = [
            replace(SPENT, key=f"k{number}", subject=f"s{number}", period=f"day {day}")
            for number in range(1_000)
        ]
        see(control, *many, at=at, quiet=timedelta())
        outbox = control.incidents.outbox
        outbox.sent(outbox.claim(outbox.due(NOW + at), NOW + at), thread="t")
    began = time.monotonic()
    see(control, *many, at=timedelta(days=4))
    assert control.incidents.outbox.due(NOW + timedelta(days=4)) == []
    assert time.monotonic() - began < 2
    assert len({row.id for row in control.incidents.listed(limit=9_999)}) == 4_000
