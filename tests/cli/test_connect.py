"""`connect` says what has to be allowed, tries it, and writes the lines that `pull` then uses."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.sources.live.doubles_http import Reply, serving
from tests.sources.live.doubles_organisation import KEY, OrganisationDouble, anthropic_cost

from costweir.cli.connect import _TITLES
from costweir.sources.live.anthropic import COSTS

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

TODAY = datetime.now(UTC).date()


@pytest.fixture
def double() -> OrganisationDouble:
    double = OrganisationDouble(anthropic=True)
    double.put(COSTS, TODAY.isoformat(), anthropic_cost("Claude Opus 5 Usage - Input Tokens", "125"))
    return double


@pytest.fixture
def url(double: OrganisationDouble, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", KEY)
    with serving(double.answer) as address:
        yield address


@pytest.mark.parametrize("provider", list(_TITLES))
def test_the_policy_needs_no_account_and_no_library(cli: Cli, provider: str) -> None:
    done = cli("connect", provider, "--policy", "--json")

    assert done.code == 0, done.err
    assert done.json["schema"] == "costweir.connect/1"
    assert len(done.json["policy"]) > 40
    assert cli("connect", provider, "--policy").out.strip() == done.json["policy"].strip()


def test_a_connection_is_checked_and_its_lines_are_printed(cli: Cli, url: str) -> None:
    done = cli("connect", "anthropic", "--id", "claude", "--base-url", url, "--json")

    assert done.code == 0, done.err
    found = done.json
    assert (found["id"], found["kind"], found["ok"], found["written"]) == ("claude", "anthropic", True, False)
    assert found["last_day"] == TODAY.isoformat()
    assert found["usual_lag_hours"] > 0
    assert all(finding["ok"] for finding in found["findings"])
    assert tomllib.loads(found["toml"]) == {
        "sources": [{"id": "claude", "kind": "anthropic", "base_url": url}]
    }
    assert KEY not in done.out + done.err
    text = cli("connect", "anthropic", "--base-url", url)
    assert "ok  " in text.out
    assert "[[sources]]" in text.out
    assert "Usual lag" in text.out


def test_written_lines_keep_the_file_and_are_what_pull_uses(cli: Cli, home: Path, url: str) -> None:
    file = home / "data/costweir.toml"
    file.parent.mkdir()
    file.write_text('# mine\nname = "Tiny"', encoding="utf-8")

    done = cli(
        "connect", "anthropic", "--id", "claude", "--base-url", url, "--every", "1d", "--write", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["written"] is True
    assert file.read_text(encoding="utf-8").startswith(
        '# mine\nname = "Tiny"\n\n[[sources]]\nid = "claude"\n'
    )
    assert (
        "costweir pull b --since"
        in cli("connect", "anthropic", "--id", "b", "--base-url", url, "--write").err
    )

    again = cli("connect", "anthropic", "--id", "claude", "--write", "--json")
    assert (again.code, again.error["code"]) == (1, "conflict")
    assert cli("connect", "anthropic", "--id", "claude", "--json").json["toml"].count(url) == 1

    pulled = cli("pull", "claude", "--json")
    assert pulled.code == 0, pulled.err
    [row] = pulled.json["rows"]
    assert (row["status"], row["billed_total"], row["connection"]) == ("loaded", "1.25", "claude")
    assert cli("pull", "claude", "--date", "yesterday", "--dry-run", "--json").json["dry_run"] is True


def test_a_list_on_one_line_is_not_broken(cli: Cli, home: Path, url: str) -> None:
    file = home / "data/costweir.toml"
    file.parent.mkdir()
    text = 'sources = [ { id = "a", kind = "openai" } ]\n'
    file.write_text(text, encoding="utf-8")

    done = cli("connect", "anthropic", "--base-url", url, "--write", "--json")
    assert (done.code, done.error["code"]) == (2, "config")
    assert file.read_text(encoding="utf-8") == text


def test_each_kind_of_failure_has_its_exit_code_and_writes_nothing(
    cli: Cli, home: Path, double: OrganisationDouble, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("connect", "anthropic", "--base-url", url, "--write", "--json")
    double.key = "another"
    denied = cli(*words)
    assert (denied.code, denied.error["code"], denied.json["ok"]) == (1, "not_allowed", False)
    monkeypatch.delenv("ANTHROPIC_ADMIN_KEY")
    assert cli(*words).code in (1, 2)
    assert cli("connect", "azure", "--scope", "/subscriptions/x", "--url", "az://a/b").code == 2
    assert cli("connect", "gcp").code == 2
    assert cli("connect", "oracle").code == 2
    assert not (home / "data/costweir.toml").exists()


@pytest.mark.timeout(60)
def test_a_provider_that_does_not_answer_is_3(
    cli: Cli, url: str, double: OrganisationDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costweir.sources.live.retry.time.sleep", lambda _: None)
    double.storm = [Reply(status=503) for _ in range(50)]
    done = cli("connect", "anthropic", "--base-url", url, "--json")
    assert (done.code, done.error["code"], done.error["transient"]) == (3, "unreachable", True)


def test_pull_says_what_is_wrong_with_its_days_and_names(cli: Cli, home: Path) -> None:
    assert cli("pull", "nobody").code == 1
    assert "no source 'nobody'" in cli("pull", "nobody").err
    for words in (
        ("--date", "2026-13-01"),
        ("--date", "yesterday", "--since", "2026-11-01"),
        ("--until", "2026-11-01"),
        ("--since", "x"),
    ):
        assert cli("pull", "nobody", *words).code == 2, words
    assert cli("pull", "all", "--json").json["rows"] == []


def test_one_failing_source_does_not_stop_the_others(cli: Cli, home: Path, url: str) -> None:
    file = home / "data/costweir.toml"
    file.parent.mkdir()
    rows = [
        f'[[sources]]\nid = "bad"\nkind = "anthropic"\nbase_url = "{url}"\napi_key_env = "NOT_SET"\n',
        f'[[sources]]\nid = "off"\nkind = "anthropic"\nbase_url = "{url}"\nenabled = false\n',
        f'[[sources]]\nid = "good"\nkind = "anthropic"\nbase_url = "{url}"\n',
    ]
    file.write_text("".join(rows), encoding="utf-8")

    done = cli("pull", "all", "--json")
    assert done.code in (1, 2)
    assert "1 of 2 sources failed" in done.error["message"]
    assert [(row["connection"], row["status"]) for row in done.json["rows"]] == [("good", "loaded")]
    runs = {(run["connection"], run["status"]) for run in cli("runs", "--json").json["rows"]}
    assert runs == {("bad", "failed"), ("good", "loaded")}
    head, *lines = cli("runs").out.splitlines()
    assert head.split()[:3] == ["run", "id", "connection"]
    assert {line.split()[1] for line in lines} == {"bad", "good"}
