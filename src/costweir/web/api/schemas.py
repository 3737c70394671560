"""What the operations give back, as JSON Schema. A reply may have more fields than are named here, never fewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from costweir.control.tokens import SCOPES
from costweir.domain.charge import CHARGE_COLUMNS, Kind

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
DAY: Schema = {"type": "string", "format": "date"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
#: Money and quantities are decimal strings, because a JSON number is read as a float (law L10).
DECIMAL: Schema = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$", "examples": ["12.50"]}
TEXTS: Schema = {"type": "array", "items": TEXT}
_TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
_ANY_OBJECT: Schema = {"type": "object"}

_CHARGE_KINDS: Mapping[Kind, Schema] = {
    "text": TEXT, "bool": TRUTH, "int": WHOLE, "day": DAY, "instant": INSTANT, "money": DECIMAL, "quantity": DECIMAL,
    "json": {},
}  # fmt: skip


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else schema


def record(fields: Mapping[str, Schema], *, optional: Sequence[str] = ()) -> Schema:
    """An object with these fields."""
    required = [name for name in fields if name not in optional]
    return {"type": "object", "properties": dict(fields), "required": required}


def _schema(noun: str) -> Schema:
    return {"type": "string", "const": f"costweir.{noun}/1"}


def _list(noun: str, row: str, more: Mapping[str, Schema] | None = None) -> Schema:
    rows: Schema = {"type": "array", "items": {"$ref": f"#/components/schemas/{row}"}}
    return record({"schema": _schema(noun), "rows": rows, **(more or {})})


#: A list that has pages.
NEXT: Mapping[str, Schema] = {"next_cursor": nullable(TEXT)}
_QUESTION = record(
    {"id": TEXT, "title": TEXT, "dimensions": TEXTS, "params": TEXTS, "filters": TEXTS}
)  # fmt: skip
_CHARGE = record(
    {
        column.name: {
            **(_CHARGE_KINDS[column.kind] if column.required else nullable(_CHARGE_KINDS[column.kind])),
            "description": f"{column.focus}: {column.meaning}" if column.focus else column.meaning,
        }
        for column in CHARGE_COLUMNS
    }
)  # fmt: skip
_ORIGIN: Schema = {"type": "string", "description": "Where it was set: config, user or demo."}
_CUSTOMER = record(
    {"id": TEXT, "name": TEXT, "plan": nullable(TEXT), "since": nullable(DAY), "origin": _ORIGIN},
    optional=["origin"],
)
_PLAN = record(
    {
        "id": TEXT, "name": TEXT, "price_usd": DECIMAL, "budget_usd": nullable(DECIMAL),
        "session_usd": nullable(DECIMAL), "session_calls": nullable(WHOLE), "tokens_per_minute": nullable(WHOLE),
        "origin": _ORIGIN,
    },
    optional=["session_usd", "session_calls", "tokens_per_minute", "origin"],
)  # fmt: skip
_BUDGET = record(
    {"id": TEXT, "scope": _ANY_OBJECT, "limit_usd": DECIMAL, "window": TEXT, "mode": TEXT, "origin": _ORIGIN},
    optional=["scope", "limit_usd", "window", "mode", "origin"],
)
_RUN = record(
    {
        "run_id": TEXT, "source": TEXT, "account": TEXT, "period": TEXT, "status": TEXT, "rows_in": WHOLE,
        "rows_stored": WHOLE, "rows_skipped": WHOLE, "rows_quarantined": WHOLE, "note": TEXT,
    }
)  # fmt: skip
_QUARANTINED = record(
    {
        "run_id": TEXT, "source": TEXT, "account": TEXT, "period": TEXT, "file": nullable(TEXT),
        "row_number": nullable(WHOLE), "reason": TEXT, "raw": nullable(TEXT),
    }
)  # fmt: skip
_PRICE = record(
    {"provider": TEXT, "model": TEXT, "tier": TEXT, "routing": TEXT, "effective": nullable(DAY), "source": TEXT,
     "price_version": TEXT, "rates": {"type": "object", "additionalProperties": DECIMAL}}
)  # fmt: skip
_TOKEN: Mapping[str, Schema] = {
    "id": TEXT, "prefix": TEXT, "scope": {"type": "string", "enum": list(SCOPES)}, "customer": nullable(TEXT),
    "name": TEXT, "created_at": INSTANT, "created_by": TEXT, "expires_at": nullable(INSTANT),
    "revoked_at": nullable(INSTANT), "last_used_at": nullable(INSTANT),
}  # fmt: skip
_AUDIT = record(
    {
        "seq": WHOLE, "at": INSTANT, "actor": TEXT, "action": TEXT, "subject": TEXT, "before": nullable(_ANY_OBJECT),
        "after": nullable(_ANY_OBJECT), "prev_hash": TEXT, "hash": TEXT,
    }
)  # fmt: skip
_ANSWER = record(
    {
        "schema": _schema("ask"), "query_id": TEXT, "question": TEXT, "basis": TEXT, "currency": TEXT,
        "period": record({"since": nullable(DAY), "until": nullable(DAY)}),
        "rows": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean", "null"]}},
        },
        "total": DECIMAL, "other": DECIMAL,
        "excluded": {
            "type": "array",
            "items": record({"reason": TEXT, "text": TEXT, "amount": TEXT, "currency": TEXT, "rows": WHOLE}),
        },
        "as_of": _TEXTS, "complete_to": _TEXTS, "complete": TRUTH, "notes": TEXTS, "link": TEXT,
    }
)  # fmt: skip
_MAPPING = record(
    {
        "id": TEXT, "cloud": TEXT, "service": nullable(TEXT), "text": TEXT, "unit": nullable(TEXT),
        "meaning": _ANY_OBJECT, "evidence": TEXT, "set_by": TEXT, "set_at": INSTANT,
    }
)  # fmt: skip
_MONEY = record({"amount": DECIMAL, "currency": TEXT})
_MOVED = record(
    {
        "provider": TEXT, "account": TEXT, "period": TEXT, "closed": TRUTH, "source": TEXT, "service": TEXT,
        "text": TEXT, "unit": TEXT, "lines": WHOLE, "first_day": DAY, "last_day": DAY, "billed": _MONEY,
        "billed_usd": DECIMAL, "tokens_before": DECIMAL, "tokens_after": DECIMAL, "before": _TEXTS, "after": _TEXTS,
    }
)  # fmt: skip
_REMAP = record(
    {
        "schema": _schema("remap"), "lines": WHOLE, "slots": WHOLE, "closed_slots": WHOLE,
        "billed": {"type": "array", "items": _MONEY}, "digest": TEXT, "mapping": _ANY_OBJECT, "run_id": TEXT,
        "rows": {"type": "array", "items": {"$ref": "#/components/schemas/MovedLines"}},
    },
    optional=["mapping", "run_id"],
)  # fmt: skip
_APPROVED = record({"schema": _schema("approved_models"), "customer": TEXT, "models": TEXTS})
_CHARGEBACK = record(
    {
        "schema": _schema("chargeback"), "month": TEXT, "basis": TEXT, "currency": TEXT, "total": DECIMAL,
        "rows": {"type": "array", "items": record(
            {"customer": TEXT, "direct_cost": DECIMAL, "shared": {"type": "object", "additionalProperties": DECIMAL},
             "shared_cost": DECIMAL, "total_cost": DECIMAL})},
        "rules": {"type": "array", "items": record(
            {"name": TEXT, "match": _TEXTS, "by": TEXT, "amount": DECIMAL, "customers": WHOLE, "divided": TRUTH})},
        "excluded": {"type": "array", "items": _ANY_OBJECT}, "complete": TRUTH, "link": TEXT,
    }
)  # fmt: skip
_PRICE_CHANGE = record(
    {
        "change": TEXT, "provider": TEXT, "model": TEXT, "tier": TEXT, "routing": TEXT, "effective": nullable(DAY),
        "known_from": nullable(DAY), "before": {"type": "object", "additionalProperties": DECIMAL},
        "after": {"type": "object", "additionalProperties": DECIMAL}, "customers": WHOLE,
        "spent_usd": nullable(DECIMAL), "estimated_monthly_usd": nullable(DECIMAL),
        "touches": {"type": "array", "items": _ANY_OBJECT}, "evidence": TEXT,
    }
)  # fmt: skip
_RERATED = record(
    {
        "month": TEXT, "provider": TEXT, "model": TEXT, "calls": WHOLE, "unpriced_calls": WHOLE, "before_usd": DECIMAL,
        "after_usd": DECIMAL, "delta_usd": DECIMAL, "still_unpriced_calls": WHOLE, "missing": TEXTS,
    }
)  # fmt: skip
_NOTE = record(
    {
        "id": TEXT,
        "day": DAY,
        "text": TEXT,
        "author": TEXT,
        "scope": _TEXTS,
        "created_at": INSTANT,
        "updated_at": INSTANT,
    }
)
_PROBLEM = record(
    {
        "type": TEXT, "title": TEXT, "status": WHOLE, "detail": TEXT, "hint": TEXT, "code": TEXT, "transient": TRUTH,
        "errors": {"type": "array", "items": record({"pointer": TEXT, "detail": TEXT})},
    },
    optional=["errors"],
)  # fmt: skip


def _kept(noun: str, row: Schema) -> Schema:
    return {
        **row,
        "properties": {"schema": _schema(noun), **row["properties"]},
        "required": ["schema", *row["required"]],
    }


SCHEMAS: Mapping[str, Schema] = {
    "Problem": _PROBLEM,
    "OpenApi": record({"openapi": TEXT, "info": _ANY_OBJECT, "paths": _ANY_OBJECT}),
    "Status": record({
        "schema": _schema("status"), "version": TEXT, "today": DAY, "sample": TRUTH, "empty": TRUTH,
        "metered": TRUTH, "months": {"type": "array", "items": TEXT},
    }, optional=("metered",)),
    "Question": _QUESTION,
    "Questions": _list("questions", "Question", NEXT),
    "Answer": _ANSWER,
    "Charge": _CHARGE,
    "Charges": _list("charges", "Charge", NEXT),
    "CustomerEntry": _CUSTOMER,
    "Customers": _list("customers", "CustomerEntry", NEXT),
    "CustomerRow": _kept("customer", _CUSTOMER),
    "PlanEntry": _PLAN,
    "Plans": _list("plans", "PlanEntry", NEXT),
    "PlanRow": _kept("plan", _PLAN),
    "BudgetEntry": _BUDGET,
    "Budgets": _list("budgets", "BudgetEntry", NEXT),
    "BudgetRow": _kept("budget", _BUDGET),
    "Run": _RUN,
    "Runs": _list("runs", "Run", NEXT),
    "QuarantinedLine": _QUARANTINED,
    "Quarantine": _list("quarantine", "QuarantinedLine", NEXT),
    "Price": _PRICE,
    "Prices": _list("prices", "Price", NEXT),
    "TokenEntry": record(_TOKEN),
    "Tokens": _list("tokens", "TokenEntry", NEXT),
    "Token": record({"schema": _schema("token"), **_TOKEN}),
    "NewToken": record({"schema": _schema("token"), **_TOKEN, "token": {**TEXT, "description": "Shown once."}}),
    "AuditRow": _AUDIT,
    "Audit": _list("audit", "AuditRow", NEXT),
    "AuditVerification": record({
        "schema": _schema("audit_verification"), "ok": TRUTH, "count": WHOLE, "head_hash": TEXT,
        "broken_at": nullable(WHOLE), "reason": TEXT,
    }),
    "Mapping": _MAPPING,
    "Mappings": _list("mappings", "Mapping", NEXT),
    "MappingRow": _kept("mapping", _MAPPING),
    "MovedLines": _MOVED,
    "Remap": _REMAP,
    "Approval": record({"customer": TEXT, "pattern": TEXT, "origin": TEXT}),
    "Approvals": _list("approvals", "Approval", NEXT),
    "ApprovedModels": _APPROVED,
    "Chargeback": _CHARGEBACK,
    "PriceChange": _PRICE_CHANGE,
    "PriceChanges": _list("price_changes", "PriceChange", {
        "unit": TEXT, "since": DAY, "until": DAY, "changes": WHOLE, "assumption": TEXT, "complete": TRUTH}),
    "RepricedCalls": _RERATED,
    "Rerated": record({
        "schema": _schema("rerate"), "rows": {"type": "array", "items": {"$ref": "#/components/schemas/RepricedCalls"}},
        "calls": WHOLE, "before_usd": DECIMAL, "after_usd": DECIMAL, "delta_usd": DECIMAL,
        "still_unpriced_calls": WHOLE, "assumption": TEXT, "run_id": TEXT,
    }, optional=["run_id"]),
    "Annotation": _NOTE,
    "Annotations": _list("annotations", "Annotation", NEXT),
    "AnnotationRow": _kept("annotation", _NOTE),
    "Deleted": record({"schema": TEXT, "id": TEXT, "deleted": {"type": "boolean", "const": True}}),
}  # fmt: skip
