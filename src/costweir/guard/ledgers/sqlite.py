"""The ledger in an SQLite file. What is admitted is decided in memory and counts once it is written: `reserve` answers
after the commit that holds the attempt. A restart takes the open attempts from the file and fetches balances as they
are met, so it takes no longer with ten million attempts than with ten.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, Self, TypeVar

from costweir.errors import Error, Unreachable
from costweir.guard.clock import Clock
from costweir.guard.journal import Tally
from costweir.guard.ledger import (
    Ask,
    Attempt,
    Balance,
    Drift,
    Event,
    Hold,
    Refusal,
    Settled,
    Settlement,
    Terms,
)
from costweir.guard.ledgers import history
from costweir.guard.ledgers.batch import NOTES, Row, Step, balance_row
from costweir.guard.ledgers.file import claim, connect, connect_to_read, refusal, transaction
from costweir.guard.ledgers.front import Front, Start, compiled, unavailable
from costweir.guard.ledgers.reader import LedgerReader
from costweir.guard.ledgers.sqlite_journal import SqliteJournal
from costweir.guard.ledgers.writer import Alone, Opener, Writer
from costweir.guard.meters import MINUTE, Counts, Key, Meter
from costweir.guard.policy import Policy, Rule
from costweir.guard.rebuild import Recount, counted, rows
from costweir.guard.weir import Weir
from costweir.guard.windows import SECOND

Found = TypeVar("Found")

TICK_SECONDS = 1
#: A commit that nobody heard of for so long counts as one that failed.
STUCK = 5 * SECOND
#: Ticks between two looks for what can be let go.
TIDY_EVERY = 30
OPENING_SECONDS = 30


class Stuck(Unreachable):
    """A commit takes too long. It may still come, so the attempt is released and not forgotten."""


class SqliteLedger(Front):
    """Implements `Ledger`. Made by `open`; used on one event loop."""

    def __init__(self, path: Path, start: Start, *, writer: Writer, lock: IO[str]) -> None:
        self._path = path
        self._lock = lock
        self._inode = path.stat().st_ino
        self._replaced = False
        self._writer = writer
        self._reading = connect_to_read(path)
        kept = _Kept.read(writer.connection)
        clock = start.clock or Clock()
        clock.not_before(kept.last)
        self._journal = SqliteJournal(writer, self._reading, epoch=kept.epoch)
        # The balances in the file are those of the policy that it was compiled to then.
        policy = compiled(kept.terms, kept.compiled_at or clock.now())
        weir = Weir(policy, self._journal, clock=clock.now, next_attempt=kept.next_attempt, lease=start.lease)
        weir.suspended = kept.suspended
        super().__init__(weir, clock)
        self._revision = kept.revision
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._editing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticks = 0
        self._jumped = 0

    @classmethod
    def open(cls, path: Path, start: Start | None = None, *, opener: Opener = connect) -> Self:
        """Opens the file, and ends what an earlier process left open: a hold that was never sent is released, a sent
        one is charged (law L3).

        Raises StoreLocked while another process writes the file, Conflict for a newer one, and Unreachable.
        """
        start = start or Start()
        lock = claim(path)
        try:
            writer = Writer(path, start.durability, opener=opener)
            ledger = cls(path, start, writer=writer, lock=lock)
            ledger._recover(start)
        except sqlite3.Error as error:
            lock.close()
            raise refusal(error, path) from error
        except BaseException:
            lock.close()
            raise
        return ledger

    @property
    def available(self) -> bool:
        """False while the file cannot be written."""
        return not (self._writer.broken or self._replaced)

    async def reserve(self, ask: Ask, *, send: bool = False) -> Hold | Refusal:
        """Holds or refuses; see `Ledger.reserve`. Cancelled while it waits, it gives its hold back itself."""
        if self._journal.loop is None:
            self._hear()
        if self._writer.broken or self._replaced:
            return unavailable(ask)
        try:
            decision = self.weir.admit(ask, sent=send)
        except sqlite3.Error:
            return unavailable(ask)
        if isinstance(decision, Refusal):
            return decision
        try:
            waiter = self._journal.waiter
            if waiter is not None:
                self._waiting.append((self._journal.opened_at, waiter))
                await waiter
        except asyncio.CancelledError:
            self.weir.release(decision.attempt, "cancelled", {})
            raise
        except Stuck:
            self.weir.release(decision.attempt, "ledger_unavailable", {})
            return unavailable(ask)
        except Error:
            self.weir.undo(decision.attempt)
            return unavailable(ask)
        return decision

    async def sent(self, attempt: int) -> None:
        """HELD -> SENT, durable on return. Raises Conflict when the hold ended, Unreachable when it cannot be kept."""
        if self._journal.loop is None:
            self._hear()
        self.weir.sent(attempt)
        waiter = self._journal.waiter
        if waiter is not None:
            self._waiting.append((self.clock.now(), waiter))
            await waiter

    def settle(self, attempt: int, settlement: Settlement) -> Settled:
        """Charges what an attempt cost; see `Ledger.settle`. Raises Unreachable when one that ended cannot be found."""
        try:
            return super().settle(attempt, settlement)
        except sqlite3.Error as error:
            raise refusal(error, self._path) from error

    async def apply(self, terms: Terms, revision: int) -> None:
        """Makes other terms hold; see `Ledger.apply`."""
        self._hear()
        async with self._editing:
            policy = compiled(terms, self.clock.now())
            anew, gone = policy.changed(self.weir.policy)
            fresh: list[Meter] = []
            if any(rule.metered for rule in anew):
                fresh = await self._counted(policy, anew)
            waiter = asyncio.get_running_loop().create_future()
            self._swap(policy, revision, gone=gone, fresh=fresh, waiter=waiter)
            await waiter

    async def balances(self, scope: Mapping[str, str] | None = None) -> Sequence[Balance]:
        """Every limit of every open window, or of one scope."""
        return await self._read(lambda reader: reader.balances(scope))

    async def attempts(self, *, request_id: str = "", state: str = "", limit: int = 100) -> Sequence[Attempt]:
        """Rows, newest first."""
        return await self._read(
            lambda reader: reader.attempts(request_id=request_id, state=state, limit=limit)
        )

    async def verify(self) -> Sequence[Drift]:
        """Rebuilds every open balance from the attempts alone; empty means equal."""
        return await self._read(lambda reader: reader.verify())

    async def outbox(self, after: int, limit: int = 1_000) -> Sequence[tuple[int, Attempt]]:
        """Ended attempts in the order they ended, with their sequence number."""
        return await self._read(lambda reader: reader.outbox(after, limit))

    async def events(self, after: int, limit: int = 1_000) -> Sequence[Event]:
        """Events in order."""
        return await self._read(lambda reader: reader.events(after, limit))

    async def flush(self) -> None:
        """Waits until everything that happened is written."""
        self._hear()
        waiter = asyncio.get_running_loop().create_future()
        self._writer.put(Alone(None, _nothing), waiter)
        await waiter

    async def close(self) -> None:
        """Writes what is queued and lets go of the file."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self._writer.close)
        self._reading.close()
        self._lock.close()

    def stats(self) -> Mapping[str, int]:
        """Numbers for a gauge; times are microseconds."""
        writer = self._writer
        return {
            **super().stats(), "available": int(self.available), "queued": writer.waiting, "commits": writer.commits,
            "opened": writer.opened, "last_commit_us": writer.last_commit_us, "clock_ahead": self.clock.ahead // 1_000,
        }  # fmt: skip

    async def _read(self, question: Callable[[LedgerReader], Found]) -> Found:
        """Asks the file, which has everything that happened until now."""
        await self.flush()

        def ask() -> Found:
            with LedgerReader(self._path, clock=self.clock.now) as reader:
                return question(reader)

        return await asyncio.to_thread(ask)

    async def _counted(self, policy: Policy, rules: Sequence[Rule]) -> list[Meter]:
        """What new and changed rules have to count already. The past is read from one moment of the file while calls
        go on; what happens meanwhile is followed, and added at the end in one step (L1, edits)."""
        self._journal.trail = trail = list[Tally]()
        snapshot = _Snapshot(self._path)
        waiter = asyncio.get_running_loop().create_future()
        try:
            self._writer.put(Alone(None, snapshot.take), waiter)
            await waiter
            recount = await asyncio.to_thread(self._recounted, snapshot, policy, rules)
        finally:
            self._journal.trail = None
            snapshot.close()
        ids = {rule.id for rule in rules}
        for tally in trail:
            recount.add(ids, tally)
        return recount.meters(self.clock.now())

    def _recounted(self, snapshot: _Snapshot, policy: Policy, rules: Sequence[Rule]) -> Recount:
        """Adds up the past, in a thread."""
        recount = Recount(policy)
        for wanted, tally in history.tallies(snapshot.connection(), rules, self.clock.now()):
            recount.add(wanted, tally)
        recount.prepare(self.clock.now())
        return recount

    def _swap(
        self, policy: Policy, revision: int, *, gone: Set[str], fresh: Sequence[Meter],
        waiter: asyncio.Future[None] | None,
    ) -> None:  # fmt: skip
        """Makes a policy hold, in memory at once and in the file with the next commit."""
        kept = rows(fresh)
        for meter in kept:
            self._journal.number(meter)
        step = _swapped(policy, revision, gone, [balance_row(meter) for meter in kept], self.clock.now())
        self._journal.hidden = frozenset(gone)
        self._writer.put(Alone(step, _nothing), waiter)
        self.weir.swap(policy, gone, fresh)
        self._revision = revision
        self._obey_clock(policy.terms)
        if waiter is None:
            self._flush_now()
            self._journal.hidden = frozenset()
        else:
            waiter.add_done_callback(lambda _: setattr(self._journal, "hidden", frozenset()))

    def _recover(self, start: Start) -> None:
        """Ends what was left open, and takes the terms of the start."""
        now = self.clock.now()
        for subject, model, provider, *calls in history.recent(self._reading, now - MINUTE - SECOND):
            for pace in self.weir.gauges.match(subject, model, provider, now=now).paces:
                pace.recall(*calls)
        for entry in history.open_entries(self._reading):
            self.weir.resume(entry)
            self.weir.abandon(entry)
        self._writer.start()
        self._flush_now()
        if start.terms is None:
            return
        policy = compiled(start.terms, now)
        anew, gone = policy.changed(self.weir.policy)
        fresh = counted(policy, history.tallies(self._reading, anew, now), now=now)
        self._swap(policy, start.revision, gone=gone, fresh=fresh, waiter=None)

    def _flush_now(self) -> None:
        """Waits, before there is a loop, until everything is written. Raises Unreachable."""
        done = threading.Event()
        self._writer.put(Alone(None, done.set))
        if not done.wait(OPENING_SECONDS):
            self._writer.close()
            raise Unreachable(
                f"The ledger {self._path} cannot be written: {self._writer.broken}.", hint="Check the disk."
            )

    def _hear(self) -> None:
        """Learns which loop it runs on, and begins to tick."""
        loop = asyncio.get_running_loop()
        if self._journal.loop is not loop:
            self._journal.loop = loop
            self._writer.hear(loop)
            self._timer = loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        """What is due every second."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_SECONDS, self._tick)
        self._ticks += 1
        now = self.clock.now()
        with contextlib.suppress(sqlite3.Error):
            self.weir.expire()
        self._give_up(now)
        self._look_at_the_file()
        self._tell_of_the_clock(now)
        policy = self.weir.policy
        if policy.changes_at is not None and now >= policy.changes_at and not self._editing.locked():
            task = loop.create_task(self.apply(policy.terms, self._revision))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._ticks % TIDY_EVERY == 0 and self.available:
            self._tidy(now)

    def _give_up(self, now: int) -> None:
        """Lets nobody wait for a commit that does not come."""
        waiting = self._waiting
        while waiting and (waiting[0][1].done() or now - waiting[0][0] > STUCK):
            _, waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_exception(Stuck("The ledger takes too long to write.", hint="Check the disk."))

    def _look_at_the_file(self) -> None:
        """A file that was moved or deleted is no ledger any more: what is written to it, nobody finds again."""
        try:
            self._replaced = self._path.stat().st_ino != self._inode
        except OSError:
            self._replaced = True

    def _tell_of_the_clock(self, now: int) -> None:
        ahead = self.clock.ahead
        if ahead and not self._jumped:
            self._journal.tell("clock_jumped", None, {"ahead_seconds": ahead // SECOND}, now)
        self._jumped = ahead

    def _tidy(self, now: int) -> None:
        """Lets go of idle meters and of closed windows."""
        idle = self.weir.gauges.idle()
        if idle:
            self._writer.put(Alone(None, partial(self._forget_soon, asyncio.get_running_loop(), idle)))
        self._writer.put(Alone(self._compacting(history.horizon(self.weir.policy, now), now), None))

    def _forget_soon(self, loop: asyncio.AbstractEventLoop, idle: dict[Key, Counts]) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self.weir.gauges.forget, idle, self.clock.now())

    def _compacting(self, before: int, now: int) -> Step:
        def step(connection: sqlite3.Connection) -> None:
            if history.compact(connection, before, now):
                self._writer.put(Alone(step, None))

        return step


class _Kept(NamedTuple):
    """What the file knows when it is opened."""

    epoch: int
    next_attempt: int
    last: int
    terms: Terms
    revision: int
    compiled_at: int
    suspended: dict[str, int]

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> _Kept:
        """Reads it, and begins another epoch."""
        with transaction(connection):
            connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
            meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
            newest = connection.execute(
                "SELECT attempt, at FROM attempts ORDER BY attempt DESC LIMIT 1"
            ).fetchone()
            suspended = dict(connection.execute("SELECT model, at FROM suspended").fetchall())
        # The numbers of a new file go on from the time, so that no call of an earlier file is taken for one of this.
        attempt, last = newest or (time.time_ns() // 1_000, 0)
        terms = Terms.from_json(meta["terms"]) if "terms" in meta else Terms()
        revision, compiled_at = int(meta.get("revision", 0)), int(meta.get("compiled_at", 0))
        return cls(int(meta["epoch"]), attempt + 1, last, terms, revision, compiled_at, suspended)


def _swapped(policy: Policy, revision: int, gone: Iterable[str], fresh: Sequence[Row], now: int) -> Step:
    """What a swap writes, in one commit."""

    def step(connection: sqlite3.Connection) -> None:
        connection.executemany("DELETE FROM balances WHERE budget = ?", [(name,) for name in gone])
        connection.executemany(NOTES["balance"], fresh)
        connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            [("terms", policy.terms.to_json()), ("revision", str(revision)), ("compiled_at", str(now))],
        )

    return step


class _Snapshot:
    """The file as it was at one moment, however long it is looked at."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken: sqlite3.Connection | None = None
        self._error: Error | None = None

    def take(self) -> None:
        """This is the moment. Raises nothing; `connection` does."""
        try:
            self._taken = connect_to_read(self._path)
            self._taken.execute("BEGIN")
            self._taken.execute("SELECT count(*) FROM meta").fetchone()
        except Error as error:
            self._error = error
        except sqlite3.Error as error:
            self._error = refusal(error, self._path)

    def connection(self) -> sqlite3.Connection:
        """Sees that moment. Raises Unreachable."""
        if self._taken is None or self._error is not None:
            raise self._error or Unreachable("The ledger was not read.", hint="Try again.")
        return self._taken

    def close(self) -> None:
        """Lets go of it."""
        if self._taken is not None:
            self._taken.close()


def _nothing() -> None:
    """What follows a flush."""
