"""How fast the command line starts, and what it does not load."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import pytest

HEAVY = (
    "duckdb",
    "pydantic",
    "starlette",
    "uvicorn",
    "rich",
    "boto3",
    "google",
    "azure",
    "yaml",
    "jinja2",
    "asyncio",
)
#: Modules that `costweir --help` may load, the interpreter's own included; today it is far below.
MODULE_LIMIT = 260
SECONDS = 0.3

COUNT = """
import sys
from costweir.cli.commands import root
from costweir.cli.frame import run
sys.stdout, kept = open("/dev/null", "w"), sys.stdout
code = run(root, sys.argv[1:])
sys.stdout = kept
print(code, len(sys.modules), *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def loaded(*words: str) -> tuple[int, int, set[str]]:
    done = subprocess.run([sys.executable, "-c", COUNT, *words], capture_output=True, text=True, check=True)
    code, count, *names = done.stdout.split()
    return int(code), int(count), set(names)


@pytest.mark.parametrize(
    "words", [["--help"], ["version"], ["ask", "--help"], ["pull", "files", "--help"], ["qestions"]]
)
def test_the_frame_loads_nothing_heavy(words: list[str]) -> None:
    _, count, names = loaded(*words)

    assert names.isdisjoint(HEAVY)
    assert count <= MODULE_LIMIT


def test_classify_loads_neither_the_store_nor_the_server() -> None:
    _, _, names = loaded("classify", "--help")

    assert names.isdisjoint(HEAVY)


def test_help_is_there_in_less_than_a_third_of_a_second() -> None:
    """The median of three runs. A busy machine gets more time; the count of modules above does not move."""
    spent: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "costweir", "--help"], capture_output=True, check=True)
        spent.append(time.perf_counter() - start)
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))

    assert statistics.median(spent) < SECONDS * busy * (2 if busy > 1 else 1)
