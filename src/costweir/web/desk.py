"""The desk: everything a face may ask for. The server's own desk and the client of a running server both are one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from costweir.domain.answer import Answer
from costweir.queries.request import Request

#: One JSON object, ready for the wire.
Record = Mapping[str, object]


class Desk(Protocol):
    """Questions in, answers out. Every method is safe to call from several threads."""

    def questions(self) -> Sequence[Record]:
        """The catalogue: `id, title, dimensions, params` each."""
        ...

    def ask(self, request: Request) -> Answer:
        """Answers one question. Raises UsageError for an unknown question, dimension or an empty period."""
        ...

    def runs(self, *, limit: int = 100) -> Sequence[Record]:
        """The newest runs first, with the fields of `pull files` plus `started_at, finished_at, note`."""
        ...

    def quarantine(self, *, run_id: str = "", limit: int = 100) -> Sequence[Record]:
        """Lines that could not be read: `run_id, source, account, period, file, row_number, reason, raw`."""
        ...

    def customers(self) -> Sequence[Record]:
        """`id, name, plan, since` of every known customer."""
        ...

    def plans(self) -> Sequence[Record]:
        """`id, price_usd, budget_usd` ... of every plan."""
        ...

    def budgets(self) -> Sequence[Record]:
        """`id, scope, limit_usd, window` ... of every budget."""
        ...

    def connections(self) -> Sequence[Record]:
        """Every configured live source: `id, kind, enabled, every`, how its last pull went (`status, note, hint,
        last_attempt, last_success, failures`); instants are RFC 3339 or empty."""
        ...

    def views(self) -> Sequence[Record]:
        """`name, link, created_at` of every saved view, by name."""
        ...

    def status(self) -> Record:
        """`version, today, sample (bool), empty (bool), metered (bool), months (list, oldest first)`. Metered means
        that no bill is stored and the months are those of calls."""
        ...
