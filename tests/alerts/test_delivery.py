"""What is due reaches every channel that it is for, once, in its thread; many at once are one message; and nothing that
fails, is killed or sleeps loses or repeats anything."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from providers import KEY, TOKEN, PagerDuty, Slack, pagerduty, slack
from receivers import Mails, Posts, http_receiver, smtp_receiver
from tests.sources.live.doubles_http import Asked, Reply, serving

from costweir import config
from costweir.alerts import deliver_due
from costweir.alerts.routing import is_quiet, told_by
from costweir.control import Control
from costweir.control.incidents import Condition

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BURN = Condition(
    "spend_burn:acme", "spend_burn", "acme", "acme burns 7 times its pace.", "Freeze it.", team="platform",
    link="/explore?customer=acme", period="2026-11", value="$4,812.10", limit="$5,000.00",
)  # fmt: skip
CHANNELS = "\n".join([
    'name = "Tiny"', "channels = [",
    '{ id = "pager", kind = "pagerduty", key_env = "PD", base_url = "%(pagerduty)s" },',
    '{ id = "chat", kind = "slack", token_env = "BOT", channel = "#llm-cost-alerts", base_url = "%(slack)s" },',
    '{ id = "hook", kind = "webhook", url_env = "HOOK", secret_env = "SIGN" },',
    ('{ id = "mail", kind = "email", host = "127.0.0.1", port = %(mail)s, tls = "none", from = "c@t.example",'
     ' to = ["a@x.example"] },'), "]", "",
])  # fmt: skip


@dataclass
class World:
    """Every kind of receiver, and the settings that lead to them."""

    folder: Path
    slack: Slack
    pagerduty: PagerDuty
    hook: Posts
    mail: Mails
    settings: config.Settings

    def configure(self, more: str) -> None:
        file = self.folder / "costweir.toml"
        places = {"slack": self.slack.url, "pagerduty": self.pagerduty.url, "mail": self.mail.port}
        file.write_text(CHANNELS % places + more, encoding="utf-8")
        environ = {
            "PD": KEY,
            "BOT": TOKEN,
            "HOOK": self.hook.url,
            "SIGN": "s",
            "COSTWEIR_DATA_DIR": str(self.folder),
        }
        self.settings = config.load(path=file, environ=environ)

    def look(self, *conditions: Condition, at: timedelta = timedelta()) -> int:
        """One turn, with a control database that is opened anew each time."""
        quiet = timedelta(minutes=self.settings.routing.quiet_minutes)
        with Control.open(self.settings.control_path) as control:
            control.incidents.observe(conditions, told=told_by(self.settings), now=NOW + at, quiet=quiet)
            return deliver_due(control, self.settings, NOW + at)

    def act(self, what: str, at: timedelta, **more: Any) -> None:
        with Control.open(self.settings.control_path) as control:
            [row] = control.incidents.listed(states=("open", "acknowledged", "snoozed"))
            getattr(control.incidents, what)(row.id, by="ada", now=NOW + at, **more)
            deliver_due(control, self.settings, NOW + at)

    @property
    def hooks(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.hook.got]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as open_:
        parts = [open_.enter_context(make()) for make in (slack, pagerduty, http_receiver, smtp_receiver)]
        made = World(tmp_path, *parts, settings=None)  # type: ignore[arg-type]
        made.configure("")
        yield made


def test_a_matter_is_one_thread_one_page_and_one_conversation_from_its_beginning_to_its_end(
    world: World,
) -> None:
    world.configure('[routing]\npublic_url = "https://costweir.example/"\n')
    assert world.look(BURN) == 3
    for minute in range(1, 30):
        assert world.look(replace(BURN, text=f"acme burns {minute} times."), at=minute * MINUTE) == 0
    world.look(replace(BURN, severity="critical"), at=30 * MINUTE)
    world.act("acknowledge", 31 * MINUTE, owner="Ada")
    assert world.look(at=40 * MINUTE) == 0
    assert world.look(at=45 * MINUTE) == 4
    assert world.look(at=timedelta(days=2)) == 0

    threads = [thread for thread, _ in world.slack.messages.values()]
    assert threads == ["", *["1790000000.000000"] * 3]
    assert [event["event_action"] for event in world.pagerduty.events] == [
        "trigger",
        "acknowledge",
        "resolve",
    ]
    assert list(world.pagerduty.alerts.values()) == ["resolved"]
    assert [hook["state"] for hook in world.hooks] == ["open", "escalated", "acknowledged", "resolved"]
    assert len({hook["delivery"] for hook in world.hooks}) == 4
    first, *rest = [mail for _, mail in world.mail.got]
    assert [mail["X-Costweir-Event"] for mail in (first, *rest)] == ["spend_burn"] * 3
    assert {mail["References"] for mail in rest} == {first["Message-ID"]}
    told = world.hooks[0]
    assert told["link"] == "https://costweir.example/explore?customer=acme"
    assert told["page"] == f"https://costweir.example/incidents/{told['id']}"
    assert (told["value"], told["limit"], told["period"]) == ("$4,812.10", "$5,000.00", "2026-11")
    assert "Ada" in world.hooks[2]["text"]


@pytest.mark.parametrize(
    ("severity", "channels"),
    [
        ("critical", ["pager", "chat", "hook", "mail"]),
        ("warning", ["chat", "hook", "mail"]),
        ("info", ["hook", "mail"]),
    ],
)
def test_without_routes_a_page_is_for_what_is_critical_and_info_for_the_mailbox(
    world: World, severity: str, channels: list[str]
) -> None:
    assert told_by(world.settings)(replace(BURN, severity=severity)) == channels


def test_routes_are_data_by_severity_team_and_event_and_the_rest_goes_to_the_default(world: World) -> None:
    world.configure("""
[routing]
default = ["mail"]
routes = [
  { severities = ["critical"], channels = ["pager", "chat"] },
  { severities = ["warning"], teams = ["platform"], channels = ["chat"] },
  { events = ["spend_burn"], channels = ["hook"] },
]
""")
    told = told_by(world.settings)
    assert told(BURN) == ["chat", "hook"]
    assert told(replace(BURN, severity="critical", team="")) == ["pager", "chat", "hook"]
    assert told(replace(BURN, team="finance", event="untagged")) == ["mail"]


def test_a_channel_that_fails_keeps_nothing_from_the_others_and_is_tried_again(world: World) -> None:
    world.pagerduty.faults = [Reply(b"{}", 500)] * 2
    bad = replace(BURN, severity="critical")
    assert world.look(bad) == 3
    assert world.look(bad, at=MINUTE) == 0
    assert world.look(bad, at=2 * MINUTE) == 1
    assert world.look(bad, at=60 * MINUTE) == 0
    assert (len(world.pagerduty.pages), len(world.slack.messages)) == (1, 1)
    with Control.open(world.settings.control_path, read_only=True) as control:
        assert control.incidents.counts().delivery_failures == 2


def test_a_refusal_is_given_up_and_a_missing_secret_is_waited_for(world: World) -> None:
    world.slack.faults = [Reply(b'{"ok": false, "error": "channel_not_found"}')]
    held, world.settings = world.settings, world.settings.model_copy()
    world.settings._secrets = {  # pyright: ignore[reportPrivateUsage]
        name: value
        for name, value in held._secrets.items()
        if name != "PD"  # pyright: ignore[reportPrivateUsage]
    }
    bad = replace(BURN, severity="critical")
    world.look(bad)
    world.settings = held
    world.look(bad, at=MINUTE)
    with Control.open(world.settings.control_path, read_only=True) as control:
        [row] = control.incidents.listed()
        states = {str(item["channel"]): item["state"] for item in control.incidents.outbox.of(row.id)}
    assert states == {"chat": "failed", "pager": "sent", "hook": "sent", "mail": "sent"}


def storm(count: int) -> list[Condition]:
    return [
        replace(BURN, key=f"burn:{number}", subject=f"customer-{number}", severity="critical")
        for number in range(count)
    ]


def test_a_storm_is_one_message_for_each_channel_and_one_page_that_ends_with_the_last(world: World) -> None:
    many = storm(60)
    assert world.look(*many) == 4
    assert (len(world.slack.messages), len(world.pagerduty.pages), len(world.hooks)) == (1, 1, 1)
    assert len(world.mail.got) == 1
    told = world.hooks[0]
    assert (told["count"], len(told["incidents"]), told["state"]) == (60, 10, "open")
    assert "60 incidents at once" in world.mail.got[0][1]["Subject"]
    assert "... and 50 more." in world.mail.got[0][1].get_content()

    world.look(*many[:1], at=10 * MINUTE)
    world.look(*many[:1], at=20 * MINUTE)
    assert list(world.pagerduty.alerts.values()) == ["triggered"]
    assert len(world.slack.messages) == 2
    world.look(at=30 * MINUTE)
    world.look(at=40 * MINUTE)
    assert list(world.pagerduty.alerts.values()) == ["resolved"]
    assert {thread for thread, _ in world.slack.messages.values()} == {"", "1790000000.000000"}


def test_as_many_as_the_settings_say_are_told_one_by_one(world: World) -> None:
    world.configure("routing = { storm = 3 }\n")
    world.look(*storm(3))
    assert len(world.hooks) == 3
    world.look(*storm(9), at=MINUTE)
    assert [hook["count"] for hook in world.hooks] == [1, 1, 1, 6]


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        (datetime(2026, 11, 20, 20, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 20, 21, 0, tzinfo=UTC), True),
        (datetime(2026, 11, 21, 5, 59, tzinfo=UTC), True),
        (datetime(2026, 11, 21, 6, 0, tzinfo=UTC), False),
        # Summer time: the same hours of Berlin are an hour earlier in UTC.
        (datetime(2026, 7, 20, 20, 0, tzinfo=UTC), True),
        (datetime(2026, 7, 21, 5, 0, tzinfo=UTC), False),
    ],
)
def test_quiet_hours_are_those_of_the_channels_time_zone(world: World, moment: datetime, quiet: bool) -> None:
    row = config.load(
        environ={"COSTWEIR_DATA_DIR": str(world.folder), "COSTWEIR_CHANNELS": json.dumps([
            {"id": "a", "kind": "apprise", "url_env": "U", "quiet": "22:00-07:00", "timezone": "Europe/Berlin"}
        ])}
    ).channels[0]  # fmt: skip
    assert is_quiet(row, moment) is quiet


def test_in_quiet_hours_only_what_is_critical_is_sent_and_the_rest_after_them(world: World) -> None:
    hook = '{ id = "hook", kind = "webhook", url_env = "HOOK", secret_env = "SIGN"'
    world.configure("")
    file = world.folder / "costweir.toml"
    file.write_text(file.read_text().replace(hook, hook + ', quiet = "11:00-13:00"'), encoding="utf-8")
    environ = {"HOOK": world.hook.url, "SIGN": "s", "COSTWEIR_DATA_DIR": str(world.folder)}
    world.settings = config.load(path=file, environ=environ)
    loud = replace(BURN, key="loud", severity="critical", subject="all")
    world.look(BURN, loud)
    assert [row["subject"] for row in world.hooks] == ["all"]
    world.look(BURN, loud, at=59 * MINUTE)
    assert len(world.hooks) == 1
    world.look(BURN, loud, at=60 * MINUTE)
    assert [row["subject"] for row in world.hooks] == ["all", "acme"]


_SENDS = """
import sys
from datetime import datetime, timedelta
from costweir import config
from costweir.alerts import deliver_due
from costweir.control import Control
file, url, now = sys.argv[1:]
environ = {"HOOK": url, "SIGN": "s", "COSTWEIR_DATA_DIR": file.rpartition("/")[0]}
settings = config.load(path=__import__("pathlib").Path(file), environ=environ)
with Control.open(settings.control_path) as control:
    deliver_due(control, settings, datetime.fromisoformat(now))
"""


def test_what_was_killed_while_it_sent_is_sent_again_under_the_same_key(tmp_path: Path) -> None:
    """kill -9 after the receiver has the message and before the sender could note that."""
    got: list[Asked] = []
    arrived, dead = Event(), Event()

    def answer(asked: Asked) -> Reply:
        got.append(asked)
        if len(got) == 1:
            arrived.set()
            dead.wait(20)
        return Reply()

    file = tmp_path / "costweir.toml"
    file.write_text(
        'channels = [ { id = "hook", kind = "webhook", url_env = "HOOK", secret_env = "SIGN" } ]\n'
    )
    with Control.open(tmp_path / "control.db") as control:
        control.incidents.observe([BURN], told=lambda _: ("hook",), now=NOW)
    with serving(answer) as url:
        words = [sys.executable, "-c", _SENDS, str(file), url]
        with subprocess.Popen([*words, NOW.isoformat()]) as first:
            assert arrived.wait(30)
            first.send_signal(signal.SIGKILL)
        dead.set()
        for minute in (1, 3, 30):
            subprocess.run([*words, (NOW + minute * MINUTE).isoformat()], check=True, timeout=60)
    keys = [asked.headers["x-costweir-delivery"] for asked in got]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert json.loads(got[1].body)["delivery"] == keys[0]


def test_two_processes_at_once_send_everything_once(world: World) -> None:
    conditions: Sequence[Condition] = storm(8)
    with Control.open(world.settings.control_path) as one, Control.open(world.settings.control_path) as other:
        for control in (one, other):
            control.incidents.observe(conditions, told=told_by(world.settings), now=NOW)
        due = one.incidents.outbox.due(NOW)
        assert due == other.incidents.outbox.due(NOW)
        for control in (one, other):
            deliver_due(control, world.settings, NOW)
    assert (len(world.hooks), len(world.slack.messages), len(world.pagerduty.events)) == (8, 8, 8)
