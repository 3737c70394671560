"""Charts as Vega-Lite specs. Colours are token names, so that one spec serves both themes; amounts become
floats here and only here, because they place pixels and are never added up or shown as money elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from costweir.domain.charge import UNTAGGED

Spec = dict[str, object]

#: A provider has its colour everywhere.
PROVIDERS = ("anthropic", "aws", "gcp", "openai", "azure")
OTHER = "other"
_MAKERS = (
    ("anthropic", ("claude",)),
    ("openai", ("gpt", "o1", "o3", "o4", "text-embedding", "dall", "whisper", "chatgpt")),
    ("gcp", ("gemini", "gemma", "imagen", "veo", "textembedding", "palm")),
    ("aws", ("nova", "titan", "amazon")),
)
_SLOTS = ("1", "2", "3", "4", "5", "6")


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a chart: its `label`, its colour `token` (`aws`, `1`, `m-openai-2`, `other`,
    `untagged`), one amount per bucket, where a click leads to, and the places whose amount is not final
    yet."""

    label: str
    token: str
    values: tuple[Decimal, ...]
    href: str = ""
    provisional: frozenset[int] = frozenset()


def tokens(dimension: str, members: Sequence[str]) -> dict[str, str]:
    """The colour of each member. It belongs to the member and not to its rank: providers have their own, a
    model wears a tint of its maker, any other member takes the slot of its name; only a clash moves one to
    the next free slot."""
    found: dict[str, str] = {}
    for member in sorted(members):
        if member in (UNTAGGED, OTHER) or (dimension == "provider" and member in PROVIDERS):
            found[member] = member
        else:
            wanted = _tints(member) if dimension == "model" else ()
            found[member] = _free(member, wanted, set(found.values()))
    return found


def _tints(model: str) -> tuple[str, ...]:
    maker = next((name for name, starts in _MAKERS if model.startswith(starts)), "")
    start = zlib.crc32(model.encode()) % 3
    return tuple(f"m-{maker}-{(start + step) % 3 + 1}" for step in range(3)) if maker else ()


def model_tint(model: str) -> str:
    """The tint of a model outside a chart, where two of one maker may share it; grey for an unknown maker."""
    return next(iter(_tints(model)), OTHER)


def _free(member: str, wanted: Sequence[str], taken: set[str]) -> str:
    start = zlib.crc32(member.encode()) % len(_SLOTS)
    around = [*wanted, *_SLOTS[start:], *_SLOTS[:start]]
    return next((slot for slot in around if slot not in taken), OTHER)


def _param(token: str) -> dict[str, str]:
    name = token if token.startswith("m-") else f"c-{token}"
    return {"expr": name.replace("-", "_")}


def _pixels(amount: Decimal) -> float:
    return float(round(amount, 4))


def _money_axis(largest: Decimal, currency: str) -> str:
    sign = "$" if currency == "USD" else ""
    return f"{sign},.0f" if largest >= 8 else f"{sign},.2f" if largest >= Decimal("0.08") else f"{sign},.4f"


def _ticks(labels: Sequence[str], most: int = 7) -> list[str]:
    step = max(-(-len(labels) // most), 1)
    return list(labels[::step])


@dataclass(frozen=True, slots=True)
class Frame:
    """What a chart over time stands on: bucket labels, axis height in pixels, currency and a sentence
    about it; `dots` are (bucket, number) of the annotations above it."""

    description: str
    labels: tuple[str, ...]
    currency: str = "USD"
    height: int = 264
    dots: tuple[tuple[int, int], ...] = ()

    def x(self, **more: object) -> Spec:
        """The band of buckets; its domain is given, or a layer drawn first would reorder it."""
        return {
            "field": "d", "type": "ordinal", "sort": None, "title": None,
            "axis": {"labelAngle": 0, "values": _ticks(self.labels), "labelOverlap": True},
            "scale": {"domain": list(self.labels), "paddingInner": 0.22, "paddingOuter": 0.1}, **more,
        }  # fmt: skip


def over_time(
    frame: Frame, series: Sequence[Series], *, mark: str = "stacked", before: Sequence[Decimal] = ()
) -> Spec:
    """Amounts per bucket: `stacked` bars, `lines`, or `share` of each bucket. `before` is the period
    compared with, one amount per bucket, drawn as a line over its bar. What is not final is drawn twice,
    the second time hatched."""
    keys = [f"s{place}" for place in range(len(series))]
    height = _tallest(series, mark)
    titled = zip(keys, series, strict=True)
    spec: Spec = {
        "description": frame.description, "width": "container",
        "height": frame.height,
        "data": {"values": _rows(frame, series, before, mark)},
        "usermeta": {"series": [{"key": key, "href": one.href} for key, one in titled], "mark": mark},
    }  # fmt: skip
    axis = "%" if mark == "share" else _money_axis(height, frame.currency)
    y: Spec = {
        "field": "v", "type": "quantitative", "title": None,
        "stack": None if mark == "lines" else "normalize" if mark == "share" else "zero",
        "axis": {"format": axis, "tickCount": 4}, "scale": {"nice": True, "zero": True},
    }  # fmt: skip
    color: Spec = {
        "field": "k", "legend": None,
        "scale": {"domain": keys, "range": [_param(one.token) for one in series]},
    }  # fmt: skip
    fold: list[Spec] = [{"fold": keys, "as": ["k", "v"]}]
    layers = _lines(frame, fold, y, color) if mark == "lines" else _bars(frame, fold, y, color, series=series)
    if before and mark == "stacked":
        layers += _compared(frame)
    if frame.dots:
        layers += _dots(frame)
    layers.append(_tooltip(frame, keys, series, axis="" if mark == "share" else axis))
    return {**spec, "layer": layers}


def _tallest(series: Sequence[Series], mark: str) -> Decimal:
    if mark == "lines":
        return max((max(one.values, default=Decimal(0)) for one in series), default=Decimal(0))
    columns = zip(*(one.values for one in series), strict=True)
    return max((sum(column, Decimal(0)) for column in columns), default=Decimal(0))


def _rows(frame: Frame, series: Sequence[Series], before: Sequence[Decimal], mark: str) -> list[Spec]:
    """One row per bucket. A line ends where nothing was delivered yet: a point at zero would be a claim."""
    rows: list[Spec] = []
    for place, label in enumerate(frame.labels):
        row: Spec = {"d": label}
        late = [f"s{number}" for number, one in enumerate(series) if place in one.provisional]
        for number, one in enumerate(series):
            nothing = mark == "lines" and f"s{number}" in late and one.values[place] == 0
            row[f"s{number}"] = None if nothing else _pixels(one.values[place])
        row["t"] = _pixels(sum((one.values[place] for one in series), Decimal(0)))
        if place < len(before):
            row["b"] = _pixels(before[place])
        if late:
            row["q"] = late
        rows.append(row)
    return rows


def _bars(frame: Frame, fold: list[Spec], y: Spec, color: Spec, *, series: Sequence[Series]) -> list[Spec]:
    hollow = [f"s{place}" for place, one in enumerate(series) if one.token == UNTAGGED]
    bare = f"indexof({hollow}, datum.k) >= 0"
    order = {"field": "o"}
    ordered: list[Spec] = [*fold, {"calculate": "toNumber(slice(datum.k, 1))", "as": "o"}]
    drawn: Spec = {
        "transform": ordered, "mark": "bar",
        "encoding": {
            "x": frame.x(), "y": y, "order": order, "color": color,
            "stroke": {"condition": {"test": bare, "value": {"expr": "ink_2"}}, "value": {"expr": "surface"}},
            "strokeWidth": {"condition": {"test": bare, "value": 1.2}, "value": 0.8},
        },
    }  # fmt: skip
    hatched: Spec = {
        "transform": [{"filter": "isArray(datum.q)"}, *ordered], "mark": {"type": "bar", "strokeWidth": 0},
        "encoding": {
            "x": frame.x(), "y": y, "order": order, "detail": {"field": "k"},
            "fill": {
                "condition": {"test": "isArray(datum.q) && indexof(datum.q, datum.k) >= 0", "value":
                "url(#hatch)"}, "value": "transparent",
            },
        },
    }  # fmt: skip
    return [drawn, hatched] if any(one.provisional for one in series) else [drawn]


def _lines(frame: Frame, fold: list[Spec], y: Spec, color: Spec) -> list[Spec]:
    mark = {"type": "line", "point": {"size": 18}}
    return [{"transform": fold, "mark": mark, "encoding": {"x": frame.x(), "y": y, "color": color}}]


def _compared(frame: Frame) -> list[Spec]:
    """The earlier period as a short rule over its bar, on a halo so that it shows on every colour."""
    layers: list[Spec] = []
    for width, token in ((5, "surface"), (2, "ink")):
        mark = {"type": "rule", "strokeWidth": width, "color": {"expr": token}}
        x2 = {"field": "d", "bandPosition": 1}
        y = {"field": "b", "type": "quantitative"}
        only = [{"filter": "isValid(datum.b)"}]
        encoding = {"x": frame.x(bandPosition=0), "x2": x2, "y": y}
        layers.append({"transform": only, "mark": mark, "encoding": encoding})
    return layers


def _dots(frame: Frame) -> list[Spec]:
    """Numbered dots above the plot, each with a thin rule down to its bucket."""
    values = [{"d": frame.labels[place], "n": str(number)} for place, number in frame.dots]
    above: Spec = {"value": -11}
    rule: Spec = {"type": "rule", "strokeDash": [2, 3], "color": {"expr": "ink_3"}}
    dot: Spec = {"type": "point", "filled": True, "size": 240, "opacity": 1, "color": {"expr": "ink_2"}}
    text: Spec = {"type": "text", "fontSize": 10, "fontWeight": 600, "color": {"expr": "surface"}}
    layers: list[tuple[Spec, Spec]] = [
        (rule, {"y": {"value": -4}, "y2": {"value": "height"}}),
        (dot, {"y": above}),
        (text, {"y": above, "text": {"field": "n"}}),
    ]
    return [
        {"data": {"values": values}, "mark": mark, "encoding": {"x": frame.x(), **y}} for mark, y in layers
    ]


def _tooltip(frame: Frame, keys: Sequence[str], series: Sequence[Series], *, axis: str) -> Spec:
    """A tint of the whole bucket that lists every series and the total."""
    places = "$,.4f" if axis.endswith(".4f") else "$,.2f"
    shown = places if frame.currency == "USD" else places.removeprefix("$")
    titled = zip(keys, series, strict=True)
    lines = [{"field": key, "title": one.label, "format": shown} for key, one in titled]
    select = {"type": "point", "on": "pointerover", "clear": "pointerout", "fields": ["d"]}
    return {
        "params": [{"name": "at", "select": select}],
        "mark": {"type": "bar", "color": {"expr": "ink"}, "stroke": None, "cursor": "pointer"},
        "encoding": {
            "x": frame.x(), "y": {"value": 0}, "y2": {"value": "height"},
            "opacity": {"condition": {"param": "at", "empty": False, "value": 0.07}, "value": 0},
            "tooltip": [{"field": "d", "title": "When"}, *lines, {"field": "t", "title": "Total", "format":
            shown}], },
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cone:
    """What is ahead: place of the day in the month (1 is the first), low and high running total."""

    place: int
    low: Decimal
    high: Decimal


def running_total(
    frame: Frame, totals: Mapping[int, Decimal], *, cone: Sequence[Cone], budget: Decimal | None, last: int
) -> Spec:
    """The running total of a month by day number, the forecast as a cone, the budget as a line. `last` is
    the number of days of the month; `frame.labels` gives the label of the month such as `Nov` as its only
    entry."""
    marks = [day for day in (1, 5, 10, 15, 20, 25) if day <= last] + [last]
    x: Spec = {
        "field": "n", "type": "quantitative", "title": None, "scale": {"domain": [1, last], "nice": False},
        "axis": {"values": marks, "labelExpr": f"datum.value + ' {frame.labels[0]}'", "labelOverlap": True},
    }  # fmt: skip
    top = max([*totals.values(), *(step.high for step in cone), budget or Decimal(0)], default=Decimal(0))
    axis = _money_axis(top, frame.currency)
    bottom = min([Decimal(0), *totals.values()])
    y: Spec = {
        "type": "quantitative", "title": None, "axis": {"format": axis, "tickCount": 4},
        "scale": {"domain": [_pixels(bottom), _pixels(top) * 1.08 or 1]},
    }  # fmt: skip
    layers = [_cone(x, y, cone, axis)] if cone else []
    if budget:
        layers += _budget_line(x, y, budget)
    level = {"color": {"expr": "level"}}
    tip = [
        {"field": "n", "title": "Day"},
        {"field": "v", "title": "Running total", "format": axis.replace(".0f", ".2f")},
    ]
    known: Spec = {
        "data": {"values": [{"n": place, "v": _pixels(value)} for place, value in sorted(totals.items())]},
        "mark": {**level, "type": "line", "point": {**level, "size": 18}},
        "encoding": {"x": x, "y": {"field": "v", **y}, "tooltip": tip},
    }
    layers.append(known)
    return {"description": frame.description, "width": "container", "height": frame.height, "layer": layers}


def _cone(x: Spec, y: Spec, cone: Sequence[Cone], axis: str) -> Spec:
    ahead = [{"n": step.place, "lo": _pixels(step.low), "hi": _pixels(step.high)} for step in cone]
    tip = [
        {"field": "n", "title": "Day"},
        {"field": "lo", "title": "Forecast, low", "format": axis},
        {"field": "hi", "title": "Forecast, high", "format": axis},
    ]
    return {
        "data": {"values": ahead},
        "mark": {"type": "area", "color": {"expr": "level"}},
        "encoding": {"x": x, "y": {"field": "lo", **y}, "y2": {"field": "hi"}, "tooltip": tip},
    }


def _budget_line(x: Spec, y: Spec, budget: Decimal) -> list[Spec]:
    value = _pixels(budget)
    return [
        {
            "data": {"values": [{"v": value}]},
            "mark": {"type": "rule", "color": {"expr": "ink"}, "strokeWidth": 1.5},
            "encoding": {"y": {"field": "v", **y}},
        },
        {
            "data": {"values": [{"n": 1, "v": value, "t": "Budget"}]},
            "mark": {"type": "text", "align": "left", "dx": 4, "dy": -8},
            "encoding": {"x": x, "y": {"field": "v", **y}, "text": {"field": "t"}},
        },
    ]
