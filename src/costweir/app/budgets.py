"""Budgets for the command line: set and removed through the server that runs on the data directory, else on the control
file itself; and what a limit would have refused."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import ValidationError

from costweir.app.desk import LocalDesk, open_desk
from costweir.app.terms import read_terms
from costweir.config.tables import Budget as BudgetSetting
from costweir.control import Budget, Control
from costweir.errors import ConfigError, NotFound, UsageError
from costweir.guard.ledger import Record, usd
from costweir.guard.ledgers.front import compiled
from costweir.guard.ledgers.reader import LedgerReader
from costweir.guard.policy import Rule
from costweir.guard.preview import Preview, replay

if TYPE_CHECKING:
    from costweir.config import Settings

ACTOR = "cli"
#: How long somebody who set a budget waits until the gateway has counted it.
PATIENCE_SECONDS = 2
_STEP_SECONDS = 0.05


def ledger_file(settings: Settings) -> Path:
    """The ledger's file. Raises ConfigError for a ledger that has none."""
    path = settings.ledger_path
    if path is None:
        raise ConfigError(
            f"The ledger {settings.ledger.url.partition(':')[0]}: cannot be read from outside the gateway.",
            hint='Set ledger = { url = "sqlite:ledger.db" }.',
        )
    return path


def listed_budgets(settings: Settings) -> list[dict[str, object]]:
    """Every budget with its definition, also those that plans make: `id, scope, each, window, limit_usd, mode,
    thresholds, calls, parallel, tokens_per_minute, requests_per_minute, expires, origin`."""
    with Control.open(settings.control_path, read_only=True) as control:
        kept = {budget.id: budget for budget in control.budgets()}
        origins = {plan.id: plan.origin for plan in control.plans()}
        terms, _ = read_terms(control)
    rows: list[dict[str, object]] = []
    for rule in compiled(terms, time.time_ns()).rules:
        own = kept.get(rule.id)
        # A plan's budgets are named plan:ID:WINDOW.
        origin = own.origin if own else origins.get(rule.scope.get("plan", ""), "")
        rows.append(
            {**_row(rule), "expires": own.definition.get("expires") if own else None, "origin": origin}
        )
    return rows


def definition(settings: Settings, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a budget of that name would be with some changes, checked. Raises UsageError."""
    with Control.open(settings.control_path, read_only=True) as control:
        before = next((budget for budget in control.budgets() if budget.id == name), None)
    kept = dict(before.definition) if before else {}
    for key in ("then", "expires"):
        kept.pop(key, None)
    try:
        found = BudgetSetting.model_validate({**kept, **changes, "id": name})
    except ValidationError as error:
        raise _unusable(error) from None
    return found.model_dump(mode="json", exclude={"id"}, exclude_none=True)


def set_budget(settings: Settings, name: str, body: Mapping[str, Any]) -> Record:
    """Adds a budget, or changes it; audited. Raises Conflict for one that the configuration file sets."""
    with open_desk(settings) as desk:
        if isinstance(desk, LocalDesk):
            entry = Budget(name, dict(body))
            return desk.edit(lambda control: control.edits.put(entry, by=ACTOR)).after or {}
        return desk.call("PUT", f"/v1/budgets/{quote(name, safe='')}", body)


def remove_budget(settings: Settings, name: str) -> None:
    """Removes a budget that was set by hand; audited. Raises NotFound and Conflict."""
    with open_desk(settings) as desk:
        if isinstance(desk, LocalDesk):
            desk.edit(lambda control: control.edits.remove(Budget, name, by=ACTOR))
        else:
            desk.call("DELETE", f"/v1/budgets/{quote(name, safe='')}")


def in_force(settings: Settings) -> bool | None:
    """Waits until the gateway applied what is set now: True when it did, False when it took too long, None when no
    gateway runs here."""
    from costweir.app.locks import running_server

    path = settings.ledger_path
    if path is None or running_server(settings.data_dir) is None or not path.exists():
        return None
    with Control.open(settings.control_path, read_only=True) as control:
        wanted = control.stops.revision
    end = time.monotonic() + PATIENCE_SECONDS
    with LedgerReader(path) as reader:
        while reader.revision < wanted:
            if time.monotonic() > end:
                return False
            time.sleep(_STEP_SECONDS)
    return True


def preview_budget(settings: Settings, name: str, body: Mapping[str, Any], *, days: int) -> dict[str, object]:
    """What a budget would have refused in the last days: `calls, cost_usd, blocked_calls, blocked_usd,
    blocked_customers, first_blocked_at, windows` and `rows` by customer."""
    until = datetime.now(UTC)
    found = Preview(since=until - timedelta(days=days), until=until)
    with Control.open(settings.control_path, read_only=True) as control:
        customers = read_terms(control)[0].customers
    try:
        with LedgerReader(ledger_file(settings)) as reader:
            replay(reader.since(found.since), {"id": name, **body}, found, customers=customers)
    except NotFound:
        # Without a ledger no call was made yet, and none would have been refused.
        pass
    rows = [
        {"customer": customer or "untagged", "blocked_calls": calls, "blocked_usd": usd(cost)}
        for customer, (calls, cost) in sorted(found.by_customer.items(), key=lambda item: -item[1][1])
    ]
    first = found.first_blocked_at
    return {
        "budget_id": name, "since": _instant(found.since), "until": _instant(found.until), "calls": found.calls,
        "cost_usd": usd(found.cost), "blocked_calls": found.blocked, "blocked_usd": usd(found.blocked_cost),
        "blocked_customers": len(rows), "blocked_windows": found.windows,
        "first_blocked_at": None if first is None else _instant(first), "rows": rows,
    }  # fmt: skip


def _unusable(error: ValidationError) -> UsageError:
    """The first fault, in the words of the flags."""
    fault = error.errors()[0]
    where = [str(part) for part in fault["loc"]]
    if where[:1] == ["window"]:
        text = f"{fault['input']!r} is not a window; write day, week, month, session, total or rolling:24h"
    elif where[:1] == ["scope"] and fault["type"] == "extra_forbidden":
        text = f"{where[-1]!r} is nothing that a budget can be about"
    else:
        text = fault["msg"].removeprefix("Value error, ")
    hint = "See `costweir budget set --help`."
    return UsageError(f"{text[:1].upper()}{text[1:]}.", hint=hint)


def _row(rule: Rule) -> dict[str, object]:
    from costweir.guard.windows import Rolling

    span = rule.span
    return {
        "id": rule.id, "scope": dict(rule.scope), "each": list(rule.each),
        "window": span.text if isinstance(span, Rolling) else span.kind,
        "limit_usd": None if rule.limit is None else usd(rule.limit), "mode": rule.mode,
        "thresholds": list(rule.thresholds), "calls": rule.calls, "parallel": rule.parallel,
        "tokens_per_minute": rule.tokens_per_minute, "requests_per_minute": rule.requests_per_minute,
    }  # fmt: skip


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__: Sequence[str] = (
    "definition", "in_force", "ledger_file", "listed_budgets", "preview_budget", "remove_budget", "set_budget",
)  # fmt: skip
