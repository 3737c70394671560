"""What the stored loads say about an answer: how fresh each source is, what is missing, may be restated or is
only a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from typing import cast

from costweir.domain.answer import Excluded
from costweir.domain.period import Month, Period
from costweir.queries.question import part
from costweir.store.warehouse import Reader

#: Clouds restate the last days even of a month that is over.
RESTATED_DAYS = 3
#: A bill whose last two months ended so long before their loads, beyond the source's lag, is history and not a
#: delivery that stopped.
OLD_BILL = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class Stored:
    """What `loads` says about one slot.

    It is `superseded` when another reader brings the newer months of its provider and account: nobody waits for
    its source there any more.
    """

    provider: str
    account: str
    period: str
    source: str
    loaded_at: datetime
    rows_in: int
    rows_stored: int
    rows_skipped: int
    rows_quarantined: int
    last_day: date | None
    sample: bool
    superseded: bool = False

    @property
    def month(self) -> Month:
        """The invoice month."""
        return Month.parse(self.period)

    def overlaps(self, period: Period) -> bool:
        """Whether the invoice month and the period share a day."""
        return period.touches(self.month)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The loads that an answer rests on, seen on `today`."""

    loads: tuple[Stored, ...]
    period: Period
    today: date
    lags: Mapping[str, timedelta]

    def sources(self) -> tuple[str, ...]:
        """The sources, in order of their names."""
        return tuple(sorted({load.source for load in self.loads}))

    def as_of(self) -> dict[str, str]:
        """The instant of the last load of each source that still delivers, RFC 3339."""
        return {
            source: instant_text(max(load.loaded_at for load in loads))
            for source, loads in self._delivering().items()
        }

    def complete_to(self) -> dict[str, str]:
        """The first day not yet delivered, per source that still delivers."""
        ends = {source: complete_day(loads) for source, loads in self._delivering().items()}
        return {source: end.isoformat() for source, end in ends.items() if end is not None}

    def of(self, source: str) -> list[Stored]:
        """The loads of one source."""
        return [load for load in self.loads if load.source == source]

    def _delivering(self) -> dict[str, list[Stored]]:
        """The loads by source, without those that another reader took over from; an answer that rests on
        nothing else keeps them."""
        live = [load for load in self.loads if not load.superseded] or self.loads
        found: dict[str, list[Stored]] = {source: [] for source in sorted({load.source for load in live})}
        for load in live:
            found[load.source].append(load)
        return found

    def late(self) -> dict[str, str]:
        """Sources that owe days inside the period for longer than their stated lag, each with a sentence."""
        found: dict[str, str] = {}
        for source in self.sources():
            sentence = self.lateness(source, self.of(source))
            if sentence:
                found[source] = sentence
        return found

    def lateness(self, name: str, loads: Sequence[Stored]) -> str:
        """The sentence about a late source or account, or an empty text. A sample is never late, nor is what
        another reader took over from, nor an old bill that was already long over when it was loaded."""
        loads = [load for load in loads if not load.superseded]
        end = complete_day(loads)
        if end is None or any(load.sample for load in loads):
            return ""
        owed_until = min(self.today, self.period.until or self.today)
        lag = self.lags.get(loads[0].source) or self.lags.get("default") or timedelta(hours=72)
        if end >= owed_until or self.today - end <= lag:
            return ""
        if not _was_current(loads, end, lag + OLD_BILL):
            return ""
        hours = int(lag.total_seconds() // 3600)
        return f"{name} is complete to {end} only; its stated lag is {hours} hours."

    def quarantined(self) -> int:
        """Lines of slots in scope that could not be read."""
        return sum(load.rows_quarantined for load in self.loads if load.overlaps(self.period))

    def excluded(self) -> list[Excluded]:
        """The quarantined lines, as something the answer leaves out."""
        lines = self.quarantined()
        if not lines:
            return []
        text = f"{lines} {'line' if lines == 1 else 'lines'} could not be read and stand in quarantine."
        return [Excluded("quarantined", text, rows=lines)]

    def notes(self) -> list[str]:
        """Sentences about late sources, days of an open invoice and sample data."""
        notes = list(self.late().values())
        first = min(Month.of(self.today).first, self.today - timedelta(days=RESTATED_DAYS))
        asked_for = self.period.until is None or self.period.until > first
        if asked_for and any(load.last_day is not None and load.last_day >= first for load in self.loads):
            notes.append(f"Days from {first} may be restated: their invoice is still open.")
        if any(load.sample for load in self.loads):
            notes.append("This is sample data.")
        return notes


def read_coverage(
    reader: Reader, period: Period, today: date, lags: Mapping[str, timedelta] | None
) -> Coverage:
    """Reads what is stored. `lags` overrides the stated ones by source."""
    rows = reader.query(part("loads")).rows
    stored = tuple(
        Stored(*cast("tuple[str, str, str, str, datetime, int, int, int, int, date | None, bool]", row))
        for row in rows
    )
    return Coverage(_with_history(stored), period, today, {**stated_lags(), **(lags or {})})


def _with_history(loads: Sequence[Stored]) -> tuple[Stored, ...]:
    """Marks the loads of every reader but the one of the newest month, account by account."""
    newest: dict[tuple[str, str], Stored] = {}
    for load in loads:
        key = (load.provider, load.account)
        if key not in newest or newest[key].period < load.period:
            newest[key] = load
    last = {key: load.source for key, load in newest.items()}
    return tuple(
        load if load.source == last[load.provider, load.account] else replace(load, superseded=True)
        for load in loads
    )


@cache
def stated_lags() -> Mapping[str, timedelta]:
    """How long each source may take to deliver a day; see `lags.yaml` for the evidence."""
    import yaml

    text = (resources.files("costweir.queries") / "lags.yaml").read_text(encoding="utf-8")
    table = cast("dict[str, dict[str, int]]", yaml.safe_load(text))
    return {source: timedelta(hours=entry["hours"]) for source, entry in table.items()}


def complete_day(loads: Sequence[Stored]) -> date | None:
    """The first day that not every account has delivered.

    An account whose newest invoice month is more than a month behind the newest of all is taken as closed.
    """
    newest = max((load.month for load in loads), default=None)
    ends: dict[tuple[str, str], date] = {}
    for load in loads:
        if load.last_day is not None:
            key = (load.provider, load.account)
            ends[key] = max(ends.get(key, load.last_day), load.last_day)
    if newest is None or not ends:
        return None
    open_ends = [end for end in ends.values() if end >= newest.previous.first]
    return min(open_ends or [max(ends.values())]) + timedelta(days=1)


def _was_current(loads: Sequence[Stored], end: date, patience: timedelta) -> bool:
    """Whether the accounts that deliver to `end` and no further were ever waited for.

    Their newest month may have been restated long after its last day; the load of the month before shows that days
    used to come in time.
    """
    last = end - timedelta(days=1)
    ends: dict[tuple[str, str], list[Stored]] = {}
    for load in loads:
        if load.last_day is not None:
            ends.setdefault((load.provider, load.account), []).append(load)
    return any(
        load.loaded_at.date() - load.last_day <= patience + timedelta(days=1)
        for held in ends.values()
        if max(load.last_day for load in held if load.last_day) == last
        for load in held
        if load.last_day and load.month >= Month.of(last).previous
    )


def instant_text(instant: datetime) -> str:
    """RFC 3339 with Z, whole seconds."""
    return instant.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
