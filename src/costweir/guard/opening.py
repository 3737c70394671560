"""From the setting `ledger.url` to a ledger."""

from __future__ import annotations

from pathlib import Path

from costweir.errors import ConfigError
from costweir.guard.ledger import Ledger
from costweir.guard.ledgers.front import Start


def open_ledger(url: str, *, folder: Path, start: Start | None = None) -> Ledger:
    """Opens the ledger and recovers what an earlier process left open. May take seconds; call it before serving.

    Raises ConfigError, Unreachable, StoreLocked and Conflict.
    """
    if url.startswith("memory:"):
        from costweir.guard.ledgers.memory import MemoryLedger

        return MemoryLedger(start)
    if url.startswith("sqlite:"):
        from costweir.guard.ledgers.sqlite import SqliteLedger

        return SqliteLedger.open(folder / url.removeprefix("sqlite:"), start)
    raise ConfigError(
        f"A ledger of the kind {url.partition(':')[0]!r} is not there yet.",
        hint="Set ledger.url to sqlite:ledger.db.",
    )
