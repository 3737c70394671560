"""What each noun prints and how it exits, with a desk that holds known answers."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sqlite3
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from tests.cli.conftest import Cli

from costweir import app
from costweir.cli.demo import clear
from costweir.control import Control
from costweir.domain.answer import Answer, Excluded
from costweir.domain.period import Period
from costweir.queries.request import Request

ANSWER = Answer(
    query_id="spend/1",
    question="spend",
    basis="billed",
    currency="USD",
    period=Period(date(2026, 11, 1), date(2026, 11, 19)),
    rows=({"customer": "acme", "billed_cost": "10.50"}, {"customer": "untagged", "billed_cost": "2.00"}),
    total="13.00",
    other="0.50",
    as_of={"aws": "2026-11-19T00:00:00Z"},
    complete_to={"aws": "2026-11-18"},
    link="/explore?question=spend",
)
LOADED = {
    "run_id": "r1", "source": "focus", "account": "a", "period": "2026-10", "status": "loaded", "rows_in": 3,
    "rows_stored": 2, "rows_skipped": 1, "rows_quarantined": 0, "billed_total": "3.75", "file_total": "4.00",
    "currency": "USD", "content_hash": "h", "note": "",
}  # fmt: skip


@dataclass
class KnownDesk:
    """Holds known answers, and keeps what it was asked."""

    answer: Answer = ANSWER
    rows: Sequence[Mapping[str, object]] = (LOADED,)
    asked: list[Request] = field(default_factory=list)
    pulled: list[dict[str, Any]] = field(default_factory=list)
    opened: list[bool] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        pass

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.answer

    def questions(self) -> Sequence[Mapping[str, object]]:
        return [
            {"id": "spend", "title": "What was spent", "dimensions": ["day", "model"], "params": ["since"]}
        ]

    def runs(self, *, limit: int = 100) -> Sequence[Mapping[str, object]]:
        return [LOADED] * min(limit, 2)

    def quarantine(self, *, run_id: str = "", limit: int = 100) -> Sequence[Mapping[str, object]]:
        return [
            {"run_id": run_id or "r1", "file": "a.csv", "row_number": 7, "reason": "no date", "raw": "=1,2"}
        ]

    def pull_files(self, paths: Sequence[str], **given: Any) -> Sequence[Mapping[str, object]]:
        self.pulled.append({"paths": list(paths), **given})
        return self.rows


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> KnownDesk:
    known = KnownDesk()

    def open_desk(_settings: object, *, read_only: bool = False) -> KnownDesk:
        known.opened.append(read_only)
        return known

    monkeypatch.setattr(app, "open_desk", open_desk)
    return known


def test_ask_passes_every_flag_on_and_prints_the_answer_itself(cli: Cli, desk: KnownDesk) -> None:
    words = "ask spend --by customer --by model --where customer=acme --where customer=zeta --where model=a=b"
    words += " --since 2026-11-01 --until 2026-11-19 --limit 5 --basis effective --currency EUR --json"

    done = cli(*words.split())

    assert done.code == 0
    assert done.json == ANSWER.to_json()
    assert done.json["schema"] == "costweir.ask/1"
    assert desk.asked == [
        Request(
            "spend",
            by=("customer", "model"),
            where={"customer": ("acme", "zeta"), "model": ("a=b",)},
            since=date(2026, 11, 1),
            until=date(2026, 11, 19),
            limit=5,
            basis="effective",
            currency="EUR",
        )
    ]
    assert desk.opened == [True]


def test_ask_shows_rows_then_the_rest_then_the_total(cli: Cli, desk: KnownDesk) -> None:
    done = cli("ask", "spend", "--by", "customer")

    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[1:] == [["acme", "10.50"], ["untagged", "2.00"], ["other", "0.50"], ["total", "13.00"]]
    assert "2026-11-01 until 2026-11-19" in done.err


def test_ask_as_csv_has_the_rows_of_the_answer_and_nothing_else(cli: Cli, desk: KnownDesk) -> None:
    done = cli("ask", "spend", "--csv", "--quiet")

    assert list(csv.DictReader(io.StringIO(done.out))) == [dict(row) for row in ANSWER.rows]
    assert done.err == ""


def test_an_incomplete_answer_is_printed_and_exits_4(cli: Cli, desk: KnownDesk) -> None:
    gap = Excluded("no_rate", "12 lines in EUR have no rate.", amount="9.00", currency="EUR", rows=12)
    desk.answer = replace(ANSWER, complete=False, excluded=(gap,))

    done = cli("ask", "spend", "--json")

    assert done.code == 4
    assert done.json["complete"] is False
    assert done.error["code"] == "incomplete"
    assert "12 lines in EUR have no rate" in done.error["message"]


def test_pull_prints_the_rows_of_the_contract(cli: Cli, desk: KnownDesk) -> None:
    done = cli("pull", "files", "a.csv", "b/*.csv", "--source", "focus", "--all-services", "--json")

    assert done.code == 0
    assert done.json["schema"] == "costweir.pull/1"
    assert done.json["rows"] == [LOADED]
    [pulled] = desk.pulled
    assert pulled.pop("progress")
    assert pulled == {
        "paths": ["a.csv", "b/*.csv"],
        "source": "focus",
        "all_services": True,
        "dry_run": False,
    }
    assert desk.opened == [False]


def test_pull_exits_1_when_a_file_failed_and_still_shows_the_others(cli: Cli, desk: KnownDesk) -> None:
    desk.rows = [LOADED, LOADED | {"status": "failed", "note": "b.csv is cut off."}]

    done = cli("pull", "files", "x", "--json")

    assert done.code == 1
    assert len(done.json["rows"]) == 2
    assert done.error["code"] == "source_rejected"
    assert "1 of 2" in done.error["message"]
    assert "b.csv is cut off" in done.error["message"]


def test_pull_exits_4_when_lines_are_in_quarantine(cli: Cli, desk: KnownDesk) -> None:
    desk.rows = [LOADED | {"rows_stored": 1, "rows_quarantined": 1}]

    done = cli("pull", "files", "x")

    assert done.code == 4
    assert "1 line is in quarantine" in done.err
    assert "costweir quarantine" in done.err


def test_pull_exits_0_when_everything_was_there_already(cli: Cli, desk: KnownDesk) -> None:
    desk.rows = [LOADED | {"status": "unchanged"}]

    assert cli("pull", "files", "x").code == 0


def test_a_dry_run_says_that_nothing_was_stored(cli: Cli, desk: KnownDesk) -> None:
    done = cli("pull", "files", "x", "--dry-run")

    assert done.code == 0
    assert "Nothing was stored" in done.err
    assert desk.pulled[0]["dry_run"] is True
    assert desk.opened == [True]


def test_questions_runs_and_quarantine_are_lists(cli: Cli, desk: KnownDesk) -> None:
    for noun, count in (("questions", 1), ("runs", 2), ("quarantine", 1)):
        done = cli(noun, "--json")
        assert done.code == 0
        assert done.json["schema"] == f"costweir.{noun}/1"
        assert len(done.json["rows"]) == count
    assert len(cli("runs", "--limit", "1", "--json").json["rows"]) == 1
    assert cli("quarantine", "--run", "r9", "--json").json["rows"][0]["run_id"] == "r9"
    assert "'=1,2" in cli("quarantine", "--csv").out


def test_commands_on_an_empty_data_directory_answer_and_point_to_the_demo(cli: Cli) -> None:
    assert cli("runs", "--json").json["rows"] == []
    assert "costweir demo" in cli("runs").err
    assert cli("quarantine", "--json").json["rows"] == []
    done = cli("ask", "spend")
    assert done.code == 0
    assert "costweir demo" in done.err


def test_every_question_of_the_contract_exists(cli: Cli) -> None:
    rows = {row["id"]: row for row in cli("questions", "--json").json["rows"]}

    wanted = {
        "spend",
        "tokens",
        "unit_cost",
        "customers",
        "sessions",
        "budgets",
        "margin",
        "reconcile",
        "data_health",
    }
    assert wanted <= rows.keys()
    for row in rows.values():
        assert {"id", "title", "dimensions", "params"} <= row.keys()


STRINGS = (
    "id,cloud,service,sku_or_usage_type,unit,owner\n"
    "1,aws,Amazon Bedrock,USE1-Claude4.5Haiku-input-tokens,1K tokens,=me\n"
    "2,aws,AmazonEC2,BoxUsage:m5.large,Hrs,you\n"
)


def test_classify_copies_every_column_in_order_and_appends_the_meaning(cli: Cli, home: Path) -> None:
    source, target = home / "in.csv", home / "out.csv"
    source.write_text("\ufeff" + STRINGS, encoding="utf-8")

    done = cli("classify", str(source), "--out", str(target), "--json")

    rows = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"))))
    assert done.code == 0
    assert done.json["count"] == 2
    assert [row["id"] for row in rows] == ["1", "2"]
    assert list(rows[0])[:6] == ["id", "cloud", "service", "sku_or_usage_type", "unit", "owner"]
    assert list(rows[0])[6:] == [
        "model", "token_type", "tokens_per_unit", "direction", "modality", "cache_action", "cache_ttl",
        "tier",
        "routing", "rule_id", "confidence",
    ]  # fmt: skip
    assert (rows[0]["model"], rows[0]["token_type"], rows[0]["owner"]) == ("claude-haiku-4-5", "input", "=me")
    assert rows[1]["model"] == "unknown"


def test_classify_writes_to_stdout_by_default(cli: Cli, home: Path) -> None:
    source = home / "in.csv"
    source.write_text(STRINGS, encoding="utf-8")

    assert cli("classify", str(source)).out.splitlines()[0].startswith("id,cloud,service")
    assert cli("classify", str(source), "--json").json["rows"][0]["model"] == "claude-haiku-4-5"


def test_a_classify_that_fails_leaves_the_old_output_and_no_rest(cli: Cli, home: Path) -> None:
    source, target = home / "in.csv", home / "out.csv"
    target.write_text("old")
    for text in (STRINGS + "3,aws\n4,aws,a,b,c,d,too,many\n", "cloud,service\n", ""):
        source.write_text(text, encoding="utf-8")
        done = cli("classify", str(source), "--out", str(target))
        assert done.code == 2
        assert target.read_text() == "old"
    source.write_bytes(STRINGS.replace("you", "Müller").encode("latin-1"))
    done = cli("classify", str(source), "--out", str(target))
    assert done.code == 2
    assert "not UTF-8" in done.err
    assert sorted(path.name for path in home.iterdir() if path.is_file()) == ["in.csv", "out.csv"]


def test_classify_of_a_file_that_is_not_there_is_one_sentence(cli: Cli, home: Path) -> None:
    done = cli("classify", str(home / "none.csv"))

    assert done.code == 1
    assert done.err.startswith(f"There is no file {home / 'none.csv'}.")


def test_prices_are_decimal_strings_and_an_own_price_goes_first(cli: Cli, home: Path) -> None:
    config = home / "c.toml"
    config.write_text(
        'prices = [ { model = "big", effective = "2026-01-01", input = "3.00", output = "15" } ]'
    )

    listed = cli("prices", "list", "--model", "big", "--config", str(config), "--json").json
    shown = cli("prices", "show", "big", "--config", str(config), "--json").json

    own = [row for row in listed["rows"] if row["model"] == "big"]
    assert (own[0]["input_usd"], own[0]["output_usd"], own[0]["effective"]) == ("3.00", "15.00", "2026-01-01")
    assert listed["schema"] == "costweir.prices/1"
    assert shown["provider"] == "operator"


def test_prices_of_an_unknown_model_exit_1(cli: Cli) -> None:
    done = cli("prices", "show", "no-such-model", "--json")

    assert done.code == 1
    assert done.error["code"] == "not_found"


def test_prices_diff_needs_the_earlier_day_first(cli: Cli) -> None:
    assert cli("prices", "diff", "--since", "2026-02-01", "--until", "2026-01-01").code == 2
    assert cli("prices", "diff", "--since", "2026-01-01", "--until", "2026-01-02", "--json").code == 0


def test_config_show_names_origins_and_masks_secrets(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    done = cli("config", "show", "--origin", "--json")

    rows = {row["key"]: row for row in done.json["rows"]}
    assert rows["aws.region"] == {
        "key": "aws.region",
        "value": "eu-west-1",
        "origin": "environment AWS_REGION",
    }
    assert rows["database.password"]["value"] == "********"
    for words in (["--json"], ["--csv"], []):
        assert "hunter2" not in cli("config", "show", "--origin", *words).out


def test_config_validate_names_every_problem_and_exits_2(cli: Cli, home: Path) -> None:
    config = home / "c.toml"
    config.write_text('nmae = "x"\n[web]\nprot = 1\n')

    done = cli("config", "validate", "--config", str(config), "--json")

    assert done.code == 2
    assert {row["key"] for row in done.json["rows"]} == {"nmae", "web.prot"}
    assert done.error["code"] == "config"
    assert str(config) in done.error["message"]
    assert cli("config", "validate").code == 0


def test_config_validate_knows_the_alert_rules(cli: Cli, home: Path) -> None:
    config = home / "c.toml"
    config.write_text('[[alerts]]\nid = "eror_spike"\n')

    done = cli("config", "validate", "--config", str(config), "--json")

    assert done.code == 2
    assert "'eror_spike' is no rule" in done.error["message"]
    assert "error_spike" in done.error["hint"]


def test_a_wrong_setting_stops_every_command_that_reads_settings(cli: Cli, home: Path) -> None:
    (home / "data").mkdir()
    (home / "data/costweir.toml").write_text('nmae = "x"')

    for words in (
        ["runs"],
        ["ask", "spend"],
        ["config", "show"],
        ["prices", "list"],
        ["up"],
        ["demo", "--no-serve"],
    ):
        done = cli(*words)
        assert done.code == 2, words
        assert "nmae" in done.err
    assert cli("version").code == 0
    assert cli("--help").code == 0


def test_config_schema_is_a_json_schema(cli: Cli) -> None:
    done = cli("config", "schema")

    assert json.loads(done.out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_doctor_is_content_with_a_fresh_machine(cli: Cli, home: Path) -> None:
    done = cli("doctor", "--json")

    rows = {row["check"]: row["status"] for row in done.json["rows"]}
    assert done.code == 0
    assert {
        "python",
        "configuration",
        "data directory",
        "server",
        "store",
        "extras",
        "clock",
        "charts",
    } <= rows.keys()
    assert "fail" not in rows.values()
    assert not (home / "data").exists()


def test_doctor_knows_every_extra(cli: Cli, home: Path) -> None:
    named = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    [row] = [row for row in cli("doctor", "--json").json["rows"] if row["check"] == "extras"]
    told = set(re.findall(r"[a-z]+", row["detail"]))
    assert set(named["project"]["optional-dependencies"]) <= told


def test_doctor_exits_5_and_says_which_check_failed(cli: Cli, home: Path) -> None:
    Control.open(home / "data/control.db").close()
    connection = sqlite3.connect(home / "data/control.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()

    done = cli("doctor", "--json")

    assert done.code == 5
    assert [row["check"] for row in done.json["rows"] if row["status"] == "fail"] == ["control database"]
    assert done.error["code"] == "check_failed"


def test_doctor_reports_a_wrong_setting_instead_of_stopping_at_it(cli: Cli, home: Path) -> None:
    config = home / "c.toml"
    config.write_text('nmae = "x"')

    done = cli("doctor", "--config", str(config), "--json")

    assert done.code == 5
    failed = [row for row in done.json["rows"] if row["status"] == "fail"]
    assert [row["check"] for row in failed] == ["configuration"]
    assert failed[0]["hint"] == "Did you mean name?"


def test_doctor_warns_of_little_space(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 5_000_000})())

    rows = {row["check"]: row for row in cli("doctor", "--json").json["rows"]}

    assert rows["data directory"]["status"] == "warn"


def test_the_demo_removes_only_what_it_wrote_before(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text("{}")
    (tmp_path / "aws").mkdir()
    (tmp_path / "mine").mkdir()

    clear(tmp_path)

    assert (tmp_path / "mine").exists()
    assert not (tmp_path / "aws").exists()
