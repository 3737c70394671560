"""Copies of a data directory can be opened, hold one moment, and older ones go."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from costweir import config
from costweir.app import backup
from costweir.errors import Conflict, NotFound, UsageError

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    (tmp_path / "data").mkdir()
    return config.load(environ={"HOME": str(tmp_path), "COSTWEIR_DATA_DIR": str(tmp_path / "data")})


def fill(settings: config.Settings, rows: int = 100) -> None:
    for name in ("control.db", "ledger.db"):
        with closing(sqlite3.connect(settings.data_dir / name)) as made:
            made.execute("PRAGMA journal_mode = WAL")
            made.execute("CREATE TABLE IF NOT EXISTS kept (n INTEGER)")
            made.executemany("INSERT INTO kept VALUES (?)", [(n,) for n in range(rows)])
            made.commit()
    with duckdb.connect(str(settings.data_dir / "facts.duckdb")) as made:
        made.execute(f"CREATE TABLE facts AS SELECT n FROM range({rows}) AS rows (n)")


def test_a_copy_has_every_database_and_each_opens(tmp_path: Path, settings: config.Settings) -> None:
    fill(settings)

    made = backup.back_up(settings, tmp_path / "out", keep=7, now=NOON)

    assert made.folder.name == "costweir-2026-11-01T120000Z"
    assert [*made.files] == ["control.db", "facts.duckdb", "ledger.db"]
    with closing(sqlite3.connect(made.folder / "ledger.db")) as opened:
        assert opened.execute("SELECT count(*) FROM kept").fetchone() == (100,)
    with duckdb.connect(str(made.folder / "facts.duckdb"), read_only=True) as opened:
        assert opened.execute("SELECT count(*) FROM facts").fetchone() == (100,)
    assert all(path.stat().st_mode & 0o077 == 0 for path in made.folder.iterdir())


def test_what_a_restored_server_needs_beside_its_databases_is_copied(
    tmp_path: Path, settings: config.Settings
) -> None:
    """Without the key secret every gateway key would be refused."""
    fill(settings)
    for name in ("key-secret", "admin-token", "rates.csv", "ledger.db-log0", "server.json"):
        (settings.data_dir / name).write_text(name)

    made = backup.back_up(settings, tmp_path / "out", keep=7)

    assert {*made.files} - {"control.db", "facts.duckdb", "ledger.db"} == {
        "key-secret",
        "admin-token",
        "rates.csv",
    }
    assert (made.folder / "key-secret").read_text() == "key-secret"
    assert (made.folder / "key-secret").stat().st_mode & 0o777 == 0o600


def test_a_server_that_holds_the_facts_open_is_copied_with_its_last_commit(
    tmp_path: Path, settings: config.Settings
) -> None:
    fill(settings)
    with duckdb.connect(str(settings.data_dir / "facts.duckdb")) as held:
        held.execute("INSERT INTO facts SELECT 1000 + n FROM range(50) AS rows (n)")
        assert (settings.data_dir / "facts.duckdb.wal").exists()

        made = backup.back_up(settings, tmp_path / "out", keep=7)

        with duckdb.connect(str(made.folder / "facts.duckdb"), read_only=True) as opened:
            assert opened.execute("SELECT count(*) FROM facts").fetchone() == (150,)


def test_a_copy_while_rows_come_in_is_one_moment(
    tmp_path: Path, settings: config.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each commit adds one row to both tables; a copy with different counts would have torn one."""
    monkeypatch.setattr(backup, "WAIT_SECONDS", 0)
    monkeypatch.setattr(backup, "TRIES", 500)
    stop = threading.Event()
    with duckdb.connect(str(settings.data_dir / "facts.duckdb")) as held:
        held.execute("CREATE TABLE one (n INTEGER); CREATE TABLE other (n INTEGER)")

        def write() -> None:
            cursor = held.cursor()
            while not stop.is_set():
                cursor.execute("BEGIN; INSERT INTO one VALUES (1); INSERT INTO other VALUES (1); COMMIT")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            made = [backup.back_up(settings, tmp_path / f"out{n}", keep=1) for n in range(3)]
        finally:
            stop.set()
            writer.join()

    counts: list[int] = []
    for copy in made:
        with duckdb.connect(str(copy.folder / "facts.duckdb"), read_only=True) as opened:
            found = opened.execute(
                "SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM other)"
            ).fetchone()
        assert found is not None
        assert found[0] == found[1]
        counts.append(found[0])
    assert counts == sorted(counts)
    assert counts[-1] > 0


def test_the_newest_are_kept_and_others_files_stay(tmp_path: Path, settings: config.Settings) -> None:
    fill(settings)
    out = tmp_path / "out"
    for day in range(5):
        backup.back_up(settings, out, keep=3, now=NOON + timedelta(days=day))
    (out / "mine").mkdir()

    backup.back_up(settings, out, keep=2, now=NOON + timedelta(days=9))

    assert sorted(path.name for path in out.iterdir()) == [
        "costweir-2026-11-05T120000Z", "costweir-2026-11-10T120000Z", "mine",
    ]  # fmt: skip


def test_facts_that_never_rest_are_no_copy(
    tmp_path: Path, settings: config.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(settings)
    backup.back_up(settings, tmp_path / "out", keep=7, now=NOON)
    monkeypatch.setattr(backup, "WAIT_SECONDS", 0)
    monkeypatch.setattr(backup, "_copied_at_rest", lambda *_: False)

    with pytest.raises(Conflict):
        backup.back_up(settings, tmp_path / "out", keep=7, now=NOON + timedelta(days=1))

    assert [path.name for path in (tmp_path / "out").glob("*Z")] == ["costweir-2026-11-01T120000Z"]


def test_nothing_to_copy_is_said(tmp_path: Path, settings: config.Settings) -> None:
    with pytest.raises(NotFound):
        backup.back_up(settings, tmp_path / "out", keep=7)


def test_a_copy_inside_the_data_directory_is_refused(settings: config.Settings) -> None:
    fill(settings)

    with pytest.raises(UsageError, match="lies in the data directory"):
        backup.back_up(settings, settings.data_dir / "copies", keep=1)
    assert not (settings.data_dir / "copies").exists()
