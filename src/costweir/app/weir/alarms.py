"""What the ledger tells once becomes a line in the log and, from 80 % of a budget on, a matter that people are told of:
open as long as the window in which it happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from costweir.control.incidents import Condition
from costweir.control.runs import instant
from costweir.guard.ledger import Balance, Event, usd
from costweir.guard.ledgers.reader import LedgerReader

if TYPE_CHECKING:
    from datetime import datetime

    from costweir.config import Settings
    from costweir.control import Control

#: The last event that was heard, and the matters that are open, in the memory of the control database.
CURSOR = "weir:events"
OPEN = "weir:alarms"
#: Thresholds below this are for the log alone.
LEAST_ALARM = 80
BATCH = 1_000


class Source(Protocol):
    """The ledger's events, as another process reads them."""

    def events(self, after: int, limit: int = 1_000) -> Sequence[Event]:
        """Events in order."""
        ...


class Ledger(Protocol):
    """What is open in the ledger."""

    def balances(self, scope: Mapping[str, str] | None = None) -> Sequence[Balance]:
        """Every limit of every open window."""
        ...

    def suspended(self) -> Mapping[str, datetime]:
        """Models that broke their bound."""
        ...


@dataclass(frozen=True, slots=True)
class Alarm:
    """A matter, and the window that it is about; without a window it is about a model."""

    key: str
    event: str
    subject: str
    text: str
    hint: str
    budget: str = ""
    window: str = ""
    scope: str = ""

    def over(self, open_windows: frozenset[tuple[str, str, str]], suspended: frozenset[str]) -> bool:
        """True when its window has ended, or its model may be used again."""
        if self.budget:
            return (self.budget, self.scope, self.window) not in open_windows
        return self.subject not in suspended


def hear(control: Control, source: Source, write: Callable[[bytes], object]) -> int:
    """Notes the events that are new, a JSON line each through `write`; says how many there were."""
    events = source.events(int(control.get(CURSOR, "0")), BATCH)
    if not events:
        return 0
    write(b"".join(msgspec.json.encode(_line(event)) + b"\n" for event in events))
    alarms = [alarm for event in events if (alarm := _alarm(event)) is not None]
    with control.transaction():
        held = _held(control) | {alarm.key: alarm for alarm in alarms}
        _keep(control, held.values())
        control.put(CURSOR, str(events[-1].seq))
    return len(events)


def budget_conditions(control: Control, settings: Settings) -> list[Condition]:
    """The matters of budgets that are open now; those whose window has ended are forgotten."""
    held, path = _held(control), settings.ledger_path
    if not held or path is None or not path.exists():
        return []
    with LedgerReader(path) as reader:
        alarms = still_open(list(held.values()), reader)
    over = held.keys() - {alarm.key for alarm in alarms}
    if over:
        with control.transaction():
            _keep(control, [alarm for key, alarm in _held(control).items() if key not in over])
    return [Condition(alarm.key, alarm.event, alarm.subject, alarm.text, alarm.hint) for alarm in alarms]


def _held(control: Control) -> dict[str, Alarm]:
    return {key: Alarm(**values) for key, values in json.loads(control.get(OPEN, "{}")).items()}


def _keep(control: Control, alarms: Iterable[Alarm]) -> None:
    control.put(OPEN, json.dumps({alarm.key: asdict(alarm) for alarm in alarms}))


def still_open(alarms: Sequence[Alarm], ledger: Ledger) -> list[Alarm]:
    """Those whose window is open, or whose model is suspended."""
    windows = frozenset((row.budget_id, _scope(row.scope), row.window_id) for row in ledger.balances())
    suspended = frozenset(ledger.suspended())
    return [alarm for alarm in alarms if not alarm.over(windows, suspended)]


def _alarm(event: Event) -> Alarm | None:
    detail, scope = event.detail, _scope(event.scope)
    who = f"{event.budget_id} ({scope})" if scope else event.budget_id
    key = f"{event.kind}:{event.budget_id}:{scope}:{event.window_id}"
    if event.kind == "threshold" and _whole(detail, "threshold") >= LEAST_ALARM:
        text = (
            f"{who} has spent {detail['threshold']} % of its limit: "
            f"{usd(_whole(detail, 'spent'))} of {usd(_whole(detail, 'limit'))} USD in {event.window_id}."
        )
        hint = "costweir ledger balances shows what is left, and costweir budget set changes the limit."
        key = f"{key}:{detail['threshold']}"
        return Alarm(key, "budget_threshold", who, text, hint, event.budget_id, event.window_id, scope)
    if event.kind == "blocked":
        text = f"{who} refuses calls in {event.window_id}; the first was {detail.get('request_id')}."
        hint = f"costweir why {detail.get('request_id')} explains it."
        return Alarm(key, "budget_blocked", who, text, hint, event.budget_id, event.window_id, scope)
    if event.kind == "bound_broken":
        model = str(detail["model"])
        text = (
            f"A call of {model} cost {usd(_whole(detail, 'debt'))} USD more than its worst case. "
            "Strict budgets do not admit the model any more."
        )
        hint = f"costweir why {detail.get('request_id')} shows the call; lift the model once its terms are right."
        return Alarm(f"bound_broken:{model}", "bound_broken", model, text, hint)
    return None


def _line(event: Event) -> dict[str, object]:
    return {
        "time": instant(event.at), "event": f"budget_{event.kind}", "budget_id": event.budget_id,
        "scope": dict(event.scope), "window_id": event.window_id, **event.detail,
    }  # fmt: skip


def _scope(scope: Mapping[str, str]) -> str:
    return " ".join(f"{kind}={name}" for kind, name in sorted(scope.items()))


def _whole(detail: Mapping[str, object], name: str) -> int:
    value = detail.get(name)
    return value if isinstance(value, int) else 0
