"""Mappings and later prices for the command line: through the server that runs on the data directory, else on the
stores themselves."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from costweir.app.desk import LocalDesk, open_desk
from costweir.app.gate import ACTOR, plain
from costweir.app.mappings import Mappings
from costweir.app.remote import RemoteDesk
from costweir.app.repricing import Repricing
from costweir.web.api.bodies import MappingWish, read_body

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.control import Control

Record = Mapping[str, object]


class Steward(Protocol):
    """What lines mean by hand, and what calls cost by later prices. A change is made and applied to what is stored,
    unless it is only looked at; all about mappings but `listed` give the moves of `app.remap.summary`."""

    def listed(self) -> Sequence[Record]:
        """Every mapping that was set by hand."""
        ...

    def set(self, wish: Mapping[str, Any], *, look: bool) -> Record:
        """Sets the mapping of a wish; the record has it under `mapping`. Raises Invalid, UsageError or Conflict."""
        ...

    def remove(self, name: str, *, look: bool) -> Record:
        """Forgets a mapping. Raises NotFound."""
        ...

    def apply(self, *, look: bool) -> Record:
        """Brings what is stored in step with the mappings."""
        ...

    def rerate(self, *, since: date | None, until: date | None, models: Sequence[str], look: bool) -> Record:
        """Puts the prices known now beside calls; gives `app.repricing.told`."""
        ...


@contextmanager
def open_steward(settings: Settings) -> Generator[Steward]:
    """The steward of the running server, or one on the stores of the data directory."""
    with open_desk(settings) as desk:
        yield _Remote(desk) if isinstance(desk, RemoteDesk) else _Local(desk, settings)


class _Local:
    def __init__(self, desk: LocalDesk, settings: Settings) -> None:
        self._desk = desk
        self._mappings = Mappings(desk, settings)
        self._repricing = Repricing(desk, settings)

    def listed(self) -> Sequence[Record]:
        return self._mappings.listed()

    def set(self, wish: Mapping[str, Any], *, look: bool) -> Record:
        mapping = self._mappings.complete(read_body(MappingWish, wish).model_dump())
        if look:
            return self._mappings.preview(mapping)

        def change(control: Control) -> Record:
            _, after, entry = self._mappings.put(control, mapping, by=ACTOR)
            if entry is not None:
                control.audit.add(entry)
            return after

        kept = self._desk.edit(change)
        return {**self._mappings.apply(by=ACTOR), "mapping": kept}

    def remove(self, name: str, *, look: bool) -> Record:
        if look:
            return self._mappings.preview(drop=name)
        self._desk.edit(lambda control: control.audit.add(self._mappings.drop(control, name, by=ACTOR)[1]))
        return self._mappings.apply(by=ACTOR)

    def apply(self, *, look: bool) -> Record:
        return self._mappings.preview() if look else self._mappings.apply(by=ACTOR)

    def rerate(self, *, since: date | None, until: date | None, models: Sequence[str], look: bool) -> Record:
        if look:
            return self._repricing.preview(since=since, until=until, models=models)
        return self._repricing.apply(by=ACTOR, since=since, until=until, models=models)


class _Remote:
    def __init__(self, server: RemoteDesk) -> None:
        self._server = server

    def listed(self) -> Sequence[Record]:
        return self._server.call("GET", "/v1/mappings")["rows"]

    def set(self, wish: Mapping[str, Any], *, look: bool) -> Record:
        read_body(MappingWish, wish)
        if look:
            return self._look({"mapping": wish})
        kept = plain(self._server.call("POST", "/v1/mappings", wish))
        return {**self.apply(look=False), "mapping": kept}

    def remove(self, name: str, *, look: bool) -> Record:
        if look:
            return self._look({"without": name})
        self._server.call("DELETE", f"/v1/mappings/{quote(name, safe='')}")
        return self.apply(look=False)

    def apply(self, *, look: bool) -> Record:
        return self._look({}) if look else plain(self._server.call("POST", "/v1/remaps", {}))

    def rerate(self, *, since: date | None, until: date | None, models: Sequence[str], look: bool) -> Record:
        days = {"since": since and since.isoformat(), "until": until and until.isoformat()}
        given = {name: day for name, day in days.items() if day}
        if look:
            query = urlencode([*given.items(), *(("model", name) for name in models)])
            return plain(self._server.call("GET", f"/v1/rerate?{query}"))
        return plain(self._server.call("POST", "/v1/rerates", {**given, "models": list(models)}))

    def _look(self, wish: Mapping[str, Any]) -> Record:
        return plain(self._server.call("POST", "/v1/remap-previews", wish))
