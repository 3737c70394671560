"""What rules watch, read once for a look: a question that two rules ask is asked once, and what no rule that is due
needs is not read at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from costweir.alerts import rules_tables as tables
from costweir.alerts.rules_data import Rule, Watch
from costweir.alerts.rules_tables import OF_BILLS, OF_CALLS, Limit, Watched
from costweir.alerts.rules_text import Row, decimal
from costweir.domain.answer import Answer
from costweir.domain.period import Month, Period
from costweir.guard.ledger import Terms
from costweir.guard.policy import Policy
from costweir.guard.windows import nanoseconds
from costweir.insights.breakdown import cost_field
from costweir.insights.forecast import LOOK_BACK
from costweir.prices.table import short_name
from costweir.queries.ask import ask
from costweir.queries.coverage import Coverage, read_coverage
from costweir.queries.request import Request

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.control import Control
    from costweir.store.warehouse import Warehouse

#: Days that the hour of the week is known from.
_WEEKS = 56
_FRESH_DAYS = 9
_PACE_DAYS = 4


@dataclass(frozen=True, slots=True)
class Situation:
    """What a look starts from: the instant, how the pulls went, the tables that others fill (`events` and `balances` of
    the guard, and `silence`), and what was in quarantine when all was well."""

    now: datetime
    watched: Sequence[Watched] = ()
    told: Mapping[str, Sequence[Row]] = field(default_factory=dict[str, Sequence[Row]])
    quarantine: Mapping[str, int] = field(default_factory=dict[str, int])


class Facts:
    """The tables of one look. Reading raises Unreachable when a store does not answer."""

    def __init__(
        self, control: Control, warehouse: Warehouse, settings: Settings, situation: Situation
    ) -> None:
        self._control = control
        self._warehouse = warehouse
        self._settings = settings
        self._situation = situation
        self._answers: dict[object, Answer] = {}

    @property
    def today(self) -> date:
        """The UTC day."""
        return self._situation.now.astimezone(UTC).date()

    @cached_property
    def coverage(self) -> Coverage:
        """What is stored of bills."""
        return read_coverage(self._warehouse, Period(), self.today, None)

    @cached_property
    def limits(self) -> list[Limit]:
        """The budgets whose pace can be told."""
        terms = Terms(budgets=[budget.to_json() for budget in self._control.budgets()])
        policy = Policy.compile(terms, nanoseconds(self._situation.now))
        return tables.limits(policy.rules, self._situation.now)

    def rows(self, rule: Rule) -> Sequence[Row]:
        """The table that a rule watches."""
        if rule.watch is None:
            return ()
        return _TABLES[rule.watch.table](self, rule.watch)

    def question(self, watch: Watch) -> Sequence[Row]:
        """The rows of a question; `cost` is the amount on the basis that was answered."""
        since = self.today - timedelta(days=watch.days - 1)
        answer = self.ask(
            Request(watch.question, watch.by, dict(watch.where), since, limit=watch.limit, basis=watch.basis)
        )
        name = cost_field(answer)
        return [{**row, "cost": row.get(name)} for row in answer.rows]

    def pace(self, watch: Watch) -> Sequence[Row]:
        """The table `pace`."""
        return tables.paces(self.limits, self._recent, long=watch.long, short=watch.short)

    def outlook(self, watch: Watch) -> Sequence[Row]:
        """The table `outlook`: on bills where they know what a budget is about, else on calls."""
        daily: dict[str, dict[date, Decimal]] = {}
        until: dict[str, date] = {}
        billed = bool(self.coverage.loads)
        for kinds, budgets in _grouped(item for item in self.limits if item.window == "month").items():
            on_bills = billed and set(kinds) <= OF_BILLS.keys()
            answer, members = self._daily(kinds, budgets, billed=on_bills)
            end = min(map(date.fromisoformat, answer.complete_to.values()), default=self.today)
            for budget in budgets:
                until[budget.id] = end
                daily[budget.id] = {}
                for member in self._members(budget):
                    for day, cost in members.get(member, {}).items():
                        daily[budget.id][day] = daily[budget.id].get(day, Decimal(0)) + cost
        return tables.outlooks(self.limits, daily, until=until, today=self.today)

    def usual(self, watch: Watch) -> Sequence[Row]:
        """The table `usual`."""
        since = self.today - timedelta(days=_WEEKS)
        hours = self.ask(
            Request("hours", ("weekday", "hour"), since=since, until=self.today, basis="metered")
        )
        days = self.ask(Request("spend", ("day",), since=since, until=self.today, basis="metered"))
        last = self.question(Watch(table="question", question="recent", by=(), days=2))
        by_slot = {(int(str(row["weekday"])), int(str(row["hour"]))): _cost(row) for row in hours.rows}
        daily = {date.fromisoformat(str(row["day"])): _cost(row) for row in days.rows}
        hour = decimal(last[0].get("cost_1h")) if last else None
        return tables.usual_row(hour, by_slot, daily, self._situation.now.astimezone(UTC))

    def fresh(self, watch: Watch) -> Sequence[Row]:
        """The table `fresh`. The question is asked of the basis alone, so a store without calls has no rows."""
        if watch.basis == "billed" and not self.coverage.loads:
            return ()
        since = self.today - timedelta(days=_FRESH_DAYS)
        answer = self.ask(Request("first_seen", watch.by, since=since, basis=watch.basis))
        return tables.fresh(answer.rows, watch.by)

    def events(self, watch: Watch) -> Sequence[Row]:
        """The table `events`, of one kind."""
        return [row for row in self._situation.told.get("events", ()) if row.get("kind") == watch.kind]

    def balances(self, watch: Watch) -> Sequence[Row]:
        """The table `balances`."""
        return self._situation.told.get("balances", ())

    def budgets(self, watch: Watch) -> Sequence[Row]:
        """The table `budgets`."""
        if not self.coverage.loads:
            return ()
        told = [str(row.get("budget")) for row in self._situation.told.get("events", ())]
        return tables.billed_budgets(self.ask(Request("budgets")).rows, told)

    def pulls(self, watch: Watch) -> Sequence[Row]:
        """The table `pulls`."""
        return tables.pulls(self._situation.watched, self._situation.now)

    def sources(self, watch: Watch) -> Sequence[Row]:
        """The table `sources`."""
        return tables.sources(self.coverage)

    def quarantine(self, watch: Watch) -> Sequence[Row]:
        """The table `quarantine`."""
        return tables.quarantine(tables.quarantine_counts(self.coverage), self._situation.quarantine)

    def machine(self, watch: Watch) -> Sequence[Row]:
        """The table `machine`."""
        found = shutil.disk_usage(self._settings.data_dir)
        return tables.machine(found.total - found.free, found.total, found.free)

    def silence(self, watch: Watch) -> Sequence[Row]:
        """The table `silence`."""
        return self._situation.told.get("silence", ())

    def heartbeat(self, watch: Watch) -> Sequence[Row]:
        """No rows: this one is told by its absence; and what could not be looked at is known after a look only."""
        return ()

    def ask(self, request: Request) -> Answer:
        """The answer of a question, asked once a look."""
        key = (
            request.question, request.by, tuple(sorted(request.where.items())), request.since, request.until,
            request.limit, request.basis,
        )  # fmt: skip
        if key not in self._answers:
            self._answers[key] = ask(self._warehouse, request, now=self._situation.now)
        return self._answers[key]

    @cached_property
    def _recent(self) -> Mapping[str, Row]:
        """What each budget's calls cost in the last windows."""
        found: dict[str, Row] = {}
        for kinds, budgets in _grouped(self.limits).items():
            by = tuple(OF_CALLS[kind] for kind in kinds)
            answer = self.ask(
                Request(
                    "recent", by, self._where(kinds, by, budgets), self.today - timedelta(days=_PACE_DAYS - 1)
                )
            )
            rows = {tuple(str(row[name]) for name in by): row for row in answer.rows}
            for budget in budgets:
                own = [rows[member] for member in self._members(budget) if member in rows]
                if own:
                    found[budget.id] = _added(own)
        return found

    def _daily(
        self, kinds: tuple[str, ...], budgets: Sequence[Limit], *, billed: bool
    ) -> tuple[Answer, Mapping[tuple[str, ...], Mapping[date, Decimal]]]:
        """What each member cost by day, from the days that a mean needs."""
        by = tuple((OF_BILLS if billed else OF_CALLS)[kind] for kind in kinds)
        first = min(Month.of(self.today).first, self.today - timedelta(days=LOOK_BACK + 3))
        # Bills come late, so that their last four weeks began earlier.
        since = first - timedelta(days=7) if billed else first
        answer = self.ask(
            Request(
                "spend", ("day", *by), self._where(kinds, by, budgets), since, basis="billed" if billed else "metered"
            )
        )  # fmt: skip
        found: dict[tuple[str, ...], dict[date, Decimal]] = {}
        for row in answer.rows:
            member = found.setdefault(tuple(str(row[name]) for name in by), {})
            member[date.fromisoformat(str(row["day"]))] = _cost(row)
        return answer, found

    def _where(
        self, kinds: tuple[str, ...], by: tuple[str, ...], budgets: Sequence[Limit]
    ) -> dict[str, tuple[str, ...]]:
        """Only the members that a budget is about."""
        wanted: list[set[str]] = [set() for _ in kinds]
        for budget in budgets:
            for member in self._members(budget):
                for place, name in zip(wanted, member, strict=True):
                    place.add(name)
        return {name: tuple(sorted(place)) for name, place in zip(by, wanted, strict=True)}

    def _members(self, budget: Limit) -> list[tuple[str, ...]]:
        """The members of the facts that count under a budget: a model is known there by the name that its provider
        has for it."""
        members: list[tuple[str, ...]] = [()]
        for kind, name in budget.scope.items():
            names = {name, *self._names.get(name, ())} if kind == "model" else {name}
            members = [(*member, one) for member in members for one in sorted(names)]
        return members

    @cached_property
    def _names(self) -> Mapping[str, Sequence[str]]:
        return {
            row.id: (short_name(row.id), short_name(row.upstream or row.id)) for row in self._settings.models
        }


_TABLES: Mapping[str, Callable[[Facts, Watch], Sequence[Row]]] = {
    "question": Facts.question, "pace": Facts.pace, "outlook": Facts.outlook, "usual": Facts.usual,
    "fresh": Facts.fresh, "events": Facts.events, "balances": Facts.balances, "budgets": Facts.budgets,
    "pulls": Facts.pulls, "sources": Facts.sources, "quarantine": Facts.quarantine, "machine": Facts.machine,
    "silence": Facts.silence, "heartbeat": Facts.heartbeat, "looks": Facts.heartbeat,
}  # fmt: skip


def _grouped(budgets: Iterable[Limit]) -> dict[tuple[str, ...], list[Limit]]:
    """The budgets by what they are about."""
    found: dict[tuple[str, ...], list[Limit]] = {}
    for budget in budgets:
        found.setdefault(budget.kinds, []).append(budget)
    return found


def _added(rows: Sequence[Row]) -> Row:
    """The sum of the windows of several rows."""
    if len(rows) == 1:
        return rows[0]
    names = [name for name in rows[0] if name.startswith("cost_") and name != "cost_per_call"]
    return {
        name: format(sum((decimal(row[name]) or Decimal(0) for row in rows), Decimal(0)), "f")
        for name in names
    }


def _cost(row: Row) -> Decimal:
    for basis in ("billed_cost", "metered_cost"):
        if (amount := decimal(row.get(basis))) is not None:
            return amount
    return Decimal(0)
