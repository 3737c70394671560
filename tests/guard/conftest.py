"""A ledger of each kind, behind a clock that is set by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from guard_world import KINDS, House

from costweir.guard.ledger import Terms
from costweir.guard.ledgers import log

Open = Callable[..., House]


@pytest.fixture(autouse=True)
def no_power_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledgers here are as durable as usual, but for the wait for the disk: no test cuts the power."""
    monkeypatch.setattr(log, "sync", lambda _: None)
    monkeypatch.setattr(log, "FULL", 1 << 20)


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a ledger of each kind; closed at the end of the test."""
    houses: list[House] = []

    def make(terms: Terms | None = None) -> House:
        houses.append(House(request.param, tmp_path, terms))
        return houses[-1]

    yield make
    for house in houses:
        house.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Open]:
    """Opens a ledger in a file; closed at the end of the test."""
    houses: list[House] = []

    def make(terms: Terms | None = None) -> House:
        houses.append(House("sqlite", tmp_path, terms))
        return houses[-1]

    yield make
    for house in houses:
        house.close()
