"""What the gateway can call: providers, models and prices, as the configuration file says now. Read at the start, and
again on SIGHUP while calls go on; a file that cannot be read leaves everything as it was."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from costweir.app.locks import MOCKS_FILE
from costweir.app.weir.job import read_again
from costweir.errors import Error
from costweir.gateway.roster import Roster
from costweir.prices.book import Book

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.gateway.admission import Door
    from costweir.gateway.mock import MockProvider

_LOG = logging.getLogger("costweir.gateway")
#: How long a call to a provider may take when nobody says so; connections of what was replaced live as long.
_LONGEST_SECONDS = 900


class Serveable:
    """Makes rosters. Belongs to one event loop; `close` ends every connection, and the built-in providers."""

    def __init__(self) -> None:
        self._mocks: dict[str, tuple[MockProvider, str]] = {}
        self._current: Roster | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()

    async def roster(self, settings: Settings) -> Roster:
        """The roster of these settings; that of the settings before lives on until its calls have ended."""
        await self._start_mocks(settings)
        overrides = [row.model_dump(mode="json", exclude_none=True) for row in settings.prices]
        book = await asyncio.to_thread(Book.load, overrides=overrides)
        fresh = Roster.of(settings, book, mocks={name: url for name, (_, url) in self._mocks.items()})
        if self._current is not None:
            longest = max([row.total_seconds for row in settings.providers], default=_LONGEST_SECONDS)
            task = asyncio.create_task(_retire(self._current, max(longest, _LONGEST_SECONDS)))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._current = fresh
        return fresh

    def changed(self) -> None:
        """The file is to be read again."""
        self._wanted.set()

    async def follow(self, settings: Settings, door: Door) -> None:
        """Reads the file of `settings` again whenever it is told to, until it is cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                door.roster = await self.roster(await asyncio.to_thread(read_again, settings))
            except Error as error:
                _LOG.error("gateway: the file is not in force: %s %s", error.message, error.hint)
            else:
                _LOG.info("gateway: providers, models and prices were read again")

    async def close(self) -> None:
        """Ends everything."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        if self._current is not None:
            await self._current.close()
        for mock, _ in self._mocks.values():
            await mock.close()

    async def _start_mocks(self, settings: Settings) -> None:
        """The built-in provider, for each configured one of kind `mock` that has no address. It bills as our prices
        say."""
        wanted = [row for row in settings.providers if row.kind == "mock" and row.base_url is None]
        if not wanted:
            return
        from costweir.gateway.mock import MockProvider, Rates

        kinds = ("input", "output", "cache_read", "cache_write", "request")
        priced = {row.model: row.model_dump(include=set(kinds), exclude_none=True) for row in settings.prices}
        rates = {
            row.upstream or row.id: Rates.usd(priced[row.id]) for row in settings.models if row.id in priced
        }
        contexts = {
            row.upstream or row.id: row.context_tokens for row in settings.models if row.context_tokens
        }
        for row in wanted:
            if row.id in self._mocks:
                mock, _ = self._mocks[row.id]
                mock.rates, mock.contexts = rates, contexts
            else:
                mock = MockProvider(rates=rates, contexts=contexts)
                self._mocks[row.id] = (mock, await mock.start())
        addresses = {name: url for name, (_, url) in self._mocks.items()}
        (settings.data_dir / MOCKS_FILE).write_text(json.dumps(addresses), encoding="utf-8")


async def _retire(roster: Roster, seconds: float) -> None:
    """Ends a roster once no call can be under way on it."""
    try:
        await asyncio.sleep(seconds)
    finally:
        await roster.close()
