"""The repeated records of a Google Cloud bill: credits summed and labels merged inside their row."""

from __future__ import annotations

from costweir.sources.formats.nested import Nested, bound

_CREDIT = ("amount",)
_PAIR = ("key", "value")


def credit_sum(at: Nested, path: str) -> str:
    """SQL for the sum of the credits on a row, exact; NULL when one of them cannot be read."""
    read = "CASE WHEN c.amount IS NULL THEN 0::DECIMAL(38, 18) ELSE amount(c.amount) END"
    amounts = f"list_transform({at.records(path, *_CREDIT)}, lambda c: {read})"
    return f"list_reduce({amounts}, lambda a, b: try(a + b)::DECIMAL(38, 18), 0::DECIMAL(38, 18))"


def tag_union(at: Nested, *paths: str) -> str:
    """SQL for one MAP of every label and tag of a row; of a key that repeats, the first value counts.

    A system label keeps its full key, which contains a slash or the prefix `goog-`, and so cannot hide a
    user's own.
    """
    lists = [f"coalesce({at.records(path, *_PAIR)}, [])" for path in paths if at.has(path)]
    if not lists:
        return "NULL"
    every = lists[0] if len(lists) == 1 else f"list_concat({', '.join(lists)})"
    texts = f"list_transform({every}, lambda p: {{'key': p.key, 'value': txt(p.value)}})"
    filled = f"list_filter({texts}, lambda p: p.key IS NOT NULL AND p.value IS NOT NULL)"
    first = "list_filter(l, lambda p, i: list_position(list_transform(l, lambda q: q.key), p.key) = i)"
    return bound(filled, "l", f"CASE WHEN len(l) > 0 THEN map_from_entries({first}) END")
