"""What a hold costs: reserve and settle on six strict budgets in microseconds of CPU, on the event loop's thread and in
the writer's; calls a second; and how long a file with many attempts takes to open.

    uv run python bench/ledger.py [--calls 20000] [--clients 64] [--durability fsync] [--attempts 0] [--profile]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import sqlite3
import statistics
import tempfile
import threading
import time
from pathlib import Path

import uvloop

from costweir.guard import Start
from costweir.guard.ledger import Ask, Candidate, Hold, Settlement, Subject, Terms
from costweir.guard.ledgers.reader import LedgerReader
from costweir.guard.ledgers.sqlite import SqliteLedger

USAGE = {"input": 120, "output": 300}
CALL = {
    "operation": "chat",
    "duration_ms": 812,
    "finish_reason": "stop",
    "started_at": "2026-11-21T02:00:00Z",
}


def terms() -> Terms:
    """Six strict budgets that every call meets."""
    scopes = [
        ({}, "day"), ({"customer": "acme"}, "month"), ({"key": "k1"}, "day"), ({"feature": "chat"}, "week"),
        ({"model": "big"}, "total"), ({"customer": "acme"}, "session"),
    ]  # fmt: skip
    return Terms(
        budgets=[
            {"id": f"b{number}", "scope": scope, "window": window, "limit_usd": "1000000"}
            for number, (scope, window) in enumerate(scopes)
        ]
    )


def ask(number: int) -> Ask:
    subject = Subject(customer="acme", key="k1", feature="chat", session=f"s{number % 50}")
    return Ask(
        f"req_{number:026d}", subject, (Candidate("big", "up", 360_000, 15_000, 1_000, 16, 500, "v1"),)
    )


def cpu(thread: threading.Thread) -> int:
    assert thread.ident is not None
    return time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))


async def load(ledger: SqliteLedger, *, calls: int, clients: int, asks: list[Ask]) -> dict[str, object]:
    writer = next(thread for thread in threading.enumerate() if thread.name == "ledger-writer")
    settlement = Settlement(4_500_000, "reported", 420, USAGE, CALL)
    waits: list[int] = []
    queue = iter(range(calls))

    async def client() -> None:
        for number in queue:
            begun = time.perf_counter_ns()
            hold = await ledger.reserve(asks[number], send=True)
            waits.append(time.perf_counter_ns() - begun)
            assert isinstance(hold, Hold), hold
            ledger.settle(hold.attempt, settlement)

    wall, loop_cpu, writer_cpu = time.perf_counter_ns(), time.thread_time_ns(), cpu(writer)
    await asyncio.gather(*(client() for _ in range(clients)))
    loop_cpu = time.thread_time_ns() - loop_cpu
    await ledger.flush()
    wall, writer_cpu = time.perf_counter_ns() - wall, cpu(writer) - writer_cpu
    waits.sort()
    return {
        "calls_per_second": calls * 1_000_000_000 // wall,
        "loop_cpu_us": loop_cpu // calls // 10 / 100,
        "writer_cpu_us": writer_cpu // calls // 10 / 100,
        "reserve_p50_us": statistics.median(waits) // 1_000,
        "reserve_p99_us": waits[len(waits) * 99 // 100] // 1_000,
        "calls_per_commit": calls // max(1, ledger.stats()["commits"]),
        "file_bytes_per_call": sum(f.stat().st_size for f in ledger._path.parent.glob("ledger.db*")) // calls,
    }


def fill(path: Path, count: int) -> None:
    """Ended attempts, written with SQL: what a month of traffic leaves behind."""
    with sqlite3.connect(path) as connection:
        subject = connection.execute("SELECT min(id) FROM subjects").fetchone()[0]
        first, at = connection.execute("SELECT max(attempt), max(at) FROM attempts").fetchone()
        # Old enough for the limits of a minute, new enough for the open windows.
        at -= at % 86_400_000_000_000
        seq = connection.execute("SELECT max(seq) FROM attempts").fetchone()[0]
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO attempts SELECT ? + i, printf('req_%026d', i), 'SETTLED', 1, ?, 'big', 'up', 100, 10,"
            " 'v1', ?, 90, 0, 'reported', ?, ? + i, '{}', '{}' FROM n",
            (count, first, subject, at, at, seq),
        )
        charged = 90 * count
        connection.execute(
            "UPDATE balances SET settled = settled + ?, calls = calls + ?"
            " WHERE window <> 'session' OR instr(scope, '\"' || (SELECT session FROM subjects WHERE id = ?) || '\"')",
            (charged, count, subject),
        )


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=20_000)
    options.add_argument("--clients", type=int, default=64)
    options.add_argument("--durability", choices=("fsync", "process"), default="fsync")
    options.add_argument("--attempts", type=int, default=0, help="open a file with so many ended attempts")
    options.add_argument("--folder", type=Path, default=None, help="where the file is; a disk, not memory")
    options.add_argument("--profile", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "ledger.db"
        start = Start(terms=terms(), durability=given.durability)
        asks = [ask(number) for number in range(given.calls)]
        ledger = SqliteLedger.open(path, start)
        await load(ledger, calls=min(given.calls, 2_000), clients=given.clients, asks=asks)
        profile = cProfile.Profile()
        if given.profile:
            profile.enable()
        found = await load(ledger, calls=given.calls, clients=given.clients, asks=asks)
        if given.profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        drifts = await ledger.verify()
        await ledger.close()
        if given.attempts:
            fill(path, given.attempts)
            begun = time.perf_counter()
            ledger = SqliteLedger.open(path, start)
            hold = await ledger.reserve(ask(1))
            found["recovery_ms"] = round((time.perf_counter() - begun) * 1_000)
            assert isinstance(hold, Hold)
            ledger.release(hold.attempt, "bench", {})
            begun = time.perf_counter()
            await ledger.apply(
                Terms(budgets=[*terms().budgets, {"id": "new", "limit_usd": "1", "window": "day"}]), 2
            )
            found["edit_ms"] = round((time.perf_counter() - begun) * 1_000)
            await ledger.close()
            begun = time.perf_counter()
            with LedgerReader(path) as reader:
                drifts = reader.verify()
            found["verify_ms"] = round((time.perf_counter() - begun) * 1_000)
        print(json.dumps({**found, "drift": len(drifts)}, indent=2))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
