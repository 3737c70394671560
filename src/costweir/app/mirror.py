"""Keeps customers, plans, budgets and approved models in step: from the configuration file into control, and on into
the warehouse."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from costweir.control import Budget, Control, Plan
from costweir.control.approvals import expand, is_pattern
from costweir.control.keys import KeyWish
from costweir.queries.question import part

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.store.warehouse import Value, Warehouse

CUSTOMER_COLUMNS = ("id", "name", "plan", "active_since", "active_until")
PLAN_COLUMNS = ("id", "name", "price_usd", "budget_usd", "session_usd", "session_calls", "tokens_per_minute")
APPROVAL_COLUMNS = ("customer_id", "model")
BUDGET_COLUMNS = (
    "id", "scope_kind", "scope_id", "scope_parts", "limit_usd", "budget_window", "timezone", "mode",
)  # fmt: skip

_SYNCED = {"plans", "customers", "budgets", "approved_models"}


def in_step(settings: Settings, control: Control, warehouse: Warehouse) -> bool:
    """Whether neither side would have to change, and this very warehouse was told last."""
    return (
        control.get("settings_synced") == _wanted(settings)
        and control.get("mirrored") == _held(control, warehouse)
        and control.get("approvals_mirrored", _NO_APPROVALS) == _approvals_held(control, warehouse)[0]
    )


def sync(settings: Settings, control: Control) -> None:
    """Brings control in step with the configuration file."""
    if control.get("settings_synced") != (wanted := _wanted(settings)):
        control.sync(settings)
        control.put("settings_synced", wanted)


def mirror(settings: Settings, control: Control, warehouse: Warehouse) -> None:
    """Brings both sides in step, where something changed or the warehouse is another one than the last time."""
    sync(settings, control)
    if control.get("mirrored") == _held(control, warehouse):
        return
    warehouse.mirror(
        "customers",
        CUSTOMER_COLUMNS,
        [(row.id, row.name, row.plan or None, _day(row.since), None) for row in control.customers()],
    )
    warehouse.mirror("plans", PLAN_COLUMNS, [_plan(row) for row in control.plans()])
    warehouse.mirror("budgets", BUDGET_COLUMNS, [_budget(row) for row in control.budgets()])
    control.put("mirrored", _held(control, warehouse))


def sync_keys(settings: Settings, control: Control) -> None:
    """Makes the gateway keys of the configuration file known. Only the server does: another command may run without
    the variables that hold them. Raises ConfigError for a key that is not there or could be guessed."""
    control.keys.sync(
        {
            row.id: (KeyWish(row.customer or "", row.models, row.may_assert), settings.gateway_key(row))
            for row in settings.keys
        }
    )


def mirror_approvals(control: Control, warehouse: Warehouse) -> None:
    """Brings the approved models in step; patterns stand for the models that bills and calls name."""
    held, pairs = _approvals_held(control, warehouse)
    if control.get("approvals_mirrored", _NO_APPROVALS) != held:
        warehouse.mirror("customer_approved_models", APPROVAL_COLUMNS, pairs)
        control.put("approvals_mirrored", _approvals_held(control, warehouse)[0])


def _wanted(settings: Settings) -> str:
    return _digest([settings.model_dump(mode="json", include=_SYNCED)])


def _held(control: Control, warehouse: Warehouse) -> str:
    """Stands for what is known, and for when this warehouse was told: a store that was exchanged, or that another
    installation told something else, is told again."""
    entries = [entry.to_json() for entry in [*control.customers(), *control.plans(), *control.budgets()]]
    # the columns too: a version that mirrors more has to mirror again
    known = _digest([*entries, [*CUSTOMER_COLUMNS, *PLAN_COLUMNS, *BUDGET_COLUMNS]])
    return f"{known} {_told(warehouse, 'customers', 'plans', 'budgets')}"


def _approvals_held(control: Control, warehouse: Warehouse) -> tuple[str, list[tuple[str, str]]]:
    pairs = _approved(control, warehouse)
    return f"{_digest(pairs)} {_told(warehouse, 'customer_approved_models')}", pairs


def _told(warehouse: Warehouse, *tables: str) -> str:
    """When the warehouse was last told about these tables."""
    return " ".join(str(at) for name, at in warehouse.query(part("mirrors")).rows if name in tables)


def _approved(control: Control, warehouse: Warehouse) -> list[tuple[str, str]]:
    entries = control.approvals.listed()
    patterns = any(is_pattern(entry.pattern) for entry in entries)
    seen = [str(row[0]) for row in warehouse.query(part("seen_models")).rows] if patterns else []
    return expand(entries, seen)


def _digest(value: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


#: No approvals, in a warehouse that was never told of any.
_NO_APPROVALS = f"{_digest([])} "


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _amount(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def _plan(plan: Plan) -> tuple[Value, ...]:
    return (
        plan.id, plan.name or plan.id, _amount(plan.price_usd), _amount(plan.budget_usd), _amount(plan.session_usd),
        plan.session_calls, plan.tokens_per_minute,
    )  # fmt: skip


def _budget(budget: Budget) -> tuple[Value, ...]:
    scope: dict[str, str] = budget.definition.get("scope") or {}
    parts = {kind: name for kind, name in sorted(scope.items()) if name}
    limit = budget.definition.get("limit_usd")
    return (
        budget.id, "+".join(parts) or "global", "+".join(parts.values()), json.dumps(parts),
        _amount(None if limit is None else str(limit)), budget.definition.get("window", "month"),
        budget.definition.get("timezone", "UTC"), budget.definition.get("mode", "strict"),
    )  # fmt: skip
