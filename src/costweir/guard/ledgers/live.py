"""What happens at the gateway now, read from the ledger's file: spend by minute, calls as they end, one session step
by step. Every sum is made here, by the database, in whole nano-dollars."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from costweir.guard.codes import BLOCKING
from costweir.guard.ledger import Attempt, Refused
from costweir.guard.ledgers.reader import ATTEMPT, LedgerReader, read_attempt, read_refusal
from costweir.guard.windows import DAY, SECOND, instant, nanoseconds

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
#: The spend rate is that of the last minutes.
RATE_MINUTES = 5
#: How many minutes are shown.
SHOWN_MINUTES = 60
_USUAL_FOR = 10 * MINUTE
#: A session is read back this far.
SESSION_SINCE = 7 * DAY

_ENDED = """
SELECT count(*), coalesce(sum(charged + debt), 0) FROM attempts
WHERE seq >= ? AND ended_at >= ? AND ended_at < ? AND state <> 'RELEASED'"""
_STEPS = f"""
WITH r AS (
    SELECT a.attempt, sum(a.charged + a.debt) OVER (ORDER BY a.attempt) AS running
    FROM attempts AS a JOIN subjects AS s ON s.id = a.subject
    WHERE a.attempt >= ? AND s.session = ? AND s.customer = ?
)
{ATTEMPT.replace("a.seq", "a.seq, r.running")} JOIN r ON r.attempt = a.attempt ORDER BY a.attempt DESC LIMIT ?"""  # noqa: S608 - constants
_PARTS = """
SELECT {what} AS name, count(*), sum(a.charged + a.debt) AS cost
FROM attempts AS a JOIN subjects AS s ON s.id = a.subject
WHERE a.attempt >= ? AND s.session = ? AND s.customer = ? AND a.state <> 'RELEASED' GROUP BY 1 ORDER BY cost DESC"""
_TOTAL = """
SELECT count(*), sum(a.charged + a.debt), sum(iif(a.seq IS NULL, a.held, 0)), sum(a.seq IS NULL), min(a.at), max(a.at),
       max(s.key), max(s.plan)
FROM attempts AS a JOIN subjects AS s ON s.id = a.subject
WHERE a.attempt >= ? AND s.session = ? AND s.customer = ? AND a.state <> 'RELEASED'"""
_TOKENS = """
SELECT j.key, sum(j.value) FROM attempts AS a JOIN subjects AS s ON s.id = a.subject, json_each(a.usage) AS j
WHERE a.attempt >= ? AND s.session = ? AND s.customer = ? GROUP BY 1 HAVING sum(j.value) > 0 ORDER BY 2 DESC"""

#: Refusals that a rule made; mistakes of callers are told by `why` alone.
_BLOCKED = f"code IN {BLOCKING}"
#: Part of whom a refused request was for.
_ASKED = "json_extract(detail, '$.subject[{}]') = ?"


@dataclass(frozen=True, slots=True)
class Minute:
    """What calls that ended in a minute cost, in nano-dollars."""

    start: datetime
    calls: int
    spent: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """The gateway at one moment. `per_hour` is the spend of the last minutes at the pace of an hour."""

    at: datetime
    minutes: tuple[Minute, ...]
    per_hour: int
    spent: int
    calls: int
    open_calls: int
    held: int
    blocked: int


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a session, and what the session had cost with it."""

    attempt: Attempt
    running: int


@dataclass(frozen=True, slots=True)
class Part:
    """What a model or a feature has of a session."""

    name: str
    calls: int
    spent: int


@dataclass(frozen=True, slots=True)
class Total:
    """What a session came to; `held` is the most that its open calls can still cost."""

    calls: int
    settled: int
    held: int
    open_calls: int
    first: datetime
    last: datetime
    key: str
    plan: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a feed was read: the end of the last call, and the last refusal."""

    seq: int = 0
    refusal: int = 0

    @property
    def text(self) -> str:
        """`12.3`."""
        return f"{self.seq}.{self.refusal}"

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """What `text` wrote; None for anything else."""
        seq, _, refusal = text.partition(".")
        if not (seq.isascii() and seq.isdigit() and refusal.isascii() and refusal.isdigit()):
            return None
        return cls(int(seq[:18]), int(refusal[:18]))


class Live:
    """Reads one ledger, again and again. Minutes that are over are kept, so that a look costs one minute's rows."""

    def __init__(self, reader: LedgerReader) -> None:
        """`reader` stays the caller's to close."""
        self._reader = reader
        self._lock = threading.Lock()
        self._minutes: dict[int, tuple[int, int]] = {}
        self._usual: tuple[int, int | None] = (-1, None)

    def pulse(self, now: datetime) -> Pulse:
        """The last hour by minute, the running one included, and what is open."""
        at = nanoseconds(now)
        current = at // MINUTE
        with self._lock:
            wanted = range(current - SHOWN_MINUTES + 1, current + 1)
            for minute in wanted:
                # The writer may be behind by a moment, so the minute before is read again as well.
                if minute >= current - 1 or minute not in self._minutes:
                    self._minutes[minute] = self._ended(minute * MINUTE, (minute + 1) * MINUTE)
            self._minutes = {minute: self._minutes[minute] for minute in wanted}
            minutes = tuple(Minute(instant(key * MINUTE), *self._minutes[key]) for key in wanted)
        first = at - RATE_MINUTES * MINUTE
        edge = first // MINUTE + 1
        recent = self._ended(first, edge * MINUTE)[1] + sum(
            one.spent for one in minutes[edge - current - 1 :]
        )
        ((held, waiting),) = self._reader.read(
            "SELECT coalesce(sum(held), 0), count(*) FROM attempts WHERE seq IS NULL"
        )
        ((blocked,),) = self._reader.read(
            f"SELECT count(*) FROM refusals WHERE at >= ? AND {_BLOCKED}",  # noqa: S608 - constants
            (at - HOUR,),
        )
        return Pulse(
            now, minutes, recent * 60 // RATE_MINUTES, sum(one.spent for one in minutes),
            sum(one.calls for one in minutes), waiting, held, blocked,
        )  # fmt: skip

    def usual(self, now: datetime, *, days: int = 7) -> int | None:
        """What the hour of the day that ends now cost on the days before, on average; None without a day to compare
        with. It is counted anew every ten minutes."""
        part = nanoseconds(now) // _USUAL_FOR
        if self._usual[0] != part:
            self._usual = (part, self._counted_usual(nanoseconds(now), days))
        return self._usual[1]

    def _counted_usual(self, at: int, days: int) -> int | None:
        oldest = self._reader.read("SELECT at FROM attempts ORDER BY attempt LIMIT 1")
        found = [
            self._ended(at - back * DAY - HOUR, at - back * DAY)[1]
            for back in range(1, days + 1)
            if oldest and oldest[0][0] <= at - back * DAY - HOUR
        ]
        return sum(found) // len(found) if found else None

    def _ended(self, first: int, until: int) -> tuple[int, int]:
        """Calls that ended in a span, and their cost."""
        ((calls, spent),) = self._reader.read(_ENDED, (self._reader.place("seq", first), first, until))
        return calls, spent

    def cursor(self) -> Cursor:
        """The end of the feed."""
        ((seq,),) = self._reader.read("SELECT coalesce(max(seq), 0) FROM attempts")
        ((refusal,),) = self._reader.read("SELECT coalesce(max(id), 0) FROM refusals")
        return Cursor(seq, refusal)

    def feed(self, after: Cursor, limit: int) -> tuple[list[Attempt], list[Refused], Cursor]:
        """What ended and what was refused since, the newest first, and where to read on. What does not fit is left
        out: a feed shows what is new."""
        ended = self._reader.read(
            ATTEMPT + " WHERE a.seq > ? ORDER BY a.seq DESC LIMIT ?", (after.seq, limit)
        )
        refused = self._reader.read(
            f"SELECT id, request_id, at, code, budget, detail FROM refusals WHERE id > ? AND {_BLOCKED}"  # noqa: S608
            " ORDER BY id DESC LIMIT ?",
            (after.refusal, limit),
        )
        reached = Cursor(ended[0][-1] if ended else after.seq, refused[0][0] if refused else after.refusal)
        return [read_attempt(row) for row in ended], [read_refusal(row[1:]) for row in refused], reached

    def calls(
        self, *, before: int = 0, state: str = "", customer: str = "", session: str = "", limit: int = 100
    ) -> list[Attempt]:
        """Attempts, the newest first, from the one before `before` on."""
        wanted = [("a.attempt < ?", before), ("a.state = ?", state), ("s.customer = ?", customer)]
        chosen = [(text, value) for text, value in (*wanted, ("s.session = ?", session)) if value]
        where = " WHERE " + " AND ".join(text for text, _ in chosen) if chosen else ""
        values = [value for _, value in chosen]
        return [
            read_attempt(row)
            for row in self._reader.read(
                f"{ATTEMPT}{where} ORDER BY a.attempt DESC LIMIT ?", (*values, limit)
            )
        ]

    def refusals(
        self, *, before: int = 0, customer: str = "", session: str = "", limit: int = 100
    ) -> list[tuple[int, Refused]]:
        """Refusals with their numbers, the newest first, from the one before `before` on."""
        wanted = [("id < ?", before), (_ASKED.format(0), customer), (_ASKED.format(4), session)]
        chosen = [(text, value) for text, value in wanted if value]
        where = " AND ".join([_BLOCKED, *(text for text, _ in chosen)])
        found = self._reader.read(
            f"SELECT id, request_id, at, code, budget, detail FROM refusals WHERE {where} ORDER BY id DESC LIMIT ?",  # noqa: S608
            (*(value for _, value in chosen), limit),
        )
        return [(row[0], read_refusal(row[1:])) for row in found]

    def customers_of(self, session: str) -> list[str]:
        """Whose session has this name, the newest first."""
        found = self._reader.read(
            "SELECT customer, max(id) FROM subjects WHERE session = ? GROUP BY 1 ORDER BY 2 DESC", (session,)
        )
        return [customer for customer, _ in found]

    def total(self, customer: str, session: str, *, now: datetime) -> Total | None:
        """A session added up; None without a call of it that was sent."""
        ((calls, settled, held, waiting, first, last, key, plan),) = self._reader.read(
            _TOTAL, (self._since(now), session, customer)
        )
        return (
            Total(calls, settled, held, waiting, instant(first), instant(last), key, plan) if calls else None
        )

    def steps(self, customer: str, session: str, *, now: datetime, limit: int = 500) -> list[Step]:
        """The newest calls of a session, oldest first, each with what the session had cost by then."""
        found = self._reader.read(_STEPS, (self._since(now), session, customer, limit))
        return [Step(read_attempt(row[:-1]), row[-1]) for row in reversed(found)]

    def parts(self, customer: str, session: str, *, now: datetime) -> tuple[list[Part], list[Part]]:
        """Where the money of a session went: by model and by feature."""
        values = (self._since(now), session, customer)
        by_model, by_feature = (
            [Part(*row) for row in self._reader.read(_PARTS.format(what=what), values)]
            for what in ("a.model", "s.feature")
        )
        return by_model, by_feature

    def tokens(self, customer: str, session: str, *, now: datetime) -> Sequence[tuple[str, int]]:
        """The tokens of a session by bucket."""
        return self._reader.read(_TOKENS, (self._since(now), session, customer))

    def _since(self, now: datetime) -> int:
        return self._reader.place("attempt", nanoseconds(now) - SESSION_SINCE)
