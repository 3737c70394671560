"""The office behind the pages and the API: what people set, the settings, and more that only the server itself has.
The server's own is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Protocol, TypeVar

from costweir.control import Control
from costweir.queries.charge_pages import ChargesPage, ChargesRequest

Result = TypeVar("Result")


class Office(Protocol):
    """Every method is safe to call from several threads."""

    @property
    def control(self) -> Control:
        """For reading. Changes go through `edit`."""
        ...

    def edit(self, change: Callable[[Control], Result]) -> Result:
        """Makes a change in one transaction and brings the warehouse in step."""
        ...

    def settings(self) -> Mapping[str, object]:
        """Every setting as it is in force, secrets masked: `file` (a path or null) and `rows` of `key, value, origin,
        meaning, type, variables`."""
        ...

    def charges(self, request: ChargesRequest) -> ChargesPage:
        """One page of lines."""
        ...

    def prices(self, *, provider: str, model: str, on: date, own: bool) -> Sequence[Mapping[str, object]]:
        """The prices of a day; `own` lets the operator's own prices go before the book."""
        ...
