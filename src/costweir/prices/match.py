"""Alias rules as data: does a rule such as `{"starts_with": "gpt-4o"}` match a model id? Case does not
matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import cast

Rule = Mapping[str, object]


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def matches(rule: Rule, text: str) -> bool:
    """Whether `text` (lower case) satisfies `rule`: `equals, starts_with, ends_with, contains, regex, or,
    and`.

    ValueError for a rule of another kind.
    """
    ((kind, value),) = rule.items()
    if kind in ("or", "and"):
        results = (matches(part, text) for part in cast("list[Rule]", value))
        return any(results) if kind == "or" else all(results)
    wanted = str(value)
    if kind == "regex":
        return _pattern(wanted).search(text) is not None
    wanted = wanted.lower()
    if kind == "equals":
        return text == wanted
    if kind == "starts_with":
        return text.startswith(wanted)
    if kind == "ends_with":
        return text.endswith(wanted)
    if kind == "contains":
        return wanted in text
    raise ValueError(f"unknown match rule {kind!r}")
