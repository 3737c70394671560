"""The law of alerts: under any order of what goes wrong, of failures, kills, restarts and clock steps, a receiver that
looks at the key of a message hears of each matter, of each time that it gets worse, and of its end, exactly once."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from costweir.control import Control
from costweir.control.incidents import Condition, rank
from costweir.control.incidents_outbox import Delivery

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUIET = timedelta(minutes=5)
MATTERS = (("late", ""), ("spent", "2026-11-20"), ("spent", "2026-11-21"))
STEPS = (
    timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=4), timedelta(minutes=6), timedelta(hours=5),
    timedelta(days=400), timedelta(seconds=-1), timedelta(minutes=-4), timedelta(hours=-1), timedelta(days=-400),
)  # fmt: skip
matters = st.sampled_from(MATTERS)


def told(condition: Condition) -> tuple[str, ...]:
    return ("chat", "pager") if condition.severity == "critical" else ("chat",)


class Receiver:
    """A channel that keeps each key once; what it knows of an incident is told by the messages alone."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.heard: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.matters: dict[tuple[str, str], set[str]] = defaultdict(set)

    def take(self, delivery: Delivery) -> None:
        if delivery.key in self.keys:
            return
        self.keys.add(delivery.key)
        incident = delivery.incident
        self.heard[incident.id].append((delivery.message, delivery.mark))
        if delivery.message == "open":
            self.matters[(incident.key, incident.period)].add(incident.id)

    def wrong(self, incident: str) -> bool:
        """Whether this channel believes that it is wrong."""
        words = [word for word, _ in self.heard[incident] if word in ("open", "reopened", "resolved")]
        return bool(words) and words[-1] != "resolved"


class Alerts(RuleBasedStateMachine):
    """A world that goes wrong and well, a clock that cannot be trusted, and a process that dies."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.now = NOW
        self.wrong: dict[tuple[str, str], str] = {}
        self.channels = {"chat": Receiver(), "pager": Receiver()}
        self.control = Control.open(self.folder / "control.db")

    def teardown(self) -> None:
        """Whatever happened: once everything works again, every channel knows what is so."""
        if not hasattr(self, "control"):
            return
        try:
            for _ in range(4):
                self.look()
                while self.sent(range(100)):
                    pass
                self.now += timedelta(days=1)
            self.look()
            for incident in self.control.incidents.listed():
                channels = told(Condition("", "", "", "", severity=incident.severity))
                for name, receiver in self.channels.items():
                    if incident.active and name in channels:
                        assert receiver.wrong(incident.id), (name, incident, receiver.heard[incident.id])
                    if not incident.active:
                        assert not receiver.wrong(incident.id), (name, incident, receiver.heard[incident.id])
            active = {(row.key, row.period) for row in self.control.incidents.listed() if row.active}
            aside = {(row.key, row.period) for row in self.control.incidents.listed() if row.put_aside}
            assert self.wrong.keys() == active | aside
            assert self.control.audit.verify().ok
        finally:
            self.control.close()
            shutil.rmtree(self.folder)

    def conditions(self) -> list[Condition]:
        return [
            Condition(key, f"{key} {period}", key, "text", severity=severity, period=period)
            for (key, period), severity in self.wrong.items()
        ]

    @rule(matter=matters, severity=st.sampled_from(["critical", "warning", "info"]))
    def goes_wrong(self, matter: tuple[str, str], severity: str) -> None:
        self.wrong[matter] = severity

    @rule(matter=matters)
    def goes_well(self, matter: tuple[str, str]) -> None:
        self.wrong.pop(matter, None)

    @rule(step=st.sampled_from(STEPS))
    def clock(self, step: timedelta) -> None:
        self.now = min(max(self.now + step, NOW - timedelta(days=900)), NOW + timedelta(days=900))

    @rule()
    def look(self) -> None:
        self.control.incidents.observe(self.conditions(), told=told, now=self.now, quiet=QUIET)

    @rule(order=st.permutations(range(4)))
    def send(self, order: Sequence[int]) -> None:
        """Sends what is due, in any order of the incidents."""
        self.sent(order)

    def sent(self, order: Sequence[int]) -> bool:
        due = self.control.incidents.outbox.due(self.now)
        taken = self.control.incidents.outbox.claim(due, self.now)
        for place in order:
            if place < len(taken):
                self.channels[taken[place].channel].take(taken[place])
                self.control.incidents.outbox.sent([taken[place]], thread="t")
        return bool(taken)

    @rule()
    def fails(self) -> None:
        due = [item for item in self.control.incidents.outbox.due(self.now) if item.attempts < 8]
        taken = self.control.incidents.outbox.claim(due, self.now)
        self.control.incidents.outbox.not_sent(taken, "no answer", self.now)

    @rule(arrived=st.booleans())
    def is_killed_while_it_sends(self, arrived: bool) -> None:
        for item in self.control.incidents.outbox.claim(
            self.control.incidents.outbox.due(self.now), self.now
        ):
            if arrived:
                self.channels[item.channel].take(item)
        self.restarts()

    @rule()
    def restarts(self) -> None:
        self.control.close()
        self.control = Control.open(self.folder / "control.db")

    @rule(what=st.sampled_from(["acknowledge", "snooze", "resolve"]), place=st.integers(0, 2))
    def somebody_acts(self, what: str, place: int) -> None:
        active = [row for row in self.control.incidents.listed() if row.active]
        if place >= len(active):
            return
        incidents, name = self.control.incidents, active[place].id
        if what == "snooze":
            incidents.snooze(name, self.now + timedelta(hours=2), by="ada", now=self.now)
        elif what == "resolve":
            incidents.resolve(name, by="ada", now=self.now)
        else:
            incidents.acknowledge(name, by="ada", now=self.now)

    @invariant()
    def nothing_is_told_twice(self) -> None:
        for receiver in getattr(self, "channels", {}).values():
            for name, heard in receiver.heard.items():
                words = [word for word, _ in heard if word in ("open", "reopened", "resolved")]
                assert words == [
                    "open" if not number else ("reopened", "resolved")[number % 2]
                    for number in range(len(words))
                ], (name, heard)
                worse = [mark.split(".") for word, mark in heard if word == "escalated"]
                for episode in {first for first, _ in worse}:
                    ranks = [rank(severity) for first, severity in worse if first == episode]
                    assert ranks == sorted(set(ranks), reverse=True), (name, heard)
            for (_, period), incidents in receiver.matters.items():
                assert not period or len(incidents) == 1


Alerts.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestAlerts = Alerts.TestCase
