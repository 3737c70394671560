"""One look at what is wrong: what begins, comes back, gets worse, sleeps or is over, and who is to hear of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from costweir.control.database import Execute
from costweir.control.incidents_outbox import STEP, Knowledge, News, abandon, heard, silence, tell
from costweir.control.incidents_rows import (
    Condition,
    Incident,
    State,
    incident_of,
    insert,
    log,
    rank,
    store,
    updated,
)
from costweir.control.runs import instant

#: Gives the channels that are to hear of a condition.
Told = Callable[[Condition], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Step:
    """One look at what is wrong, inside its transaction."""

    run: Execute
    told: Told
    now: datetime
    quiet: timedelta

    def begin(self, condition: Condition) -> Incident | None:
        """Opens an incident or the one that this matter had; None when nobody has to hear of it."""
        rows = self.run(
            "SELECT * FROM incidents WHERE key = ? AND period = ? ORDER BY rowid DESC LIMIT 1",
            (condition.key, condition.period),
        )
        last = incident_of(rows[0]) if rows else None
        if last is not None and last.put_aside:
            return self._again(last, condition) if rank(condition.severity) < rank(last.severity) else None
        if last is not None and (condition.period or self._just_over(last)):
            return self._again(last, condition)
        at = instant(self.now)
        made = updated(
            Incident(
                f"{self.now:%Y%m%dT%H%M%S}-{secrets.token_hex(6)}", condition.key, condition.period, "", "", "", "",
                "open", "", "", "", "", "", "", 1, at, at,
            ),
            condition,
        )  # fmt: skip
        insert(self.run, made)
        log(self.run, made.id, self.now, "open", condition.text)
        tell(self.run, News(made.id, "open", "1"), channels=self.told(condition), at=self.now)
        return made

    def _just_over(self, last: Incident) -> bool:
        # A clock that steps back makes the end lie in the future; it is no longer ago for that.
        return self.now - datetime.fromisoformat(last.resolved_at) < self.quiet

    def _again(self, last: Incident, condition: Condition) -> Incident | None:
        """Opens it again: those who heard of its end hear that, those who never heard of it hear of it, and the others
        know it already."""
        how = heard(self.run, last.id)
        ended = silence(self.run, News(last.id, "resolved", str(last.episode)))
        back = [channel for channel, what in how.items() if what == "heard" and channel in ended]
        still = [channel for channel, what in how.items() if what == "heard" and channel not in ended]
        now = updated(last, condition)
        worse = rank(now.severity) < rank(last.severity)
        if still and not back and not worse:
            now = replace(now, severity=last.severity)
        fresh = self._fresh(condition, now, how)
        episode = last.episode + (1 if back else 0)
        now = replace(
            now, state="open", resolved_at="", put_aside=False, episode=episode, updated_at=instant(self.now)
        )
        store(self.run, now)
        log(self.run, now.id, self.now, "reopened", condition.text)
        tell(self.run, News(now.id, "reopened", str(episode)), channels=back, at=self.now)
        tell(self.run, News(now.id, "open", str(episode)), channels=fresh, at=self.now)
        if worse:
            tell(self.run, _escalated(now), channels=still, at=self.now)
        return now if back or fresh or worse else None

    def go_on(self, held: Incident, condition: Condition, *, untold: bool) -> None:
        """Brings an incident up to date. It is told when it got worse or when its sleep is over; and whoever is set
        later hears of what nobody heard of."""
        now = updated(held, condition)
        worse = rank(now.severity) < rank(held.severity)
        awake = not worse and held.state == "snoozed" and self._slept(held)
        if not worse:
            now = replace(now, severity=held.severity)
        if worse or awake:
            state: State = "acknowledged" if awake and held.acknowledged_at else "open"
            now = replace(now, state=state, snoozed_until="")
        if now != held:
            now = replace(now, updated_at=instant(self.now))
            store(self.run, now)
        if not (worse or awake or untold):
            return
        how = heard(self.run, held.id)
        known = [channel for channel, what in how.items() if what == "heard"]
        if worse:
            log(self.run, held.id, self.now, "escalated", f"{now.severity}: {condition.text}")
            tell(self.run, _escalated(now), channels=known, at=self.now)
        if awake:
            seq = log(self.run, held.id, self.now, "awake", "It is still wrong.")
            tell(self.run, News(held.id, "awake", str(seq)), channels=known, at=self.now)
        if worse or untold:
            fresh = self._fresh(condition, now, how)
            tell(self.run, News(held.id, "open", str(held.episode)), channels=fresh, at=self.now)

    def _fresh(self, condition: Condition, now: Incident, how: Mapping[str, Knowledge]) -> list[str]:
        """Who is to hear of an incident as bad as this one and has not."""
        told = self.told(replace(condition, severity=now.severity))
        return [channel for channel in told if how.get(channel, "never") == "never"]

    def _slept(self, held: Incident) -> bool:
        until, since = datetime.fromisoformat(held.snoozed_until), datetime.fromisoformat(held.snoozed_at)
        # Somebody put it to sleep by a clock that has been set back since: better awake than asleep for a year.
        return until <= self.now or self.now < since - STEP

    def end(self, held: Incident) -> Incident:
        """Resolves an incident."""
        at = instant(self.now)
        over = replace(held, state="resolved", updated_at=at, resolved_at=at, snoozed_until="")
        store(self.run, over)
        log(self.run, held.id, self.now, "resolved")
        tell_end(self.run, over, self.now, wait=self.quiet)
        return over


def tell_end(run: Execute, over: Incident, now: datetime, *, wait: timedelta = timedelta()) -> None:
    """The end for those who heard of the beginning; the others need not hear of either."""
    how = heard(run, over.id)
    channels = [channel for channel, what in how.items() if what == "heard"]
    tell(run, News(over.id, "resolved", str(over.episode)), channels=channels, at=now, wait=wait)
    for channel, what in how.items():
        if what == "waiting":
            abandon(run, over.id, channel)


def _escalated(now: Incident) -> News:
    return News(now.id, "escalated", f"{now.episode}.{now.severity}")
