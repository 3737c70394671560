"""Reads the slots of a line from the words that are left beside the model's name.

Phrases win over single words; cache words beat direction words by slot, not by position; the first direction
wins, because a Google SKU may say "output token count ... short input text".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Slots:
    """What the words of a line say, before any default is filled in; `unread` when a word is not known."""

    direction: str = ""
    cache: str = ""
    modality: str = ""
    tier: str = ""
    routing: str = ""
    ttl: str = ""
    band: str = ""
    counts_tokens: bool = False
    counts_other: bool = False
    unread: bool = False

    def take(self, means: dict[str, str]) -> None:
        """Takes in what one word or phrase says."""
        for slot, value in means.items():
            if slot == "cache":
                self.cache = value if value == "write" or not self.cache else self.cache
            elif slot == "modality":
                self.modality = value if self.modality in ("", "text", "embedding") else self.modality
            elif slot == "quantity":
                self.counts_tokens |= value == "tokens"
                self.counts_other |= value != "tokens"
            elif slot == "tier":
                self.tier = value if self.tier in ("", "standard") else self.tier
            elif not getattr(self, slot):
                setattr(self, slot, value)


_Entry = tuple[tuple[str, ...], dict[str, str]]


class SlotReader:
    """The vocabulary of one cloud."""

    def __init__(self, entries: list[dict[str, Any]], *, cloud: str) -> None:
        self._first: dict[str, list[_Entry]] = {}
        for entry in entries:
            if cloud not in entry.get("clouds", [cloud]):
                continue
            for phrase in entry["say"]:
                head, *rest = phrase.split()
                self._first.setdefault(head, []).append((tuple(rest), entry["means"]))
        for options in self._first.values():
            options.sort(key=lambda option: -len(option[0]))

    def read(self, words: list[str]) -> Slots:
        """The slots that `words` fill."""
        slots = Slots()
        skip = 0
        for place, word in enumerate(words):
            if skip:
                skip -= 1
                continue
            for rest, means in self._first.get(word, ()):
                if not rest or tuple(words[place + 1 : place + 1 + len(rest)]) == rest:
                    slots.take(means)
                    skip = len(rest)
                    break
            else:
                slots.unread |= word.isalpha() and len(word) > 1
        return slots
