"""Who can serve what: the configured models and providers, prepared once so that a call only looks things up."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from costweir.errors import ConfigError
from costweir.gateway.providers.kinds import KINDS
from costweir.gateway.providers.link import Link, link_of
from costweir.gateway.routes import SPEAKERS, Family
from costweir.guard.bounds import ModelTerms, Shape, compile_terms

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.prices.book import Book

_LOG = logging.getLogger("costweir.gateway")


@dataclass(frozen=True, slots=True)
class Served:
    """A model as callers name it, and everything that a call to it needs."""

    id: str
    upstream: str
    link: Link
    terms: ModelTerms
    degrade_to: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    lacks: frozenset[str] = frozenset()

    def suits(self, shape: Shape) -> bool:
        """True when it can do what a request needs, and has room for its text."""
        room = self.terms.context
        return self.lacks.isdisjoint(shape.needs) and not 0 < room <= shape.estimate

    def speaks(self, family: Family) -> bool:
        """True when its provider takes this wire format."""
        return self.link.kind in SPEAKERS[family]


class Roster:
    """Models by id, and why those that cannot be served cannot. Made by `Roster.of`; `close` ends the connections to
    every provider."""

    def __init__(
        self, models: Iterable[Served], links: Iterable[Link], absent: Mapping[str, str] | None = None
    ) -> None:
        self.models: dict[str, Served] = {model.id: model for model in models}
        self.links: dict[str, Link] = {link.id: link for link in links}
        self.absent: Mapping[str, str] = absent or {}

    @classmethod
    def of(cls, settings: Settings, book: Book, *, mocks: Mapping[str, str]) -> Roster:
        """Prepares every provider that can be called, and its models.

        `mocks` gives the address of each built-in provider that has none. A provider without its key, or of a kind that
        this version does not speak, takes none of the others down with it: its models are absent, with the reason.
        """
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context()
        links: dict[str, Link] = {}
        reasons: dict[str, str] = {}
        for row in settings.providers:
            try:
                if row.kind not in KINDS:
                    raise ConfigError(f"This version cannot call providers of the kind {row.kind} yet.")
                key, base_url = settings.provider_key(row), mocks.get(row.id, "")
                links[row.id] = link_of(row, key, loop=loop, base_url=base_url, tls=tls)
            except ConfigError as error:
                reasons[row.id] = error.message
                _LOG.error("gateway: provider %s is not served: %s %s", row.id, error.message, error.hint)
        rows = {row.id: row for row in settings.providers}
        stated = frozenset(price.model for price in settings.prices)
        models = [
            Served(
                row.id, row.upstream or row.id, links[row.provider],
                compile_terms(row, rows[row.provider], book, stated=stated),
                row.degrade_to, row.fallback, frozenset(row.lacks),
            )
            for row in settings.models
            if row.provider in links
        ]  # fmt: skip
        absent = {row.id: reasons[row.provider] for row in settings.models if row.provider in reasons}
        return cls(models, links.values(), absent)

    def find(self, name: str) -> Served | None:
        """The model of this name."""
        return self.models.get(name)

    def stand_ins(self, names: Iterable[str], family: Family) -> list[Served]:
        """The declared models among `names` that take this wire format, in order."""
        found = (self.models.get(name) for name in names)
        return [model for model in found if model is not None and model.speaks(family)]

    async def close(self) -> None:
        """Drops every connection."""
        for link in self.links.values():
            await link.pool.close()
