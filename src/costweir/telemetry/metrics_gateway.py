"""The snapshot that a gateway gives of its counters, as a reading. Exemplars name the call, and its trace where the
caller sent one."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from prometheus_client.samples import Exemplar

from costweir.telemetry.metrics import Point, Reading, Spread

_NANO, _MICRO = -9, -6
#: The id of a call, its trace, and when it was in microseconds.
_Seen = tuple[str, str, int]
_Point = tuple[list[str], int]


class _Durations(msgspec.Struct):
    edges: list[str]
    rows: list[tuple[list[str], list[int], int, list[tuple[_Seen, int] | None]]]


class _Snapshot(msgspec.Struct):
    requests: list[tuple[list[str], int, _Seen | None]]
    costs: dict[str, list[_Point]]
    times: dict[str, list[_Point]]
    counts: dict[str, list[_Point]]
    durations: dict[str, _Durations]


_decode = msgspec.json.Decoder(_Snapshot).decode


def read_snapshot(body: bytes) -> Reading:
    """Reads what `/internal/metrics` of a gateway answers. Raises msgspec.DecodeError for anything else."""
    found = _decode(body)
    reading = Reading()
    reading.points["llm_requests_total"] = [
        Point(tuple(labels), calls, None if seen is None else _exemplar(seen, 1_000_000))
        for labels, calls, seen in found.requests
    ]
    for scale, group in ((0, found.counts), (_NANO, found.costs), (_MICRO, found.times)):
        for name, points in group.items():
            reading.points[name] = [
                Point(tuple(labels), Decimal(value).scaleb(scale) if scale else value)
                for labels, value in points
            ]
    for name, durations in found.durations.items():
        reading.spreads[name] = [
            Spread(
                tuple(labels), counts, Decimal(micros).scaleb(_MICRO),
                [None if one is None else _exemplar(*one) for one in seen],
            )
            for labels, counts, micros, seen in durations.rows
        ]  # fmt: skip
    return reading


def _exemplar(seen: _Seen, micros: int) -> Exemplar:
    call, trace, at = seen
    labels = {"call_id": call, "trace_id": trace} if trace else {"call_id": call}
    return Exemplar(labels, micros / 1_000_000, at / 1_000_000)
