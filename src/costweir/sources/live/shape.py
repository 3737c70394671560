"""Reads fields out of a provider's JSON and says which one is missing or of another kind, instead of guessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from costweir.errors import SourceRejected
from costweir.sources.live.http import unknown_shape


@dataclass(frozen=True, slots=True)
class Shape:
    """One object of an answer; `who` and `what` name it in messages."""

    who: str
    what: str
    fields: Mapping[str, object]

    def lost(self, why: str) -> SourceRejected:
        """The error for this object."""
        return unknown_shape(self.who, self.what, why)

    def value(self, name: str) -> object:
        """A field that has to be there."""
        if name not in self.fields:
            raise self.lost(f"{name} is missing")
        return self.fields[name]

    def object(self, name: str) -> Shape:
        """A field that is an object."""
        found = self.value(name)
        if not isinstance(found, dict):
            raise self.lost(f"{name} is not an object")
        return Shape(self.who, self.what, cast("Mapping[str, object]", found))

    def objects(self, name: str) -> Sequence[Shape]:
        """A field that is a list of objects."""
        found = self.value(name)
        if not isinstance(found, list):
            raise self.lost(f"{name} is not a list")
        items = cast("list[object]", found)
        if not all(isinstance(item, dict) for item in items):
            raise self.lost(f"{name} holds something that is not an object")
        return [Shape(self.who, self.what, cast("Mapping[str, object]", item)) for item in items]

    def text(self, name: str) -> str:
        """A field that may be absent or null, which is an empty text."""
        found = self.fields.get(name)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise self.lost(f"{name} is not a text")
        return found

    def decimal(self, name: str) -> Decimal:
        """A number, or a text that is one, exactly as it stands."""
        found = self.value(name)
        if isinstance(found, bool) or not isinstance(found, int | str | Decimal):
            raise self.lost(f"{name} is not a number")
        try:
            number = Decimal(found)
        except ArithmeticError:
            raise self.lost(f"{name} is not a number") from None
        if not number.is_finite():
            raise self.lost(f"{name} is not a number")
        return number

    def count(self, name: str) -> int:
        """A whole number of zero or more; absent or null is zero."""
        found = self.fields.get(name)
        if found is None:
            return 0
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise self.lost(f"{name} is not a count")
        return found
