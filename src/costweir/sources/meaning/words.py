"""Cuts a bill's text into words, so that `Claude4.6Sonnet`, `claude-4.6-sonnet` and `Claude 4.6 Sonnet` read
alike.

Case changes and letter-digit borders are word borders; versions (`v3.1`, `k2.5`, `o3`) and sizes (`405b`,
`8x7b`, `16k`) stay whole.
"""

from __future__ import annotations

import re

_WORD = re.compile(
    r"""
      [vVkKoOrRmMxXaAeE]\d+(?:\.\d+)*[bBoOkK]?(?![A-Za-z0-9])      # v3.1, k2.5, o3, r1, m2, x5, a35b, e4b
    | [vVkK]\d+(?:\.\d+)*(?=[A-Z][a-z])                            # V4Pro
    | \d+(?:[.,]\d+)*(?:x\d+)?(?:o(?=-?mini)|[A-Za-z]{1,2}(?![a-z]))?  # 4.6, 405b, 8x7b, 1h, 1024x1024
    | [A-Z]+(?![a-z])
    | [A-Z]?[a-z]+
    | \+
    """,
    re.VERBOSE,
)


class Cutter:
    """Cuts texts into lower-case words, joining the brand names that their case would tear apart."""

    def __init__(self, joins: dict[str, str]) -> None:
        self._joins = joins
        self._starts = {phrase.split()[0] for phrase in joins}
        self._pattern = re.compile(
            r"(?<= )(?:" + "|".join(sorted(map(re.escape, joins), key=len, reverse=True)) + r")(?= )"
        )

    def cut(self, text: str) -> str:
        """The words of `text` as one string with a blank around each: `" claude 4.6 sonnet "`."""
        words = [word.lower() for word in _WORD.findall(text)]
        line = f" {' '.join(words)} "
        if not self._starts.isdisjoint(words):
            line = self._pattern.sub(lambda hit: self._joins[hit[0]], line)
        return line
