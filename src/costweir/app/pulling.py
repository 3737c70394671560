"""One pull of a configured source, and the look at the data that follows it. The command line and the schedule of the
server both end here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from costweir.alerts import Watched, deliver_due, watch
from costweir.app.connections import open_source
from costweir.app.desk import CONTROL_FILE
from costweir.app.runner import Order, Runner
from costweir.control import Control
from costweir.control.pulls import pull_state
from costweir.errors import Error
from costweir.sources.live.source import Report

if TYPE_CHECKING:
    from costweir.app.desk import LocalDesk
    from costweir.app.remote import RemoteDesk
    from costweir.config import Settings
    from costweir.config.connections import Connection

Record = Mapping[str, object]


def pull_source(
    settings: Settings,
    row: Connection,
    desk: LocalDesk | RemoteDesk,
    order: Order,
    report: Report | None = None,
) -> list[Record]:
    """Pulls one source; the rows of `pull files` with `connection`. Raises what `Runner.run` raises.

    The log is opened by itself, so that nobody is kept from the store while a provider takes its time.
    """
    with Control.open(settings.data_dir / CONTROL_FILE, read_only=order.dry_run) as control:
        runner = Runner(settings, control, load=desk.load)
        try:
            source = open_source(row, settings)
        except Error as error:
            if not order.dry_run:
                runner.refused(row, error)
            raise
        return runner.run(source, replace(order, all_services=row.all_services), report=report)


def look(desk: LocalDesk, settings: Settings, now: datetime | None = None) -> int:
    """Brings the incidents in step with the data and sends what is due; says how many messages were taken."""
    now = now or datetime.now(UTC)
    watched = [
        Watched(pull_state(desk.control, row.id), row.interval) for row in settings.sources if row.enabled
    ]
    watch(desk.control, desk.warehouse, watched, settings=settings, now=now)
    return deliver_due(desk.control, settings, now)
