"""The running cost of a session as steps. Amounts are decimal strings that the chart reads; nothing is rounded here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from costweir.domain.money import decimal_text
from costweir.guard.ledger import dollars
from costweir.guard.ledgers.live import Step
from costweir.web.pages.weir import words

Spec = dict[str, object]
_NUMBERS = {"parse": {"t": "number", "u": "number", "v": "number", "w": "number"}}
_HOUR = 120


def running_cost(
    steps: Sequence[Step], *, held: int, lines: Sequence[tuple[str, int]], description: str, now: datetime
) -> Spec:
    """One dot for each call, what is held on top, and `lines` of a title and an amount each; the first is solid."""
    start = steps[0].attempt.created_at
    minutes = [_minutes(start, step.attempt.ended_at or now) for step in steps]
    span = max([*minutes, Decimal(1)])
    unit, parts = ("h", 60) if span > _HOUR else ("min", 1)
    points: list[Spec] = [
        {
            "t": decimal_text(round(minute / parts, 4)), "v": decimal_text(dollars(step.running)),
            "m": step.attempt.model, "c": words.cost_cell(step.attempt, places=None).text,
            "r": words.money(step.running),
        }
        for minute, step in sorted(zip(minutes, steps, strict=True), key=lambda one: one[0])
        if step.attempt.ended_at is not None
    ]  # fmt: skip
    x: Spec = {
        "field": "t", "type": "quantitative", "title": None,
        "scale": {"domain": [0, str(round(span / parts, 4))], "nice": False},
        "axis": {"labelExpr": f"datum.label + ' {unit}'", "labelOverlap": True, "tickCount": 6, "grid": False},
    }  # fmt: skip
    y: Spec = {
        "field": "v", "type": "quantitative", "title": None, "axis": {"format": "$,.2f", "tickCount": 5},
        "scale": {"zero": True, "nice": True}, "stack": None,
    }  # fmt: skip
    level = {"expr": "level"}
    tip = [
        {"field": "m", "title": "Model"},
        {"field": "c", "title": "Cost"},
        {"field": "r", "title": "Running"},
    ]
    layers: list[Spec] = [
        _layer(points, {"type": "area", "interpolate": "step-after", "color": level, "opacity": 0.16}, x, y),
        _layer(points, {"type": "line", "interpolate": "step-after", "color": level}, x, y),
        _layer(
            points,
            {"type": "point", "filled": True, "size": 26, "opacity": 1, "color": level},
            x,
            y,
            tooltip=tip,
        ),
    ]
    if held:
        layers += _held(x, y, points, held=held, span=span / parts)
    for place, (title, amount) in enumerate(lines):
        layers += _line(x, y, title, amount=amount, dash=place > 0)
    return {"description": description, "width": "container", "height": 264, "layer": layers}


def _layer(points: Sequence[Spec], mark: Spec, x: Spec, y: Spec, **more: object) -> Spec:
    return {
        "data": {"values": list(points), "format": _NUMBERS},
        "mark": mark,
        "encoding": {"x": x, "y": y, **more},
    }


def _held(x: Spec, y: Spec, points: Sequence[Spec], *, held: int, span: Decimal) -> list[Spec]:
    """The most that open calls can still cost, hatched on top of the last step."""
    base = Decimal(str(points[-1]["v"])) if points else Decimal(0)
    box: list[Spec] = [
        {
            "t": decimal_text(round(span * Decimal("0.97"), 4)), "u": decimal_text(round(span, 4)),
            "v": decimal_text(base), "w": decimal_text(base + dollars(held)),
        }
    ]  # fmt: skip
    ends: Spec = {"x2": {"field": "u"}, "y2": {"field": "w"}}
    return [
        _layer(box, {"type": "rect", "color": {"expr": "level"}}, x, y, **ends),
        _layer(box, {"type": "rect", "strokeWidth": 0}, x, y, **ends, fill={"value": "url(#hatch)"}),
    ]


def _line(x: Spec, y: Spec, title: str, *, amount: int, dash: bool) -> list[Spec]:
    value = decimal_text(dollars(amount))
    ink = {"expr": "ink"}
    dashes = {"strokeDash": [4, 3]} if dash else {}
    rule: Spec = {
        "data": {"values": [{"v": value}], "format": _NUMBERS},
        "mark": {"type": "rule", "color": ink, "strokeWidth": 1.5, **dashes}, "encoding": {"y": y},
    }  # fmt: skip
    text: Spec = {
        "data": {"values": [{"t": "0", "v": value, "n": title}], "format": _NUMBERS},
        "mark": {"type": "text", "align": "left", "dx": 4, "dy": -8},
        "encoding": {"x": x, "y": y, "text": {"field": "n"}},
    }  # fmt: skip
    return [rule, text]


def _minutes(start: datetime, at: datetime) -> Decimal:
    return Decimal((at - start) // timedelta(milliseconds=1)) / 60_000
