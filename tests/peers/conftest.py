"""Tests against real servers of others run only when they are asked for. Makes `prometheus_server` importable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-peers", action="store_true", help="run the tests against real servers of others")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-peers", default=False):
        return
    reason = pytest.mark.skip(reason="needs --run-peers")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(reason)
