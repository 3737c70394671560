"""The OpenAPI 3.1 document, written from the table of operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from costweir import __version__
from costweir.web.api.bodies import body_schemas
from costweir.web.api.budgets import BUDGET_SCHEMAS
from costweir.web.api.incidents import INCIDENT_SCHEMAS
from costweir.web.api.schemas import SCHEMAS
from costweir.web.api.table import Operation, Param
from costweir.web.api.weir import LISTEN, WEIR_SCHEMAS
from costweir.web.problems import MEDIA_TYPE

_TITLE = "Costweir"
_TEXT = """\
Answers to the questions of the catalogue, the lines of the bills, and what people set. Money is a decimal string, a day
is `YYYY-MM-DD` in UTC, `since` is inclusive and `until` exclusive. Errors are RFC 9457 problems.\
"""
#: What may go wrong with every operation.
_FAILURES = (400, 401, 403, 405, 414, 429, 431, 500, 503)
_BOUND = {
    "own": "A token that is bound to a customer gets that customer's part.",
    "all": "",
    "refused": "A token that is bound to a customer is refused.",
}


def document(operations: Iterable[Operation]) -> dict[str, object]:
    """The document of the operations that name a reply."""
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        if operation.reply:
            paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    paths[LISTEN.path] = {"get": _listening(LISTEN)}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {"title": _TITLE, "version": __version__, "description": _TEXT, "license": {
            "name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/", "description": "The server that gave this document."}],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, **WEIR_SCHEMAS, **BUDGET_SCHEMAS, **INCIDENT_SCHEMAS, **body_schemas()},
            "responses": {"Problem": {
                "description": "What went wrong, with a hint.",
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }},
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer",
                "description": "Made with `costweir token create`; on loopback reading needs none.",
            }},
        },
    }  # fmt: skip


def _operation(operation: Operation) -> dict[str, object]:
    described = " ".join(
        filter(None, (f"{operation.summary}. Needs scope {operation.role}.", _BOUND[operation.bound]))
    )
    found: dict[str, object] = {
        "operationId": operation.id, "summary": operation.summary, "description": described,
        # Reading is open on loopback, so that there the token is optional.
        "security": [{"token": []}] if operation.role in ("finance", "admin") else [{}, {"token": []}],
        "responses": _responses(operation),
    }  # fmt: skip
    params = [_param(param) for param in operation.params]
    params += _KEY if operation.repeatable else []
    params += [] if operation.writes else _NONE_MATCH
    found["parameters"] = params
    if operation.body:
        schema = {"$ref": f"#/components/schemas/{operation.body}"}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _listening(operation: Operation) -> dict[str, object]:
    """The operation that answers with a stream: the data of each event is a JSON object, its id the cursor."""
    found = _operation(operation)
    schema = {"$ref": f"#/components/schemas/{operation.reply}"}
    cursor: dict[str, object] = {"type": "string", "pattern": r"^[0-9]+\.[0-9]+$"}
    found["parameters"] = [_param(param) for param in operation.params] + [
        {
            "name": "Last-Event-ID", "in": "header", "required": False, "schema": cursor,
            "description": "The same, as a browser sends it when it was cut off.",
        }
    ]  # fmt: skip
    failures = {str(status): {"$ref": "#/components/responses/Problem"} for status in _FAILURES}
    found["responses"] = {
        "200": {
            "description": "Server-sent events, one a second, until either side ends it.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "x-event-data": schema}},
        },
        **failures,
    }
    return found


_KEY: list[dict[str, object]] = [
    {
        "name": "Idempotency-Key", "in": "header", "required": False,
        "description": "The same key and request get the same reply for 24 hours; another request gets 409.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    }
]  # fmt: skip
_NONE_MATCH: list[dict[str, object]] = [
    {
        "name": "If-None-Match", "in": "header", "required": False,
        "description": "The ETag of a reply that is at hand; 304 when it still holds.",
        "schema": {"type": "string"},
    }
]  # fmt: skip


def _param(param: Param) -> dict[str, object]:
    found: dict[str, object] = {"name": param.name, "in": param.place, "description": param.meaning}
    if param.place == "path":
        return {**found, "required": True, "schema": {"minLength": 1, **param.schema} if "enum" not in param.schema
                else param.schema}  # fmt: skip
    schema: Any = {"type": "array", "items": param.schema} if param.repeated else param.schema
    found |= {"required": False, "allowEmptyValue": True, "schema": schema}
    return found | ({"style": "form", "explode": True} if param.repeated else {})


def _responses(operation: Operation) -> dict[str, object]:
    schema = {"$ref": f"#/components/schemas/{operation.reply}"}
    good: dict[str, object] = {"description": "Done.", "content": {"application/json": {"schema": schema}}}
    if not operation.writes:
        good["headers"] = {"ETag": {"description": "Weak tag of the content.", "schema": {"type": "string"}}}
    found: dict[str, object] = {str(status): good for status in sorted({200, *operation.statuses})}
    if operation.method == "POST" and 200 not in operation.statuses:
        found.pop("200")
    if not operation.writes:
        found["304"] = {"description": "It has not changed."}
    failures = {*_FAILURES, *operation.failures}
    failures |= (
        {404}
        if any(param.place == "path" for param in operation.params) or "provider" in _names(operation)
        else set()
    )
    failures |= {409} if operation.writes or "cursor" in _names(operation) else set()
    failures |= {413, 415, 422} if operation.body else set()
    for status in sorted(failures):
        found[str(status)] = {"$ref": "#/components/responses/Problem"}
    return dict(sorted(found.items()))


def _names(operation: Operation) -> set[str]:
    return {param.name for param in operation.params}
