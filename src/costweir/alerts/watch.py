"""Looks at the data once, and keeps the incidents in step with what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from costweir.alerts.routing import told_by
from costweir.alerts.rules import (
    Watched,
    failed_pulls,
    grown_quarantine,
    late_data,
    missing_pulls,
    quarantine_counts,
)
from costweir.control.incidents import Condition, Incident
from costweir.domain.period import Period
from costweir.queries.coverage import read_coverage

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.control import Control
    from costweir.store.warehouse import Reader

_KNOWN = "alerts:quarantine"


def watch(
    control: Control, reader: Reader, watched: Sequence[Watched], *, settings: Settings, now: datetime,
    also: Sequence[Condition] = (),
) -> tuple[list[Incident], list[Incident]]:  # fmt: skip
    """Opens and resolves incidents, queues the messages about them, and gives what began and what ended. `also` are
    conditions that others have seen.

    Raises Unreachable when a store does not answer; nothing is then opened or resolved.
    """
    coverage = read_coverage(reader, Period(), now.date(), None)
    counts = quarantine_counts(coverage)
    known: dict[str, int] = json.loads(control.get(_KNOWN, "{}"))
    conditions = [
        *failed_pulls(watched),
        *missing_pulls(watched, now),
        *late_data(coverage),
        *grown_quarantine(counts, known),
        *also,
    ]

    quiet = timedelta(minutes=settings.routing.quiet_minutes)
    changed = control.incidents.observe(conditions, told=told_by(settings), now=now, quiet=quiet)
    # A reader stays measured against what it had when all was well, so that an incident ends when that is restored.
    settled = {source: min(count, known.get(source, 0)) for source, count in counts.items()}
    if settled != known:
        control.put(_KNOWN, json.dumps(settled, sort_keys=True))
    return changed
