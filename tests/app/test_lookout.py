"""From a call that passes a threshold to the message in somebody's hand, through every real part."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))
sys.path.insert(0, str(Path(__file__).parents[1] / "alerts"))

from receivers import Posts, http_receiver
from server import CONFIG, Server, running
from test_rules import CASES, JUDGED, TODAY

from costweir import config
from costweir.alerts.rules import matters
from costweir.alerts.rules_heartbeat import beat
from costweir.app.desk import LocalDesk, open_desk
from costweir.app.lookout import Lookout
from costweir.control.incidents import Condition
from costweir.errors import Unreachable

BODY = {"model": "big", "messages": [{"role": "user", "content": "hello"}], "max_completion_tokens": 30}
CHAT = "/v1/chat/completions"
TOLD = (
    CONFIG.replace('limit_usd = "50.00"', 'limit_usd = "0.005"')
    + """
[[channels]]
id = "ops"
kind = "webhook"
url_env = "HOOK"
secret_env = "SIGN"
[routing]
quiet_minutes = 0
public_url = "https://weir.example"
[[alerts]]
id = "dead_man"
url_env = "SWITCH"
"""
)


@pytest.fixture
def hook() -> Iterator[Posts]:
    with http_receiver() as posts:
        yield posts


@pytest.fixture
def server(tmp_path: Path, hook: Posts) -> Iterator[Server]:
    environ = {"HOOK": f"{hook.url}/hook", "SIGN": "s", "SWITCH": f"{hook.url}/switch"}
    with running(tmp_path, TOLD, environ) as made:
        yield made


def posted(hook: Posts, path: str) -> list[dict[str, Any]]:
    return [json.loads(body or b"{}") for where, _, body in hook.got if where == path]


def test_a_passed_threshold_is_in_somebodys_hand_within_five_seconds(server: Server, hook: Posts) -> None:
    key = server.key("acme")
    server.wait_for(lambda: bool(posted(hook, "/switch")))
    status, passed = 200, 0.0
    while status == 200:
        passed = time.monotonic()
        status, _ = server.post(CHAT, BODY, key)
    assert status == 402
    assert server.wait_for(
        lambda: any(row["event"] == "budget_threshold" for row in posted(hook, "/hook")), 5
    )
    assert server.wait_for(lambda: any(row["event"] == "budget_blocked" for row in posted(hook, "/hook")), 5)
    assert time.monotonic() - passed < 5
    told = {row["event"]: row for row in posted(hook, "/hook")}
    assert told["budget_blocked"]["severity"] == "info"
    assert told["budget_threshold"]["severity"] == "warning"
    # The pages that the messages point to are there, and about it.
    for row in told.values():
        parts = urlsplit(row["link"])
        assert "acme-day" in server.get("web", f"{parts.path}?{parts.query}"), row["link"]


def test_every_link_of_every_rule_leads_to_a_page(server: Server) -> None:
    """A page may know nothing of the example, and says so; an address that no page has is another matter."""
    for rule in JUDGED:
        [found] = matters(rule, [CASES[rule.id][0]], today=TODAY)
        said, code = answered(server, found.link)
        assert code == 200 or (code == 404 and "There is no page at" not in said), (rule.id, found.link, code)


def answered(server: Server, path: str) -> tuple[str, int]:
    try:
        return server.get("web", path), 200
    except HTTPError as error:
        return error.read().decode(), error.code


class Held:
    """A desk whose store fails as often as it is told."""

    def __init__(self, desk: LocalDesk, failures: int, fault: Callable[[], Exception]) -> None:
        self._desk = desk
        self.failures = failures
        self._fault = fault

    @property
    def control(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise self._fault()
        return self._desk.control

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)


@pytest.mark.parametrize(
    "fault", [lambda: Unreachable("It is held.", hint="Wait."), lambda: RuntimeError("a fault")]
)
def test_a_store_that_is_held_and_a_fault_end_no_watch(
    tmp_path: Path, fault: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    settings = config.load(environ={}, overrides={"data_dir": str(tmp_path)})
    looked = threading.Event()

    def clock() -> datetime:
        looked.set()
        return datetime.now(UTC)

    with open_desk(settings) as desk:
        assert isinstance(desk, LocalDesk)
        held = Held(desk, 2, fault)
        lookout = Lookout(held, settings, every_seconds=0.2, clock=clock)  # type: ignore[arg-type]
        lookout.start()
        assert looked.wait(10)
        lookout.stop()
    assert "It is held." in caplog.text or "a fault" in caplog.text


def test_a_woken_lookout_looks_at_once(tmp_path: Path) -> None:
    settings = config.load(environ={}, overrides={"data_dir": str(tmp_path)})
    looks: list[float] = []

    def clock() -> datetime:
        looks.append(time.monotonic())
        return datetime.now(UTC)

    with open_desk(settings) as desk:
        assert isinstance(desk, LocalDesk)
        lookout = Lookout(desk, settings, every_seconds=3600, clock=clock)
        lookout.start()
        deadline = time.monotonic() + 10
        while len(looks) < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        lookout.wake()
        while len(looks) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        lookout.stop()
    assert len(looks) == 2


def test_the_switch_is_called_and_its_silence_is_only_logged(
    tmp_path: Path, hook: Posts, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "costweir.toml"

    def settings(text: str, url: str) -> config.Settings:
        file.write_text(text, encoding="utf-8")
        return config.load(path=file, environ={"COSTWEIR_DATA_DIR": str(tmp_path), "SWITCH": url})

    row = '[[alerts]]\nid = "dead_man"\nurl_env = "SWITCH"\n'
    assert beat(settings(row, hook.url))
    assert len(hook.got) == 1
    assert not beat(settings("", hook.url))
    assert not beat(settings(row, ""))
    assert not beat(settings(row + "enabled = false\n", hook.url))
    hook.answers = [500]
    assert not beat(settings(row, f"{hook.url}/?secret"))
    assert "The dead man's switch answered 500." in caplog.text
    assert "?secret" not in caplog.text


def test_what_somebody_does_between_two_looks_is_told_within_seconds(tmp_path: Path, hook: Posts) -> None:
    file = tmp_path / "costweir.toml"
    file.write_text(
        'channels = [ { id = "ops", kind = "webhook", url_env = "HOOK", secret_env = "SIGN" } ]\n'
    )
    environ = {"HOOK": f"{hook.url}/hook", "SIGN": "s"}
    settings = config.load(path=file, environ=environ, overrides={"data_dir": str(tmp_path)})
    with open_desk(settings) as desk:
        assert isinstance(desk, LocalDesk)
        incidents, now = desk.control.incidents, datetime.now(UTC)
        lookout = Lookout(desk, settings, every_seconds=3600)
        lookout.start()
        deadline = time.monotonic() + 10
        while desk.control.get("alerts:looked") == "" and time.monotonic() < deadline:
            time.sleep(0.01)
        incidents.observe([Condition("a", "late", "aws", "aws is late.")], told=lambda _: ("ops",), now=now)
        incidents.acknowledge(incidents.listed()[0].id, by="ada", now=now, owner="Ada")
        while len(posted(hook, "/hook")) < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        incidents.note(incidents.listed()[0].id, "a loop", by="ada", now=now)
        while len(posted(hook, "/hook")) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        lookout.stop()
    assert [(row["state"], row["owner"]) for row in posted(hook, "/hook")] == [
        ("open", "Ada"),
        ("note", "Ada"),
    ]
