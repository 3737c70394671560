"""The one thread that writes. Whatever is queued while it writes goes into the next batch, so that a flush of the disk
is shared by everybody who waits for it.

With `durability = "fsync"` a batch is written to the log, whoever waits is told, and the file follows a moment later
with all that has come together; else the file's commit is what they wait for.

When a write fails, what was only about to begin is given back to whoever waits for it; what has already happened, or
was promised, is kept and tried again, and until that succeeds the ledger says that it is unavailable (law L8).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from costweir.errors import Error, Unreachable
from costweir.guard.ledgers.batch import Batch, Corrected, Ended, Opened, Row, Rows, Step, Waiter, write_rows
from costweir.guard.ledgers.file import connect, transaction
from costweir.guard.ledgers.front import Durability
from costweir.guard.ledgers.log import TOKEN_BYTES, Log, records, sync

#: How long the end of a call may wait for company; nobody waits for it.
LINGER_SECONDS = 0.01
#: When so many callers waited for the commit before, the next one waits a moment for company. Nobody else ever does.
CROWD = 4
COMPANY_SECONDS = 0.001
#: How many things go into one batch, and how many batches of the log may be ahead of the file.
MOST = 4_096
MOST_BATCHES = 64
RETRY_SECONDS = 0.25
CHECKPOINT_SECONDS = 0.5
#: The log is written back to the file from this size on.
CHECKPOINT_BYTES = 4_000_000
#: From this size on, the checkpointer waits for readers and makes the log begin anew.
RESTART_BYTES = 128_000_000

Opener = Callable[[Path, Durability], sqlite3.Connection]


class Sent(NamedTuple):
    """An attempt that is SENT."""

    attempt: int


class Note(NamedTuple):
    """A row for one of the batch's other lists."""

    kind: str
    row: Row


class Alone(NamedTuple):
    """A step that shares no commit with what is queued before or after it, and is tried until it succeeds. `then` runs
    in the writer's thread once everything up to here is written and nothing after; it must not raise."""

    step: Step | None
    then: Callable[[], None] | None


Thing = Opened | Ended | Corrected | Sent | Note | Alone


class Writer:
    """Owns the connection that writes. The event loop only calls `put`."""

    def __init__(self, path: Path, durability: Durability, *, opener: Opener = connect) -> None:
        self._path = path
        self._durability: Durability = durability
        self._opener = opener
        self._connection = opener(path, durability)
        token, self._number = _caught_up(self._connection, path)
        self._log = Log(path, token) if durability == "fsync" else None
        #: What the log has and the file does not yet, since when, and the number of the commit that is tried.
        self._ahead: list[Rows] = []
        self._ahead_since: float = 0
        self._trying = 0
        self._queue: SimpleQueue[tuple[Thing | None, Waiter | None]] = SimpleQueue()
        self._backlog: deque[Batch] = deque()
        self._dropped: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        #: How many waited for the batch before.
        self._crowd = 0
        self._threads = [
            threading.Thread(target=self._run, name="ledger-writer", daemon=True),
            threading.Thread(target=self._checkpoint, name="ledger-checkpoint", daemon=True),
        ]
        #: Why nothing can be written now, or an empty text.
        self.broken = ""
        #: How many batches were promised, how many attempts began in them, and how long the last one took.
        self.commits = 0
        self.opened = 0
        self.last_commit_us = 0

    @property
    def connection(self) -> sqlite3.Connection:
        """For use before `start` only."""
        return self._connection

    @property
    def waiting(self) -> int:
        """How many things are queued."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begins to write what is queued."""
        self._relax()
        for thread in self._threads:
            thread.start()

    def hear(self, loop: asyncio.AbstractEventLoop) -> None:
        """Names the loop that waiters belong to."""
        self._loop = loop

    def put(self, thing: Thing, waiter: Waiter | None = None) -> None:
        """Queues something. `waiter` is resolved once it is written, or fails with the reason."""
        self._queue.put((thing, waiter))

    def close(self) -> None:
        """Writes what is queued, if it can be written, and ends the threads."""
        self._stop.set()
        self._queue.put((None, None))
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._connection.close()
        if self._log is not None:
            self._log.close()

    def _run(self) -> None:
        try:
            while not (self._stop.is_set() and self._queue.empty()):
                self._gather()
                if not self._write() and not self._stop.wait(RETRY_SECONDS):
                    self._reconnect()
            # What could not be written until now is lost as if the process had been killed: holds stay holds. What the
            # log has is written at the next start.
            if self._ahead:
                self._write()
        finally:
            self.broken = self.broken or "its writer ended"

    def _gather(self) -> None:
        """Takes what is queued into the backlog. Waits for the first thing, and a moment longer while nobody waits."""
        if self._crowd >= CROWD:
            # Commits three times as large; a call costs an eighth less, and waits no longer than behind a commit.
            time.sleep(COMPANY_SECONDS)
        batch = Batch()
        deadline: float | None = None
        patience = RETRY_SECONDS if self.broken else self._until_due()
        for _ in range(MOST):
            try:
                thing, waiter = self._queue.get(patience != 0, patience)
            except Empty:
                break
            if isinstance(thing, Alone):
                self._backlog.append(batch)
                batch = Batch(thing.step, thing.then)
            elif thing is not None:
                self._add(batch, thing)
            if waiter is not None:
                batch.waiters.append(waiter)
            if waiter is not None or thing is None or batch.alone:
                patience = 0
            elif patience != 0:
                deadline = deadline or time.monotonic() + LINGER_SECONDS
                patience = max(0, deadline - time.monotonic())
            if batch.alone:
                break
        self._crowd = len(batch.waiters)
        self._backlog.append(batch)

    def _add(self, batch: Batch, thing: Opened | Ended | Corrected | Sent | Note) -> None:
        if isinstance(thing, Opened):
            batch.opened.append(thing)
        elif isinstance(thing, Ended):
            # An attempt that was given back when its commit failed has no end.
            if thing.attempt not in self._dropped:
                batch.ended.append(thing)
        elif isinstance(thing, Sent):
            if thing.attempt not in self._dropped:
                batch.sent.append((thing.attempt,))
        elif isinstance(thing, Corrected):
            batch.corrected.append(thing)
        else:
            batch.notes[thing.kind].append(thing.row)

    def _write(self) -> bool:
        """Writes the backlog in its order, and lets the file follow the log when it is time. False when that failed."""
        try:
            if self.broken:
                self._commit(Batch())
                self.broken = ""
            while self._backlog:
                batch = self._backlog[0]
                try:
                    self._keep(batch)
                except UnicodeEncodeError:
                    batch.clean()
                    continue
                self._done()
            if self._ahead and self._until_due() == 0:
                self._commit(Batch())
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return False
        return True

    def _keep(self, batch: Batch) -> None:
        """Writes one batch so that it can be promised."""
        begun = time.perf_counter_ns()
        if not batch:
            if batch.alone and self._ahead:
                self._commit(batch)
            return
        if self._log is None or batch.alone:
            self._commit(batch)
        else:
            rows = batch.rows()
            # Nobody waits for the end of a call; it is durable with the next hold, or half a second later.
            self._log.write(self._number + 1, rows.to_bytes(), durable=bool(batch.waiters))
            self._number += 1
            self._ahead_since = self._ahead_since if self._ahead else time.monotonic()
            self._ahead.append(rows)
        self.last_commit_us = (time.perf_counter_ns() - begun) // 1_000
        self.commits += 1
        self.opened += len(batch.opened)

    def _until_due(self) -> float | None:
        """Seconds until the file follows the log; None while there is nothing that it lacks."""
        if not self._ahead:
            return None
        if self._stop.is_set() or len(self._ahead) >= MOST_BATCHES:
            return 0
        return max(0, self._ahead_since + LINGER_SECONDS - time.monotonic())

    def _done(self) -> None:
        """The first batch of the backlog is kept."""
        batch = self._backlog.popleft()
        if batch.then is not None:
            batch.then()
        self._tell(batch.waiters, None)

    def _commit(self, batch: Batch) -> None:
        """Writes what the log is ahead, and a batch that is not in it, to the file."""
        # What the log has, has a number already. One that is not in the log must not be lost alone.
        self._trying = number = self._number + bool(batch)
        durable = self._log is not None and bool(batch)
        if durable:
            self._connection.execute("PRAGMA synchronous = FULL")
        with transaction(self._connection):
            # The number tells whether a commit that failed was kept after all; and it is something to write.
            self._connection.execute("UPDATE meta SET value = ? WHERE key = 'commit'", (str(number),))
            write_rows(self._connection, [*self._ahead, batch.rows()])
            if batch.step is not None:
                batch.step(self._connection)
        self._number = number
        self._ahead.clear()
        if durable:
            self._relax()

    def _relax(self) -> None:
        """The log is what survives a power loss; the file's own commits need not flush."""
        if self._log is not None:
            self._connection.execute("PRAGMA synchronous = NORMAL")

    def _fail(self, error: Exception) -> None:
        """Gives back what was about to begin; what has happened stays in the backlog."""
        self.broken = str(error) or type(error).__name__
        reason = Unreachable(
            f"The ledger {self._path} cannot be written: {self.broken}.", hint="Check the disk."
        )
        for batch in self._backlog:
            self._dropped |= batch.drop_opened()
        for batch in self._backlog:
            batch.without(self._dropped)
            if not batch.alone:
                self._tell(batch.waiters, reason)
                batch.waiters = []

    def _reconnect(self) -> None:
        """A connection that failed may hold half of what it did; the next try has another."""
        try:
            connection = self._opener(self._path, self._durability)
            kept = _number(connection)
        except (sqlite3.Error, OSError, Error) as error:
            self.broken = str(error)
            return
        self._connection.close()
        self._connection = connection
        self._relax()
        if kept == self._trying > self._number or (self._ahead and kept == self._number):
            # The commit was reported as failed and had reached the file all the same.
            self._ahead.clear()
            if self._number < kept and self._backlog:
                self._done()
            self._number = kept

    def _tell(self, waiters: Sequence[Waiter], error: Exception | None) -> None:
        if waiters and self._loop is not None:
            # The loop may have ended; then nobody waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_resolve, waiters, error)

    def _checkpoint(self) -> None:
        """Writes SQLite's journal back to the file beside the commits, so that no call waits for it."""
        journal = self._path.with_name(self._path.name + "-wal")
        turned = False
        while not self._stop.wait(CHECKPOINT_SECONDS):
            try:
                if self._log is None:
                    due = journal.stat().st_size > CHECKPOINT_BYTES
                else:
                    self._log.flush()
                    due = turned = turned or self._turn(self._log)
                if due:
                    _flush(journal)
                    # The other file of the log may be written over from now on.
                    turned = False
                    self._write_back("PASSIVE" if journal.stat().st_size < RESTART_BYTES else "RESTART")
            except (sqlite3.Error, OSError, Error):
                # The writer meets the same trouble and says it; the journal only grows meanwhile.
                continue

    def _turn(self, log: Log) -> bool:
        """Makes the log go on in its other file when it is full; True once it does."""
        if not log.full:
            return False
        log.prepare()
        done = threading.Event()
        turned: list[bool] = []

        def turn() -> None:
            turned.append(log.turn())
            done.set()

        # Everything before is in the file then.
        self._queue.put((Alone(None, turn), None))
        while not done.wait(CHECKPOINT_SECONDS):
            if self._stop.is_set():
                return False
        return turned[0]

    def _write_back(self, kind: str) -> None:
        connection = self._opener(self._path, self._durability)
        try:
            connection.execute(f"PRAGMA wal_checkpoint({kind})")
        finally:
            connection.close()


def _caught_up(connection: sqlite3.Connection, path: Path) -> tuple[bytes, int]:
    """Writes what the log of an earlier run has and the file has not. The token of the run that begins, and the number
    that it goes on from."""
    found = connection.execute("SELECT value FROM meta WHERE key = 'log'").fetchone()
    number, token = _number(connection), secrets.token_bytes(TOKEN_BYTES)
    with transaction(connection):
        if found is not None:
            for following, data in records(path, bytes.fromhex(found[0]), number):
                write_rows(connection, [Rows.of(data)])
                number = following
        values = [("commit", str(number)), ("log", token.hex())]
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values)
    return token, number


def _flush(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        sync(file)
    finally:
        os.close(file)


def _number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT value FROM meta WHERE key = 'commit'").fetchone()[0])


def _resolve(waiters: Sequence[Waiter], error: Exception | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
