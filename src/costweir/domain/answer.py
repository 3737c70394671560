"""The Answer: what every face shows. The rows plus `other` always add up to `total` (law L4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from costweir.domain.period import Period

#: A cell on the wire: text, whole number, truth value or nothing. Money and ratios are decimal strings.
Cell = str | int | bool | None

DIMENSIONS = (
    "provider", "service", "model", "token_class", "customer", "project", "feature", "session", "key", "plan",
    "day", "month",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Excluded:
    """What an answer leaves out, how much of it, and why: `reason` is a short code, `text` a sentence."""

    reason: str
    text: str
    amount: str = ""
    currency: str = ""
    rows: int = 0

    def to_json(self) -> dict[str, Cell]:
        """All fields; `amount` is in `currency`."""
        return {
            "reason": self.reason, "text": self.text, "amount": self.amount, "currency": self.currency,
            "rows": self.rows,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered question.

    `basis` is billed, effective, list, contracted or metered. `total` and `other` are decimal strings in `currency`.
    `as_of` gives the instant of the last load and `complete_to` the first day not yet delivered, both per source.
    `complete` is false when a source is later than its stated lag, rows are quarantined or unpriced, or money in
    another currency had to be left out; a provisional day alone does not make an answer incomplete.
    """

    query_id: str
    question: str
    basis: str
    currency: str
    period: Period
    rows: tuple[Mapping[str, Cell], ...]
    total: str
    other: str = "0.00"
    excluded: tuple[Excluded, ...] = ()
    as_of: Mapping[str, str] = field(default_factory=dict[str, str])
    complete_to: Mapping[str, str] = field(default_factory=dict[str, str])
    complete: bool = True
    notes: tuple[str, ...] = ()
    link: str = ""

    def to_json(self) -> dict[str, object]:
        """The object of the contract, `schema` included."""
        return {
            "schema": "costweir.ask/1",
            "query_id": self.query_id,
            "question": self.question,
            "basis": self.basis,
            "currency": self.currency,
            "period": self.period.to_json(),
            "rows": [dict(row) for row in self.rows],
            "total": self.total,
            "other": self.other,
            "excluded": [item.to_json() for item in self.excluded],
            "as_of": dict(self.as_of),
            "complete_to": dict(self.complete_to),
            "complete": self.complete,
            "notes": list(self.notes),
            "link": self.link,
        }
