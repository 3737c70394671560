"""How a row about budgets reads where it is not JSON: a scope in words, a hold as a sum, no price as `unpriced`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def readable_rows(rows: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, object]]:
    """Rows for a table or CSV."""
    return [{name: _cell(row, name) for name in row} for row in rows]


def _cell(row: Mapping[str, Any], name: str) -> object:
    cell = row[name]
    if name == "scope":
        from costweir.guard.ledger import scope_words

        return scope_words(cell, row.get("each", ()))
    if name == "hold" and cell is not None:
        return f"{cell['input_usd']} + {cell['output_tokens']} x {cell['output_token_usd']}"
    if name == "settled_usd" and cell is None:
        return "unpriced"
    return cell
