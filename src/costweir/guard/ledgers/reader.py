"""The ledger's file as another process reads it: balances, attempts, refusals and events, while a gateway writes or
while none runs. Nothing here changes the file."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from costweir.guard.ledger import (
    Ask,
    Attempt,
    Balance,
    Candidate,
    Drift,
    Event,
    Holder,
    Refusal,
    Refused,
    Subject,
    Terms,
)
from costweir.guard.ledgers.batch import scope_text
from costweir.guard.ledgers.file import connect_to_read, refusal
from costweir.guard.ledgers.front import balance_of, compiled, drifts, untouched, within
from costweir.guard.ledgers.history import SUBJECT, tallies
from costweir.guard.meters import Counts, Meter
from costweir.guard.policy import Policy
from costweir.guard.rebuild import assembled, counted
from costweir.guard.windows import DAY, Window, instant, nanoseconds

#: Every column of an attempt, as `read_attempt` takes them.
ATTEMPT = f"""
SELECT a.attempt, a.request_id, a.state, {SUBJECT}, a.model, a.provider, a.held, a.charged, a.debt, a.certainty,
       a.price_version, a.at, a.ended_at, a.usage, a.call, a.seq
FROM attempts AS a JOIN subjects AS s ON s.id = a.subject"""  # noqa: S608 - constants
_SESSIONS = """
SELECT s.customer, s.session, s.key, count(*) AS calls, sum(a.charged + a.debt), sum(iif(a.seq IS NULL, a.held, 0)),
       min(a.at), max(a.at)
FROM attempts AS a JOIN subjects AS s ON s.id = a.subject
WHERE a.attempt >= ? AND a.at >= ? AND s.session <> '' AND a.state <> 'RELEASED'
GROUP BY 1, 2 ORDER BY 8 DESC LIMIT ?"""
_TIME_OF = {"attempt": "at", "seq": "ended_at"}
#: How far back sessions are listed.
SESSIONS_SINCE = DAY


_decode = msgspec.json.Decoder().decode
#: Many attempts have the same one.
_subject = lru_cache(maxsize=4_096)(Subject)


@dataclass(frozen=True, slots=True)
class Session:
    """What the calls of a session came to. Amounts are nano-dollars; `settled` has the debt in it."""

    customer: str
    session: str
    key: str
    calls: int
    settled: int
    held: int
    first: datetime
    last: datetime


class LedgerReader:
    """One ledger file, for reading. Safe to use from several threads."""

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` gives nanoseconds. Raises NotFound without a file, Conflict for one of another version."""
        self._path = path
        self._clock = clock
        self._connection = connect_to_read(path)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    @property
    def identity(self) -> str:
        """A text that another ledger file does not have."""
        return self._meta("ledger")

    @property
    def revision(self) -> int:
        """The revision of the terms that hold."""
        return int(self._meta("revision") or 0)

    def policy(self) -> Policy:
        """The rules that hold."""
        text = self._meta("terms")
        return compiled(Terms.from_json(text) if text else Terms(), int(self._meta("compiled_at") or 0))

    def balances(self, scope: Mapping[str, str] | None = None) -> list[Balance]:
        """Every limit of every open window, or of one scope; also those that no call has met yet."""
        with self._snapshot():
            policy, now = self.policy(), self._clock()
            meters = self._meters(policy, now, scope or {})
        seen = {(meter.rule.id, meter.scope) for meter in meters}
        meters += untouched(policy, now, seen)
        found = [balance_of(meter) for meter in meters if within(scope, dict(meter.scope))]
        return sorted(found, key=lambda one: (one.budget_id, sorted(one.scope.items()), one.window_id))

    def attempts(self, *, request_id: str = "", state: str = "", limit: int = 100) -> list[Attempt]:
        """Rows, newest first."""
        found = self.read(
            ATTEMPT + " WHERE (? = '' OR a.request_id = ?) AND (? = '' OR a.state = ?)"
            " ORDER BY a.attempt DESC LIMIT ?"
            if not request_id
            else ATTEMPT + " WHERE a.request_id = ? AND a.request_id = ? AND (? = '' OR a.state = ?)"
            " ORDER BY a.attempt DESC LIMIT ?",
            (request_id, request_id, state, state, limit),
        )
        return [read_attempt(row) for row in found]

    def attempt(self, number: int) -> Attempt | None:
        """One row."""
        found = self.read(ATTEMPT + " WHERE a.attempt = ?", (number,))
        return read_attempt(found[0]) if found else None

    def since(self, start: datetime) -> Iterator[Attempt]:
        """Attempts since an instant that were not released, oldest first."""
        after = 0
        while True:
            found = self.read(
                ATTEMPT
                + " WHERE a.attempt > ? AND a.at >= ? AND a.state <> 'RELEASED' ORDER BY a.attempt LIMIT 5000",
                (after, nanoseconds(start)),
            )
            yield from map(read_attempt, found)
            if not found:
                return
            after = found[-1][0]

    def outbox(self, after: int, limit: int = 1_000) -> list[tuple[int, Attempt]]:
        """Ended attempts in the order they ended, with their sequence number; one that was corrected comes again."""
        found = self.read(ATTEMPT + " WHERE a.seq > ? ORDER BY a.seq LIMIT ?", (after, limit))
        return [(row[-1], read_attempt(row)) for row in found]

    def events(self, after: int, limit: int = 1_000) -> list[Event]:
        """Events in order."""
        found = self.read("SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [
            Event(seq, instant(at), kind, name, json.loads(scope), window, json.loads(detail))
            for seq, at, kind, name, scope, window, detail in found
        ]

    def refusals(self, *, request_id: str = "", limit: int = 100) -> list[Refused]:
        """Refusals, newest first."""
        where = "WHERE request_id = ?" if request_id else "WHERE ? = ''"
        found = self.read(
            f"SELECT request_id, at, code, budget, detail FROM refusals {where} ORDER BY id DESC LIMIT ?",  # noqa: S608
            (request_id, limit),
        )
        return [read_refusal(row) for row in found]

    def sessions(self, *, since: int | None = None, limit: int = 200) -> list[Session]:
        """Sessions with calls since an instant (a day ago), the one with the newest call first."""
        start = self._clock() - SESSIONS_SINCE if since is None else since
        return [
            Session(customer, session, key, calls, settled, held, instant(first), instant(last))
            for customer, session, key, calls, settled, held, first, last in self.read(
                _SESSIONS, (self.place("attempt", start), start, limit)
            )
        ]

    def place(self, column: str, start: int) -> int:
        """The lowest `attempt` or `seq` whose row is not before an instant, found by halving: both grow with time."""
        ((low, high),) = self.read(f"SELECT min({column}), max({column}) FROM attempts")  # noqa: S608
        if low is None:
            return 0
        high += 1
        while low < high:
            middle = (low + high) // 2
            ((number, at),) = self.read(
                f"SELECT {column}, {_TIME_OF[column]} FROM attempts WHERE {column} >= ? ORDER BY {column} LIMIT 1",  # noqa: S608
                (middle,),
            )
            low, high = (low, middle) if at >= start else (number + 1, high)
        return low

    def suspended(self) -> dict[str, datetime]:
        """Models that broke their bound, and when."""
        return {model: instant(at) for model, at in self.read("SELECT model, at FROM suspended")}

    def verify(self) -> list[Drift]:
        """Rebuilds every open balance from the attempts alone, and compares: empty means equal."""
        with self._snapshot():
            policy, now = self.policy(), self._clock()
            kept = self._meters(policy, now, {})
            rebuilt = counted(policy, tallies(self._connection, policy.rules, now), now=now)
        return drifts(kept, rebuilt, now)

    def _meters(self, policy: Policy, now: int, scope: Mapping[str, str]) -> list[Meter]:
        """The balances whose windows are open, of a scope."""
        # A scope is kept as JSON without blanks, so a member of it stands there as it stands here.
        members = [scope_text([pair])[1:-1] for pair in scope.items()]
        found = self._connection.execute(
            "SELECT budget, scope, window, starts, ends, settled, held, debt, open, calls, told, blocked, row"  # noqa: S608
            f" FROM balances WHERE (ends IS NULL OR ends > ?){' AND instr(scope, ?)' * len(members)}",
            (now, *members),
        ).fetchall()
        return assembled(
            (rule, tuple(json.loads(scope).items()), Window(window, starts, ends), Counts(*counts))
            for name, scope, window, starts, ends, *counts in found
            if (rule := policy.by_id.get(name)) is not None
        )

    def _meta(self, key: str) -> str:
        found = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else ""

    def read(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        """The rows of one statement."""
        with self._lock:
            try:
                return self._connection.execute(sql, params).fetchall()
            except sqlite3.Error as error:
                raise refusal(error, self._path) from error

    @contextmanager
    def _snapshot(self) -> Generator[None]:
        """Everything read inside is of one moment."""
        with self._lock:
            try:
                self._connection.execute("BEGIN")
                try:
                    yield
                finally:
                    self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise refusal(error, self._path) from error


def read_attempt(row: Sequence[Any]) -> Attempt:
    """A row of `ATTEMPT`."""
    model, provider, held, charged, debt, certainty, price_version, at, ended, usage, call, _ = row[12:]
    return Attempt(
        row[0], row[1], row[2], _subject(*row[3:12]), model, provider, held, charged, debt, certainty, price_version,
        instant(at), None if ended is None else instant(ended), _read_json(usage), _read_json(call),
    )  # fmt: skip


def _read_json(text: str) -> Any:
    """A kept object. A name that was no valid Unicode is kept in a way that only the standard library reads."""
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return json.loads(text)


def read_refusal(row: Sequence[Any]) -> Refused:
    """A row of `request_id, at, code, budget, detail`."""
    request_id, at, code, budget, text = row
    detail = json.loads(text)
    resets, holders = detail["resets_at"], detail["holders"]
    found = Refusal(
        code, request_id, detail["message"], budget, detail["scope"], detail["limit"], detail["settled"],
        detail["held"], detail["needed"], None if resets is None else instant(resets), detail["retry_after"],
        detail["window"], tuple(Holder(name, held, instant(until)) for name, held, until in holders),
    )  # fmt: skip
    candidates = tuple(Candidate(*one) for one in detail["candidates"])
    ask = Ask(request_id, Subject(*detail["subject"]), candidates, detail["no_degrade"])
    return Refused(ask, found, instant(at))
