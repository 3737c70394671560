"""The operations that change something. Each is one transaction with its row in the audit chain and, when it carries an
`Idempotency-Key`, with the reply that a repeat gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

from costweir import control as held
from costweir.config import tables
from costweir.control import Control
from costweir.control.audit import Change
from costweir.control.replies import Asked
from costweir.control.replies import Reply as Kept
from costweir.control.tokens import Wish
from costweir.web.access import Role
from costweir.web.api.bodies import IDENTIFIER_PATTERN, TokenWish, read_body
from costweir.web.api.reading import ID
from costweir.web.api.table import Call, Operation, Param, Reply
from costweir.web.problems import Invalid

Entry = held.Customer | held.Plan | held.Budget
NEW_ID = Param(
    "id", {"type": "string", "pattern": IDENTIFIER_PATTERN, "examples": ["acme"]}, "The id.", place="path"
)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def write(call: Call, change: Callable[[Control], tuple[Reply, Change | None]]) -> Reply:
    """Makes one change, or gives the reply that the same key got before. A change that writes its own row into the
    audit chain gives none, and so does one that changes nothing."""
    asked = Asked(call.caller.actor, call.key, call.digest)

    def run(control: Control) -> Reply:
        before = control.replies.find(asked) if call.key else None
        if before is not None:
            return Reply(json.loads(before.body), before.status, {"Idempotency-Replayed": "true"})
        reply, entry = change(control)
        if entry is not None:
            control.audit.add(entry)
        if call.key:
            control.replies.keep(asked, Kept(reply.status, json.dumps(dict(reply.body))))
        return reply

    return call.office.edit(run)


def lifetime(text: str | None) -> timedelta | None:
    """`30d` as a span of time; nothing for nothing. The text has the form of `bodies.EXPIRES`."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])}) if text else None


def _put_customer(call: Call) -> Reply:
    found = read_body(tables.Customer, call.body, call.values["id"])
    entry = held.Customer(
        found.id, found.name, found.plan or "", found.since.isoformat() if found.since else "", "user"
    )

    def check(control: Control) -> None:
        if entry.plan and entry.plan not in {plan.id for plan in control.plans()}:
            raise Invalid(
                f"There is no plan {entry.plan!r}.", errors=[{"pointer": "/plan", "detail": "is not a plan"}],
                hint="GET /v1/plans lists them.",
            )  # fmt: skip

    return _put(call, "customer", entry, check)


def _put_plan(call: Call) -> Reply:
    found = read_body(tables.Plan, call.body, call.values["id"])
    amounts = {
        name: "" if value is None else format(value, "f")
        for name, value in (("budget_usd", found.budget_usd), ("session_usd", found.session_usd))
    }
    entry = held.Plan(
        found.id, found.name, price_usd=format(found.price_usd, "f"), session_calls=found.session_calls,
        tokens_per_minute=found.tokens_per_minute, origin="user", **amounts,
    )  # fmt: skip
    return _put(call, "plan", entry)


def _put_budget(call: Call) -> Reply:
    found = read_body(tables.Budget, call.body, call.values["id"])
    definition = found.model_dump(mode="json", exclude={"id"}, exclude_none=True)
    return _put(call, "budget", held.Budget(found.id, definition, "user"))


def _put(call: Call, noun: str, entry: Entry, check: Callable[[Control], None] | None = None) -> Reply:
    def change(control: Control) -> tuple[Reply, Change | None]:
        if check is not None:
            check(control)
        done = control.edits.put(entry, by=call.caller.actor)
        return Reply({"schema": f"costweir.{noun}/1", **entry.to_json()}, 200 if done.before else 201), None

    return write(call, change)


def _drop(noun: str, kind: type[Entry]) -> Callable[[Call], Reply]:
    def handle(call: Call) -> Reply:
        name: str = call.values["id"]

        def change(control: Control) -> tuple[Reply, Change | None]:
            control.edits.remove(kind, name, by=call.caller.actor)
            return Reply({"schema": f"costweir.{noun}/1", "id": name, "deleted": True}), None

        return write(call, change)

    return handle


def _create_token(call: Call) -> Reply:
    wish = wish_of(read_body(TokenWish, call.body))

    def change(control: Control) -> tuple[Reply, Change | None]:
        return make_token(control, wish, by=call.caller.actor)

    return write(call, change)


def wish_of(wanted: TokenWish) -> Wish:
    """The token that a body asks for."""
    return Wish(wanted.scope, wanted.customer or "", wanted.name, lifetime(wanted.expires))


def make_token(control: Control, wish: Wish, *, by: str) -> tuple[Reply, Change]:
    """Makes a token: the reply shows it once, the audit row never does."""
    token, text = control.tokens.create(wish, by=by)
    reply = Reply({"schema": "costweir.token/1", **token.to_json(), "token": text}, 201)
    return reply, Change(by, "token.create", f"token:{token.id}", None, token.to_json())


def end_token(control: Control, name: str, *, by: str) -> tuple[Reply, Change | None]:
    """Revokes a token by its id or prefix. Raises NotFound."""
    before = {token.id: token for token in control.tokens.listed()}
    token = control.tokens.revoke(name)
    was = before[token.id]
    reply = Reply({"schema": "costweir.token/1", **token.to_json()})
    if was.revoked_at is not None:
        return reply, None
    return reply, Change(by, "token.revoke", f"token:{token.id}", was.to_json(), token.to_json())


def _revoke_token(call: Call) -> Reply:
    return write(call, lambda control: end_token(control, call.values["id"], by=call.caller.actor))


def _writes(
    noun: str, put: Callable[[Call], Reply], kind: type[Entry], *, role: Role
) -> tuple[Operation, ...]:
    title = noun.capitalize()
    path = f"/v1/{noun}s/{{id}}"
    return (
        Operation("PUT", path, f"put{title}", f"Set a {noun}", put, f"{title}Row", (NEW_ID,), role, body=title,
                  statuses=(201,), repeatable=True),
        Operation("DELETE", path, f"delete{title}", f"Remove a {noun} that was set by hand", _drop(noun, kind),
                  "Deleted", (ID,), role, repeatable=True),
    )  # fmt: skip


WRITING: tuple[Operation, ...] = (
    *_writes("customer", _put_customer, held.Customer, role="finance"),
    *_writes("plan", _put_plan, held.Plan, role="finance"),
    *_writes("budget", _put_budget, held.Budget, role="finance"),
    Operation("POST", "/v1/tokens", "createToken", "Make a token, which is shown once", _create_token, "NewToken",
              role="admin", body="TokenWish", statuses=(201,)),
    Operation("DELETE", "/v1/tokens/{id}", "revokeToken", "End a token at once", _revoke_token, "Token", (ID,), "admin",
              repeatable=True),
)  # fmt: skip
