"""The log before the file: what was promised is there after a power loss, whatever the file lost (laws L3, L8)."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from guard_world import CENT, FILES, House, ask, budget, candidate, held, terms

from costweir.guard import Start
from costweir.guard.ledger import Hold, Refusal, Settlement
from costweir.guard.ledgers import log as module
from costweir.guard.ledgers import writer as writing
from costweir.guard.ledgers.file import connect
from costweir.guard.ledgers.log import BLOCK, Log, records
from costweir.guard.ledgers.sqlite import SqliteLedger

Open = Callable[..., House]
TOKEN = b"0123456789abcdef"


def lose_power(house: House, kept: Path) -> None:
    """Goes on from the log as it is now and an older file, as a machine does that lost its power before the file
    reached the disk."""
    for name in FILES[2:]:
        if (house.folder / name).exists():
            shutil.copy(house.folder / name, kept / name)
    house.run(house.ledger.close())
    for path in house.folder.glob("ledger.db*"):
        path.unlink()
    for path in kept.iterdir():
        shutil.copy(path, house.folder / path.name)
    house.ledger = house._made(None)


def copied(house: House) -> Path:
    """The file as the disk has it now."""
    folder = house.folder / "disk"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in FILES[:2]:
        shutil.copy(house.folder / name, folder / name)
    return folder


def test_a_power_loss_that_takes_the_file_back_loses_nothing_that_was_promised(file: Open) -> None:
    house = file(terms(budget("day"), budget("s", "10", window="session")))
    held(house.reserve(candidate(CENT)))
    house.run(house.ledger.flush())
    disk = copied(house)
    ends = [house.reserve(candidate(10 * CENT), request=f"r{number}") for number in range(5)]
    house.settle(held(ends[0]), 7 * CENT)
    house.release(held(ends[1]))
    house.settle(held(ends[2]), None)
    held(house.reserve(candidate(20 * CENT), request="last"))
    lose_power(house, disk)

    assert house.states() == [
        "UNCERTAIN", "SETTLED", "RELEASED", "UNCERTAIN", "UNCERTAIN", "UNCERTAIN", "UNCERTAIN",
    ]  # fmt: skip
    assert house.balances()["day"].settled == (1 + 7 + 10 + 10 + 10 + 20) * CENT
    assert house.drifts() == []
    # What the log was ahead is in the file now; the next loss takes none of it away.
    held(house.reserve(candidate(CENT)))
    lose_power(house, copied(house))
    assert len(house.states()) == 8
    assert house.drifts() == []


def test_usage_that_came_late_survives_a_power_loss(file: Open) -> None:
    house = file(terms(budget("day")))
    house.run(house.ledger.flush())
    disk = copied(house)
    hold = held(house.reserve(candidate(10 * CENT)))
    house.settle(hold, None)
    house.settle(hold, 3 * CENT)
    held(house.reserve(candidate(0)))
    lose_power(house, disk)

    assert house.balances()["day"].settled == 3 * CENT
    assert house.drifts() == []


def test_the_log_turns_and_is_written_over_only_when_the_file_is_on_the_disk(
    file: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL", 16 * BLOCK)
    monkeypatch.setattr(writing, "CHECKPOINT_SECONDS", 0.002)
    house = file(terms(budget("day", "1000")))
    disks: list[Path] = []

    def flush(_: Path) -> None:
        disks.append(copied(house))

    monkeypatch.setattr(writing, "_flush", flush)
    house.run(house.ledger.flush())
    copied(house)
    promised = 0
    while len(disks) < 3 and promised < 10_000:
        hold = held(house.reserve(candidate(CENT // 100)))
        house.settle(hold, CENT // 100)
        promised += 1
    # Here the checkpoints of the disk's copy are the last thing that is sure to have reached the disk.
    lose_power(house, house.folder / "disk")

    assert len(house.states()) == promised
    assert house.balances()["day"].settled == promised * CENT // 100
    assert house.drifts() == []


def test_while_the_log_cannot_be_written_every_call_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(28, "No space left on device")

    async def live() -> None:
        ledger = SqliteLedger.open(tmp_path / "ledger.db", Start(terms(budget("day")), 1))
        before = await ledger.reserve(ask(candidate(20 * CENT)), send=True)
        assert isinstance(before, Hold)
        with monkeypatch.context() as patch:
            patch.setattr(module, "sync", broken)
            for _ in range(3):
                answer = await ledger.reserve(ask(candidate(30 * CENT)), send=True)
                assert isinstance(answer, Refusal)
                assert answer.code == "ledger_unavailable"
            ledger.settle(before.attempt, Settlement(10 * CENT, "reported"))
        await ledger.flush()
        after = await ledger.reserve(ask(candidate(90 * CENT)), send=True)
        assert isinstance(after, Hold), after
        assert await ledger.verify() == []
        assert [one.state for one in await ledger.attempts()] == ["SENT", "SETTLED"]
        await ledger.close()

    asyncio.run(live())


class Stubborn:
    """A connection whose commits fail while `broken`."""

    broken = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, *params: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and Stubborn.broken:
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(sql, *params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_what_was_promised_is_kept_while_the_file_cannot_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stubborn, "broken", False)

    def opener(path: Path, durability: Any) -> Any:
        return Stubborn(connect(path, durability))

    async def live() -> None:
        ledger = SqliteLedger.open(tmp_path / "ledger.db", Start(terms(budget("day")), 1), opener=opener)
        Stubborn.broken = True
        promised = await ledger.reserve(ask(candidate(20 * CENT)), send=True)
        assert isinstance(promised, Hold)
        while ledger.available:
            await asyncio.sleep(0.005)
        ledger.settle(promised.attempt, Settlement(10 * CENT, "reported"))
        assert isinstance(await ledger.reserve(ask(candidate(CENT)), send=True), Refusal)
        Stubborn.broken = False
        await ledger.flush()
        assert isinstance(await ledger.reserve(ask(candidate(90 * CENT)), send=True), Hold)
        assert await ledger.verify() == []
        assert [one.state for one in await ledger.attempts()] == ["SENT", "SETTLED"]
        await ledger.close()

    asyncio.run(live())


def test_a_file_that_never_follows_leaves_the_log_to_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stubborn, "broken", False)

    async def live() -> None:
        opener: Any = lambda path, durability: Stubborn(connect(path, durability))  # noqa: E731
        ledger = SqliteLedger.open(tmp_path / "ledger.db", Start(terms(budget("day")), 1), opener=opener)
        Stubborn.broken = True
        assert isinstance(await ledger.reserve(ask(candidate(20 * CENT)), send=True), Hold)
        await ledger.close()

    asyncio.run(live())
    house = House("sqlite", tmp_path)
    assert house.states() == ["UNCERTAIN"]
    assert house.balances()["day"].settled == 20 * CENT
    assert house.drifts() == []
    house.close()


# -- the files


def test_records_come_back_in_order_from_the_one_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    written = Log(path, TOKEN)
    for number in range(5, 15):
        written.write(number, b"x" * (number * 700), durable=True)
        if number == 9:
            written.prepare()
            assert written.turn()
    written.close()

    found = list(records(path, TOKEN, 7))
    assert [number for number, _ in found] == list(range(8, 15))
    assert all(data == b"x" * (number * 700) for number, data in found)
    # One that is missing ends it: what comes after could count on it.
    assert list(records(path, TOKEN, 3)) == []
    assert list(records(path, b"another run's id", 7)) == []
    assert path.with_name("ledger.db-log0").stat().st_mode & 0o077 == 0


def test_what_a_failed_flush_lost_is_written_again_before_more_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    written = Log(path, TOKEN)
    written.write(1, b"one", durable=True)
    written.write(2, b"two", durable=False)
    written.write(3, b"three", durable=False)

    def lost(file: int) -> None:
        os.pwrite(file, bytes(2 * BLOCK), BLOCK)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(module, "sync", lost)
        with pytest.raises(OSError, match="Input/output"):
            written.flush()
        assert not written.turn()
    assert [number for number, _ in records(path, TOKEN, 0)] == [1]

    written.write(4, b"four", durable=True)
    written.close()
    assert list(records(path, TOKEN, 0)) == [(1, b"one"), (2, b"two"), (3, b"three"), (4, b"four")]


@pytest.mark.parametrize("place", [0, 20, 30, 700])
def test_a_torn_record_and_what_follows_count_for_nothing(tmp_path: Path, place: int) -> None:
    path = tmp_path / "ledger.db"
    written = Log(path, TOKEN)
    for number in range(1, 4):
        written.write(number, bytes([number]) * 1_000, durable=True)
    written.close()
    file = path.with_name("ledger.db-log0")
    text = bytearray(file.read_bytes())
    text[BLOCK + place] ^= 0x55
    file.write_bytes(text)

    assert [number for number, _ in records(path, TOKEN, 0)] == [1]


def test_a_log_that_is_written_over_ends_where_the_new_turn_ends(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    written = Log(path, TOKEN)
    for number in range(1, 9):
        written.write(number, b"old", durable=True)
        if number in (4, 6):
            written.turn()
    length = path.with_name("ledger.db-log0").stat().st_size
    written.close()

    # 7 and 8 stand where 1 and 2 stood, before 3 and 4.
    assert [number for number, _ in records(path, TOKEN, 6)] == [7, 8]
    assert [number for number, _ in records(path, TOKEN, 4)] == [5, 6, 7, 8]
    assert length == module.FULL
