"""The sample world of one fixed day, written once for all tests of this room."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costweir.demo import World, write_world

TODAY = date(2026, 11, 20)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("world"), today=TODAY)


@pytest.fixture(scope="session")
def truth(world: World) -> Mapping[str, Any]:
    return json.loads((world.out / "truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def billed(truth: Mapping[str, Any]) -> Mapping[str, Mapping[tuple[str, ...], Decimal]]:
    """Billed cost by grouping and members: `billed["plan_month"]["tier_1", "2026-10"]`."""
    return {
        name: {
            tuple(text for key, text in row.items() if key not in ("billed_cost", "tokens", "rows")): Decimal(
                row["billed_cost"]
            )
            for row in rows
        }
        for name, rows in truth["by"].items()
    }


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the lines, where the amount of them does not matter."""
    return write_world(tmp_path_factory.mktemp("small"), today=TODAY, scale=0.1).out
