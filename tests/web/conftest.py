"""One server per desk on a free port, and one browser for the whole session."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_desk import FakeDesk
from served import serving


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """A store with seven months in it."""
    with serving(FakeDesk()) as address:
        yield address


@pytest.fixture(scope="session")
def empty_site() -> Iterator[str]:
    """A store with nothing in it."""
    with serving(FakeDesk(empty=True)) as address:
        yield address


@pytest.fixture
def serve() -> Callable[[FakeDesk], contextmanager[str]]:
    """For a desk of the test's own."""
    return serving


def chromium() -> str:
    """An installed Chromium or Chrome; empty where Playwright has its own. Without any it fails, never skips."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return ""
    pytest.fail("No browser. Run: apt-get install chromium, or: .venv/bin/playwright install chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """One Chromium for all tests."""
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium cannot build its sandbox as root, which is what containers run as.
        opened = playwright.chromium.launch(executable_path=executable or None, args=["--no-sandbox"])
        yield opened
        opened.close()
