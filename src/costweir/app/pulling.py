"""One pull of a configured source, and the look at the data that follows it. The command line and the schedule of the
server both end here; the schedule runs this module in a process of its own, which ends with the server."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from costweir.alerts import Watched, deliver_due, watch
from costweir.app.connections import find_connection, open_source
from costweir.app.desk import CONTROL_FILE, open_desk
from costweir.app.runner import Order, Runner
from costweir.app.weir.alarms import Row, guard_tables
from costweir.config import load
from costweir.control import Control
from costweir.control.pulls import pull_state
from costweir.errors import Error
from costweir.sources.live.source import Report

if TYPE_CHECKING:
    from costweir.app.desk import LocalDesk
    from costweir.app.remote import RemoteDesk
    from costweir.config import Settings
    from costweir.config.connections import Connection
    from costweir.control.incidents import Incident

_LOG = logging.getLogger("costweir.alerts")
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


def look(
    desk: LocalDesk, settings: Settings, now: datetime | None = None, *,
    told: Mapping[str, Sequence[Row]] | None = None,
) -> int:  # fmt: skip
    """Brings the incidents in step with the data and sends what is due; says how many messages were taken. `told` are
    tables of the alert rules besides those of the guard."""
    now = now or datetime.now(UTC)
    watched = [
        Watched(pull_state(desk.control, row.id), row.interval) for row in settings.sources if row.enabled
    ]
    told = {**(told or {}), **guard_tables(desk.control, settings)}
    opened, closed = watch(desk.control, desk.warehouse, watched, settings=settings, now=now, told=told)
    for change, found in (("opened", opened), ("resolved", closed)):
        for incident in found:
            _note(change, incident)
    return deliver_due(desk.control, settings, now)


def _note(change: str, incident: Incident) -> None:
    """The line of the log about an incident that began or ended."""
    told = {
        "incident_id": incident.id, "state": change, "kind": incident.event, "subject": incident.subject,
        "incident_severity": incident.severity, "team": incident.team, "period": incident.period,
    }  # fmt: skip
    level = logging.WARNING if change == "opened" and incident.severity != "info" else logging.INFO
    extra = {"event_type": "incident", "fields": told}
    _LOG.log(level, "incident %s: %s", change, incident.text, extra=extra)


def _main() -> int:
    """The process of the schedule: one JSON line on stdin, a sentence on stderr when it fails."""
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        file = Path(job["config"]) if job["config"] else None
        settings = load(path=file, overrides={"data_dir": job["data_dir"]})
        row = find_connection(settings, job["source"])
        with open_desk(settings) as desk:
            rows = pull_source(settings, row, desk, Order())
    except Error as error:
        sys.stderr.write(error.message + "\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    broken = [str(found["note"]) for found in rows if found["status"] == "failed"]
    sys.stderr.writelines(f"{text}\n" for text in broken[:1])
    return 1 if broken else 0


def _end_with_parent() -> None:
    """Waits until the server closes its end of stdin, which the kernel does for a killed one too, and stops this
    process: it would load through a server that is gone, and hold the source for nothing."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
    os._exit(130)


if __name__ == "__main__":
    sys.exit(_main())
