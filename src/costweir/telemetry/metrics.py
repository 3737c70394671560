"""What Prometheus scrapes: the families of `metrics.yaml`, filled from readings that others took. A scrape asks no
store and waits for nobody; label values are cut and cleaned, so that whatever a name holds, the text stays a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, partial
from importlib import resources
from typing import Any, cast

from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import ALLOWUTF8, UNDERSCORES
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

Value = int | Decimal
Encoder = Callable[[Collector], bytes]

#: Longest value of a label, and most series of a family whose values are read from tables.
MOST_LETTERS = 120
MOST_SERIES = 2_500
#: Five times as fast as the best level, and hardly larger.
_LEVEL = 1
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Family:
    """One row of `metrics.yaml`. `known` are the values that its only label has from the start."""

    name: str
    type: str
    plane: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    known: tuple[str, ...] = ()


@cache
def families() -> Mapping[str, Family]:
    """Every family by its name."""
    import yaml

    text = (resources.files("costweir.telemetry") / "metrics.yaml").read_text(encoding="utf-8")
    table = cast("dict[str, dict[str, Any]]", yaml.safe_load(text))
    return {
        name: Family(
            name, row["type"], row["plane"], row["help"],
            tuple(row.get("labels", ())), tuple(row.get("buckets", ())), tuple(row.get("known", ())),
        )
        for name, row in table.items()
    }  # fmt: skip


@dataclass(slots=True)
class Spread:
    """A histogram: how many were in each bucket and above the last, and their sum in seconds."""

    labels: tuple[str, ...]
    counts: Sequence[int]
    total: Value
    exemplars: Sequence[Exemplar | None] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """One number with the values of its family's labels, in their order. An empty value leaves its label out."""

    labels: tuple[str, ...]
    value: Value
    exemplar: Exemplar | None = None


@dataclass(slots=True)
class Reading:
    """What somebody read: numbers and histograms by the name of their family."""

    points: dict[str, list[Point]] = field(default_factory=dict[str, list[Point]])
    spreads: dict[str, list[Spread]] = field(default_factory=dict[str, list[Spread]])

    def put(self, name: str, value: Value, *labels: str) -> None:
        """Adds one number."""
        self.points.setdefault(name, []).append(Point(labels, value))


@dataclass(frozen=True, slots=True)
class Exposed:
    """The answer to a scrape."""

    body: bytes
    headers: Mapping[str, str]


class Exporter(Collector):
    """Answers scrapes from `sources`. `gateway_pid` is the gateway's process, where it has one of its own."""

    def __init__(
        self, sources: Sequence[Callable[[], Reading]], *, gateway_pid: Callable[[], int | None]
    ) -> None:
        self._sources = sources
        self._gateway_pid = gateway_pid
        self._own = ProcessCollector(registry=None)
        # A process that is not there has no folder in /proc, so nothing is told of it.
        self._gateway = ProcessCollector("costweir_gateway", lambda: gateway_pid() or "none", registry=None)

    def collect(self) -> Iterator[Metric]:
        """Every family that there is something to say of, in the order of `metrics.yaml`."""
        points: dict[str, list[Point]] = {}
        spreads: dict[str, list[Spread]] = {}
        for source in self._sources:
            reading = source()
            for name, found in reading.points.items():
                points.setdefault(name, []).extend(found)
            for name, rows in reading.spreads.items():
                spreads.setdefault(name, []).extend(rows)
        for name, family in families().items():
            if name in spreads:
                yield _histogram(family, spreads[name])
            elif name in points or family.known:
                yield _numbers(family, points.get(name, []))
        yield from self._own.collect()
        yield from self._gateway.collect()

    def expose(self, accept: str, encodings: str) -> Exposed:
        """The exposition in the format and encoding that the scraper asked for."""
        encode, content_type = choose_encoder(accept)
        if getattr(encode, "keywords", {}).get("escaping") == UNDERSCORES:
            # Our names have nothing to be escaped, and the other scheme looks at no letter to see it.
            encode = cast("Encoder", partial(cast("Callable[..., bytes]", encode), escaping=ALLOWUTF8))
        body = encode(self)
        headers = {
            "content-type": content_type,
            "cache-control": "no-store",
            "vary": "accept, accept-encoding",
        }
        if gzip_accepted(encodings):
            import gzip

            body = gzip.compress(body, _LEVEL, mtime=0)
            headers["content-encoding"] = "gzip"
        return Exposed(body, headers)


def clean(value: str) -> str:
    """A label value of at most 120 printable characters."""
    if len(value) > MOST_LETTERS:
        value = value[: MOST_LETTERS - 1] + "…"
    return _UNPRINTABLE.sub("\ufffd", value) if not value.isprintable() else value


def _cleaned(family: Family, labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        clean(value).lower() if name == "provider" else clean(value)
        for name, value in zip(family.labels, labels, strict=True)
    )


def _numbers(family: Family, points: Iterable[Point]) -> Metric:
    """A counter, a gauge or an info. Values whose names became the same are added up, or of gauges the largest kept."""
    found: dict[tuple[str, ...], Point] = {(name,): Point((name,), 0) for name in family.known}
    for point in points:
        labels = _cleaned(family, point.labels)
        before, value = found.get(labels), point.value
        if before is not None:
            value = before.value + value if family.type == "counter" else max(before.value, value)
        found[labels] = Point(labels, value, point.exemplar)
    kept: Iterable[Point] = found.values()
    if family.type == "gauge" and len(found) > MOST_SERIES:
        kept = sorted(kept, key=lambda point: point.value, reverse=True)[:MOST_SERIES]
    made = Metric(family.name.removesuffix("_total").removesuffix("_info"), family.help, family.type)
    made.samples = [
        Sample(family.name, _named(family, point.labels), cast("float", point.value), None, point.exemplar)
        for point in kept
    ]
    return made


def _histogram(family: Family, spreads: Iterable[Spread]) -> Metric:
    found: dict[tuple[str, ...], Spread] = {}
    for spread in spreads:
        labels = _cleaned(family, spread.labels)
        before = found.get(labels)
        if before is not None:
            counts = [one + other for one, other in zip(before.counts, spread.counts, strict=True)]
            spread = Spread(labels, counts, before.total + spread.total, spread.exemplars)  # noqa: PLW2901
        found[labels] = spread
    made = Metric(family.name, family.help, "histogram")
    samples = made.samples
    edges = [*family.buckets, "+Inf"]
    for labels, spread in found.items():
        named, running = _named(family, labels), 0
        exemplars = spread.exemplars or [None] * len(edges)
        for edge, count, exemplar in zip(edges, spread.counts, exemplars, strict=True):
            running += count
            samples.append(Sample(f"{family.name}_bucket", {**named, "le": edge}, running, None, exemplar))
        samples.append(Sample(f"{family.name}_count", named, running))
        samples.append(Sample(f"{family.name}_sum", named, cast("float", spread.total)))
    return made


def _named(family: Family, labels: Iterable[str]) -> dict[str, str]:
    return {name: value for name, value in zip(family.labels, labels, strict=True) if value}
