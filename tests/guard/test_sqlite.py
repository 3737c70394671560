"""The ledger in a file: what a crash, a full disk, a lost file or a second process does to it (laws L2, L3, L8)."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from guard_world import CENT, FILES, NOON, USD, Hands, House, ask, budget, candidate, held, refused, terms

from costweir.errors import Conflict, Error, NotFound, StoreLocked
from costweir.guard import Start
from costweir.guard.ledger import Hold, Refusal, Settlement, Subject, Terms
from costweir.guard.ledgers import log
from costweir.guard.ledgers import sqlite as module
from costweir.guard.ledgers import writer as writing
from costweir.guard.ledgers.file import connect
from costweir.guard.ledgers.front import Durability
from costweir.guard.ledgers.reader import LedgerReader
from costweir.guard.ledgers.sqlite import SqliteLedger
from costweir.guard.windows import DAY

Open = Callable[..., House]


class Tap:
    """A connection that tells before each statement, and fails when it is told to."""

    def __init__(self, connection: sqlite3.Connection, before: Callable[[str], None]) -> None:
        self._connection = connection
        self._before = before

    def execute(self, sql: str, *params: Any) -> sqlite3.Cursor:
        self._before(sql)
        return self._connection.execute(sql, *params)

    def executemany(self, sql: str, rows: Sequence[Any]) -> sqlite3.Cursor:
        self._before(sql)
        return self._connection.executemany(sql, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Disk:
    """What opens connections, and breaks them while `broken` names an error."""

    def __init__(self) -> None:
        self.broken = ""
        self.at = ""
        self.seen: Callable[[str], None] = lambda _: None

    def __call__(self, path: Path, durability: Durability) -> Any:
        return Tap(connect(path, durability), self._before)

    def _before(self, sql: str) -> None:
        self.seen(sql)
        if self.broken and sql.lstrip().startswith(self.at):
            raise sqlite3.OperationalError(self.broken)


def opened_on(
    disk: Disk, path: Path, wanted: Terms, hands: Hands | None = None, *, durability: Durability = "process"
) -> SqliteLedger:
    clock = (hands or Hands()).clock()
    return SqliteLedger.open(path, Start(wanted, 1, clock, durability), opener=disk)


# -- crashes


def test_a_restart_ends_what_was_open(file: Open) -> None:
    house = file(terms(budget("day")))
    held(house.reserve(candidate(10 * CENT), send=False))
    sent = held(house.reserve(candidate(20 * CENT)))
    house.settle(held(house.reserve(candidate(30 * CENT))), 25 * CENT)
    house.run(house.ledger.flush())
    house.crash()

    assert house.states() == ["RELEASED", "UNCERTAIN", "SETTLED"]
    assert house.balances()["day"].settled == 45 * CENT
    assert house.drifts() == []
    # Usage that comes after the crash still replaces the hold.
    assert house.settle(sent, 1 * CENT).charged == CENT
    assert house.balances()["day"].settled == 26 * CENT


def test_a_crash_frees_no_room_in_a_rolling_window(file: Open) -> None:
    """A hold that is older than its window is charged at the restart, where it counts no more, and nothing else is."""
    house = file(terms(budget("minute", window="rolling:1m")))
    held(house.reserve(candidate(60 * CENT)))
    house.hands.sleep(120)
    house.crash()

    assert house.balances()["minute"].held == 0
    held(house.reserve(candidate(USD)))
    refused(house.reserve(candidate(1)))
    assert house.drifts() == []


def test_numbers_never_repeat(file: Open) -> None:
    house = file(terms(budget("day")))
    numbers = [held(house.reserve(candidate(0))).attempt]
    for end in (house.restart, house.crash, house.restart):
        end()
        numbers.append(held(house.reserve(candidate(0))).attempt)
    sequence = [seq for seq, _ in house.run(house.ledger.outbox(0))]

    assert numbers == sorted(set(numbers))
    assert sequence == sorted(set(sequence))


def test_a_minute_survives_a_restart(file: Open) -> None:
    house = file(Terms(budgets=[{"id": "tpm", "tokens_per_minute": 100}, {"id": "two", "parallel": 2}]))
    held(house.reserve(candidate(tokens=90)))
    house.hands.sleep(30)
    house.crash()

    assert refused(house.reserve(candidate(tokens=20))).retry_after == 31
    held(house.reserve(candidate(tokens=10)))


def test_a_clock_that_was_set_back_meanwhile_reopens_no_window(file: Open) -> None:
    house = file(terms(budget("day")))
    house.hands.sleep(86_400)
    held(house.reserve(candidate(90 * CENT)))
    house.hands.step(-86_400)
    house.restart()

    assert refused(house.reserve(candidate(20 * CENT))).window_id == "day:2026-11-22"


def test_thresholds_are_told_once_whatever_crashes(file: Open) -> None:
    house = file(terms(budget("day")))
    for cents in (50, 10, 25):
        house.settle(held(house.reserve(candidate(cents * CENT))), cents * CENT)
        house.run(house.ledger.flush())
        house.crash()
    refused(house.reserve(candidate(20 * CENT)))
    house.restart()
    refused(house.reserve(candidate(20 * CENT)))

    assert [detail["threshold"] for detail in house.events("threshold")] == [50, 80]
    assert len(house.events("blocked")) == 1


def test_a_suspended_model_stays_suspended(file: Open) -> None:
    house = file(terms(budget("day", "10")))
    house.settle(held(house.reserve(candidate(CENT))), 2 * CENT)
    house.restart()
    assert "suspended" in refused(house.reserve(candidate(CENT))).message

    house.apply(replace(house.terms, lifted={"big": house.hands.wall + DAY}))
    house.restart()
    held(house.reserve(candidate(CENT)))


async def _scenario(ledger: SqliteLedger, told: list[tuple[str, int, int]]) -> None:
    """A bit of everything; `told` is what the caller knows for sure: what, which attempt, how much."""
    holds: list[Hold] = []
    for number in range(4):
        answer = await ledger.reserve(ask(candidate(10 * CENT), request=f"r{number}"), send=number % 2 == 0)
        if isinstance(answer, Hold):
            holds.append(answer)
            told.append(("held", answer.attempt, answer.held))
    ledger.settle(holds[0].attempt, Settlement(7 * CENT, "reported"))
    await ledger.sent(holds[1].attempt)
    told.append(("sent", holds[1].attempt, holds[1].held))
    ledger.release(holds[3].attempt, "refused", {})
    await ledger.apply(terms(budget("day"), budget("acme", "2.00", scope={"customer": "acme"})), 2)
    ledger.settle(holds[2].attempt, Settlement(None, "unknown"))
    await ledger.flush()
    ledger.settle(holds[2].attempt, Settlement(1 * CENT, "reported"))
    await ledger.flush()


@pytest.mark.parametrize("durability", ["fsync", "process"])
def test_a_crash_before_any_statement_loses_nothing_that_was_promised(
    tmp_path: Path, durability: Durability, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L3: the files are copied before every statement of the writer and after every write to its log, as kill -9 would
    leave them there."""
    disk, told = Disk(), list[tuple[str, int, int]]()
    path = tmp_path / "live" / "ledger.db"
    copies: list[tuple[Path, list[tuple[str, int, int]]]] = []
    ledger = opened_on(disk, path, terms(budget("day")), durability=durability)

    def copy(_: str) -> None:
        folder = tmp_path / f"crash-{len(copies)}"
        folder.mkdir()
        for name in FILES:
            if (path.parent / name).exists():
                shutil.copy(path.parent / name, folder / name)
        copies.append((folder, list(told)))

    disk.seen = copy
    monkeypatch.setattr(log, "sync", lambda _: copy("log"))

    async def live() -> None:
        await _scenario(ledger, told)
        await ledger.close()

    asyncio.run(live())

    assert len(copies) > 25
    for folder, promised in copies:
        _check_after_crash(folder, promised)


def _check_after_crash(folder: Path, promised: Sequence[tuple[str, int, int]]) -> None:
    house = House("sqlite", folder)
    kept = {one.attempt: one for one in house.run(house.ledger.attempts(limit=100))}
    for what, attempt, amount in promised:
        assert kept[attempt].held == amount
        if what == "sent":
            assert kept[attempt].state != "RELEASED"
    assert all(one.state in ("SETTLED", "RELEASED", "UNCERTAIN") for one in kept.values())
    assert house.drifts() == []
    charged = sum(one.charged for one in kept.values())
    assert house.balances()["day"].settled == charged
    assert house.balances()["day"].held == 0
    house.close()


_VICTIM = """
import asyncio, sys
from pathlib import Path
from costweir.guard import Start
from costweir.guard.ledger import Ask, Candidate, Hold, Settlement, Subject, Terms
from costweir.guard.ledgers.sqlite import SqliteLedger

async def main():
    budgets = [{"id": "total", "limit_usd": "1000", "window": "total"}]
    ledger = SqliteLedger.open(Path(sys.argv[1]), Start(Terms(budgets=budgets), 1, durability=sys.argv[2]))
    async def client(name):
        for number in range(100_000):
            ask = Ask(f"{name}-{number}", Subject("acme"), (Candidate("big", "up", 1000, 0, 0, 0, 1),))
            hold = await ledger.reserve(ask, send=True)
            if not isinstance(hold, Hold):
                return
            print(hold.attempt, flush=True)
            ledger.settle(hold.attempt, Settlement(700, "reported"))
    await asyncio.gather(*(client(n) for n in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("durability", ["fsync", "process"])
def test_kill_9_loses_no_attempt_that_was_promised(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "ledger.db"
    promised: set[int] = set()
    for _ in range(3):
        victim = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, str(path), durability], stdout=subprocess.PIPE, text=True
        )
        assert victim.stdout is not None
        promised.add(int(victim.stdout.readline()))
        time.sleep(0.3)
        victim.send_signal(signal.SIGKILL)
        # The last line may be cut off in the middle.
        promised |= {int(line) for line in victim.stdout.read().splitlines()[:-1]}
        victim.stdout.close()
        victim.wait()

    house = House("sqlite", tmp_path, terms(budget("total", "1000", window="total")))
    kept = {one.attempt: one for one in house.run(house.ledger.attempts(limit=1_000_000))}
    assert promised <= kept.keys()
    assert {one.state for one in kept.values()} <= {"SETTLED", "UNCERTAIN"}
    assert all(one.charged == (700 if one.state == "SETTLED" else 1000) for one in kept.values())
    assert house.drifts() == []
    house.close()


# -- disks


@pytest.mark.parametrize("at", ["BEGIN", "INSERT INTO attempts", "UPDATE balances", "COMMIT"])
@pytest.mark.parametrize("error", ["database or disk is full", "disk I/O error", "database is locked"])
def test_what_cannot_be_written_is_refused_until_it_can(tmp_path: Path, at: str, error: str) -> None:
    """L8, and nothing that happened meanwhile is lost."""
    disk = Disk()
    disk.at = at

    async def live() -> None:
        ledger = opened_on(disk, tmp_path / "ledger.db", terms(budget("day")))
        before = await ledger.reserve(ask(candidate(20 * CENT)), send=True)
        assert isinstance(before, Hold)
        disk.broken = error
        ledger.settle(before.attempt, Settlement(10 * CENT, "reported"))
        for _ in range(3):
            answer = await ledger.reserve(ask(candidate(30 * CENT)), send=True)
            assert isinstance(answer, Refusal)
            assert (answer.code, answer.retry_after) == ("ledger_unavailable", 1)
        assert not ledger.available
        disk.broken = ""
        await ledger.flush()
        assert ledger.available
        # Nothing is held by what was refused.
        after = await ledger.reserve(ask(candidate(90 * CENT)), send=True)
        assert isinstance(after, Hold), after
        assert await ledger.verify() == []
        assert [one.state for one in await ledger.attempts()] == ["SENT", "SETTLED"]
        await ledger.close()

    asyncio.run(live())


def test_a_commit_that_was_kept_though_it_failed_counts_once(tmp_path: Path) -> None:
    disk = Disk()

    async def live() -> None:
        ledger = opened_on(disk, tmp_path / "ledger.db", terms(budget("day")))
        hold = await ledger.reserve(ask(candidate(20 * CENT)), send=True)
        assert isinstance(hold, Hold)
        done = iter([True])

        def fail_after_commit(sql: str) -> None:
            if sql == "COMMIT" and next(done, False):
                ledger._writer.connection._connection.execute("COMMIT")  # type: ignore[attr-defined]

        disk.seen = fail_after_commit
        ledger.settle(hold.attempt, Settlement(10 * CENT, "reported"))
        await ledger.flush()
        assert (await ledger.balances())[0].settled == 10 * CENT
        assert await ledger.verify() == []
        await ledger.close()

    asyncio.run(live())


def test_a_commit_that_never_comes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK", 0)
    monkeypatch.setattr(module, "TICK_SECONDS", 0.05)
    disk, hands = Disk(), Hands()
    hang = iter([0.6])

    async def live() -> None:
        ledger = opened_on(disk, tmp_path / "ledger.db", terms(budget("day")), hands)
        disk.seen = lambda sql: (
            time.sleep(next(hang, 0)) if sql.lstrip().startswith("INSERT INTO attempts") else None
        )
        asyncio.get_running_loop().call_later(0.02, hands.sleep, 1)
        answer = await ledger.reserve(ask(candidate(20 * CENT)), send=True)
        assert isinstance(answer, Refusal)
        assert answer.code == "ledger_unavailable"
        # It may have been written after all: then it is released there too.
        await ledger.flush()
        assert [one.state for one in await ledger.attempts()] == ["RELEASED"]
        assert await ledger.verify() == []
        await ledger.close()

    asyncio.run(live())


def test_who_stops_waiting_holds_nothing(tmp_path: Path) -> None:
    async def live() -> None:
        ledger = opened_on(Disk(), tmp_path / "ledger.db", terms(budget("day")))
        waiting = asyncio.create_task(ledger.reserve(ask(candidate(90 * CENT)), send=True))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert isinstance(await ledger.reserve(ask(candidate(90 * CENT)), send=True), Hold)
        assert await ledger.verify() == []
        await ledger.close()

    asyncio.run(live())


@pytest.mark.parametrize("lost", ["unlink", "replace"])
def test_a_file_that_is_gone_refuses(tmp_path: Path, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    path = tmp_path / "ledger.db"

    async def live() -> None:
        ledger = opened_on(Disk(), path, terms(budget("day")))
        assert isinstance(await ledger.reserve(ask(), send=True), Hold)
        if lost == "unlink":
            path.unlink()
        else:
            (tmp_path / "other.db").touch()
            (tmp_path / "other.db").replace(path)
        await asyncio.sleep(0.1)
        answer = await ledger.reserve(ask(), send=True)
        assert isinstance(answer, Refusal)
        assert answer.code == "ledger_unavailable"
        await ledger.close()

    asyncio.run(live())


def test_a_file_that_is_no_ledger_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"no database at all" * 1_000)

    with pytest.raises(Error, match="damaged") as caught:
        SqliteLedger.open(path)
    assert not caught.value.transient


def test_a_ledger_of_a_newer_version_is_not_opened(file: Open, tmp_path: Path) -> None:
    file().close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(Conflict):
        SqliteLedger.open(tmp_path / "ledger.db")
    with pytest.raises(Conflict):
        LedgerReader(tmp_path / "ledger.db")


def test_one_process_writes(file: Open, tmp_path: Path) -> None:
    file()

    with pytest.raises(StoreLocked):
        SqliteLedger.open(tmp_path / "ledger.db")


def test_a_name_that_is_no_unicode_keeps_nobody_from_writing(file: Open) -> None:
    house = file(terms(budget("day")))
    odd = "a\ud800b"
    hold = held(house.reserve(subject=Subject(customer=odd), request=odd))
    house.settle(hold, 1, call={"finish_reason": odd})

    held(house.reserve())
    assert house.run(house.ledger.attempts())[-1].request_id == "a?b"


def test_the_file_is_the_owners_alone(file: Open, tmp_path: Path) -> None:
    file()

    assert (tmp_path / "ledger.db").stat().st_mode & 0o077 == 0


# -- edits under load


def test_an_edit_while_calls_go_on_counts_each_of_them(tmp_path: Path) -> None:
    """L1, edits: calls that begin and end while the past is being counted are in the new budget as well."""

    async def live() -> None:
        ledger = opened_on(Disk(), tmp_path / "ledger.db", terms(budget("day", "1000")))
        running = True

        async def client(name: int) -> None:
            number = 0
            while running:
                number += 1
                subject = Subject(customer=f"c{number % 3}", session=f"s{name}")
                hold = await ledger.reserve(ask(candidate(CENT), subject=subject), send=True)
                if isinstance(hold, Hold):
                    if number % 7 == 0:
                        ledger.release(hold.attempt, "refused", {})
                    elif number % 5:
                        ledger.settle(hold.attempt, Settlement(CENT // (1 + number % 3), "reported"))

        clients = [asyncio.create_task(client(name)) for name in range(20)]
        for number in range(12):
            await asyncio.sleep(0.02)
            scope = {"customer": f"c{number % 3}"} if number % 2 else {}
            window = ("day", "total", "session", "rolling:60m")[number % 4]
            fresh = budget(f"new{number % 3}", "1000", window=window, scope=scope)
            await ledger.apply(terms(budget("day", "1000"), fresh), number + 2)
            assert await ledger.verify() == []
        running = False
        await asyncio.gather(*clients)
        assert await ledger.verify() == []
        assert ledger.revision == 13
        await ledger.close()

    asyncio.run(live())


def test_an_edit_counts_from_the_moment_it_is_applied(file: Open, tmp_path: Path) -> None:
    house = file(terms(budget("day")))
    house.apply(terms(budget("day"), budget("b")))

    with LedgerReader(tmp_path / "ledger.db") as reader:
        assert reader.revision == house.revision
        assert set(reader.policy().by_id) == {"day", "b"}


# -- what is let go


def test_what_is_old_is_archived_and_still_counts(file: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    house = file(
        terms(budget("all", "10", window="total"), budget("s", "10", window="session"), budget("day"))
    )
    subject = Subject(customer="acme", session="s1")
    for _ in range(5):
        house.settle(held(house.reserve(candidate(20 * CENT), subject=subject)), 20 * CENT)
        house.hands.sleep(86_400)
    house.hands.sleep(41 * 86_400)
    house.restart()
    hold = held(house.reserve(candidate(30 * CENT), subject=subject))
    house.settle(hold, 30 * CENT)
    house.run(_tidied(house))

    assert len(house.states()) == 1
    balances = house.balances()
    assert (balances["all"].settled, balances["s"].settled) == (130 * CENT, 130 * CENT)
    assert house.drifts() == []
    house.restart()
    assert house.drifts() == []
    house.apply(terms(budget("all", "10", window="total"), budget("new", "1.29", window="total")))
    assert refused(house.reserve(candidate(CENT), subject=subject)).budget_id == "new"
    numbers = [seq for seq, _ in house.run(house.ledger.outbox(0))]
    assert numbers == sorted(set(numbers))


async def _tidied(house: House) -> None:
    house.ledger._tidy(house.hands.wall)  # type: ignore[union-attr]
    await house.ledger.flush()  # type: ignore[union-attr]


def test_meters_that_idle_leave_memory_and_come_back_as_they_were(
    file: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from costweir.guard import gauges

    monkeypatch.setattr(gauges, "MANY_METERS", 10)
    house = file(terms(budget("s", "0.30", window="session"), budget("hour", "100", window="rolling:60m")))
    busy = held(house.reserve(candidate(CENT), subject=Subject(customer="busy", session="x")))
    for number in range(30):
        subject = Subject(customer="acme", session=f"s{number}")
        house.settle(held(house.reserve(candidate(20 * CENT), subject=subject)), 20 * CENT)
    house.run(_tidied(house))
    house.run(asyncio.sleep(0.01))
    assert house.ledger.stats()["meters"] < 10

    refused(house.reserve(candidate(11 * CENT), subject=Subject(customer="acme", session="s7")))
    house.settle(busy, CENT)
    assert house.balances()["hour"].settled == 601 * CENT
    assert house.drifts() == []


def test_refusals_are_kept_with_what_stood_in_their_way(file: Open, tmp_path: Path) -> None:
    house = file(terms(budget("day")))
    held(house.reserve(candidate(95 * CENT), request="holder"))
    refused(house.reserve(candidate(10 * CENT), candidate(9 * CENT, model="small"), request="no"))
    house.run(house.ledger.flush())

    with LedgerReader(tmp_path / "ledger.db") as reader:
        (kept,) = reader.refusals(request_id="no")
    assert kept.refusal.code == "budget_exceeded"
    assert [one.request_id for one in kept.refusal.holders] == ["holder"]
    assert [one.model for one in kept.ask.candidates] == ["big", "small"]
    assert kept.ask.subject.customer == "acme"
    assert kept.refusal.resets_at is not None


def test_a_flood_of_refusals_does_not_fill_the_disk(file: Open, tmp_path: Path) -> None:
    house = file(terms(budget("day", "0")))
    house.reserve_all([ask(request=f"r{number}") for number in range(2_000)])
    house.run(house.ledger.flush())

    with LedgerReader(tmp_path / "ledger.db") as reader:
        assert len(reader.refusals(limit=10_000)) == 500


def test_a_reader_beside_the_writer_sees_sessions_and_balances(file: Open, tmp_path: Path) -> None:
    house = file(terms(budget("day"), budget("s", "0.5", window="session")))
    for session in ("s1", "s1", "s2"):
        subject = Subject(customer="acme", session=session)
        house.settle(held(house.reserve(candidate(10 * CENT), subject=subject)), 5 * CENT)
    house.run(house.ledger.flush())

    with LedgerReader(tmp_path / "ledger.db", clock=lambda: NOON) as reader:
        sessions = {one.session: (one.calls, one.settled) for one in reader.sessions()}
        assert sessions == {"s1": (2, 10 * CENT), "s2": (1, 5 * CENT)}
        assert {one.remaining for one in reader.balances({"session": "s1"})} == {40 * CENT}
        assert reader.verify() == []
        assert len(list(reader.since(datetime(2026, 1, 1, tzinfo=UTC)))) == 3
        assert reader.attempt(7) is None
        assert reader.identity


def test_without_a_file_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        LedgerReader(tmp_path / "ledger.db")


def test_a_restart_with_many_attempts_takes_no_time(file: Open, tmp_path: Path) -> None:
    house = file(terms(budget("all", "1000000", window="total")))
    house.settle(held(house.reserve(candidate(100))), 90)
    house.run(house.ledger.close())
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
            " INSERT INTO attempts SELECT a.attempt + i, 'r' || i, 'SETTLED', 1, a.subject, 'big', 'up', 100, 1, '',"
            " a.at, 90, 0, 'reported', a.at, a.seq + i, '{}', '{}' FROM n, (SELECT * FROM attempts) AS a"
        )
        connection.execute("UPDATE balances SET settled = settled + 90 * 200000, calls = calls + 200000")
    connection.close()
    house.hands.sleep(3_600)
    begun = time.perf_counter()
    house.ledger = house._made(house.terms)
    held(house.reserve())

    assert time.perf_counter() - begun < 1
    assert house.drifts() == []


def test_a_durable_ledger_asks_the_disk(tmp_path: Path) -> None:
    for durability, wanted in (("fsync", 2), ("process", 1)):
        connection = connect(tmp_path / "ledger.db", durability)  # type: ignore[arg-type]
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == wanted
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        connection.close()


def test_a_commit_waits_for_company_only_behind_a_crowd(file: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    house = file(terms(budget("day")))
    writer = house.ledger._writer
    waits: list[int] = []

    class Clockwork:
        monotonic = staticmethod(time.monotonic)
        perf_counter_ns = staticmethod(time.perf_counter_ns)

        @staticmethod
        def sleep(seconds: float) -> None:
            waits.append(writer._crowd)

    monkeypatch.setattr(writing, "time", Clockwork)

    async def calls(count: int) -> None:
        await asyncio.gather(*[house.ledger.reserve(ask(candidate(0)), send=True) for _ in range(count)])

    for _ in range(5):
        house.run(calls(1))
    assert waits == []
    for _ in range(5):
        house.run(calls(64))
    assert waits
    assert min(waits) >= writing.CROWD
    # One call after the crowd ends it.
    house.run(calls(1))
    waits.clear()
    for _ in range(5):
        house.run(calls(1))
    assert waits == []
