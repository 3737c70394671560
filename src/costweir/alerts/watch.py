"""Looks at everything once, and keeps the incidents in step with what is wrong. A rule whose data cannot be read keeps
what it saw last, so that one store that does not answer neither ends an alert nor hides another."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from costweir.alerts import rulebook
from costweir.alerts.routing import told_by
from costweir.alerts.rules import matters
from costweir.alerts.rules_data import Rule
from costweir.alerts.rules_facts import Facts, Situation
from costweir.alerts.rules_lasting import Looked, due, lasting, worst
from costweir.alerts.rules_tables import Watched, looks, quarantine_counts
from costweir.control.incidents import Incident
from costweir.control.runs import instant
from costweir.errors import Error

if TYPE_CHECKING:
    from costweir.alerts.rules_text import Row
    from costweir.config import Settings
    from costweir.control import Control
    from costweir.store.warehouse import Warehouse

_LOG = logging.getLogger("costweir.alerts")
_QUARANTINE = "alerts:quarantine"
_LOOKED = "alerts:looked"
#: Rules that are looked at more seldom than this are looked at anew when new bills are there.
_SELDOM = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the looks before have seen, in the memory of the control database. `loads` tells one state of the bills from
    another."""

    at: datetime | None = None
    loads: str = ""
    rules: Mapping[str, Looked] = field(default_factory=dict[str, Looked])

    @classmethod
    def read(cls, text: str) -> Self:
        """Reads what `text` gives; what another version wrote is forgotten."""
        try:
            record = json.loads(text)
            rules = {name: Looked.from_json(one) for name, one in record["rules"].items()}
            return cls(datetime.fromisoformat(record["at"]), record["loads"], rules)
        except (ValueError, TypeError, KeyError):
            return cls()

    def text(self) -> str:
        """As it is kept."""
        rules = {name: looked.to_json() for name, looked in self.rules.items()}
        at = instant(self.at) if self.at else ""
        return json.dumps({"at": at, "loads": self.loads, "rules": rules}, ensure_ascii=False)


def watch(
    control: Control, warehouse: Warehouse, watched: Sequence[Watched], *, settings: Settings, now: datetime,
    told: Mapping[str, Sequence[Row]] | None = None,
) -> tuple[list[Incident], list[Incident]]:  # fmt: skip
    """Opens and ends incidents, queues the messages about them, and gives what began and what ended. `told` are the
    tables that others fill: `events` and `balances` of the guard, and `silence`.

    Raises ConfigError for `[[alerts]]` that fit no rule.
    """
    known: dict[str, int] = json.loads(control.get(_QUARANTINE, "{}"))
    memory = Memory.read(control.get(_LOOKED))
    facts = Facts(control, warehouse, settings, Situation(now, watched, told or {}, known))
    loads = _loads(facts, memory.loads)
    looked = evaluate(rulebook.load(settings).watched(), facts, memory, now=now, anew=loads != memory.loads)
    conditions = worst([condition for seen in looked.values() for condition in seen.told()])
    changed = control.incidents.observe(
        conditions, told=told_by(settings), now=now, quiet=timedelta(minutes=settings.routing.quiet_minutes)
    )
    control.put(_LOOKED, Memory(now, loads, looked).text())
    if loads:
        _settle(control, facts, known)
    return changed


def evaluate(
    rules: Sequence[Rule], facts: Facts, memory: Memory, *, now: datetime, anew: bool = False
) -> dict[str, Looked]:
    """What every rule sees: those that are due now, the others as they saw it last. `anew` makes all due that are
    looked at seldom. Last comes what could not be looked at for long."""
    found: dict[str, Looked] = {}
    blind: dict[str, list[str]] = {}
    for rule in sorted(rules, key=_is_about_looks):
        before = memory.rules.get(rule.id)
        if due(rule, before, now) or (anew and rule.interval > _SELDOM):
            try:
                rows = looks(found, rules, now) if _is_about_looks(rule) else facts.rows(rule)
                before = lasting(rule, matters(rule, rows, today=facts.today), before, now)
            except (Error, OSError) as error:
                blind.setdefault(str(error), []).append(rule.id)
            except Exception:  # noqa: BLE001 - a fault in one rule must not silence the others
                _LOG.exception("alerts: %s could not be looked at; this is a fault in Costweir", rule.id)
        # One that was never looked at counts from now on.
        found[rule.id] = before or Looked(now)
    for why, names in blind.items():
        _LOG.warning("alerts: %s could not be looked at: %s", ", ".join(names), why)
    return found


def _is_about_looks(rule: Rule) -> bool:
    return rule.watch is not None and rule.watch.table == "looks"


def _loads(facts: Facts, before: str) -> str:
    """A text that differs once bills were loaded; the one before while nobody can say."""
    try:
        loads = facts.coverage.loads
    except Error:
        return before
    latest = max((load.loaded_at for load in loads), default=None)
    return f"{len(loads)} {latest.isoformat() if latest else ''}"


def _settle(control: Control, facts: Facts, known: Mapping[str, int]) -> None:
    """A reader stays measured against what it had when all was well, so that an incident ends when that is
    restored."""
    try:
        counts = quarantine_counts(facts.coverage)
    except Error:
        return
    settled = {source: min(count, known.get(source, 0)) for source, count in counts.items()}
    if settled != known:
        control.put(_QUARANTINE, json.dumps(settled, sort_keys=True))
