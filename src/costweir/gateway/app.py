"""The routes of the gateway's port that need no speed: health, the models and the budget of a key, and a refusal by
name for every path that is not metered."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from costweir.gateway.identity import Key, identify
from costweir.gateway.names import request_id
from costweir.gateway.routes import METERED, Form, family_of
from costweir.gateway.serving import Serving
from costweir.gateway.turned import Turned
from costweir.guard.ledger import Balance, Ledger
from costweir.guard.why import Record, balance_record

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


@dataclass(slots=True)
class Desk:
    """What these routes answer from. `secret` opens the internal ones."""

    serving: Serving
    secret: str
    hosts: frozenset[bytes] = frozenset()
    created: int = 0


def create_app(desk: Desk) -> Starlette:
    """The ASGI app of everything that is not on the short cut."""

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        why = desk.serving.not_ready()
        return PlainTextResponse(f"{why or 'ready'}\n", 503 if why else 200)

    async def metrics(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {desk.secret}".encode()):
            return _refused(request, Turned("not_found", "There is nothing here."), desk.serving)
        from costweir.gateway.metrics import snapshot

        found = snapshot(desk.serving.witness.metrics, desk.serving.gauges())
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def answer(request: Request) -> Response:
        try:
            return await _answer(desk, request)
        except Turned as turned:
            return _refused(request, turned, desk.serving)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/ready", ready),
            Route("/internal/metrics", metrics),
            Route("/{path:path}", answer, methods=_METHODS),
        ]
    )


async def _answer(desk: Desk, request: Request) -> Response:
    path = request.url.path
    if desk.hosts and request.headers.get("host", "").encode().partition(b":")[0].lower() not in desk.hosts:
        raise Turned("wrong_host", "The gateway does not answer to this name.", hint="Use its address.")
    if not path.startswith("/v1/"):
        raise Turned("not_found", f"There is nothing at {path}.", hint="The API is below /v1.")
    headers = request.headers.raw
    key = desk.serving.door.key_of(headers)
    try:
        return await _known(desk, request, key)
    except Turned as turned:
        turned.subject = desk.serving.door.holder(key)
        raise


async def _known(desk: Desk, request: Request, key: Key) -> Response:
    """What a caller with a key gets."""
    path = request.url.path
    identity = identify(key, request.headers.raw, plan_of=desk.serving.door.plan_of)
    if path == "/v1/models" or path.startswith("/v1/models/"):
        _only(request, "GET")
        rows = [
            model
            for model in desk.serving.door.roster.models.values()
            if desk.serving.door.may_use(model.id, key, identity.subject.customer)
        ]
        shown = [_model(row.id, row.link.id, desk.created) for row in rows]
        wanted = path.removeprefix("/v1/models").removeprefix("/")
        if not wanted:
            return JSONResponse({"object": "list", "data": shown, "has_more": False})
        found = next((row for row in shown if row["id"] == wanted), None)
        if found is None:
            raise Turned("not_found", f"There is no model {wanted[:100]!r} for this key.")
        return JSONResponse(found)
    if path == "/v1/me/budget":
        _only(request, "GET")
        subject = identity.subject
        rows = await _budgets(
            desk.serving.ledger, customer=subject.customer, key=subject.key, session=subject.session
        )
        return JSONResponse(
            {
                "schema": "costweir.me-budget/1",
                "customer": subject.customer or None,
                "key": key.id,
                "rows": rows,
            },
            headers={"cache-control": "no-store"},
        )
    if path.encode() in METERED:
        raise Turned("method_not_allowed", f"{path} takes POST.", hint="Send it with POST.")
    raise Turned(
        "endpoint_not_metered", f"{path} is not metered here, so it is not served.",
        hint="Served are " + ", ".join(sorted(route.decode() for route in METERED)) + ", /v1/models.",
    )  # fmt: skip


def _only(request: Request, method: str) -> None:
    if request.method not in (method, "HEAD"):
        raise Turned("method_not_allowed", f"{request.url.path} takes {method}.")


def _model(name: str, owner: str, created: int) -> dict[str, object]:
    """A model in words that both families' SDKs read."""
    return {
        "id": name, "object": "model", "created": created, "owned_by": owner, "type": "model",
        "display_name": name, "created_at": "1970-01-01T00:00:00Z",
    }  # fmt: skip


async def _budgets(ledger: Ledger, *, customer: str, key: str, session: str) -> list[Record]:
    """The budgets that are this customer's, this key's or this session's own; nobody else's."""
    own = [{"customer": customer}] if customer else []
    own.append({"key": key})
    found: dict[tuple[str, str], Balance] = {}
    for group in await asyncio.gather(*(ledger.balances(scope) for scope in own)):
        for row in group:
            if is_own(row.scope, customer=customer, key=key, session=session):
                found[row.budget_id, row.window_id] = row
    return [balance_record(row) for row in found.values()]


def is_own(scope: Mapping[str, str], *, customer: str, key: str, session: str) -> bool:
    """Whether a balance is about the caller alone: it names the caller, and no other session or key."""
    if scope.get("customer", customer) != customer or scope.get("key", key) != key:
        return False
    if "customer" not in scope and "key" not in scope:
        return False
    return not session or scope.get("session", session) == session


def _refused(request: Request, turned: Turned, serving: Serving) -> Response:
    form: Form = "anthropic.messages" if family_of(request.url.path) == "anthropic" else "openai.chat"
    status, head, body = serving.turned(form, turned, request_id(), None)
    return Response(body, status, headers=_headers(head.decode("latin-1").splitlines()))


def _headers(lines: Sequence[str]) -> dict[str, str]:
    pairs = (line.partition(": ") for line in lines)
    return {name: value for name, _, value in pairs}
