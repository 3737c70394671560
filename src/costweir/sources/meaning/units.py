"""How many tokens one billed unit is. The unit decides; the text is asked only where a block could be of
anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Block:
    """A unit that was read: `tokens` in it, whether only the text can say so, and whether it was inferred."""

    tokens: int
    only_if_text: bool
    inferred: bool = False


class UnitReader:
    """The units of every cloud."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._always = re.compile(data["always"])
        self._scales: dict[str, int] = data["scales"]
        self._blocks: dict[str, dict[str, int]] = data["tokens_if_text"]
        self._absent = frozenset(data["absent"])
        self._absent_block: dict[str, int] = data["absent_block"]
        self._must_say = frozenset(data["text_must_say_tokens"])
        bounds = data["plausible_usd_per_million"]
        self._least, self._most = Decimal(bounds["least"]), Decimal(bounds["most"])

    def read(self, unit: str, *, cloud: str, form: str) -> Block | None:
        """The block of `unit`, or None where it is never tokens (hours, images, characters, TPM-hours)."""
        plain = unit.strip().lower().replace(",", "")
        found = self._always.fullmatch(plain)
        if found:
            count = re.sub(r"[.,]", "", found["n"]) or "1"
            return Block(int(count) * self._scales.get(found["scale"] or "", 1), only_if_text=False)
        block = self._blocks.get(cloud, self._blocks["other"]).get(plain)
        if block:
            return Block(block, only_if_text=True)
        if plain in self._absent and form in self._absent_block:
            return Block(self._absent_block[form], only_if_text=True, inferred=True)
        return None

    def trusts_family(self, cloud: str) -> bool:
        """Whether a line of a token model may be tokens without saying so (AWS always says so)."""
        return cloud not in self._must_say

    def check(self, tokens: int, price: Decimal, currency: str) -> int:
        """`tokens`, or the only one of 1, 1K and 1M at which `price` per unit is a price models are sold at.

        Nothing is changed when the price is plausible, zero, not in US dollars, or when several candidates
        fit.
        """
        if currency.upper() not in ("", "USD") or price <= 0 or self._fits(price, tokens):
            return tokens
        candidates = [each for each in (1, 1_000, 1_000_000) if self._fits(price, each)]
        return candidates[0] if len(candidates) == 1 else tokens

    def _fits(self, price: Decimal, tokens: int) -> bool:
        return self._least <= price * _MILLION / tokens <= self._most
