"""Keeps the gateway in step with what people set: looks at the control database ten times a second, and makes a change
hold for the next call. The web and the command line only write; nobody has to call the gateway."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from costweir.app.terms import read_terms
from costweir.control import Control
from costweir.errors import Error
from costweir.guard.ledger import Ledger, Terms

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.control.keys import KeyRing
    from costweir.gateway.admission import Door

_LOG = logging.getLogger("costweir.gateway")
#: Seconds between two looks.
LOOK_SECONDS = 0.1


def terms_of(control: Control, settings: Settings) -> tuple[Terms, int]:
    """What people set as the ledger takes it, and its revision."""
    terms, revision = read_terms(control)
    return replace(terms, sessions_per_hour=settings.gateway.sessions_per_hour), revision


def keep_door(door: Door, control: Control) -> None:
    """Brings customers and approved models at the door up to date."""
    approved: dict[str, tuple[str, ...]] = {}
    for entry in control.approvals.listed():
        approved[entry.customer] = (*approved.get(entry.customer, ()), entry.pattern)
    door.plan_of = {row.id: row.plan for row in control.customers()}
    door.approved = approved


class Watch:
    """Looks for changes of one control database until it is cancelled. `changed` is told of each."""

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._connection = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)
        self._changed = changed
        self._seen = self._version()

    def _version(self) -> int:
        return self._connection.execute("PRAGMA data_version").fetchone()[0]

    async def run(self) -> None:
        """Looks, and tells."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                version = self._version()
                if version != self._seen:
                    self._seen = version
                    self._changed()
        finally:
            self._connection.close()


class Keeper:
    """Applies changes one after the other; a change that comes meanwhile is applied next."""

    def __init__(
        self, settings: Settings, control: Control, *, ledger: Ledger, door: Door, ring: KeyRing
    ) -> None:
        self._settings = settings
        self._control = control
        self._ring = ring
        self._ledger = ledger
        self._door = door
        self._wanted = asyncio.Event()
        self._applied: tuple[Terms, int] | None = None

    def changed(self) -> None:
        """Something was written; what it was is looked up."""
        self._wanted.set()

    async def run(self) -> None:
        """Applies until it is cancelled. Terms that cannot be read leave the old ones in force."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.apply()
            except Error as error:
                _LOG.error("gateway: what was set is not in force: %s %s", error.message, error.hint)

    async def apply(self) -> None:
        """Brings door and ledger in step with what is set now."""
        keep_door(self._door, self._control)
        self._ring.reload()
        wanted = terms_of(self._control, self._settings)
        if wanted != self._applied:
            await self._ledger.apply(*wanted)
            self._applied = wanted
