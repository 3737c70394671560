"""From the setting `ledger.url` to a ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from costweir.errors import ConfigError
from costweir.guard.clock import Clock
from costweir.guard.ledger import Ledger, Terms

Durability = Literal["fsync", "process"]


def open_ledger(
    url: str,
    *,
    folder: Path,
    durability: Durability = "fsync",
    terms: Terms | None = None,
    revision: int = 0,
    clock: Clock | None = None,
) -> Ledger:
    """Opens the ledger and recovers what an earlier process left open. May take seconds; call it before serving.

    `terms` are what people set, at `revision`. Raises ConfigError, Unreachable, StoreLocked and Conflict.
    """
    if url.startswith("memory:"):
        from costweir.guard.ledgers.memory import MemoryLedger

        return MemoryLedger(terms=terms, revision=revision, clock=clock)
    if url.startswith("sqlite:"):
        from costweir.guard.ledgers.sqlite import SqliteLedger

        path = folder / url.removeprefix("sqlite:")
        return SqliteLedger.open(path, durability=durability, terms=terms, revision=revision, clock=clock)
    raise ConfigError(
        f"A ledger of the kind {url.partition(':')[0]!r} is not there yet.",
        hint="Set ledger.url to sqlite:ledger.db.",
    )
