"""Connections to one PostgreSQL database: opened when needed, kept for the next question, and never more than a few.

The address may hold a password, so neither it nor a text of the driver that could repeat it ever reaches an error.
"""

from __future__ import annotations

import queue
import select
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from costweir.errors import ConfigError, Conflict, Error, NotAllowed, SourceRejected, StoreLocked, Unreachable

Connection = psycopg.Connection[tuple[Any, ...]]

#: Connections that one process has at most, how many it keeps while nobody uses them, and how long a thread waits.
MOST = 12
_IDLE = 4
PATIENCE_SECONDS = 60
#: How long a server may take to answer a new connection.
_DIAL_SECONDS = 5


class Connections:
    """The connections of one store. Safe to use from several threads."""

    def __init__(self, url: str, *, password: str | None = None, read_only: bool = False) -> None:
        """Raises ConfigError for an address that cannot be understood."""
        self._url = url
        self._parts = _parts(url)
        self._password = password
        self._read_only = read_only
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue(_IDLE)
        self._free = threading.BoundedSemaphore(MOST)
        self._closed = False

    @property
    def place(self) -> str:
        """Where the database is, to show to people: host, port and name."""
        return _described(self._parts)

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """A connection inside one transaction, which is committed at the end of the `with`."""
        with self._lent() as connection, connection.transaction():
            yield connection

    @contextmanager
    def alone(self) -> Generator[Connection]:
        """A connection in which each statement commits by itself."""
        with self._lent() as connection:
            connection.autocommit = True
            try:
                yield connection
            finally:
                with suppress(psycopg.Error):
                    connection.autocommit = False

    def close(self) -> None:
        """Closes every idle connection; one in use is closed when it comes back. A second call does nothing."""
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    @contextmanager
    def _lent(self) -> Generator[Connection]:
        if self._closed:
            raise Unreachable("The store is closed.", hint="Open it again.")
        if not self._free.acquire(timeout=PATIENCE_SECONDS):
            raise Unreachable(
                f"All {MOST} connections to PostgreSQL are in use.", hint="Try again in a moment."
            )
        try:
            with self._translated():
                connection = self._taken()
                try:
                    yield connection
                except BaseException:
                    connection.close()
                    raise
                self._give_back(connection)
        finally:
            self._free.release()

    def _taken(self) -> Connection:
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                return self._dialled()
            if _alive(connection):
                return connection
            connection.close()

    def _dialled(self) -> Connection:
        more: dict[str, Any] = {} if self._password is None else {"password": self._password}
        connection = psycopg.connect(make_conninfo(self._url, **_defaults(self._parts), **more))
        connection.read_only = self._read_only or None
        return connection

    def _give_back(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
            return
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.close()

    @contextmanager
    def _translated(self) -> Generator[None]:
        """Turns what psycopg raises into the errors of the house."""
        try:
            yield
        except psycopg.Error as error:
            raise _translation(error, self._first_line(error), self.place) from None

    def _first_line(self, error: Exception) -> str:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        for secret in filter(None, (self._password, self._parts.get("password"))):
            text = text.replace(secret, "********")
        return text.rstrip(". ")


def _translation(error: psycopg.Error, said: str, place: str) -> Error:
    kinds = psycopg.errors
    match error:
        case kinds.QueryCanceled():
            return Unreachable(
                f"PostgreSQL ended the question before it was answered: {said}.",
                hint="Ask for fewer days, or raise statement_timeout of the role.",
            )
        case kinds.LockNotAvailable():
            return StoreLocked("Another process holds what this one needs.", hint="Try again in a moment.")
        case kinds.SerializationFailure() | kinds.DeadlockDetected():
            return Conflict("PostgreSQL refused a concurrent write.", hint="Try again.")
        case kinds.InsufficientPrivilege() | kinds.ReadOnlySqlTransaction():
            return NotAllowed(
                f"The role of this store may not do that: {said}.",
                hint="Use a role that owns the tables; docs/storage.md says which rights it needs.",
            )
        case kinds.DiskFull() | kinds.OutOfMemory():
            return Unreachable(
                f"PostgreSQL could not finish: {said}.",
                hint="Check free disk space and memory, then try again.",
            )
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return Unreachable(
                f"PostgreSQL at {place} does not answer: {said}.",
                hint="Check store.url, that the server runs, and the password in the environment.",
            )
        case psycopg.IntegrityError() | psycopg.DataError():
            return SourceRejected(
                f"The rows do not fit the schema: {said}.", hint="Nothing of them was stored."
            )
        case _:
            return Error(f"PostgreSQL refused a statement: {said}.", hint="This is a fault; report it.")


def _alive(connection: Connection) -> bool:
    """Whether the server still holds the other end. Nothing is asked: whatever arrives on an idle connection is its
    end, or something that is not worth finding out."""
    watched = select.poll()
    watched.register(connection.pgconn.socket, select.POLLIN)
    return not connection.closed and not watched.poll(0)


def _parts(url: str) -> dict[str, str]:
    """The parts of an address. Raises ConfigError where it cannot be meant: a sign that a password has and that was not
    escaped makes its pieces a port or the name of a database, which errors would repeat."""
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value}
    except psycopg.Error:
        # libpq repeats a part of the address in its text, and that part may be the password
        parts = {"port": "not read"}
    named = (parts.get("host", ""), parts.get("dbname", ""), parts.get("user", ""))
    if not parts.get("port", "0").replace(",", "").isdigit() or any("@" in name for name in named):
        raise ConfigError(
            "store.url cannot be read as the address of a PostgreSQL database.",
            hint="Write postgresql://USER@HOST:PORT/NAME, with signs such as @ or / in a name as %40 and %2F.",
        )
    return parts


def _described(parts: Mapping[str, str]) -> str:
    host = parts.get("host") or parts.get("hostaddr") or "the default host"
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"{host}{port}/{parts.get('dbname') or 'the default database'}"


def _defaults(given: Mapping[str, str]) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "connect_timeout": _DIAL_SECONDS, "application_name": "costweir", "client_encoding": "UTF8",
    }  # fmt: skip
    return {name: value for name, value in wanted.items() if name not in given}
