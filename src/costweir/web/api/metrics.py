"""What Prometheus scrapes from the web port."""

from __future__ import annotations

from datetime import date

from costweir.queries.request import Request
from costweir.web.desk import Desk

_EPOCH = date(1970, 1, 1)


def exposition(desk: Desk) -> str:
    """Prometheus text: the build, and for each source the day up to which it has delivered and the time of its load.

    These are gauges, because a bill that is restated may lower what they stand for.
    """
    status = desk.status()
    health = desk.ask(Request("data_health"))
    lines = [
        "# HELP costweir_build_info The running version.",
        "# TYPE costweir_build_info gauge",
        f'costweir_build_info{{version="{status["version"]}"}} 1',
        "# HELP costweir_source_complete_to_timestamp_seconds Everything before this time has been delivered.",
        "# TYPE costweir_source_complete_to_timestamp_seconds gauge",
    ]
    for source, day in sorted(health.complete_to.items()):
        seconds = (date.fromisoformat(day[:10]) - _EPOCH).days * 86_400
        lines.append(f'costweir_source_complete_to_timestamp_seconds{{source="{source}"}} {seconds}')
    lines += [
        "# HELP costweir_data_complete 1 when no source is late and nothing is quarantined or unpriced.",
        "# TYPE costweir_data_complete gauge",
        f"costweir_data_complete {int(health.complete)}",
    ]
    return "\n".join(lines) + "\n"
