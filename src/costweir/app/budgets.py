"""Budgets as the pages, the API and the command line see them, and what a limit would have refused. The command line
sets and removes them through the server that runs on the data directory, else on the control file itself."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import ValidationError

from costweir.app.desk import LocalDesk, open_desk
from costweir.app.terms import read_terms
from costweir.config.tables import Budget as BudgetSetting
from costweir.control import Budget, Control
from costweir.control.runs import instant
from costweir.errors import Error, NotFound, UsageError
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
    """The ledger's file. Raises Error for a ledger that has none."""
    return _file(settings.ledger_path)


def _file(path: Path | None) -> Path:
    if path is None:
        # Nothing is wrong with the command or the setting: that ledger is seen by the gateway alone.
        raise Error(
            "This ledger lives in the running gateway, where no other process sees it.",
            hint='Ask the gateway (GET /v1/me/budget, /metrics), or set ledger = { url = "sqlite:ledger.db" }.',
        )
    return path


class Budgets:
    """Implements `web.office.Budgets` on a control database and the ledger's file."""

    def __init__(self, control: Control, ledger: Path | None, *, patience: float = PATIENCE_SECONDS) -> None:
        """`ledger` is None for one that is no file; `patience` is how long the gateway is waited for."""
        self._control = control
        self._ledger = ledger
        self._patience = patience

    def listed(self) -> list[dict[str, object]]:
        """Every budget with its definition, also those that plans make: `id, scope, each, window, limit_usd, mode,
        thresholds, calls, parallel, tokens_per_minute, requests_per_minute, expires, origin`."""
        kept = {budget.id: budget for budget in self._control.budgets()}
        origins = {plan.id: plan.origin for plan in self._control.plans()}
        terms, _ = read_terms(self._control)
        rows: list[dict[str, object]] = []
        for rule in compiled(terms, time.time_ns()).rules:
            own = kept.get(rule.id)
            # A plan's budgets are named plan:ID:WINDOW.
            origin = own.origin if own else origins.get(rule.scope.get("plan", ""), "")
            rows.append(
                {**_row(rule), "expires": own.definition.get("expires") if own else None, "origin": origin}
            )
        return rows

    def definition(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """What a budget of that name would be with some changes, checked. Raises UsageError."""
        before = next((budget for budget in self._control.budgets() if budget.id == name), None)
        kept = dict(before.definition) if before else {}
        for key in ("then", "expires"):
            kept.pop(key, None)
        try:
            found = BudgetSetting.model_validate({**kept, **changes, "id": name})
        except ValidationError as error:
            raise _unusable(error) from None
        return found.model_dump(mode="json", exclude={"id"}, exclude_none=True)

    def preview(self, name: str, body: Mapping[str, Any], *, days: int) -> dict[str, object]:
        """What a budget would have refused in the last days: `calls, cost_usd, blocked_calls, blocked_usd,
        blocked_customers, first_blocked_at, blocked_windows` and `rows` by customer."""
        until = datetime.now(UTC)
        found = Preview(since=until - timedelta(days=days), until=until)
        customers = read_terms(self._control)[0].customers
        try:
            with LedgerReader(_file(self._ledger)) as reader:
                replay(reader.since(found.since), {"id": name, **body}, found, customers=customers)
        except NotFound:
            # Without a ledger no call was made yet, and none would have been refused.
            pass
        return {"budget_id": name, **_previewed(found)}

    def in_force(self, *, wait: bool = True) -> bool | None:
        """Whether the gateway applied what is set now, which may be waited for: None when it never ran here."""
        if self._ledger is None or not self._ledger.exists():
            return None
        wanted = self._control.stops.revision
        end = time.monotonic() + (self._patience if wait else 0)
        with LedgerReader(self._ledger) as reader:
            while reader.revision < wanted:
                if time.monotonic() >= end:
                    return False
                time.sleep(_STEP_SECONDS)
        return True


def listed_budgets(settings: Settings) -> list[dict[str, object]]:
    """`Budgets.listed` of a data directory."""
    with _budgets(settings) as budgets:
        return budgets.listed()


def definition(settings: Settings, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`Budgets.definition` of a data directory. Raises UsageError."""
    with _budgets(settings) as budgets:
        return budgets.definition(name, changes)


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
    """`Budgets.in_force` of a data directory; None when no gateway runs here."""
    from costweir.app.locks import running_server

    if running_server(settings.data_dir) is None:
        return None
    with _budgets(settings) as budgets:
        return budgets.in_force()


def preview_budget(settings: Settings, name: str, body: Mapping[str, Any], *, days: int) -> dict[str, object]:
    """`Budgets.preview` of a data directory."""
    with _budgets(settings) as budgets:
        return budgets.preview(name, body, days=days)


@contextmanager
def _budgets(settings: Settings) -> Generator[Budgets]:
    with Control.open(settings.control_path, read_only=True) as control:
        yield Budgets(control, settings.ledger_path)


def _previewed(found: Preview) -> dict[str, object]:
    rows = [
        {"customer": customer or "untagged", "blocked_calls": calls, "blocked_usd": usd(cost)}
        for customer, (calls, cost) in sorted(found.by_customer.items(), key=lambda item: -item[1][1])
    ]
    first = found.first_blocked_at
    return {
        "since": instant(found.since), "until": instant(found.until), "calls": found.calls,
        "cost_usd": usd(found.cost), "blocked_calls": found.blocked, "blocked_usd": usd(found.blocked_cost),
        "blocked_customers": len(rows), "blocked_windows": found.windows,
        "first_blocked_at": None if first is None else instant(first), "rows": rows,
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


__all__: Sequence[str] = (
    "Budgets", "definition", "in_force", "ledger_file", "listed_budgets", "preview_budget", "remove_budget",
    "set_budget",
)  # fmt: skip
