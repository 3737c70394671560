"""Counts of the gateway and their Prometheus text. Labels are bounded: models and providers are the configured ones,
customers the known ones and at most a thousand of them; whoever is beyond is `other`."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from costweir.guard.ledger import usd

#: Upper bounds of the latency buckets, in microseconds, and as they are written.
_EDGES = (
    (50_000, "0.05"), (100_000, "0.1"), (250_000, "0.25"), (500_000, "0.5"), (1_000_000, "1"), (2_500_000, "2.5"),
    (5_000_000, "5"), (10_000_000, "10"), (30_000_000, "30"), (60_000_000, "60"), (120_000_000, "120"),
    (300_000_000, "300"),
)  # fmt: skip
_OWN_EDGES = (
    (100, "0.0001"), (250, "0.00025"), (500, "0.0005"), (1_000, "0.001"), (2_500, "0.0025"), (5_000, "0.005"),
    (10_000, "0.01"), (25_000, "0.025"), (50_000, "0.05"), (100_000, "0.1"), (1_000_000, "1"),
)  # fmt: skip
MOST_CUSTOMERS = 1_000
OTHER = "other"


class Histogram:
    """Durations in whole microseconds."""

    __slots__ = ("_edges", "_names", "counts", "total")

    def __init__(self, edges: tuple[tuple[int, str], ...] = _EDGES) -> None:
        self._edges = [edge for edge, _ in edges]
        self._names = [name for _, name in edges]
        self.counts = [0] * (len(edges) + 1)
        self.total = 0

    def add(self, micros: int) -> None:
        """Counts one duration."""
        self.counts[bisect_left(self._edges, micros)] += 1
        self.total += micros

    def lines(self, name: str, labels: Mapping[str, str]) -> Iterator[str]:
        """The samples of one histogram."""
        running = 0
        for edge, count in zip([*self._names, "+Inf"], self.counts, strict=True):
            running += count
            yield f"{name}_bucket{_labels({**labels, 'le': edge})} {running}"
        yield f"{name}_sum{_labels(labels)} {self.total // 1_000_000}.{self.total % 1_000_000:06d}"
        yield f"{name}_count{_labels(labels)} {running}"


def own_latency() -> Histogram:
    """A histogram for our own steps, which take microseconds."""
    return Histogram(_OWN_EDGES)


@dataclass(slots=True)
class Metrics:
    """Counters of one gateway process, written from its event loop only. Money is nano-dollars."""

    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    cost: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    tokens: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    latency: dict[tuple[str, str], Histogram] = field(default_factory=dict[tuple[str, str], Histogram])
    refusals: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    degradations: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    clamps: int = 0
    upstream_errors: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    usage_missing: Counter[str] = field(default_factory=Counter[str])
    debts: int = 0
    reserve: Histogram = field(default_factory=own_latency)
    in_flight: int = 0
    _customers: set[str] = field(default_factory=set[str])

    def customer(self, name: str) -> str:
        """The label of a customer: the name itself for the first thousand."""
        if name in self._customers:
            return name
        if not name:
            return "untagged"
        if len(self._customers) >= MOST_CUSTOMERS:
            return OTHER
        self._customers.add(name)
        return name

    def took(self, provider: str, model: str, micros: int) -> None:
        """Counts how long a call took."""
        found = self.latency.get((provider, model))
        if found is None:
            found = self.latency[provider, model] = Histogram()
        found.add(micros)


def exposition(metrics: Metrics, gauges: Mapping[str, int]) -> str:
    """Prometheus text; `gauges` are further `costweir_gateway_*` values of the moment, by the end of their name."""
    who = ("provider", "model", "customer_id")
    parts = [
        *_counter("llm_requests_total", "Calls by how the caller was served.", who, metrics.requests),
        *_counter(
            "llm_tokens_total", "Tokens of settled calls.", ("provider", "model", "type"), metrics.tokens
        ),
        *_head("llm_cost_usd_total", "counter", "Settled and charged cost in USD."),
        *(
            f"llm_cost_usd_total{_labels(dict(zip(who, key, strict=True)))} {usd(nano)}"
            for key, nano in sorted(metrics.cost.items())
        ),
        *_head("llm_latency_seconds", "histogram", "How long callers waited for whole replies."),
    ]
    for (provider, model), found in sorted(metrics.latency.items()):
        parts += found.lines("llm_latency_seconds", {"provider": provider, "model": model})
    gateway = "costweir_gateway_"
    single = {"code": metrics.refusals}
    for label, counts in single.items():
        keyed = Counter({(key,): value for key, value in counts.items()})
        parts += _counter(f"{gateway}refusals_total", "Calls that were refused, by code.", (label,), keyed)
    parts += _counter(
        f"{gateway}attempts_total", "Attempts by how they ended.", ("provider", "outcome"), metrics.outcomes
    )
    parts += _counter(
        f"{gateway}degradations_total",
        "Calls that a stand-in served.",
        ("asked", "served"),
        metrics.degradations,
    )
    parts += _counter(
        f"{gateway}upstream_errors_total",
        "Failures of providers.",
        ("provider", "kind"),
        metrics.upstream_errors,
    )
    missing = Counter({(key,): value for key, value in metrics.usage_missing.items()})
    parts += _counter(
        f"{gateway}usage_missing_total", "Replies that stated no usage.", ("provider",), missing
    )
    parts += [*_head(f"{gateway}clamps_total", "counter", "Calls whose output was capped to fit a budget.")]
    parts += [f"{gateway}clamps_total {metrics.clamps}"]
    parts += [*_head(f"{gateway}debts_total", "counter", "Calls that cost more than was held.")]
    parts += [f"{gateway}debts_total {metrics.debts}"]
    parts += _head(
        f"{gateway}reserve_seconds", "histogram", "How long a hold took, its durable commit included."
    )
    parts += metrics.reserve.lines(f"{gateway}reserve_seconds", {})
    for name, value in sorted({**gauges, "in_flight": metrics.in_flight}.items()):
        parts += [*_head(f"{gateway}{name}", "gauge", f"{name.replace('_', ' ')} now.".capitalize())]
        parts.append(f"{gateway}{name} {value}")
    return "\n".join(parts) + "\n"


def _counter(
    name: str, text: str, labels: tuple[str, ...], counts: Mapping[tuple[str, ...], int]
) -> Iterator[str]:
    yield from _head(name, "counter", text)
    for key, value in sorted(counts.items()):
        yield f"{name}{_labels(dict(zip(labels, key, strict=True)))} {value}"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(pairs: Mapping[str, str]) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
