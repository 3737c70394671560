"""Every contract test runs on every engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from engines import NAMES, Opener, opener, shared_postgres

from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.engines.postgres import PostgresWarehouse


@pytest.fixture(scope="session")
def postgres() -> Callable[[], str]:
    """The address of a server that starts when it is first asked for."""
    return shared_postgres


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.engine) if name != "duckdb" else name for name in NAMES]
)
def reopen(request: pytest.FixtureRequest, tmp_path: Path, postgres: Callable[[], str]) -> Opener:
    """Opens the store of this test, on each engine in turn."""
    return opener(request.param, tmp_path, postgres)


@pytest.fixture
def warehouse(reopen: Opener) -> Iterator[DuckDBWarehouse | PostgresWarehouse]:
    """A migrated, empty store."""
    store = reopen()
    store.migrate()
    yield store
    store.close()
