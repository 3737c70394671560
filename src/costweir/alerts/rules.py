"""What counts as wrong: a source that is late, a pull that failed, and more lines in quarantine than before. Pure
functions of what is known; they read and send nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from costweir.control.incidents import Condition
from costweir.control.pulls import PullState
from costweir.queries.coverage import Coverage

#: A connection that was not pulled for this many of its intervals is late, but never sooner than a day.
_MISSED = 3
_LEAST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Watched:
    """An enabled connection: how often it is to be pulled, and how its pulls went."""

    state: PullState
    every: timedelta

    @property
    def id(self) -> str:
        """The connection's name."""
        return self.state.id


def failed_pulls(watched: Sequence[Watched]) -> list[Condition]:
    """Connections whose last pull failed."""
    return [
        Condition(
            f"run_failed:{item.id}",
            "run_failed",
            item.id,
            f"The pull of {item.id} failed: {item.state.note}",
            item.state.hint or f"costweir pull {item.id} tries it now.",
        )
        for item in watched
        if item.state.status == "failed"
    ]


def missing_pulls(watched: Sequence[Watched], now: datetime) -> list[Condition]:
    """Connections that nobody pulled for too long. One whose pull failed says so by itself."""
    found: list[Condition] = []
    for item in watched:
        since = item.state.last_success or item.state.first_seen
        if item.state.status == "failed" or not since:
            continue
        if now - datetime.fromisoformat(since) > max(item.every * _MISSED, _LEAST):
            what = f"was last pulled at {since}" if item.state.last_success else "was never pulled"
            text = f"{item.id} {what}; it is to be pulled every {_hours(item.every)}."
            hint = f"Check that `costweir up` runs, or pull it with costweir pull {item.id}."
            found.append(Condition(f"source_late:{item.id}", "source_late", item.id, text, hint))
    return found


def late_data(coverage: Coverage) -> list[Condition]:
    """Readers whose data ends earlier than their usual lag explains."""
    hint = "Check the export at the provider; costweir ask data_health shows each account."
    return [
        Condition(f"late_data:{source}", "source_late", source, sentence, hint)
        for source, sentence in sorted(coverage.late().items())
    ]


def quarantine_counts(coverage: Coverage) -> dict[str, int]:
    """Lines in quarantine by reader, sample data left out."""
    counts: dict[str, int] = {}
    for load in coverage.loads:
        if not load.sample:
            counts[load.source] = counts.get(load.source, 0) + load.rows_quarantined
    return counts


def grown_quarantine(counts: Mapping[str, int], known: Mapping[str, int]) -> list[Condition]:
    """Readers that have more lines in quarantine than what was known when all was well."""
    hint = "costweir quarantine shows the lines with the reasons."
    return [
        Condition(
            f"quarantine_grew:{source}",
            "quarantine_grew",
            source,
            f"{source} has {count} lines in quarantine, {count - known.get(source, 0)} more than before.",
            hint,
        )
        for source, count in sorted(counts.items())
        if count > known.get(source, 0)
    ]


def _hours(every: timedelta) -> str:
    minutes = int(every.total_seconds()) // 60
    return f"{minutes // 60} hours" if minutes % 60 == 0 and minutes >= 120 else f"{minutes} minutes"
