"""Counts of the gateway, kept in plain dictionaries so that a call pays a few lookups for them, and given away as a
snapshot; the server beside it writes the exposition. Labels are bounded: models and providers are the configured ones,
and every other name is taken from the first that come, up to a number; whoever is beyond is `other`."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from costweir.domain.usage import COUNT_BUCKETS

#: Upper bounds of the latency buckets, in microseconds, and as they are written.
EDGES = (
    (50_000, "0.05"), (100_000, "0.1"), (250_000, "0.25"), (500_000, "0.5"), (1_000_000, "1"), (2_500_000, "2.5"),
    (5_000_000, "5"), (10_000_000, "10"), (30_000_000, "30"), (60_000_000, "60"), (120_000_000, "120"),
    (300_000_000, "300"),
)  # fmt: skip
OWN_EDGES = (
    (100, "0.0001"), (250, "0.00025"), (500, "0.0005"), (1_000, "0.001"), (2_500, "0.0025"), (5_000, "0.005"),
    (10_000, "0.01"), (25_000, "0.025"), (50_000, "0.05"), (100_000, "0.1"), (1_000_000, "1"),
)  # fmt: skip
OTHER = "other"
UNTAGGED = "untagged"
#: The outcome of a call that nobody served.
REFUSED = "refused"
#: How many plans and environments are named; and how many sets of labels there are of requests in all.
MOST_PLANS = 20
MOST_ENVIRONMENTS = 10
MOST_SERIES = 2_000
#: How many kinds of failure are named, because a provider answers with any status that it likes.
MOST_KINDS = 50

#: Who a call is counted for: provider, model, outcome, plan, environment, customer.
Who = tuple[str, str, str, str, str, str]
#: The call that was seen last, and where it is traced: its id, the trace, and when in microseconds.
Seen = tuple[str, str, int]
#: Label values and a number.
Point = tuple[list[str], int]


class Histogram:
    """Durations in whole microseconds. `seen` is the last call of each bucket with its duration."""

    __slots__ = ("_edges", "counts", "seen", "total")

    def __init__(self, edges: tuple[tuple[int, str], ...] = EDGES) -> None:
        self._edges = [edge for edge, _ in edges]
        self.counts = [0] * (len(edges) + 1)
        self.seen: list[tuple[Seen, int] | None] = [None] * (len(edges) + 1)
        self.total = 0

    def add(self, micros: int, seen: Seen | None = None) -> None:
        """Counts one duration."""
        at = bisect_left(self._edges, micros)
        self.counts[at] += 1
        self.total += micros
        if seen is not None:
            self.seen[at] = (seen, micros)

    def to_json(self, labels: list[str]) -> list[object]:
        """Labels, count of each bucket, sum, and the last call of each bucket."""
        return [labels, self.counts, self.total, self.seen]


def own_latency() -> Histogram:
    """A histogram for our own steps, which take microseconds."""
    return Histogram(OWN_EDGES)


class Tally:
    """What the calls of one set of labels came to; `cost` in nano-dollars, `seen` the last of them."""

    __slots__ = ("calls", "cost", "seen")

    def __init__(self) -> None:
        self.calls = 0
        self.cost = 0
        self.seen: Seen | None = None


class Served:
    """What the calls that one model served came to: how long they took, and their usage by bucket."""

    __slots__ = ("first_token", "latency", "used")

    def __init__(self) -> None:
        self.latency = Histogram()
        self.first_token: Histogram | None = None
        self.used: dict[str, int] = {}

    def count(self, used: Mapping[str, int]) -> None:
        """Adds the usage of one call."""
        held = self.used
        for bucket, count in used.items():
            held[bucket] = held.get(bucket, 0) + count

    def began(self, millis: int, seen: Seen) -> None:
        """Counts how long the caller of a stream waited for its first piece."""
        if self.first_token is None:
            self.first_token = Histogram()
        self.first_token.add(millis * 1_000, seen)


class Names:
    """The first names that came, up to a number."""

    __slots__ = ("_most", "_names")

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: set[str] = set()

    def of(self, name: str) -> str:
        """The name itself, or `other`."""
        if name in self._names or not name:
            return name
        if len(self._names) >= self._most:
            return OTHER
        self._names.add(name)
        return name


@dataclass(slots=True)
class Metrics:
    """Counters of one gateway process, written from its event loop only. Money is nano-dollars. With
    `customers` above zero, so many customers are named in the label `customer_id`."""

    customers: int = 0
    tallies: dict[Who, Tally] = field(default_factory=dict[Who, Tally])
    models: dict[tuple[str, str], Served] = field(default_factory=dict[tuple[str, str], Served])
    refusals: Counter[str] = field(default_factory=Counter[str])
    degradations: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    fallbacks: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    retries: Counter[str] = field(default_factory=Counter[str])
    clamps: int = 0
    upstream_errors: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    usage_missing: Counter[str] = field(default_factory=Counter[str])
    unpriced: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    debts: int = 0
    reserve: Histogram = field(default_factory=own_latency)
    in_flight: int = 0
    _plans: Names = field(default_factory=lambda: Names(MOST_PLANS))
    _environments: Names = field(default_factory=lambda: Names(MOST_ENVIRONMENTS))
    _kinds: Names = field(default_factory=lambda: Names(MOST_KINDS))
    _customers: Names | None = None

    def __post_init__(self) -> None:
        self._customers = Names(self.customers) if self.customers else None

    def customer(self, name: str) -> str:
        """The label of a customer: the name itself for the first that come, empty where customers are no label."""
        return "" if self._customers is None else self._customers.of(name or UNTAGGED)

    def tally(self, who: Who) -> Tally:
        """Where calls of these labels are counted."""
        return self.tallies.get(who) or self._bounded(who)

    def _bounded(self, who: Who) -> Tally:
        provider, model, outcome, plan, environment, customer = who
        kept = (provider, model, outcome, self._plans.of(plan), self._environments.of(environment), customer)
        found = self.tallies.get(kept)
        if found is None and len(self.tallies) >= MOST_SERIES:
            kept = (OTHER, OTHER, outcome, OTHER, OTHER, OTHER if customer else "")
            found = self.tallies.get(kept)
        if found is None:
            found = self.tallies[kept] = Tally()
        return found

    def served(self, provider: str, model: str) -> Served:
        """Where the calls that a model served are counted."""
        found = self.models.get((provider, model))
        if found is None:
            found = self.models[provider, model] = Served()
        return found

    def failed(self, provider: str, kind: str) -> None:
        """Counts a failure of a provider."""
        self.upstream_errors[provider, self._kinds.of(kind)] += 1


#: The gauge of lines of the log that were given up; every process of the server has one.
LOST = "log_lines_dropped"
#: Figures of the ledger that have another name outside, where a name says what is counted and in which unit.
RENAMED = {
    "ledger_commits": "ledger_commits_total", "ledger_opened": "ledger_holds_total",
    "ledger_last_commit_us": "ledger_last_commit_seconds", "ledger_clock_ahead": "ledger_clock_ahead_seconds",
}  # fmt: skip


def snapshot(metrics: Metrics, gauges: Mapping[str, int]) -> dict[str, object]:
    """Everything that was counted, by the name of its family: `counts` as points, `costs` as points in nano-dollars,
    `times` as points in microseconds, `durations` with the upper bounds of the buckets. `gauges` are further values of
    the moment."""
    own = "costweir_gateway_"
    named = {f"{own}{RENAMED.get(name, name)}": value for name, value in gauges.items() if name != LOST}
    requests = [[list(who), tally.calls, tally.seen] for who, tally in metrics.tallies.items()]
    counts: dict[str, list[Point]] = {
        "llm_tokens_total": [
            ([*labels, bucket], count)
            for labels, served in metrics.models.items()
            for bucket, count in served.used.items()
            if bucket not in COUNT_BUCKETS
        ],
        f"{own}refusals_total": [([code], count) for code, count in metrics.refusals.items()],
        f"{own}attempts_total": _points(_outcomes(metrics)),
        f"{own}degradations_total": _points(metrics.degradations),
        f"{own}fallbacks_total": _points(metrics.fallbacks),
        f"{own}retries_total": [([provider], count) for provider, count in metrics.retries.items()],
        f"{own}upstream_errors_total": [
            ([provider, kind, status_class(kind)], count)
            for (provider, kind), count in metrics.upstream_errors.items()
        ],
        f"{own}usage_missing_total": [([name], count) for name, count in metrics.usage_missing.items()],
        f"{own}unpriced_total": _points(metrics.unpriced),
        f"{own}clamps_total": [([], metrics.clamps)],
        f"{own}debts_total": [([], metrics.debts)],
        f"{own}in_flight": [([], metrics.in_flight)],
        "costweir_log_lines_dropped_total": [(["gateway"], gauges.get(LOST, 0))],
        **{name: [([], value)] for name, value in named.items() if not name.endswith("_seconds")},
    }
    return {
        "requests": requests,
        "costs": {"llm_cost_usd_total": _points(_costs(metrics))},
        "counts": counts,
        "times": {name: [([], value)] for name, value in named.items() if name.endswith("_seconds")},
        "durations": {
            "llm_latency_seconds": _durations(
                (labels, served.latency) for labels, served in metrics.models.items()
            ),
            "llm_time_to_first_token_seconds": _durations(
                (labels, served.first_token) for labels, served in metrics.models.items()
            ),
            f"{own}reserve_seconds": {"edges": _edges(OWN_EDGES), "rows": [metrics.reserve.to_json([])]},
        },
    }


def status_class(kind: str) -> str:
    """`4xx`, `429` or `5xx` for what a provider answered, else `timeout` or `connection`."""
    status = kind.removeprefix("upstream_")
    if status.isdigit():
        return status if status == "429" else f"{status[0]}xx"
    return "timeout" if kind.endswith("timeout") else "connection"


def _costs(metrics: Metrics) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for (provider, model, _, *rest), tally in metrics.tallies.items():
        if tally.cost:
            found[provider, model, *rest] += tally.cost
    return found


def _points(counts: Mapping[tuple[str, ...], int]) -> list[Point]:
    return [(list(key), count) for key, count in counts.items()]


def _outcomes(metrics: Metrics) -> Counter[tuple[str, ...]]:
    """How attempts ended; a call that was refused has none."""
    found: Counter[tuple[str, ...]] = Counter()
    for (provider, _, outcome, *_), tally in metrics.tallies.items():
        if outcome != REFUSED:
            found[provider, outcome] += tally.calls
    return found


def _durations(found: Iterable[tuple[tuple[str, str], Histogram | None]]) -> dict[str, object]:
    rows = [one.to_json(list(labels)) for labels, one in found if one is not None]
    return {"edges": _edges(EDGES), "rows": rows}


def _edges(edges: Iterable[tuple[int, str]]) -> list[str]:
    return [name for _, name in edges]
