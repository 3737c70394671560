"""How much longer a text can get when a tokenizer rewrites it in compatibility form first, as some do (U+FDFA, three
bytes, becomes eighteen letters)."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

import msgspec


def growth_of(raw: bytes) -> int:
    """More bytes that the texts of a JSON body may have after NFKC or NFKD; 0 when all of it is ASCII."""
    if raw.isascii() and b"\\u" not in raw:
        return 0
    letters = Counter(msgspec.json.encode(msgspec.json.decode(raw)).decode())
    return sum(count * _growth(letter) for letter, count in letters.items() if letter > "\x7f")


@lru_cache(maxsize=65536)
def _growth(letter: str) -> int:
    # Composing never makes a text longer than its parts, so the decomposed form bounds both.
    return max(0, len(unicodedata.normalize("NFKD", letter).encode()) - len(letter.encode()))
