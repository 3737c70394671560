"""What the file knows of the past: attempts added up, open ones, and what closed windows leave behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from costweir.guard.journal import Entry, Tally
from costweir.guard.ledger import Ask, Candidate, Subject
from costweir.guard.policy import Policy, Rule
from costweir.guard.rebuild import ANY, since, step
from costweir.guard.windows import DAY

#: How long an attempt is kept after it ended, at the least; longer while a window that it counts in is open.
KEEP = 40 * DAY
#: How many attempts one commit moves to the archive.
PORTION = 1_000
KEEP_EVENTS = 100_000
KEEP_REFUSALS = 20_000
#: Of those, how many of callers without a key; nobody may push out what others were refused with.
KEEP_STRANGERS = 2_000

SUBJECT = "s.customer, s.plan, s.key, s.user, s.session, s.feature, s.project, s.environment, s.tenant"
_TALLIES = f"""
SELECT {SUBJECT}, a.model, a.provider, a.part, a.settled, a.held, a.debt, a.open, a.calls
FROM (
    SELECT subject, model, provider, {{part}} AS part, sum(charged) AS settled, sum(iif(seq IS NULL, held, 0)) AS held,
           sum(debt) AS debt, sum(seq IS NULL) AS open, sum(state <> 'RELEASED') AS calls
    FROM attempts WHERE at >= ? OR seq IS NULL GROUP BY subject, model, provider, part
) AS a JOIN subjects AS s ON s.id = a.subject"""  # noqa: S608 - constants
_ARCHIVED = f"""
SELECT {SUBJECT}, a.model, a.provider, a.day, a.settled, 0, a.debt, 0, a.calls
FROM archive AS a JOIN subjects AS s ON s.id = a.subject WHERE a.day >= ?"""  # noqa: S608


def tallies(
    connection: sqlite3.Connection, rules: Iterable[Rule], now: int
) -> Iterator[tuple[Collection[str], Tally]]:
    """What attempts add up to, as finely as the rules need; each tally with the ids of the rules it is for."""
    by_step: dict[int, list[Rule]] = {}
    for rule in rules:
        if rule.metered:
            by_step.setdefault(step(rule), []).append(rule)
    for width, group in by_step.items():
        start = min(since(rule, now) for rule in group)
        ids = {rule.id for rule in group}
        part = "0" if width == ANY else f"at / {width}"
        for row in connection.execute(_TALLIES.format(part=part), (start,)):
            yield ids, Tally(Subject(*row[:9]), row[9], row[10], row[11] * width, *row[12:])
        for row in connection.execute(_ARCHIVED, (start // DAY,)):
            # A day in the archive counts as its last instant, so that a rolling window never counts too little.
            yield ids, Tally(Subject(*row[:9]), row[9], row[10], (row[11] + 1) * DAY - 1, *row[12:])


def open_entries(connection: sqlite3.Connection) -> list[Entry]:
    """Attempts that an earlier process left open."""
    rows = connection.execute(
        f"SELECT {SUBJECT}, a.model, a.provider, a.attempt, a.request_id, a.state, a.held, a.tokens, a.price_version,"  # noqa: S608
        " a.at, a.charged, a.debt, a.certainty FROM attempts AS a JOIN subjects AS s ON s.id = a.subject"
        " WHERE a.seq IS NULL ORDER BY a.attempt"
    )
    return [entry_of(row) for row in rows]


def ended_entry(connection: sqlite3.Connection, attempt: int) -> Entry | None:
    """An attempt that ended, None for one that is open or unknown."""
    row = connection.execute(
        f"SELECT {SUBJECT}, a.model, a.provider, a.attempt, a.request_id, a.state, a.held, a.tokens, a.price_version,"  # noqa: S608
        " a.at, a.charged, a.debt, a.certainty FROM attempts AS a JOIN subjects AS s ON s.id = a.subject"
        " WHERE a.seq IS NOT NULL AND a.attempt = ?",
        (attempt,),
    ).fetchone()
    return None if row is None else entry_of(row)


def recent(connection: sqlite3.Connection, start: int) -> Iterator[tuple[Subject, str, str, int, int, int]]:
    """What was admitted since `start` and not released: subject, model, provider, second, tokens and calls."""
    rows = connection.execute(
        f"SELECT {SUBJECT}, a.model, a.provider, a.second, a.tokens, a.calls FROM ("  # noqa: S608
        "  SELECT subject, model, provider, at / 1000000000 AS second, sum(tokens) AS tokens, count(*) AS calls"
        # Attempts are numbered in the order of time, so the newest old one is found from the end.
        "  FROM attempts WHERE attempt > ifnull("
        "    (SELECT attempt FROM attempts WHERE at < ? ORDER BY attempt DESC LIMIT 1), 0)"
        "  AND state <> 'RELEASED' GROUP BY subject, model, provider, second"
        ") AS a JOIN subjects AS s ON s.id = a.subject ORDER BY a.second",
        (start,),
    )
    for row in rows:
        yield Subject(*row[:9]), *row[9:]


def horizon(policy: Policy, now: int) -> int:
    """Attempts before this instant count in no open window that needs to know when they were."""
    starts = [since(rule, now) for rule in policy.rules if rule.metered and step(rule) != ANY]
    # Calls without a session have windows of a day, which are long closed; sessions with a name count without a time.
    dated = [start for start in starts if start > 0]
    return min([now - KEEP, *dated])


def compact(connection: sqlite3.Connection, before: int, now: int) -> bool:
    """Moves a portion of old attempts to the archive and lets go of closed windows; true while there is more.

    The sums stay: a budget without end, and a session, still count what was archived.
    """
    old: Sequence[tuple[int]] = connection.execute(
        "SELECT attempt FROM attempts WHERE attempt < ifnull((SELECT min(attempt) FROM attempts WHERE seq IS NULL),"
        " (SELECT max(attempt) FROM attempts)) AND at < ? ORDER BY attempt LIMIT ?",
        (before, PORTION),
    ).fetchall()
    if old:
        last = old[-1][0]
        connection.execute(
            "INSERT INTO archive SELECT subject, model, provider, at / ?, sum(charged), sum(debt),"
            " sum(state <> 'RELEASED') FROM attempts WHERE attempt <= ? GROUP BY 1, 2, 3, 4"
            " ON CONFLICT DO UPDATE SET settled = settled + excluded.settled, debt = debt + excluded.debt,"
            " calls = calls + excluded.calls",
            (DAY, last),
        )
        connection.execute(
            "INSERT INTO meta SELECT 'seq', ifnull(max(seq), 0) FROM attempts WHERE true"
            " ON CONFLICT DO UPDATE SET value = max(excluded.value + 0, value + 0)"
        )
        connection.execute("DELETE FROM attempts WHERE attempt <= ?", (last,))
    connection.execute("DELETE FROM balances WHERE ends < ? AND open = 0", (now - KEEP,))
    for table, key, keep in (("events", "seq", KEEP_EVENTS), ("refusals", "id", KEEP_REFUSALS)):
        connection.execute(
            f"DELETE FROM {table} WHERE {key} <= (SELECT max({key}) FROM {table}) - ?",  # noqa: S608
            (keep,),
        )
    connection.execute(
        "DELETE FROM refusals WHERE id IN"
        " (SELECT id FROM refusals WHERE code = 'key_invalid' ORDER BY id DESC LIMIT -1 OFFSET ?)",
        (KEEP_STRANGERS,),
    )
    return len(old) == PORTION


def entry_of(row: Sequence[Any]) -> Entry:
    """An attempt from its row."""
    model, provider, attempt, request_id, state, held, tokens, price_version, at, *ending = row[9:]
    candidate = Candidate(model, provider, held, 0, 0, 0, tokens, price_version)
    entry = Entry(attempt, Ask(request_id, Subject(*row[:9]), (candidate,)), candidate, held=held, at=at)
    entry.state = state
    entry.charged, entry.debt, entry.certainty = ending
    return entry
