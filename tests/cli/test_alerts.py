"""`alerts` shows who was told what, and `alerts test` really sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.sources.live.doubles_http import Asked, Reply, serving

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def got() -> list[Asked]:
    return []


@pytest.fixture
def configured(home: Path, got: list[Asked], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    def answer(asked: Asked) -> Reply:
        got.append(asked)
        return Reply(status=404 if asked.path == "/gone" else 401 if asked.path.startswith("/v1") else 200)

    file = home / "data/costweir.toml"
    file.parent.mkdir()
    with serving(answer) as url:
        monkeypatch.setenv("HOOK", f"{url}/hook")
        monkeypatch.setenv("TEAM", f"{url}/gone")
        monkeypatch.setenv("SIGN", "s3cret")
        monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", "sk-x")
        file.write_text(
            '[[channels]]\nid = "ops"\nkind = "webhook"\nurl_env = "HOOK"\nsecret_env = "SIGN"\n'
            '[[channels]]\nid = "team"\nkind = "slack"\nurl_env = "TEAM"\n'
            f'[[sources]]\nid = "claude"\nkind = "anthropic"\nbase_url = "{url}"\n',
            encoding="utf-8",
        )
        yield file


def test_a_test_message_is_sent_to_one_channel_or_to_all(
    cli: Cli, configured: Path, got: list[Asked]
) -> None:
    done = cli("alerts", "test", "ops", "--json")
    assert done.code == 0, done.err
    [row] = done.json["rows"]
    assert (row["channel"], row["kind"], row["status"], row["note"]) == ("ops", "webhook", "sent", "")
    assert "This is a test." in row["text"]
    assert json.loads(got[0].body)["event"] == "test"
    assert got[0].headers["x-costweir-signature"].startswith("t=")

    every = cli("alerts", "test", "--json")
    assert every.code == 1
    assert [row["status"] for row in every.json["rows"]] == ["sent", "failed"]
    assert "404" in every.error["message"]
    assert "/gone" not in every.out + every.err
    assert "s3cret" not in every.out + every.err


def test_a_channel_that_is_not_there_is_named(cli: Cli, configured: Path) -> None:
    done = cli("alerts", "test", "opps", "--json")
    assert done.error["code"] == "not_found"
    assert "ops, team" in done.error["hint"]


def test_a_test_that_fails_says_that_it_is_not_tried_again(
    cli: Cli, configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/")
    done = cli("alerts", "test", "ops", "--json")
    assert done.code == 3
    assert done.error["hint"] == "A test is sent once; an alert is tried again for a day."
    every = cli("alerts", "test")
    assert every.code == 3
    assert "2 of 2 channels did not take the message." in every.err
    assert "later" not in every.out + every.err


def test_without_a_channel_there_is_nothing_to_try(cli: Cli, home: Path) -> None:
    assert cli("alerts", "test").code == 2
    assert cli("alerts", "list", "--json").json["rows"] == []


def test_a_failed_pull_without_a_server_is_told_too_and_listed(
    cli: Cli, configured: Path, got: list[Asked]
) -> None:
    assert cli("pull", "claude").code == 1
    hooks = [json.loads(asked.body) for asked in got if asked.path == "/hook"]
    assert [(hook["event"], hook["subject"]) for hook in hooks] == [("run_failed", "claude")]

    [row] = cli("alerts", "list", "--open", "--json").json["rows"]
    assert (row["event"], row["state"], row["told"]) == ("run_failed", "open", ["ops"])
    states = {delivery["channel"]: delivery["state"] for delivery in row["deliveries"]}
    assert states == {"ops": "sent", "team": "failed"}
    assert "claude" in cli("alerts", "list").out


@pytest.fixture
def incident(cli: Cli, configured: Path, got: list[Asked]) -> str:
    """Something that is wrong and was told."""
    cli("pull", "claude")
    got.clear()
    return cli("alerts", "list", "--json").json["rows"][0]["id"]


def test_somebody_looks_after_an_incident_and_closes_it_and_the_channel_hears_of_it(
    cli: Cli, incident: str, got: list[Asked]
) -> None:
    acked = cli("alerts", "ack", incident, "--owner", "Ada", "--json").json
    assert (acked["schema"], acked["state"], acked["owner"]) == ("costweir.alert/1", "acknowledged", "Ada")
    assert cli("alerts", "snooze", incident, "--for", "90m", "--json").json["state"] == "snoozed"
    assert cli("alerts", "comment", incident, "The key has ended.").code == 0
    assert cli("alerts", "resolve", incident, "--json").json["state"] == "resolved"

    hooks = [json.loads(asked.body) for asked in got if asked.path == "/hook"]
    assert [hook["state"] for hook in hooks] == ["acknowledged", "snoozed", "note", "resolved"]
    assert {hook["id"] for hook in hooks} == {incident}
    shown = cli("alerts", "show", incident, "--json").json
    assert [entry["what"] for entry in shown["timeline"]] == [
        "open", "acknowledged", "snoozed", "note", "resolved",
    ]  # fmt: skip
    assert "The key has ended." in cli("alerts", "show", incident).out


def test_the_list_is_narrowed(cli: Cli, incident: str) -> None:
    def ids(*words: str) -> list[str]:
        return [row["id"] for row in cli("alerts", "list", "--json", *words).json["rows"]]

    assert ids("--open", "--state", "open") == ids("--severity", "warning") == [incident]
    assert ids("--open", "--state", "resolved") == ids("--severity", "critical", "--severity", "info") == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("ack", "none"), 1),
        (("show", "none"), 1),
        (("snooze", "none", "--for", "soon"), 2),
        (("snooze", "none", "--for", "0m"), 2),
        (("list", "--state", "gone"), 2),
    ],
)
def test_what_cannot_be_done_is_said(cli: Cli, home: Path, words: tuple[str, ...], code: int) -> None:
    done = cli("alerts", *words, "--json")
    assert (done.code, done.out) == (code, "")
    assert done.error["message"]


def test_the_rules_are_listed_with_what_they_watch(cli: Cli, home: Path) -> None:
    rows = cli("alerts", "rules", "--json").json["rows"]
    assert {"id", "severity", "watches", "when", "enabled"} <= rows[0].keys()
    assert rows[0]["id"] in cli("alerts", "rules").out


def test_an_event_that_no_rule_has_is_named(cli: Cli, configured: Path) -> None:
    text = configured.read_text().replace(
        'id = "ops"', 'id = "ops"\nevents = ["run_faild", "source_recovered"]'
    )
    configured.write_text(text, encoding="utf-8")
    said = cli("alerts", "rules").err
    assert "run_faild" in said
    assert "source_recovered" not in said
