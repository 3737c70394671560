"""`costweir render`: the same bytes every time, never a secret, nothing of others lost, a check that names files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from costweir import config
from costweir.config.secrets import plain_secrets
from costweir.errors import CheckFailed, Conflict, UsageError
from costweir.telemetry import render

ROOT = Path(__file__).parents[2]
#: What the contract names; outsiders look for these.
PROMISED = (
    "compose/compose.yaml",
    "prometheus/prometheus.yml",
    "prometheus/rules/budgets.yml",
    "prometheus/tests/budgets.yml",
    "alertmanager/alertmanager.yml",
    "loki/loki.yaml",
    "alloy/config.alloy",
)
PROFILES = ("", "lite", "standard", "full")


def settings(home: Path, **environ: str) -> config.Settings:
    return config.load(environ={"HOME": str(home), **environ})


def run(cwd: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {"HOME": str(cwd), "PATH": os.environ["PATH"], **environ}
    return subprocess.run(
        [sys.executable, "-m", "costweir", *words], cwd=cwd, env=clean, capture_output=True, text=True
    )


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return dict(render.rendered(settings(tmp_path_factory.mktemp("home"))))


def test_what_is_committed_is_what_is_rendered(made: dict[str, str]) -> None:
    """`render --check` of this repository: whoever changes a renderer renders again."""
    render.check(ROOT / "deploy", made)


def test_the_promised_files_are_there(made: dict[str, str]) -> None:
    assert {*PROMISED} <= {*made}
    assert any(path.startswith("grafana/dashboards/") for path in made)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_settings_give_the_same_bytes(tmp_path: Path, profile: str) -> None:
    one = render.rendered(settings(tmp_path), profile)
    other = render.rendered(settings(tmp_path / "elsewhere"), profile)

    assert one == other
    assert [*one] == sorted(one)
    assert {*PROMISED} <= {*one}


def test_a_second_render_writes_nothing(tmp_path: Path, made: dict[str, str]) -> None:
    render.write(tmp_path / "out", made)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}

    found = render.write(tmp_path / "out", made)

    assert found.none
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_no_file_holds_a_secret(tmp_path: Path) -> None:
    """Whatever secret the environment gives, none of it, and nothing that looks like one, is in a file."""
    secrets = {
        "DB_PASSWORD": "hunter2-db-password",
        "GF_SECURITY_ADMIN_PASSWORD": "hunter2-grafana",
        "AZURE_CLIENT_SECRET": "hunter2-azure",
        "DATABASE_URL": "postgresql://u:hunter2-url@db/x",
        "HOOK": "https://hooks.slack.com/services/T0/B0/hunter2hook",
        "COSTWEIR_CHANNELS": '[{"id": "chat", "kind": "slack", "url_env": "HOOK"}]',
    }
    made = render.rendered(settings(tmp_path, **secrets))

    assert [path for path, text in made.items() if "hunter2" in text] == []
    lines = {path: dict(enumerate(text.splitlines())) for path, text in made.items()}
    told = {
        path: list(plain_secrets({str(at): line for at, line in rows.items()}, frozenset()))
        for path, rows in lines.items()
    }
    assert {path: found for path, found in told.items() if found} == {}


def test_no_file_has_broken_letters_or_a_floating_tag(made: dict[str, str]) -> None:
    bad = re.compile("\N{LATIN CAPITAL LETTER A WITH TILDE}[\x80-\xbf]|\ufffd|:latest\\b|0\\.0\\.0\\.0/0")

    assert {path: bad.findall(text) for path, text in made.items() if bad.search(text)} == {}


def test_check_names_what_is_stale_missing_and_too_much(tmp_path: Path, made: dict[str, str]) -> None:
    out = tmp_path / "out"
    render.write(out, made)
    render.check(out, made)
    (out / "loki/loki.yaml").write_text("auth_enabled: true\n")
    (out / "alloy/config.alloy").unlink()
    (out / "prometheus/rules/own.yml").write_text("groups: []\n")

    with pytest.raises(CheckFailed) as raised:
        render.check(out, made)

    assert "stale: loki/loki.yaml" in raised.value.message
    assert "missing: alloy/config.alloy" in raised.value.message
    assert "extra: prometheus/rules/own.yml" in raised.value.message
    assert raised.value.exit_code == 5


def test_what_others_wrote_is_not_replaced(tmp_path: Path, made: dict[str, str]) -> None:
    out = tmp_path / "out"
    (out / "compose").mkdir(parents=True)
    (out / "compose/compose.yaml").write_text("services: {mine: {image: mine:1}}\n")
    before = content(out)

    with pytest.raises(Conflict, match=r"compose/compose\.yaml"):
        render.write(out, made)
    assert content(out) == before

    render.write(out, made, force=True)
    render.check(out, made)


def test_what_was_edited_by_hand_is_not_replaced(tmp_path: Path, made: dict[str, str]) -> None:
    out = tmp_path / "out"
    render.write(out, made)
    edited = out / "alertmanager/alertmanager.yml"
    edited.write_text(edited.read_text() + "# mine\n")
    newer = {**made, "alertmanager/alertmanager.yml": "other: 1\n"}

    with pytest.raises(Conflict):
        render.write(out, newer)

    assert edited.read_text().endswith("# mine\n")


def test_what_is_no_longer_rendered_goes_and_what_is_not_ours_stays(
    tmp_path: Path, made: dict[str, str]
) -> None:
    out = tmp_path / "out"
    render.write(out, {**made, "queries/old.sql": "SELECT 1\n"})
    for own in ("prometheus/own/mine.yml", "compose/config/costweir.toml", "notes.txt"):
        (out / own).parent.mkdir(exist_ok=True)
        (out / own).write_text("mine\n")

    render.write(out, made)

    assert not (out / "queries/old.sql").exists()
    assert (out / "prometheus/own/mine.yml").exists()
    assert (out / "compose/config/costweir.toml").exists()
    render.check(out, made)


def test_a_list_from_elsewhere_leads_nowhere(tmp_path: Path, made: dict[str, str]) -> None:
    """A line of the list that leaves the folder removes nothing outside."""
    (tmp_path / "victim").write_text("")
    out = tmp_path / "out"
    render.write(out, made)
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with (out / render.LIST).open("a") as listing:
        listing.write(f"{empty}  ../victim\n{empty}  {tmp_path}/victim\n")

    render.write(out, made)

    assert (tmp_path / "victim").exists()


def test_an_unwritable_folder_is_said_in_one_sentence(tmp_path: Path, made: dict[str, str]) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot be"):
        render.write(tmp_path / "file/out", made)


def test_the_command_writes_checks_and_lists(tmp_path: Path) -> None:
    done = run(tmp_path, "render", "--profile", "lite", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed["schema"] == "costweir.render/1"
    assert {row["path"] for row in listed["rows"]} | {render.LIST} == {*content(tmp_path / "deploy")}
    assert {row["status"] for row in listed["rows"]} == {"new"}

    assert run(tmp_path, "render", "--profile", "lite", "--check").returncode == 0
    (tmp_path / "deploy/loki/loki.yaml").unlink()
    missing = run(tmp_path, "render", "--profile", "lite", "--check", "--json")
    assert missing.returncode == 5
    assert "loki/loki.yaml" in json.loads(missing.stderr)["error"]["message"]
    assert missing.stdout == ""
