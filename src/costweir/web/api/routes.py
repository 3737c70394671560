"""Turns the table of operations into routes: who may call, what is read, what is sent, and one way to fail."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from costweir.errors import Error, NotAllowed, NotFound, UsageError
from costweir.web.access import Caller, caller_of
from costweir.web.api.table import Call, Operation, Reply, read_params
from costweir.web.desk import Desk
from costweir.web.office import Office
from costweir.web.problems import Invalid, MethodNotAllowed, Unauthenticated, WrongMedia, problem

#: What an `Idempotency-Key` may be.
KEY = r"[!-~]{1,255}"
#: The deepest nesting that a body may have; none of ours needs more than three.
_DEEPEST = 20
#: Whole numbers beyond this are not exact in every JSON reader, nor fit the stores.
_LARGEST = 2**53 - 1


class Place:
    """One path with its operations, as an ASGI app: GET answers HEAD too, any other method is refused."""

    def __init__(self, operations: Sequence[Operation], desk: Desk, office: Office | None) -> None:
        self._operations = {operation.method: operation for operation in operations}
        self._desk = desk
        self._office = office

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive)
        try:
            reply = await self._answer(request)
        except Error as error:
            allow = ", ".join(self._allowed()) if isinstance(error, MethodNotAllowed) else ""
            reply = problem(error, {"Allow": allow} if allow else None)
        await reply(scope, receive, send)

    def _allowed(self) -> list[str]:
        return sorted({*self._operations, *(["HEAD"] if "GET" in self._operations else [])})

    async def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        operation = self._operations.get(method)
        if operation is None:
            raise MethodNotAllowed(
                f"{request.url.path} does not take {request.method}.",
                hint=f"It takes {', '.join(self._allowed())}.",
            )
        caller = caller_of(request)
        check_caller(operation, caller)
        query = request.query_params.multi_items()
        values = read_params(operation, request.path_params, query)
        body = await _body(request) if operation.body else {}
        key = _key(request) if operation.repeatable else ""
        digest = hashlib.sha256(
            json.dumps([method, request.url.path, sorted(query), body], sort_keys=True).encode()
        ).hexdigest()
        call = Call(self._desk, self._office, caller, values, query, body, key, digest)
        found = await run_in_threadpool(operation.handle, call)
        reply = found if isinstance(found, Reply) else Reply(found)
        return _sent(request, operation, reply)


def missing(request: Request) -> Response:
    """A path under `/v1` that does not exist."""
    return problem(
        NotFound(f"There is nothing at {request.url.path}.", hint="GET /v1/openapi.json lists what is.")
    )


def check_caller(operation: Operation, caller: Caller) -> None:
    """Raises Unauthenticated for somebody unknown, and NotAllowed for a caller who may not call this."""
    if not caller.may(operation.role):
        if not caller.known:
            raise Unauthenticated(
                f"This needs a token with scope {operation.role}.",
                hint=f"Make one with `costweir token create --scope {operation.role}`.",
            )
        raise NotAllowed(
            f"This needs scope {operation.role}, and the token has scope {caller.role}.",
            hint=f"Make one with `costweir token create --scope {operation.role}`.",
        )
    if caller.customer and operation.bound == "refused":
        raise NotAllowed(
            "A token that is bound to a customer may not see this.", hint="Use a token that is not bound."
        )


def routes(operations: Sequence[Operation], desk: Desk, office: Office | None) -> list[Route]:
    """One route for each path, and one for every other path below `/v1`."""
    places: dict[str, list[Operation]] = {}
    for operation in operations:
        places.setdefault(operation.path, []).append(operation)
    found = [
        # an id may hold a slash
        Route(path.replace("{id}", "{id:path}"), Place(members, desk, office))
        for path, members in places.items()
    ]
    return [*found, Route("/v1", _Missing()), Route("/v1/{rest:path}", _Missing())]


class _Missing:
    """ASGI app: a path that does not exist, whatever the method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await missing(Request(scope))(scope, receive, send)


def _sent(request: Request, operation: Operation, reply: Reply) -> Response:
    """The reply as JSON. What is read has a weak tag of its content, and is not sent again to who has it."""
    content = json.dumps(
        dict(reply.body), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode()
    if operation.writes:
        headers = {"Cache-Control": "no-store", **reply.headers}
        return Response(content, reply.status, headers, media_type="application/json")
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie",
        **reply.headers,
    }
    if _matches(request.headers.get("if-none-match", ""), tag):
        return Response(None, 304, headers)
    return Response(content, reply.status, headers, media_type="application/json")


def _matches(given: str, tag: str) -> bool:
    """RFC 9110 section 13.1.2: weak comparison, `*` matches anything."""
    wanted = [part.strip().removeprefix("W/") for part in given.split(",")]
    return "*" in wanted or tag.removeprefix("W/") in wanted


def _key(request: Request) -> str:
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    if not re.fullmatch(KEY, key):
        raise UsageError(
            "This Idempotency-Key cannot be used.",
            hint="Use 1 to 255 ASCII characters without blanks, such as a UUID.",
        )
    return key


async def _body(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise WrongMedia("The body has to be JSON.", hint="Send Content-Type: application/json.")
    try:
        body: object = json.loads(await request.body(), parse_float=_number, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise UsageError("The body is no JSON.", hint="Send one JSON object in UTF-8.") from None
    if not isinstance(body, dict):
        raise Invalid("The body has to be a JSON object.", errors=[{"pointer": "", "detail": "is no object"}])
    _check(cast("object", body), "", 0)
    return cast("dict[str, Any]", body)


def _number(text: str) -> object:
    """JSON has one kind of number, so that 5.0 is the whole number 5. No amount is written as a number."""
    value = Decimal(text)
    whole = value.is_finite() and abs(value) <= _LARGEST and value == value.to_integral_value()
    return int(value) if whole else float(text)


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


def _check(value: object, pointer: str, depth: int) -> None:
    """Refuses what no store can keep: lone surrogates, control characters in ids, numbers without end."""
    if depth > _DEEPEST:
        raise _fault(pointer, "is nested too deeply")
    if isinstance(value, str):
        if any(0xD800 <= ord(char) <= 0xDFFF or char == "\x00" for char in value):
            raise _fault(pointer, "has characters that are no text")
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        if abs(value) > _LARGEST:
            raise _fault(pointer, "is too large a number")
    elif isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, object]", value).items():
            _check(name, pointer, depth + 1)
            _check(inner, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(cast("list[object]", value)):
            _check(inner, f"{pointer}/{number}", depth + 1)


def _fault(pointer: str, detail: str) -> Invalid:
    safe = pointer.encode("utf-8", "replace").decode()
    return Invalid(
        f"The body cannot be kept: {safe or 'it'} {detail}.", errors=[{"pointer": safe, "detail": detail}]
    )
