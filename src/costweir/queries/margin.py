"""Stub."""

from __future__ import annotations

from costweir.queries.result import Asked, Result
from costweir.queries.rows import answer_rows
from costweir.store.warehouse import Reader


def answer_margin(reader: Reader, asked: Asked) -> Result:
    """Answers."""
    return answer_rows(reader, asked)
