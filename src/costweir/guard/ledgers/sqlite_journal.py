"""What the weir tells, as things for the writer; and balances that are not in memory, read from the file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple

from costweir.guard.journal import Entry, Tally
from costweir.guard.ledger import Ask, Refusal, Settlement, Subject
from costweir.guard.ledgers.batch import Corrected, Ended, Opened, balance_row, scope_text, text_of
from costweir.guard.ledgers.history import ended_entry
from costweir.guard.ledgers.writer import Note, Sent, Writer
from costweir.guard.meters import Counts, Key, Meter
from costweir.guard.policy import Rule, Scope
from costweir.guard.windows import SECOND, nanoseconds

MANY_SUBJECTS = 50_000
#: Refusals that are kept in a second; a flood of them must not fill the disk.
REFUSALS_A_SECOND = 500
#: Refusals of callers without a key that are kept in a second; they must not push out those of others.
STRANGERS_A_SECOND = 10
_COUNTS = "settled, held, debt, open, calls, told, blocked, row"


class SqliteJournal:
    """Implements `Journal` on a writer and a connection that reads. Numbers go on from what the file has."""

    def __init__(self, writer: Writer, connection: sqlite3.Connection, *, epoch: int) -> None:
        self._writer = writer
        self._connection = connection
        self._epoch = epoch
        self._row = _highest(connection, "SELECT max(row) FROM balances")
        self._seq = max(
            _highest(connection, "SELECT max(seq) FROM attempts WHERE seq IS NOT NULL"),
            _highest(connection, "SELECT value FROM meta WHERE key = 'seq'"),
        )
        self._event = _highest(connection, "SELECT max(seq) FROM events")
        self._subject = _highest(connection, "SELECT max(id) FROM subjects")
        self._subjects: dict[Subject, int] = {}
        #: Second and count, of callers with a key and of those without one.
        self._refused = {True: (0, 0), False: (0, 0)}
        #: Resolved when the attempt that opened last is written, and when it opened.
        self.waiter: asyncio.Future[None] | None = None
        self.opened_at = 0
        #: What changed since somebody began to count history; None while nobody does.
        self.trail: list[Tally] | None = None
        #: Budgets whose balances in the file are about to go.
        self.hidden: frozenset[str] = frozenset()
        #: The loop that waiters belong to; None before one runs.
        self.loop: asyncio.AbstractEventLoop | None = None

    def find(self, key: Key) -> Counts | None:
        """The balance under that key."""
        name, scope, window = key
        if name in self.hidden:
            return None
        row = self._connection.execute(
            f"SELECT {_COUNTS} FROM balances WHERE budget = ? AND scope = ? AND window = ?",  # noqa: S608
            (name, scope_text(scope), window),
        ).fetchone()
        return None if row is None else Counts(*row)

    def parts(self, rule: Rule, scope: Scope, since: int) -> Sequence[tuple[int, Counts]]:
        """The parts of a rolling window that are kept."""
        if rule.id in self.hidden:
            return ()
        rows = self._connection.execute(
            f"SELECT starts, {_COUNTS} FROM balances"  # noqa: S608
            " WHERE budget = ? AND scope = ? AND (starts >= ? OR open > 0) ORDER BY starts",
            (rule.id, scope_text(scope), since),
        )
        return [(row[0], Counts(*row[1:])) for row in rows]

    def begin(self, meter: Meter) -> None:
        """Gives a balance its row."""
        self.number(meter)
        self._writer.put(Note("balance", balance_row(meter)))

    def number(self, meter: Meter) -> None:
        """Gives a balance the number of its row, which somebody else writes."""
        self._row += 1
        meter.row, meter.stored = self._row, True

    def opened(self, entry: Entry) -> None:
        """Queues an attempt; `waiter` tells when it is written."""
        subject = self._subjects.get(entry.subject) or self._add_subject(entry.subject)
        row = (
            entry.attempt, entry.request_id, entry.state, self._epoch, subject, entry.model, entry.provider,
            entry.held, entry.tokens, entry.price_version, entry.at,
        )  # fmt: skip
        self.waiter = None if self.loop is None else self.loop.create_future()
        self.opened_at = entry.at
        rows = [meter.row for meter in entry.meters]
        self._writer.put(Opened(entry.attempt, row, entry.held, rows), self.waiter)
        if self.trail is not None:
            self._follow(entry, held=entry.held, open_=1, calls=1)

    def undone(self, entry: Entry) -> None:
        """The writer gave it back already."""
        if self.trail is not None:
            self._follow(entry, held=-entry.held, open_=-1, calls=-1)

    def sent(self, entry: Entry) -> None:
        """Queues that an attempt is SENT; `waiter` tells when it is written."""
        self.waiter = None if self.loop is None else self.loop.create_future()
        self._writer.put(Sent(entry.attempt), self.waiter)

    def ended(self, entry: Entry, settlement: Settlement, at: int) -> None:
        """Queues an end."""
        never_was = 1 if entry.state == "RELEASED" else 0
        change = (entry.charged, -entry.held, entry.debt, -1, -never_was)
        self._end(entry, settlement, at, [meter.row for meter in entry.meters], change)
        if self.trail is not None:
            self._follow(
                entry, held=-entry.held, open_=-1, calls=-never_was, settled=entry.charged, debt=entry.debt
            )

    def corrected(
        self, entry: Entry, settlement: Settlement, *, meters: Sequence[Meter], change: tuple[int, int]
    ) -> None:
        """Queues the end that came late. What is in no row any more belongs to a window that is long closed."""
        settled, debt = change
        rows = [meter.row for meter in meters if meter.stored]
        self._seq += 1
        usage, call = text_of(settlement.usage), text_of(settlement.call)
        row = (
            entry.state, entry.charged, entry.debt, entry.certainty, self._seq, usage, call, entry.attempt,
        )  # fmt: skip
        self._writer.put(Corrected(row, rows, change))
        if self.trail is not None:
            self._follow(entry, settled=settled, debt=debt)

    def refused(self, ask: Ask, refusal: Refusal, at: int) -> None:
        """Queues a refusal for `why`; of a flood, only so many in a second."""
        known = bool(ask.subject.key)
        second, count = self._refused[known]
        count = count + 1 if second == at // SECOND else 1
        self._refused[known] = (at // SECOND, count)
        if count > (REFUSALS_A_SECOND if known else STRANGERS_A_SECOND):
            return
        row = (ask.request_id, at, refusal.code, refusal.budget_id, refusal_text(ask, refusal))
        self._writer.put(Note("refusal", row))

    def tell(self, kind: str, meter: Meter | None, detail: Mapping[str, object], at: int) -> None:
        """Queues an event, and that the balance remembers it."""
        self._event += 1
        name, scope, window = ("", "{}", "")
        if meter is not None:
            name, scope, window = meter.rule.id, scope_text(meter.scope), meter.window.id
            if meter.stored:
                self._writer.put(Note("told", (meter.told, meter.blocked, meter.row)))
        self._writer.put(Note("event", (self._event, at, kind, name, scope, window, text_of(detail))))

    def suspend(self, model: str, at: int) -> None:
        """Queues that a model broke its bound, or may be used again."""
        self._writer.put(Note("suspended", (model, at)) if at else Note("lifted", (model,)))

    def ended_entry(self, attempt: int) -> Entry | None:
        """An attempt that ended."""
        return ended_entry(self._connection, attempt)

    def _end(
        self, entry: Entry, settlement: Settlement, at: int, rows: Sequence[int],
        change: tuple[int, int, int, int, int],
    ) -> None:  # fmt: skip
        self._seq += 1
        row = (entry.state, entry.charged, entry.debt, entry.certainty, at, self._seq)
        self._writer.put(Ended(entry.attempt, row, settlement.usage, settlement.call, rows, change))

    def _follow(
        self, entry: Entry, *, settled: int = 0, held: int = 0, debt: int = 0, open_: int = 0, calls: int = 0
    ) -> None:
        tally = Tally(entry.subject, entry.model, entry.provider, entry.at, settled, held, debt, open_, calls)
        if self.trail is not None:
            self.trail.append(tally)

    def _add_subject(self, subject: Subject) -> int:
        if len(self._subjects) >= MANY_SUBJECTS:
            self._subjects.clear()
        self._subject += 1
        self._subjects[subject] = self._subject
        cells = (
            subject.customer, subject.plan, subject.key, subject.user, subject.session, subject.feature,
            subject.project, subject.environment, subject.tenant,
        )  # fmt: skip
        self._writer.put(Note("subject", (self._subject, *cells)))
        return self._subject


def refusal_text(ask: Ask, refusal: Refusal) -> str:
    """A refusal as it is kept: JSON."""
    return text_of({
        "message": refusal.message, "scope": dict(refusal.scope), "window": refusal.window_id,
        "limit": refusal.limit, "settled": refusal.settled, "held": refusal.held, "needed": refusal.needed,
        "resets_at": None if refusal.resets_at is None else nanoseconds(refusal.resets_at),
        "retry_after": refusal.retry_after,
        "holders": [(one.request_id, one.held, nanoseconds(one.expires_at)) for one in refusal.holders],
        "subject": astuple(ask.subject), "candidates": [astuple(one) for one in ask.candidates],
        "no_degrade": ask.no_degrade,
    })  # fmt: skip


def _highest(connection: sqlite3.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row and row[0] is not None else 0
