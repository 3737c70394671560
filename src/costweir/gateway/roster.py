"""Who can serve what: the configured models and providers, prepared once so that a call only looks things up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from costweir.gateway.providers.kinds import KINDS
from costweir.gateway.providers.link import Link, link_of
from costweir.gateway.routes import SPEAKERS, Family
from costweir.guard.bounds import ModelTerms, Shape, compile_terms

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.prices.book import Book


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
    """Models by id. Made by `Roster.of`; `close` ends the connections to every provider."""

    def __init__(self, models: Iterable[Served], links: Iterable[Link]) -> None:
        self.models: dict[str, Served] = {model.id: model for model in models}
        self.links: dict[str, Link] = {link.id: link for link in links}

    @classmethod
    def of(cls, settings: Settings, book: Book, *, mocks: Mapping[str, str]) -> Roster:
        """Prepares every provider that this version can call, and its models.

        `mocks` gives the address of each built-in provider that has none. Raises ConfigError for a key that is named
        and not there, and for an address that cannot be dialled.
        """
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context()
        links = {
            row.id: link_of(
                row, settings.provider_key(row), loop=loop, base_url=mocks.get(row.id, ""), tls=tls
            )
            for row in settings.providers
            if row.kind in KINDS
        }
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
        return cls(models, links.values())

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
