"""What `/metrics` is made of: the gateway's counters, the figures of the stores, and this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING

from costweir import __version__
from costweir.control.pulls import pull_state
from costweir.guard.ledgers.reader import LedgerReader
from costweir.telemetry import figures
from costweir.telemetry.figures import Figure, Figures
from costweir.telemetry.metrics import Exporter, Reading

if TYPE_CHECKING:
    from pathlib import Path

    from costweir.app.desk import LocalDesk
    from costweir.app.weir.side import Weir
    from costweir.config import Settings


def store_figures(desk: LocalDesk, settings: Settings) -> Figures:
    """The figures that are read from the stores of a desk."""
    return Figures(
        [
            Figure("billed", lambda: figures.billed(desk.ask, _today())),
            Figure("health", lambda: figures.health(desk.ask)),
            Figure("metered", lambda: figures.metered(desk.ask, _today())),
            Figure("billed_day", lambda: figures.billed_day(desk.ask, _today())),
            Figure("shares", lambda: figures.shares(desk.ask, _today())),
            Figure("capture", lambda: figures.capture(desk.ask, _today())),
            Figure("sources", partial(_sources, desk, settings), light=True),
            Figure("incidents", partial(_incidents, desk), light=True),
            *_budgets(desk, settings),
        ]
    )


def exporter(weir: Weir, stores: Figures, *, dropped: Callable[[], Mapping[str, int]]) -> Exporter:
    """Answers scrapes. `dropped` says how many lines of the log each process gave up."""

    def own() -> Reading:
        found = Reading()
        found.put("costweir_up", 1)
        found.put("costweir_build_info", 1, __version__)
        for process, count in dropped().items():
            found.put("costweir_log_lines_dropped_total", count, process)
        return found

    return Exporter([weir.reading, stores.reading, own], gateway_pid=lambda: weir.pid)


def _today() -> date:
    return datetime.now(UTC).date()


def _sources(desk: LocalDesk, settings: Settings) -> Reading:
    found = Reading()
    for row in settings.sources:
        state = pull_state(desk.control, row.id)
        found.put("costweir_run_failures", state.failures, row.id)
        if state.last_success:
            moment = int(datetime.fromisoformat(state.last_success).timestamp())
            found.put("costweir_source_last_success_timestamp_seconds", moment, row.id)
    return found


def _incidents(desk: LocalDesk) -> Reading:
    found = Reading()
    counts = desk.control.incidents.counts()
    for severity, count in counts.open.items():
        found.put("costweir_incidents_open", count, severity)
    found.put("costweir_alerts_delivery_failures_total", counts.delivery_failures)
    return found


def _budgets(desk: LocalDesk, settings: Settings) -> list[Figure]:
    """Nothing for a ledger that only its own process can read."""
    path = settings.ledger_path
    if path is None:
        return []

    def read(file: Path) -> Reading:
        plans = {row.id: row.plan for row in desk.control.customers()}
        with LedgerReader(file) as reader:
            return figures.budgets(reader.balances(), reader.policy(), plans, settings.metrics.budgets)

    return [Figure("budgets", partial(read, path), light=True)]
