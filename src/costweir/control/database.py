"""The SQLite file of the control data: one connection behind a lock, WAL, and migrations that only go
forward."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import IO

from costweir.errors import Conflict, Error, NotAllowed, StoreLocked, Unreachable

Cell = str | int | None
Row = sqlite3.Row
BUSY_MILLISECONDS = 5_000


class Database:
    """One open control file. Safe to use from several threads; each statement waits for the one before it."""

    def __init__(self, connection: sqlite3.Connection, *, writers: IO[str] | None, alone: bool) -> None:
        #: True when this process may not change the file.
        self.read_only = writers is None
        self._connection = connection
        self._lock = threading.RLock()
        self._writers = writers
        #: True when no other process had the file open for writing at that moment.
        self.alone = alone

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Database:
        """Opens the file, and makes it when it is not there; reading a file that is not there reads an
        empty one.

        Raises Unreachable when the file is no database or cannot be written, Conflict when a newer version
        made it.
        """
        if read_only:
            return cls._open_to_read(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        writers, alone = _join_writers(path)
        try:
            # Customers and plans are business data; nobody else on the machine has to read them.
            path.touch(mode=0o600, exist_ok=True)
            connection = _connect(path.absolute().as_uri() + "?mode=rwc")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            opened = cls(connection, writers=writers, alone=alone)
            opened.migrate()
        except sqlite3.Error as error:
            writers.close()
            raise _refusal(error, path) from error
        except BaseException:
            writers.close()
            raise
        return opened

    @classmethod
    def _open_to_read(cls, path: Path) -> Database:
        if not path.exists():
            empty = cls(_connect("file::memory:"), writers=None, alone=True)
            empty.migrate()
            return empty
        try:
            connection = _connect(path.absolute().as_uri() + "?mode=rw")
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
        except sqlite3.Error as error:
            raise _refusal(error, path) from error
        opened = cls(connection, writers=None, alone=_no_writer(path))
        opened.check_version()
        return opened

    def migrate(self) -> None:
        """Brings the schema to this version, each step in its own transaction."""
        steps = _migrations()
        with self.write() as run:
            version: int = run("PRAGMA user_version")[0][0]
        self._refuse_newer(version, len(steps))
        for number, step in enumerate(steps[version:], start=version + 1):
            with self.write() as run:
                # Another process may have taken this step while we waited for the lock.
                if run("PRAGMA user_version")[0][0] >= number:
                    continue
                for statement in step.split(";\n"):
                    if statement.strip():
                        run(statement)
                run(f"PRAGMA user_version = {number}")

    def check_version(self) -> None:
        """Raises Conflict when this version cannot read the file."""
        version, steps = self.version, len(_migrations())
        self._refuse_newer(version, steps)
        # Who has the file open for writing may be about to bring it to this version.
        ends = time.monotonic() + BUSY_MILLISECONDS // 1000
        while version < steps and not self.alone and time.monotonic() < ends:
            time.sleep(1 / 50)
            version = self.version
        if version < steps:
            raise Conflict(
                "The control database is from an older version.",
                hint="Start `costweir up` once; it brings the file to this version.",
            )

    @property
    def version(self) -> int:
        """The number of migrations that the file has."""
        return self.read("PRAGMA user_version")[0][0]

    def read(self, sql: str, params: Sequence[Cell] = ()) -> list[Row]:
        """Runs a SELECT."""
        with self._lock:
            try:
                return self._connection.execute(sql, params).fetchall()
            except sqlite3.Error as error:
                raise _refusal(error, None) from error

    @contextmanager
    def write(self) -> Generator[Execute]:
        """One transaction: all of it is stored or nothing; inside another one of this thread it is part of that.

        Raises NotAllowed on a read-only file.
        """
        with self._lock:
            # The lock is held, so an open transaction can only be our own caller's.
            if self._connection.in_transaction:
                yield Execute(self._connection)
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise _refusal(error, None) from error
            try:
                yield Execute(self._connection)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._rollback()
                raise _refusal(error, None) from error
            except BaseException:
                self._rollback()
                raise

    def close(self) -> None:
        """Closes the file. A second call does nothing."""
        with self._lock:
            self._connection.close()
            if self._writers is not None:
                self._writers.close()

    def _rollback(self) -> None:
        # A full disk may have ended the transaction already.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _refuse_newer(self, version: int, known: int) -> None:
        if version > known:
            raise Conflict(
                "The control database is from a newer version of Costweir.",
                hint="Use that version, or another --data-dir.",
            )


class Execute:
    """Runs statements of one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, sql: str, params: Sequence[Cell] = ()) -> list[Row]:
        """Runs one statement and gives its rows."""
        return self._connection.execute(sql, params).fetchall()


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    return connection


def _migrations() -> list[str]:
    folder = files("costweir.control") / "migrations"
    steps = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=str)
    return [item.read_text(encoding="utf-8") for item in steps]


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".writers")


def _join_writers(path: Path) -> tuple[IO[str], bool]:
    """Joins the processes that write, and says whether there was no other. The kernel forgets a killed
    one."""
    handle = _lock_path(path).open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except BlockingIOError:
        alone = False
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle, alone


def _no_writer(path: Path) -> bool:
    lock = _lock_path(path)
    if not lock.exists():
        return True
    with lock.open("r") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


_REFUSALS: tuple[tuple[frozenset[int], type[Error], str, str], ...] = (
    (
        frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}),
        StoreLocked,
        "Another process holds the control database{name}.",
        "Try again in a moment.",
    ),
    (
        frozenset({sqlite3.SQLITE_READONLY}),
        NotAllowed,
        "The control database{name} is open for reading only.",
        "Check who owns the data directory.",
    ),
    (
        frozenset({sqlite3.SQLITE_FULL}),
        Unreachable,
        "The disk is full: the control database{name} could not be written.",
        "Free some space and try again.",
    ),
    (
        frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}),
        Unreachable,
        "The control database{name} is damaged or no database.",
        "Restore it from a copy, or move it away.",
    ),
    (
        frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR}),
        Unreachable,
        "The control database{name} cannot be opened.",
        "Check the rights on the data directory.",
    ),
)


def _refusal(error: sqlite3.Error, path: Path | None) -> Exception:
    """The error of our own tree for what SQLite said; a mistake in a statement stays what it is."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    for codes, kind, message, hint in _REFUSALS:
        if code in codes:
            return kind(message.format(name=f" {path}" if path is not None else ""), hint=hint)
    return error
