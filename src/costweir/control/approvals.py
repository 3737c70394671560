"""Which models each customer may use: lists of ids and patterns, from the configuration file and set by hand.

A customer without a list may use every model. Lists of both origins count together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from costweir.control.database import Database
from costweir.control.directory import Origin


@dataclass(frozen=True, slots=True, order=True)
class Approval:
    """One entry of a customer's list. `pattern` is a model id in lower case, or one with `*`, `?` or `[...]`."""

    customer: str
    pattern: str
    origin: Origin = "user"

    def covers(self, model: str) -> bool:
        """Whether the entry is about this model."""
        return fnmatchcase(model.lower(), self.pattern)

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return {"customer": self.customer, "pattern": self.pattern, "origin": self.origin}


class Approvals:
    """The lists of one control database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, customer: str = "") -> list[Approval]:
        """Every entry by customer and pattern, or those of one customer. An entry of both origins comes twice."""
        rows = self._database.read(
            "SELECT customer, pattern, origin FROM approvals WHERE ? IN ('', customer)"
            " ORDER BY customer, pattern, origin",
            (customer,),
        )
        return [Approval(row["customer"], row["pattern"], row["origin"]) for row in rows]

    def approve(self, customer: str, patterns: Iterable[str]) -> list[Approval]:
        """Adds entries by hand; gives those that were not there."""
        with self._database.write() as run:
            added = [
                run(
                    "INSERT INTO approvals VALUES ('user', ?, ?) ON CONFLICT DO NOTHING RETURNING pattern",
                    (customer, pattern),
                )
                for pattern in _patterns(patterns)
            ]
        return [Approval(customer, rows[0][0]) for rows in added if rows]

    def unapprove(self, customer: str, patterns: Iterable[str]) -> list[Approval]:
        """Removes entries that were set by hand; gives those that were there."""
        with self._database.write() as run:
            gone = [
                run(
                    "DELETE FROM approvals WHERE origin = 'user' AND customer = ? AND pattern = ? RETURNING pattern",
                    (customer, pattern),
                )
                for pattern in _patterns(patterns)
            ]
        return [Approval(customer, rows[0][0]) for rows in gone if rows]

    def replace(self, origin: Origin, entries: Iterable[tuple[str, str]]) -> None:
        """Makes these pairs of customer and pattern all there is of one origin."""
        kept = {(customer, pattern.strip().lower()) for customer, pattern in entries}
        with self._database.write() as run:
            run("DELETE FROM approvals WHERE origin = ?", (origin,))
            for customer, pattern in sorted(kept):
                run("INSERT INTO approvals VALUES (?, ?, ?)", (origin, customer, pattern))


def is_pattern(text: str) -> bool:
    """Whether an entry can stand for more than one model."""
    return any(sign in text for sign in "*?[")


def expand(approvals: Sequence[Approval], seen: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of customer and model, each once: every entry as it stands, and the models of `seen` that it covers.

    The entry itself stays because a list that covers nothing yet is still a list: without a row its customer
    would count as one who may use every model.
    """
    pairs = {(entry.customer, entry.pattern) for entry in approvals}
    pairs |= {
        (entry.customer, model)
        for entry in approvals
        if is_pattern(entry.pattern)
        for model in seen
        if entry.covers(model)
    }
    return sorted(pairs)


def _patterns(given: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text.strip().lower() for text in given if text.strip()))
