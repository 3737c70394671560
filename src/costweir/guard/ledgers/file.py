"""The ledger's file: opened by one process for writing and by any number for reading, and never by an older version
than the one that made it."""

from __future__ import annotations

import fcntl
import secrets
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import IO

from costweir.errors import Conflict, Error, NotFound, StoreLocked, Unreachable
from costweir.guard.ledgers.front import Durability

#: The layout that this version writes, as the file's `user_version`.
LAYOUT = 1
BUSY_MILLISECONDS = 5_000


def claim(path: Path) -> IO[str]:
    """Makes this process the only one that writes the file, until the result is closed or the process ends. Raises
    StoreLocked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreLocked(
            f"Another process writes the ledger {path}.", hint="Stop it, or use another --data-dir."
        ) from None
    return lock


def connect(path: Path, durability: Durability) -> sqlite3.Connection:
    """A connection that writes; the file is made at the first call. Raises sqlite3.Error and Conflict."""
    # Who spends how much is business data; nobody else on the machine has to read it.
    path.touch(mode=0o600, exist_ok=True)
    connection = _connect(path, "rw")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'fsync' else 'NORMAL'}")
        # A checkpoint inside a commit would make calls wait; the checkpointer does it beside them.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        # The pages that calls write to lie close together.
        connection.execute("PRAGMA cache_size = -4000")
        _make(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises NotFound without a file, Conflict for one of another version, and
    Unreachable."""
    if not path.exists():
        raise NotFound(
            f"There is no ledger at {path} yet.", hint="It is made when `costweir up` runs the first time."
        )
    try:
        connection = _connect(path, "rw")
        connection.execute("PRAGMA query_only = ON")
        if _version(connection) != LAYOUT:
            connection.close()
            raise Conflict(
                f"The ledger {path} is of another version.",
                hint="Use that version, or start `costweir up` with this.",
            )
    except sqlite3.Error as error:
        raise refusal(error, path) from error
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """All of it is written or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def refusal(error: sqlite3.Error, path: Path) -> Error:
    """What a failure of the file means for people."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Error(
            f"The ledger {path} is damaged: {error}.",
            hint="Stop the gateway, keep a copy of the file, and put back a backup; without one, move it away.",
        )
    if name in ("SQLITE_BUSY", "SQLITE_LOCKED"):
        return StoreLocked(f"The ledger {path} is busy.", hint="Try again; another process writes it.")
    return Unreachable(
        f"The ledger {path} cannot be used: {error}.", hint="Check the disk, then `costweir ledger verify`."
    )


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, check_same_thread=False, isolation_level=None
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    return connection


def _make(connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version > LAYOUT:
        raise Conflict(
            "The ledger is from a newer version of Costweir.", hint="Use that version, or another --data-dir."
        )
    if version == LAYOUT:
        return
    with transaction(connection):
        for statement in (
            (files("costweir.guard.ledgers") / "schema.sql").read_text(encoding="utf-8").split(";\n")
        ):
            if statement.strip():
                connection.execute(statement)
        connection.execute(
            "INSERT INTO meta VALUES ('ledger', ?), ('epoch', '0'), ('commit', '0')", (secrets.token_hex(8),)
        )
        connection.execute(f"PRAGMA user_version = {LAYOUT}")


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]
