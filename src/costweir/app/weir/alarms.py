"""What the ledger tells once becomes a line in the log and, from half of a budget on, a row that the alert rules see:
as long as the window is open in which it happened, and it still holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import msgspec

from costweir.control.runs import instant
from costweir.domain.answer import Cell
from costweir.domain.money import quantity_text
from costweir.guard.ledger import Balance, Event, usd
from costweir.guard.ledgers.reader import LedgerReader
from costweir.guard.policy import Policy

if TYPE_CHECKING:
    from datetime import datetime

    from costweir.config import Settings
    from costweir.control import Control

#: The last event that was heard, and the matters that are open, in the memory of the control database.
CURSOR = "weir:events"
OPEN = "weir:matters"
#: Thresholds below this are for the log alone.
LEAST_HELD = 50
#: What of an event's detail is in nano-dollars.
_AMOUNTS = ("limit", "spent", "settled", "held", "needed", "debt")
#: A rolling window that refused calls lets them through again well below this percentage.
REFUSES_FROM = 80
BATCH = 1_000

Row = Mapping[str, Cell]


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

    def policy(self) -> Policy:
        """The rules that hold."""
        ...


@dataclass(frozen=True, slots=True)
class Matter:
    """What was told about a window, or about a model without one. `spent`, `limit` and `debt` are nano-dollars at that
    moment."""

    kind: str
    budget: str = ""
    scope: str = ""
    window: str = ""
    threshold: int = 0
    spent: int = 0
    limit: int = 0
    debt: int = 0
    model: str = ""
    request_id: str = ""
    one: bool = False

    @property
    def key(self) -> str:
        """Another one for every threshold of every window."""
        return json.dumps([self.kind, self.budget, self.scope, self.window, self.threshold, self.model])

    @property
    def place(self) -> tuple[str, str, str]:
        """The balance it is about."""
        return self.budget, self.scope, self.window

    def holds(self, balance: Balance | None, suspended: frozenset[str]) -> bool:
        """False when its window has ended, its limit was raised enough, or its model may be used again."""
        if not self.budget:
            return self.model in suspended
        if balance is None:
            return False
        if balance.limit is None:
            return self.kind == "blocked"
        spent = 100 * (balance.settled + balance.debt)
        if self.kind == "threshold":
            return spent >= balance.limit * self.threshold
        rolling = self.window.startswith("rolling")
        return balance.limit <= self.limit and (not rolling or spent >= balance.limit * REFUSES_FROM)

    def row(self) -> Row:
        """The row of the table `events`."""
        return {
            "kind": self.kind, "who": _who(self.budget, self.scope), "budget": self.budget, "scope": self.scope,
            "window": self.window, "threshold": self.threshold, "spent_usd": usd(self.spent),
            "limit_usd": usd(self.limit), "debt_usd": usd(self.debt), "request_id": self.request_id,
            "model": self.model, "one": self.one,
        }  # fmt: skip


def hear(control: Control, source: Source, write: Callable[[bytes], object]) -> int:
    """Notes the events that are new, a JSON line each through `write`; says how many there were."""
    events = source.events(int(control.get(CURSOR, "0")), BATCH)
    if not events:
        return 0
    write(b"".join(msgspec.json.encode(_line(event)) + b"\n" for event in events))
    matters = [matter for event in events if (matter := _matter(event)) is not None]
    with control.transaction():
        if matters:
            _keep(control, [*held(control), *matters])
        control.put(CURSOR, str(events[-1].seq))
    return len(events)


def held(control: Control) -> list[Matter]:
    """The matters that are kept, open or not."""
    return [Matter(**values) for values in json.loads(control.get(OPEN, "[]"))]


def guard_tables(control: Control, settings: Settings) -> dict[str, Sequence[Row]]:
    """The tables `events` and `balances` of the alert rules; matters that are over are forgotten."""
    kept, path = held(control), settings.ledger_path
    if not kept or path is None or not path.exists():
        return {}
    with LedgerReader(path) as reader:
        matters, balances = still_open(kept, reader)
    gone = {matter.key for matter in kept} - {matter.key for matter in matters}
    if gone:
        with control.transaction():
            _keep(control, [matter for matter in held(control) if matter.key not in gone])
    return {"events": [matter.row() for matter in matters], "balances": balances}


def still_open(matters: Sequence[Matter], ledger: Ledger) -> tuple[list[Matter], list[Row]]:
    """The matters that still hold, and the balances they are about."""
    places = {matter.place for matter in matters if matter.budget}
    found = {
        place: balance
        for balance in (ledger.balances() if places else ())
        if (place := (balance.budget_id, _scope(balance.scope), balance.window_id)) in places
    }
    suspended = frozenset(ledger.suspended())
    kept = [matter for matter in matters if matter.holds(found.get(matter.place), suspended)]
    modes = {rule.id: rule.mode for rule in ledger.policy().rules} if found else {}
    return kept, [_balance(balance, modes.get(balance.budget_id, "")) for balance in found.values()]


def _balance(balance: Balance, mode: str) -> Row:
    """The row of the table `balances`."""
    scope, spent, limit = _scope(balance.scope), balance.settled + balance.debt, balance.limit or 0
    return {
        "who": _who(balance.budget_id, scope), "budget": balance.budget_id, "scope": scope,
        "window": balance.window_id, "limit_usd": usd(limit), "spent_usd": usd(spent), "held_usd": usd(balance.held),
        "beyond_usd": usd(max(0, spent - limit)) if balance.limit is not None else None,
        "used_share": quantity_text(Decimal(spent) / limit) if limit else None, "mode": mode,
        "one": _is_one(balance.scope),
    }  # fmt: skip


def _keep(control: Control, matters: Iterable[Matter]) -> None:
    latest = {matter.key: matter for matter in matters}
    control.put(OPEN, json.dumps([asdict(matter) for matter in latest.values()]))


def _matter(event: Event) -> Matter | None:
    """What of an event people may be told. A session's cap is no matter of its own: there are as many as sessions."""
    detail, scope = event.detail, event.scope
    if event.kind == "bound_broken":
        return Matter(
            "bound_broken", debt=_whole(detail, "debt"), model=str(detail["model"]),
            request_id=str(detail.get("request_id", "")),
        )  # fmt: skip
    if event.kind not in ("threshold", "blocked") or event.window_id.startswith("session"):
        return None
    threshold = _whole(detail, "threshold")
    if event.kind == "threshold" and threshold < LEAST_HELD:
        return None
    # The part of a rolling window in which it happened says nothing to people.
    window = event.window_id.partition("@")[0]
    return Matter(
        event.kind, event.budget_id, _scope(scope), window, threshold, _whole(detail, "spent"),
        _whole(detail, "limit"), request_id=str(detail.get("request_id", "")), one=_is_one(scope),
    )  # fmt: skip


def _line(event: Event) -> dict[str, object]:
    """The line of the log. Amounts are told in USD, as in every other line."""
    mild = event.kind == "threshold" and _whole(event.detail, "threshold") < REFUSES_FROM
    severity = "INFO" if mild else "WARNING"
    what = f"{event.detail['threshold']} % is spent" if event.kind == "threshold" else event.kind
    detail = {
        **{name: value for name, value in event.detail.items() if name not in _AMOUNTS and name != "attempt"},
        **{f"{name}_usd": usd(_whole(event.detail, name)) for name in _AMOUNTS if name in event.detail},
    }
    if "attempt" in event.detail:
        detail["attempt_id"] = f"att_{event.detail['attempt']}"
    return {
        "timestamp": instant(event.at), "severity": severity, "level": severity.lower(),
        "message": f"budget {_who(event.budget_id, _scope(event.scope))}: {what}" if event.budget_id else what,
        "service": "costweir", "process": "web", "event_type": "budget_threshold", "kind": event.kind,
        "budget_id": event.budget_id, "scope": _scope(event.scope), "customer_id": event.scope.get("customer", ""),
        "window_id": event.window_id, **detail,
    }  # fmt: skip


def _who(budget: str, scope: str) -> str:
    return f"{budget} ({scope})" if scope else budget


def _is_one(scope: Mapping[str, str]) -> bool:
    return not {"customer", "key", "session", "user"}.isdisjoint(scope)


def _scope(scope: Mapping[str, str]) -> str:
    return " ".join(f"{kind}={name}" for kind, name in sorted(scope.items()))


def _whole(detail: Mapping[str, object], name: str) -> int:
    value = detail.get(name)
    return value if isinstance(value, int) else 0
