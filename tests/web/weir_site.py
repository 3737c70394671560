"""A ledger with a few sessions in it, for the pages of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from costweir.guard import Start, open_ledger
from costweir.guard.ledger import Ask, Candidate, Hold, Settlement, Subject, Terms

Result = TypeVar("Result")
CENT = 10_000_000
BUDGETS = [
    {"id": "acme-day", "scope": {"customer": "acme"}, "limit_usd": "1.00", "window": "day"},
    {
        "id": "each-session", "scope": {}, "limit_usd": "0.50", "window": "session",
        "thresholds": [60, 80, 95, 100], "calls": 100,
    },
]  # fmt: skip


def ask(name: str, subject: Subject, *, output: int = 1_000) -> Ask:
    """One cent of input and an answer of at most `output` tokens at $0.0001 a token."""
    candidate = Candidate("claude-sonnet-4-5", "up1", CENT, 100_000, output, output, 50, "v1")
    return Ask(name, subject, (candidate,))


async def _write(folder: Path, calls: int) -> None:
    ledger = open_ledger(
        "sqlite:ledger.db", folder=folder, start=Start(terms=Terms(budgets=BUDGETS), revision=0)
    )
    mine = Subject(customer="acme", session="s/1 <b>", key="prod-web", feature="drafter")
    for number in range(calls):
        hold = await ledger.reserve(ask(f"req_01ka8q4zt7{number:012d}", mine), send=True)
        assert isinstance(hold, Hold)
        usage = {"input": 1_200, "cache_read": 300, "output": 40}
        ledger.settle(hold.attempt, Settlement(3 * CENT, "reported", 1_540, usage))
    other = Subject(customer="kestrel-legal", session="s/1 <b>", key="prod-web")
    assert isinstance(await ledger.reserve(ask("req_other", other), send=True), Hold)
    assert isinstance(await ledger.reserve(ask("req_open", mine), send=True), Hold)
    await ledger.reserve(ask("req_over", mine, output=8_000))
    await ledger.close()


def finished(work: Coroutine[Any, Any, Result]) -> Result:
    """Its result, from a thread of its own: browser tests leave an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def write_ledger(folder: Path, *, calls: int = 4) -> Path:
    """`calls` settled calls of three cents, an open one of eleven, one of another customer, and a refusal."""
    folder.mkdir(parents=True, exist_ok=True)
    finished(_write(folder, calls))
    return folder / "ledger.db"
