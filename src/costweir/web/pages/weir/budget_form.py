"""One budget: the form that adds, changes or removes it. Before it is saved, past calls are put before it, so that
whoever saves it knows whom it would have blocked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.config.tables import Scope
from costweir.control import Budget
from costweir.control.edits import version_of
from costweir.errors import Conflict, Error, NotFound, UsageError
from costweir.web import format as fmt
from costweir.web.pages.entries import fault_of
from costweir.web.pages.forms import Sent, may_change
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.table import Cell, Column, Table
from costweir.web.pages.weir import budgets

PATH = f"{budgets.PATH}/edit"
#: How far back the calls go that are put before a budget.
DAYS = 30
KINDS = tuple(Scope.model_fields)
WINDOWS = {
    "day": "a day", "week": "a week", "month": "a month", "session": "a session", "total": "all time",
    "rolling": "a span that ends now",
}  # fmt: skip
MODES = {
    "strict": "block before it is passed", "debt": "let the last call finish", "observe": "only report",
}  # fmt: skip
#: How long a budget holds, as the form offers it, in hours.
LIVES = {"": "until it is removed", "1": "an hour", "24": "a day", "168": "a week", "720": "30 days"}
#: Stay with the end that is set.
_KEPT = "kept"
#: Pairs of a kind and a name that the form has room for.
_PAIRS = 3
_COUNTS = (
    ("calls", "Calls in one window"), ("parallel", "Calls at the same moment"),
    ("requests_per_minute", "Requests a minute"), ("tokens_per_minute", "Tokens a minute"),
)  # fmt: skip
_TEXTS = ("id", "limit_usd", "window", "span", "timezone", "mode", "thresholds", "expires")
_FIELDS = (
    *_TEXTS, *(name for name, _ in _COUNTS), *(f"kind_{n}" for n in range(1, _PAIRS + 1)),
    *(f"member_{n}" for n in range(1, _PAIRS + 1)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """A form on its way: what is kept now, what was typed, why it was refused, and what it would have blocked. `seen`
    stands for the definition that was put before past calls."""

    entry: Budget | None
    version: str
    values: Mapping[str, str]
    error: Error | None = None
    preview: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seen: str = ""
    stale: bool = False

    @property
    def title(self) -> str:
        """What the form does."""
        return f"Budget {self.entry.id}" if self.entry else "Add a budget"


def routes(kit: Kit) -> list[BaseRoute]:
    """`/live/budgets/edit`."""
    return [
        Route(PATH, kit.handler(_show)), Route(PATH, kit.receiver(_change, role="finance"), methods=["POST"]),
    ]  # fmt: skip


def _show(kit: Kit, request: Request) -> Response:
    """The form of `?id=`; one that is not there yet takes its fields from the address."""
    query = request.query_params
    entry = _find(kit, query.get("id", ""))
    if entry is None and set(query) == {"id"}:
        raise NotFound(f"There is no budget {query['id']!r}.", hint=f"See all under {budgets.PATH}.")
    values = {**_values(entry), **({} if entry else {name: query[name] for name in _FIELDS if name in query})}
    return _page(kit, request, Draft(entry, version_of(entry.to_json() if entry else None), values))


def _find(kit: Kit, name: str) -> Budget | None:
    return next((budget for budget in kit.office.control.budgets() if budget.id == name), None)


def _values(entry: Budget | None) -> dict[str, str]:
    """The texts of the fields."""
    held: Mapping[str, Any] = entry.definition if entry else {}
    window = str(held.get("window") or "month")
    rolling = window.startswith("rolling:")
    values = {
        "id": entry.id if entry else "", "limit_usd": str(held.get("limit_usd") or ""),
        "window": "rolling" if rolling else window, "span": window.partition(":")[2] if rolling else "",
        "timezone": str(held.get("timezone") or "UTC"), "mode": str(held.get("mode") or "strict"),
        "thresholds": ",".join(str(step) for step in held.get("thresholds") or (50, 80, 95, 100)),
        "expires": _KEPT if held.get("expires") else "",
        **{name: str(held.get(name) or "") for name, _ in _COUNTS},
    }  # fmt: skip
    scope: Mapping[str, str | None] = held.get("scope") or {}
    pairs = [(kind, name) for kind, name in scope.items() if name]
    for number in range(1, _PAIRS + 1):
        pair = pairs[number - 1] if number <= len(pairs) else ("", "")
        values[f"kind_{number}"], values[f"member_{number}"] = pair
    return values


def _page(kit: Kit, request: Request, draft: Draft) -> Response:
    now, entry = kit.now(), draft.entry
    expires = str(entry.definition.get("expires") or "") if entry else ""
    lives = {**({_KEPT: f"until {fmt.instant(expires, today=now.today)}"} if expires else {}), **LIVES}
    context = {
        "draft": draft, "values": draft.values, "kinds": KINDS, "windows": WINDOWS, "modes": MODES, "lives": lives,
        "counts": _COUNTS, "pairs": range(1, _PAIRS + 1), "days": DAYS, "sentence": _sentence(draft.preview),
        "blocked": _blocked(draft.preview), "then": bool(entry and entry.definition.get("then")),
        "may_set": may_change(request, "finance"),
        "more": any(draft.values[name] for name, _ in _COUNTS) or draft.values["mode"] != "strict",
    }  # fmt: skip
    crumbs = (("Live", "/live"), ("Budgets", budgets.PATH), (entry.id if entry else "Add", ""))
    status = draft.error.http_status if draft.error else 200
    title = f"Not saved: {draft.title}" if draft.error else draft.title
    return kit.page(
        request, Frame("weir_budget.html", title, "live", crumbs, status), now=now, context=context
    )


def _change(kit: Kit, sent: Sent) -> Response:
    """Shows what the budget would have blocked, saves it once that was seen, or removes it."""
    version, name = sent.get("version"), sent.get("id")
    entry = _find(kit, name) if version else None
    draft = Draft(entry, version, {item: sent.get(item) for item in _FIELDS})
    try:
        if sent.get("action") == "remove":
            return _remove(kit, sent, draft)
        body = dict(kit.office.budgets.definition(name, _changes(draft)))
        seen = _digest(name, body, draft.values["expires"])
        if sent.get("action") != "save" or sent.get("seen") != seen:
            found = kit.office.budgets.preview(name, body, days=DAYS)
            stale = sent.get("action") == "save"
            return _page(kit, sent.request, replace(draft, preview=found, seen=seen, stale=stale))
        wanted = Budget(name, body)
        kit.office.edit(lambda held: held.edits.put(wanted, by=sent.actor, expected=version))
    except (UsageError, Conflict) as error:
        return _page(kit, sent.request, replace(draft, error=error))
    return _done(kit, "saved", name)


def _remove(kit: Kit, sent: Sent, draft: Draft) -> Response:
    name = sent.get("id")
    if sent.get("typed") != name:
        raise UsageError(f"Type {name} to remove it.", hint="Nothing was changed.")
    kit.office.edit(lambda held: held.edits.remove(Budget, name, by=sent.actor, expected=draft.version))
    return _done(kit, "removed", name)


def _done(kit: Kit, verb: str, name: str) -> Response:
    """The list, once the gateway holds what was set; the list says so when it does not."""
    kit.office.budgets.in_force()
    return RedirectResponse(f"{budgets.PATH}?{urlencode({verb: name})}", 303)


def _digest(name: str, body: Mapping[str, Any], expires: str) -> str:
    """Stands for a definition; an end that is a span from now on stands for itself."""
    text = json.dumps([name, {**body, "expires": expires}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _changes(draft: Draft) -> dict[str, Any]:
    """Every field in the words of the configuration file. Raises UsageError."""
    values = draft.values
    if fault := fault_of("id", values["id"]):
        raise UsageError(fault, hint="Choose a short name, such as acme-day.")
    if values["limit_usd"] and (fault := fault_of("usd", values["limit_usd"])):
        raise UsageError(fault, hint="The limit in USD; empty means none.")
    counts: dict[str, int | None] = {}
    for name, label in _COUNTS:
        if values[name] and (fault := fault_of("count", values[name])):
            raise UsageError(f"{label}: {fault}", hint="Empty means no limit.")
        counts[name] = int(values[name]) if values[name] else None
    window = f"rolling:{values['span']}" if values["window"] == "rolling" else values["window"]
    return {
        "scope": _scope(values), "limit_usd": values["limit_usd"] or None, "window": window,
        "timezone": values["timezone"] or "UTC", "mode": values["mode"] or "strict",
        "thresholds": _thresholds(values["thresholds"]), "expires": _expires(draft), **counts,
    }  # fmt: skip


def _scope(values: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number in range(1, _PAIRS + 1):
        kind, member = values[f"kind_{number}"], values[f"member_{number}"]
        if not kind and not member:
            continue
        if kind not in KINDS or not member or kind in found:
            raise UsageError(
                "What it is about needs a kind and a name in each row, and each kind once.",
                hint="Write * as the name to give each one the limit for itself.",
            )
        found[kind] = member
    return found


def _thresholds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
        raise UsageError(f"{text[:40]!r} are no percentages.", hint="Write them as 50,80,95,100.")
    return [int(part) for part in parts]


def _expires(draft: Draft) -> str | None:
    life = draft.values["expires"]
    if life == _KEPT and draft.entry is not None:
        return draft.entry.definition.get("expires")
    if life not in LIVES:
        raise UsageError("That is no time that a budget can hold.", hint="Choose one from the list.")
    return (datetime.now(UTC) + timedelta(hours=int(life))).isoformat(timespec="seconds") if life else None


def _sentence(found: Mapping[str, Any]) -> str:
    """What past calls say about a budget."""
    if not found:
        return ""
    calls, blocked = int(found["calls"]), int(found["blocked_calls"])
    if not calls:
        return f"No call was made in the last {DAYS} days, so none would have been blocked."
    if not blocked:
        return f"None of the {fmt.plural(calls, 'call')} of the last {DAYS} days would have been blocked."
    cost = fmt.money(Decimal(str(found["blocked_usd"])))
    whom = fmt.plural(int(found["blocked_customers"]), "customer")
    return f"In the last {DAYS} days {fmt.plural(blocked, 'call')} of {whom} would have been blocked, {cost}."


def _blocked(found: Mapping[str, Any]) -> Table | None:
    if not found or not found["rows"]:
        return None
    columns = (
        Column("Customer", "customer", numeric=False), Column("Blocked calls", "blocked_calls"),
        Column("That cost", "blocked_usd"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(str(row["customer"]), str(row["customer"])),
            Cell(fmt.count(int(row["blocked_calls"])), str(row["blocked_calls"])),
            Cell(fmt.money(Decimal(str(row["blocked_usd"]))), str(row["blocked_usd"])),
        )
        for row in found["rows"]
    )
    return Table("Whom it would have blocked", columns, rows)
