"""What a caller may ask: a question with its dimensions, filters and days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the catalogue.

    `by` are dimensions to group by, `where` maps a dimension to the values it may have (several values are
    OR-ed, several dimensions AND-ed). `since` is inclusive, `until` exclusive. `limit` keeps the largest
    rows; the rest is summed into the answer's `other`. `basis` is billed, effective, list, contracted or
    metered; empty means the question's default. `currency` empty means USD where every row has a rate.
    """

    question: str
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    since: date | None = None
    until: date | None = None
    limit: int | None = None
    basis: str = ""
    currency: str = ""
