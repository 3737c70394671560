"""What can be wrong with the settings, said in one sentence with the place and the nearest valid key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `place` is a file, `environment` or `command line`; `line` is 0 where
    unknown."""

    place: str
    key: str
    text: str
    line: int = 0
    nearest: str = ""
    way: str = ""
    """What to do, where it is more than choosing another key."""

    @property
    def sentence(self) -> str:
        """`costweir.toml, line 3: web.prot is not a setting.`"""
        where = f"{self.place}, line {self.line}" if self.line else self.place
        return f"{where}: {self.key + ' ' if self.key else ''}{self.text}."

    @property
    def hint(self) -> str:
        """What to do about it."""
        if self.way:
            return self.way
        if self.nearest:
            return f"Did you mean {self.nearest}?"
        return "docs/configuration.md lists every setting; `costweir config validate` checks them all."

    def to_json(self) -> dict[str, str | int]:
        """All fields."""
        return {
            "place": self.place,
            "line": self.line,
            "key": self.key,
            "text": self.text,
            "nearest": self.nearest,
        }


def nearest(wanted: str, valid: Iterable[str]) -> str:
    """The valid name that looks most like `wanted`, or an empty text."""
    near = get_close_matches(wanted, list(valid), n=1, cutoff=0.5)
    return near[0] if near else ""
