"""Figures of the stores as gauges: what was billed, how fresh it is, how full the budgets are. They are read in a
thread of their own, and a scrape takes what is there: it waits for no store, and lets at most one question be asked."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from costweir.domain.answer import Answer
from costweir.errors import Error
from costweir.guard.ledger import NANO, Balance
from costweir.guard.policy import Policy
from costweir.guard.windows import SECOND, Rolling
from costweir.queries.request import Request
from costweir.telemetry.metrics import Reading, families

_LOG = logging.getLogger("costweir.figures")
#: Figures of money are of the last month, so that what was put right long ago is no trouble any more.
RECENT = timedelta(days=30)
#: How far back the last whole day of a provider is looked for.
_LATEST = timedelta(days=10)
#: How long a window is by its kind. A month is a twelfth of a year, so that its pace is the same in all.
WINDOW_SECONDS = {"day": 86_400, "week": 604_800, "month": 2_628_000}
#: Part of a limit, in percent, from which a budget counts as warned.
WARNED = 80
_EPOCH = date(1970, 1, 1)
_CENT = Decimal("0.01")

Ask = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Figure:
    """One group of figures. A `light` one is read at every scrape, because it asks the catalogue nothing; the others
    take turns."""

    name: str
    read: Callable[[], Reading]
    light: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds before the first round, between two questions of it, and for which a figure counts as fresh."""

    first: float = 1
    between: float = 0.1
    fresh: float = 5


class Figures:
    """Keeps the newest reading of every group. `start` begins the first round; after it each scrape moves one on."""

    def __init__(
        self, groups: Sequence[Figure], *, pace: Pace | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._groups = list(groups)
        self._pace = pace or Pace()
        self._clock = clock
        self._held: dict[str, Reading] = {}
        self._refreshed: dict[str, float] = {}
        self._tried: dict[str, float] = {}
        self._failures: Counter[str] = Counter(dict.fromkeys((group.name for group in groups), 0))
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="costweir-figures", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it, after the question that is under way."""
        self._stopping.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def reading(self) -> Reading:
        """What is known now, each group with the time it was read; and lets the next be read."""
        self._wanted.set()
        found = Reading()
        for group in self._groups:
            held = self._held.get(group.name)
            if held is not None:
                for name, points in held.points.items():
                    found.points.setdefault(name, []).extend(points)
                moment = int(self._refreshed[group.name])
                found.put("costweir_figures_refreshed_timestamp_seconds", moment, group.name)
            found.put("costweir_figures_failures_total", self._failures[group.name], group.name)
        return found

    def refresh(self, group: Figure) -> None:
        """Reads one group now; what cannot be read keeps its last values and their time."""
        self._tried[group.name] = self._clock()
        try:
            self._held[group.name] = group.read()
        except (Error, OSError, ValueError, LookupError, ArithmeticError) as error:
            self._failures[group.name] += 1
            if not self._stopping.is_set():
                _LOG.warning("figures: %s could not be read: %s", group.name, error)
            return
        self._refreshed[group.name] = self._clock()

    def due(self) -> list[Figure]:
        """What one scrape lets be read: the light groups, and the one of the others whose last try is longest ago."""
        stale = [
            group
            for group in self._groups
            if self._clock() - self._tried.get(group.name, 0) >= self._pace.fresh
        ]
        heavy = sorted(
            (group for group in stale if not group.light), key=lambda group: self._tried.get(group.name, 0)
        )
        return [*(group for group in stale if group.light), *heavy[:1]]

    def _run(self) -> None:
        # The table of families is read now, not while the first scraper waits.
        families()
        self._stopping.wait(self._pace.first)
        for group in self._groups:
            if self._stopping.wait(self._pace.between):
                return
            self.refresh(group)
        while not self._stopping.is_set():
            self._wanted.wait()
            self._wanted.clear()
            for group in self.due():
                if self._stopping.is_set():
                    return
                self.refresh(group)


def billed(ask: Ask, today: date) -> Reading:
    """What was billed: this month, by provider."""
    found = Reading()
    for row in ask(Request("spend", by=("provider",), since=today.replace(day=1), basis="billed")).rows:
        found.put("costweir_billed_usd", _number(row["billed_cost"]), str(row["provider"]), "month")
    return found


def billed_day(ask: Ask, today: date) -> Reading:
    """What was billed on the last day that each provider has delivered in full."""
    found = Reading()
    answer = ask(Request("spend", by=("provider", "day", "source"), since=today - _LATEST, basis="billed"))
    last: dict[str, tuple[str, Decimal]] = {}
    for row in answer.rows:
        provider, day = str(row["provider"]), str(row["day"])
        whole = answer.complete_to.get(str(row["source"]), "")
        if day < whole[:10] and day >= last.get(provider, ("", _CENT))[0]:
            before = last[provider][1] if provider in last and last[provider][0] == day else Decimal(0)
            last[provider] = (day, before + _number(row["billed_cost"]))
    for provider, (_, cost) in last.items():
        found.put("costweir_billed_usd", cost, provider, "day")
    return found


def metered(ask: Ask, today: date) -> Reading:
    """What calls cost this month, by provider, and how many have no price yet."""
    answer = ask(Request("spend", by=("provider",), since=today.replace(day=1), basis="metered"))
    found = Reading()
    for row in answer.rows:
        found.put("costweir_metered_usd", _number(row["metered_cost"]), str(row["provider"]), "month")
    unpriced = [item.rows for item in answer.excluded if item.reason == "unpriced"]
    found.put("costweir_unpriced_calls", sum(unpriced))
    return found


def health(ask: Ask) -> Reading:
    """How fresh and how whole the bills are."""
    answer = ask(Request("data_health", by=("source",)))
    found = Reading()
    for source, day in answer.complete_to.items():
        seconds = (date.fromisoformat(day[:10]) - _EPOCH).days * 86_400
        found.put("costweir_source_complete_to_timestamp_seconds", seconds, source)
    for row in answer.rows:
        source, loaded = str(row["source"]), str(row["last_load"] or "")
        found.put("costweir_source_quarantined_rows", _number(row["rows_quarantined"]), source)
        # A reader that another one took over from is history, and nobody waits for its next load.
        if loaded and source in answer.complete_to:
            found.put("costweir_source_last_success_timestamp_seconds", _seconds(loaded), source)
    found.put("costweir_data_complete", int(answer.complete))
    return found


def shares(ask: Ask, today: date) -> Reading:
    """What part of the recent bills names nobody, and what part is of unknown SKUs."""
    found = Reading()
    for row in ask(Request("data_health", by=("provider",), since=today - RECENT)).rows:
        for name, share in (("untagged", "untagged_share"), ("unknown_sku", "unknown_share")):
            if row.get(share) is not None:
                found.put(f"costweir_{name}_ratio", _number(row[share]), str(row["provider"]))
    return found


def capture(ask: Ask, today: date) -> Reading:
    """What part of the recent bills was metered."""
    found = Reading()
    for row in ask(Request("reconcile", by=("provider",), since=today - RECENT)).rows:
        bill = _number(row["billed_cost"])
        if bill:
            share = (_number(row["metered_cost"]) / bill).quantize(Decimal("0.000001"))
            found.put("costweir_spend_capture_ratio", share, str(row["provider"]))
    return found


@dataclass(slots=True)
class _Use:
    """What the open windows of one budget hold; amounts in nano-dollars, `most` the fullest window's part."""

    kind: str
    tier: str
    limit: int = 0
    settled: int = 0
    held: int = 0
    most: Decimal = Decimal(0)


def budgets(balances: Sequence[Balance], policy: Policy, plans: Mapping[str, str], most: int) -> Reading:
    """The budgets that are used most, and how many windows of all are in which state. `plans` gives each customer's."""
    uses: dict[str, _Use] = {}
    states: dict[str, int] = dict.fromkeys(("ok", "warned", "degraded", "blocked"), 0)
    for row in balances:
        if not row.limit:
            continue
        states[_state(row, policy)] += 1
        use = uses.get(row.budget_id)
        if use is None:
            tier = row.scope.get("plan") or plans.get(row.scope.get("customer", ""), "")
            use = uses[row.budget_id] = _Use("+".join(sorted(row.scope)) or "global", tier)
        use.limit += row.limit
        use.settled += row.settled + row.debt
        use.held += row.held
        use.most = max(use.most, Decimal(row.settled + row.debt + row.held) / row.limit)
    found = Reading()
    for name, use in sorted(uses.items(), key=lambda item: item[1].most, reverse=True)[:most]:
        labels = (name, use.kind, use.tier)
        for kind, nano in (("limit", use.limit), ("settled", use.settled), ("held", use.held)):
            found.put(f"costweir_budget_{kind}_usd", Decimal(nano) / NANO, *labels)
        found.put("costweir_budget_ratio", use.most.quantize(Decimal("0.000001")), *labels)
        seconds = _window_seconds(name, policy)
        if seconds:
            found.put("costweir_budget_window_seconds", seconds, *labels)
    for state, count in states.items():
        found.put("costweir_budget_state_count", count, state)
    return found


def _window_seconds(budget: str, policy: Policy) -> int:
    """How long a window of a budget is; 0 for a session and for all time, which have no pace."""
    rule = policy.by_id.get(budget)
    if rule is None:
        return 0
    span = rule.span
    return span.length // SECOND if isinstance(span, Rolling) else WINDOW_SECONDS.get(span.kind, 0)


def _state(row: Balance, policy: Policy) -> str:
    """What a window does to the next call: alerts use what is settled, the others also what is held."""
    limit, gone = row.limit or 0, row.settled + row.debt
    rule = policy.by_id.get(row.budget_id)
    if gone + row.held >= limit:
        return "blocked"
    if rule is not None and rule.degrades_at is not None and gone + row.held >= rule.degrades_at:
        return "degraded"
    return "warned" if gone * 100 >= limit * WARNED else "ok"


def _number(value: object) -> Decimal:
    return Decimal(str(value or 0))


def _seconds(instant: str) -> int:
    return int(datetime.fromisoformat(instant).astimezone(UTC).timestamp())
