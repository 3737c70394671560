"""A store on PostgreSQL as a user has it: the address in the settings, every command, and several processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

import bills
from engines import fresh_database, shared_postgres
from server import CONFIG, running

from costweir.app.desk import LocalDesk
from costweir.app.engines import open_warehouse
from costweir.cli.commands import root
from costweir.cli.frame import run
from costweir.config import load
from costweir.errors import ConfigError, StoreLocked
from costweir.store.engines.postgres import PostgresWarehouse
from costweir.store.warehouse import Slot

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("postgres")]

SAMPLES = Path(__file__).parents[2] / "samples"
GCP = str(SAMPLES / "gcp" / "standard_2026-10.jsonl")
AWS = str(SAMPLES / "aws" / "cur_legacy_2023-06-01.csv")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.code in (0, 4), self.err
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture
def url() -> str:
    """The address of an empty database."""
    return fresh_database(shared_postgres())


@pytest.fixture
def cli(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs `costweir` in this process with its facts in that database."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COSTWEIR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COSTWEIR_STORE__URL", url)

    def call(*words: str) -> Done:
        capfd.readouterr()
        code = run(root, words)
        return Done(code, *capfd.readouterr())

    return call


@contextmanager
def opened(url: str) -> Iterator[PostgresWarehouse]:
    store = PostgresWarehouse.open(url)
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def sql(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


@contextmanager
def shut(url: str) -> Iterator[None]:
    """The database takes nobody in and has thrown everybody out."""
    ((name,),) = sql(url, "SELECT CURRENT_DATABASE()")
    elsewhere = url.replace(f"/{name}?", "/postgres?")
    sql(elsewhere, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    sql(elsewhere, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        yield
    finally:
        sql(elsewhere, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


#: A text of the Google bill that gets a meaning of the operator's own.
TEXT = "Claude Sonnet 4.6 — Input Tokens — global — Context Window Size from 0 to 200000 Tokens"
MAPPING = ("mappings", "set", TEXT, "--cloud", "gcp", "--model", "my-own")
QUESTIONS = (
    ("spend", "--by", "model", "--by", "month"), ("unknown_skus",), ("restatements", "--by", "change"),
    ("charges", "--limit", "5"),
)  # fmt: skip


def day(cli: Cli, exported: Path) -> dict[str, Any]:
    """What the commands of a day say, without the ids of runs."""
    said = {
        "pulled": [_plain(row) for row in cli("pull", "files", GCP, AWS, "--json").json["rows"]],
        "again": [row["status"] for row in cli("pull", "files", GCP, AWS, "--json").json["rows"]],
        "planned": cli(*MAPPING, "--dry-run", "--json").json["digest"],
        "moved": cli(*MAPPING, "--json").json["lines"],
        "exit": cli("export", "focus", "--out", str(exported)).code,
    }
    answers = [cli("ask", *words, "--json").json for words in QUESTIONS]
    asked = [([_plain(row) for row in answer["rows"]], answer["total"]) for answer in answers]
    return {**said, "exported": _cells(exported), "asked": asked}


def test_every_command_of_a_day_gives_what_it_gives_on_duckdb(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = day(cli, tmp_path / "postgres.csv")
    monkeypatch.delenv("COSTWEIR_STORE__URL")
    monkeypatch.setenv("COSTWEIR_DATA_DIR", str(tmp_path / "duck"))
    theirs = day(cli, tmp_path / "duckdb.csv")

    assert set(mine["again"]) == {"unchanged"}
    assert mine["moved"] > 0
    for name, said in mine.items():
        assert said == theirs[name], name


def test_calls_without_a_price_get_one_when_it_is_known(cli: Cli, url: str, tmp_path: Path) -> None:
    with opened(url) as store:
        store.append([bills.call(number, model="mine", settled_usd=None) for number in range(4)])
    (tmp_path / "data").mkdir(exist_ok=True)
    price = '{ model = "mine", effective = "2026-01-01", input = "3.00", output = "15.00" }'
    (tmp_path / "data" / "costweir.toml").write_text(f"prices = [ {price} ]")
    assert cli("prices", "rerate", "--apply").code == 0
    answer = cli("ask", "spend", "--json").json
    assert (answer["basis"], answer["total"], answer["excluded"]) == ("metered", "0.0024", [])
    assert cli("ask", "call_adjustments", "--json").json["total"] == "0.0024"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("run_id", "run")}


def _cells(path: Path) -> list[str]:
    """The lines of a file without the id of the run."""
    import csv

    with path.open(newline="") as lines:
        return [str({**row, "x_RunId": "", "x_run_id": ""}) for row in csv.DictReader(lines)]


def test_doctor_names_the_database_and_no_password(cli: Cli, url: str) -> None:
    empty = cli("doctor", "--json").json
    assert sql(url, "SELECT COUNT(*) FROM pg_class WHERE relname = 'charges'") == [(0,)], "it changes nothing"
    cli("pull", "files", GCP)
    filled = cli("doctor", "--json").json
    lines = [next(row for row in report["rows"] if row["check"] == "store") for report in (empty, filled)]
    assert [line["status"] for line in lines] == ["ok", "ok"]
    assert "nothing was loaded yet" in lines[0]["detail"]
    assert "PostgreSQL" in lines[1]["detail"]
    assert "2 months" in lines[1]["detail"]


def test_the_demo_refuses_a_database_with_bills_of_your_own(cli: Cli) -> None:
    cli("pull", "files", GCP)
    refused = cli("demo", "--no-serve")
    assert refused.code == 1
    assert "bills of your own" in refused.err


def test_calls_of_the_gateway_arrive_beside_another_installation_and_after_the_database_was_gone(
    url: str, tmp_path: Path
) -> None:
    """A server with its gateway, a second installation that reads and loads, and one database."""
    config = CONFIG + "store = { call_months = 13 }\n"
    with running(tmp_path, config, {"COSTWEIR_STORE__URL": url}) as server:
        key = server.key("acme")
        body = {"model": "big", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 9}
        for _ in range(3):
            assert server.post("/v1/chat/completions", body, key)[0] == 200
        assert server.wait_for(lambda: server.calls() == 3), server.log()
        with shut(url):
            assert server.post("/v1/chat/completions", body, key)[0] == 200, "the gateway needs no warehouse"
        assert server.wait_for(lambda: server.calls() == 4, seconds=20), server.log()
        other = load(
            environ={"HOME": str(tmp_path), "COSTWEIR_STORE__URL": url},
            overrides={"data_dir": str(tmp_path / "other")},
        )
        with LocalDesk(other) as desk:
            assert desk.status()["metered"] is True
            assert {row["status"] for row in desk.pull_files([GCP])} == {"loaded"}
        assert json.loads(server.get("web", "/v1/answers/spend"))["basis"] == "billed"
        assert sql(url, "SELECT COUNT(*) FROM calls") == [(4,)]


def test_two_installations_tell_the_store_about_their_customers_in_turn(url: str, tmp_path: Path) -> None:
    """What was told last is what is there, and each one that opens tells its own again."""
    for turn, name in enumerate(("one", "two", "one")):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "costweir.toml").write_text(f'customers = [ {{ id = "{name}" }} ]')
        settings = load(
            environ={"HOME": str(folder), "COSTWEIR_STORE__URL": url}, overrides={"data_dir": str(folder)}
        )
        for read_only in (False, True):
            with LocalDesk(settings, read_only=read_only) as desk:
                found = desk.warehouse.query("SELECT c.id AS i FROM customers AS c").rows
                assert found == ((name,),), turn


def test_a_store_that_is_exchanged_is_told_what_the_old_one_knew(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "costweir.toml").write_text('customers = [ { id = "acme" } ]')
    monkeypatch.setenv("COSTWEIR_STORE__URL", "duckdb:facts.duckdb")
    assert cli("ask", "spend").code == 0
    monkeypatch.setenv("COSTWEIR_STORE__URL", fresh_database(shared_postgres()))
    with LocalDesk(load(overrides={"data_dir": str(data)}), read_only=True) as desk:
        assert desk.warehouse.query("SELECT c.id AS i FROM customers AS c").rows == (("acme",),)


LOADER = """
import sys, time
sys.path.insert(0, {contract!r})
import bills
from pathlib import Path
from costweir.store.engines.postgres import PostgresWarehouse
store = PostgresWarehouse.open(sys.argv[1])
slot = bills.Slot("aws", "1", "2026-10")
with store.claim(slot):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
    rows = [bills.line(cost=sys.argv[2])] * 3
    store.replace(bills.load_of(slot, rows), charges=bills.stage(Path(sys.argv[4]), rows))
"""


def loader(url: str, cost: str, seconds: float, file: Path) -> subprocess.Popen[bytes]:
    code = LOADER.format(contract=str(Path(bills.__file__).parent))
    started = subprocess.Popen(
        [sys.executable, "-c", code, url, cost, str(seconds), str(file)], stdout=subprocess.PIPE
    )
    assert started.stdout is not None
    assert started.stdout.readline() == b"held\n"
    return started


def test_two_processes_that_load_one_slot_take_turns(url: str, tmp_path: Path) -> None:
    with opened(url) as store:
        process = loader(url, "2", 0.4, tmp_path / "theirs.parquet")
        began = time.monotonic()
        with store.claim(Slot("aws", "2", "2026-10")):
            assert time.monotonic() - began < 0.3, "another slot does not wait"
        with store.claim(Slot("aws", "1", "2026-10")):
            assert store.query("SELECT SUM(c.billed_cost) AS s FROM charges AS c").rows == ((6,),)
            bills.store(store, tmp_path, [bills.line(cost="5")])
        process.communicate(timeout=20)
        assert store.query("SELECT SUM(c.billed_cost) AS s, COUNT(*) AS n FROM charges AS c").rows == (
            (5, 1),
        )
        assert store.query("SELECT SUM(d.billed_cost) AS s FROM charges_daily AS d").rows == ((5,),)


def test_a_loader_that_is_killed_lets_go_of_its_slot(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from costweir.store.engines.postgres import warehouse

    with opened(url) as store:
        process = loader(url, "2", 60, tmp_path / "theirs.parquet")
        with monkeypatch.context() as patch:
            patch.setattr(warehouse, "_CLAIM_PATIENCE", "SET lock_timeout = '50ms'")
            with (
                pytest.raises(StoreLocked, match="loading aws 1 2026-10"),
                store.claim(Slot("aws", "1", "2026-10")),
            ):
                pass
        process.kill()
        process.communicate()
        with store.claim(Slot("aws", "1", "2026-10")):
            assert store.query("SELECT COUNT(*) AS n FROM charges AS c").rows == ((0,),)


STARTER = """
import sys
from costweir.store.engines.postgres import PostgresWarehouse
store = PostgresWarehouse.open(sys.argv[1])
sys.stdin.readline()
store.migrate()
print(store.query("SELECT COUNT(*) AS n FROM schema_version").rows[0][0])
store.close()
"""


def test_processes_that_start_at_once_migrate_once(url: str) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {process.communicate(timeout=60)[0] for process in started}
    from costweir.store import schema

    assert told == {f"{len(schema.migrations())}\n"}


def test_a_role_that_may_only_read_asks_and_changes_nothing(
    cli: Cli, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"reader_{time.time_ns()}"
    sql(url, f"CREATE ROLE {role} LOGIN")
    monkeypatch.setenv("COSTWEIR_STORE__READER_ROLE", role)
    assert cli("pull", "files", GCP).code == 0
    whole = cli("ask", "spend", "--json").json
    monkeypatch.setenv(
        "COSTWEIR_STORE__URL", url.replace("postgres:@", f"{role}:@").replace("//postgres@", f"//{role}@")
    )
    monkeypatch.setenv("COSTWEIR_DATA_DIR", str(tmp_path / "elsewhere"))
    assert cli("ask", "spend", "--json").json["total"] == whole["total"]
    assert cli("ask", "model_approvals").code in (0, 4)
    refused = cli("pull", "files", AWS)
    assert refused.code == 1, refused
    assert "may not" in refused.err
    assert cli("ask", "spend", "--json").json["total"] == whole["total"]


def test_a_reading_role_that_does_not_exist_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTWEIR_STORE__READER_ROLE", "nobody_here")
    failed = cli("pull", "files", GCP)
    assert failed.code == 1
    assert "nobody_here" in failed.err


def test_old_months_go_once_a_day_where_the_settings_say_so(url: str, tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "COSTWEIR_STORE__URL": url, "COSTWEIR_STORE__CHARGE_MONTHS": "25"}
    settings = load(environ=environ, overrides={"data_dir": str(tmp_path)})
    now = bills.LOADED_AT
    with LocalDesk(settings) as desk:
        assert desk.retain(now=now) == {}
        old, new = date(2024, 9, 30), date(2024, 10, 1)
        bills.store(desk.warehouse, tmp_path, [bills.line(usage_date=old), bills.line(usage_date=new)])
        assert desk.retain(now=now) == {}, "it was done today"
        with desk.warehouse.snapshot() as reader, pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "costweir.store.engines.postgres.months._SHORT_WAIT", "SET LOCAL lock_timeout = '50ms'"
            )
            reader.query("SELECT COUNT(*) AS n FROM charges AS c")
            with pytest.raises(StoreLocked):
                desk.retain(now=now.replace(day=20))
            assert desk.retain(now=now.replace(day=20)) == {}, "it waits an hour"
        assert desk.retain(now=now.replace(day=20, hour=8)) == {"charges": 1}
    names = [
        row[0]
        for row in sql(url, "SELECT relname FROM pg_class WHERE relname LIKE 'charges_2%' AND relkind = 'r'")
    ]
    assert names == ["charges_2024_10"]


def test_without_its_library_the_store_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("psycopg", "costweir.store.engines.postgres"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    settings = load(
        environ={"HOME": str(tmp_path), "COSTWEIR_STORE__URL": "postgresql://db/facts"},
        overrides={"data_dir": str(tmp_path)},
    )
    with pytest.raises(ConfigError) as caught:
        open_warehouse(settings)
    assert "pip install 'costweir[postgres]'" in caught.value.hint
