"""The operations on limits of the gateway: what each holds now, what one would have refused, and what is stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from costweir.config import tables
from costweir.control import Control
from costweir.control.audit import Change
from costweir.errors import NotFound
from costweir.guard.why import balance_record
from costweir.web.api.bodies import FreezeScope, FreezeWish, read_body
from costweir.web.api.paging import PAGES, page
from costweir.web.api.schemas import DECIMAL, INSTANT, WHOLE, Schema, nullable, record
from costweir.web.api.table import Call, Operation, Param, Reply
from costweir.web.api.writing import NEW_ID, write
from costweir.web.desk import Record

_KINDS = "|".join(FreezeScope.model_fields)
_PAIR: Schema = {
    "type": "string",
    "pattern": rf"^({_KINDS})=[^\x00-\x1f\x7f]{{1,200}}$",
    "examples": ["customer=acme"],
}
_SCOPE = Param("scope", _PAIR, "What it is about.", repeated=True)
_STOPPED = Param("scope", _PAIR, "What is stopped; without it, every call.", repeated=True)
_DAYS = Param(
    "days", {"type": "integer", "minimum": 1, "maximum": 366}, "How far back; the default is 30 days."
)


def _scope(texts: Sequence[str]) -> dict[str, str]:
    """Pairs of kind and name."""
    return dict(text.split("=", 1) for text in texts)


def _balances(call: Call) -> Mapping[str, object]:
    scope = _scope(call.values.get("scope", ()))
    rows: list[Record] = []
    with suppress(NotFound):
        rows = [balance_record(row) for row in call.office.ledger().balances(scope)]
    return {"schema": "costweir.balances/1", **page(rows, call.values)}


def _preview(call: Call) -> Mapping[str, object]:
    found = read_body(tables.Budget, call.body, call.values["id"])
    body = found.model_dump(mode="json", exclude={"id"}, exclude_none=True)
    told = call.office.budgets.preview(found.id, body, days=call.values.get("days", 30))
    return {"schema": "costweir.budget_preview/1", **told}


def _stops(call: Call) -> Mapping[str, object]:
    rows = [stop.to_json() for stop in call.office.control.stops.listed()]
    return {"schema": "costweir.stops/1", **page(rows, call.values)}


def _stop(call: Call) -> Reply:
    wish = read_body(FreezeWish, call.body)
    scope: dict[str, str] = wish.scope.model_dump(exclude_none=True)

    def change(control: Control) -> tuple[Reply, Change | None]:
        made = control.stops.put(scope, by=call.caller.actor, reason=wish.reason)
        return Reply({"schema": "costweir.stop/1", **made.to_json()}), None

    return write(call, change)


def _free(call: Call) -> Reply:
    scope = _scope(call.values.get("scope", ()))

    def change(control: Control) -> tuple[Reply, Change | None]:
        gone = control.stops.drop(scope, by=call.caller.actor)
        return Reply({"schema": "costweir.stop/1", "id": gone.subject, "deleted": True}), None

    return write(call, change)


_WORD: Schema = {"type": "string"}
_ANY: Schema = {"type": "object"}
_BALANCE = record(
    {
        "budget_id": _WORD, "scope": _ANY, "window_id": _WORD, "limit_usd": nullable(DECIMAL), "settled_usd": DECIMAL,
        "held_usd": DECIMAL, "debt_usd": DECIMAL, "remaining_usd": nullable(DECIMAL), "open_holds": WHOLE,
        "resets_at": nullable(INSTANT),
    }
)  # fmt: skip
_BLOCKED = record({"customer": _WORD, "blocked_calls": WHOLE, "blocked_usd": DECIMAL})
_ENTRY = record({"scope": _ANY, "reason": _WORD, "created_at": INSTANT, "created_by": _WORD})


def _list(noun: str, row: Schema) -> Schema:
    return record(
        {
            "schema": {"type": "string", "const": f"costweir.{noun}/1"},
            "rows": {"type": "array", "items": row}, "next_cursor": nullable(_WORD),
        }
    )  # fmt: skip


BUDGET_SCHEMAS: Mapping[str, Schema] = {
    "Balances": _list("balances", _BALANCE),
    "Stops": _list("stops", _ENTRY),
    "BudgetPreview": record({
        "schema": {"type": "string", "const": "costweir.budget_preview/1"}, "budget_id": _WORD, "since": INSTANT,
        "until": INSTANT, "calls": WHOLE, "cost_usd": DECIMAL, "blocked_calls": WHOLE, "blocked_usd": DECIMAL,
        "blocked_customers": WHOLE, "blocked_windows": WHOLE, "first_blocked_at": nullable(INSTANT),
        "rows": {"type": "array", "items": _BLOCKED},
    }),
}  # fmt: skip
BUDGETS: tuple[Operation, ...] = (
    Operation("GET", "/v1/balances", "listBalances", "What every limit of every open window holds", _balances,
              "Balances", (_SCOPE, *PAGES)),
    Operation("POST", "/v1/budget-previews/{id}", "previewBudget", "What a budget would have refused", _preview,
              "BudgetPreview", (NEW_ID, _DAYS), "finance", body="Budget", statuses=(200,)),
    Operation("GET", "/v1/stops", "listStops", "What is stopped", _stops, "Stops", PAGES),
    Operation("POST", "/v1/stops", "stopCalls", "Refuse every further call, or those of a scope", _stop, "Stop",
              role="admin", body="FreezeWish", statuses=(200,), repeatable=True),
    Operation("DELETE", "/v1/stops", "freeCalls", "Let stopped calls through again", _free, "Deleted", (_STOPPED,),
              "admin", failures=(404,), repeatable=True),
)  # fmt: skip
