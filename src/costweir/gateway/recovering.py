"""Stands in for the ledger while that is still being opened: calls wait a little for it, and are refused when it takes
long (law L8)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from costweir.guard.ledger import Ask, Balance, Hold, Ledger, Refusal

#: Seconds that a call waits for the ledger, and that it is asked to wait after that.
PATIENCE_SECONDS = 5
_AGAIN_SECONDS = 1


class Recovering:
    """What a call asks of a ledger before it has a hold; with a hold it is the real one's. Belongs to one loop."""

    available = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger: asyncio.Future[Ledger] = loop.create_future()

    def done(self, ledger: Ledger) -> None:
        """The ledger is there."""
        self._ledger.set_result(ledger)

    async def reserve(self, ask: Ask, *, send: bool = False) -> Hold | Refusal:
        """Asks the ledger once it is there."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                ledger = await asyncio.shield(self._ledger)
        except TimeoutError:
            return Refusal(
                "ledger_unavailable",
                ask.request_id,
                "The ledger is being recovered.",
                retry_after=_AGAIN_SECONDS,
            )
        return await ledger.reserve(ask, send=send)

    def refused(self, ask: Ask, refusal: Refusal) -> None:
        """There is nowhere to keep it yet."""

    async def balances(self, scope: Mapping[str, str] | None = None) -> Sequence[Balance]:
        """None are known yet."""
        return []

    def stats(self) -> Mapping[str, int]:
        """Only that it is not available."""
        return {"available": 0}

    async def close(self) -> None:
        """There is nothing to write."""
