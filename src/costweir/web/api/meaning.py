"""The operations on the operator's own mappings: set one, see what it would move, and apply it to what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from costweir.control import Control
from costweir.control.audit import Change
from costweir.control.mappings import OwnMapping
from costweir.control.replies import Asked
from costweir.control.replies import Reply as Kept
from costweir.errors import ConfigError, NotFound
from costweir.web.api.bodies import Apply, MappingWish, PreviewWish, read_body
from costweir.web.api.paging import PAGES
from costweir.web.api.reading import ID, listed
from costweir.web.api.table import Call, Operation, Reply
from costweir.web.api.writing import write
from costweir.web.desk import Record
from costweir.web.problems import Invalid


def _one(call: Call) -> Record:
    for row in call.office.mappings.listed():
        if row["id"] == call.values["id"]:
            return {"schema": "costweir.mapping/1", **row}
    raise NotFound(f"There is no mapping {call.values['id']!r}.", hint="GET /v1/mappings lists them.")


def _completed(call: Call, wish: MappingWish, place: str) -> OwnMapping:
    try:
        return call.office.mappings.complete(wish.model_dump())
    except ConfigError as error:
        raise Invalid(
            error.message,
            errors=[{"pointer": place, "detail": error.hint or "cannot be kept"}],
            hint=error.hint,
        ) from None


def _set(call: Call) -> Reply:
    mapping = _completed(call, read_body(MappingWish, call.body), "/meaning")

    def change(control: Control) -> tuple[Reply, Change | None]:
        before, after, entry = call.office.mappings.put(control, mapping, by=call.caller.actor)
        return Reply({"schema": "costweir.mapping/1", **after}, 200 if before else 201), entry

    return write(call, change)


def _drop(call: Call) -> Reply:
    def change(control: Control) -> tuple[Reply, Change | None]:
        before, entry = call.office.mappings.drop(control, call.values["id"], by=call.caller.actor)
        return Reply({"schema": "costweir.mapping/1", "id": before["id"], "deleted": True}), entry

    return write(call, change)


def _previewed(call: Call) -> Record:
    wish = read_body(PreviewWish, call.body)
    mapping = _completed(call, wish.mapping, "/mapping/meaning") if wish.mapping else None
    return {"schema": "costweir.remap/1", **call.office.mappings.preview(mapping, wish.without or "")}


def _applied(call: Call) -> Reply:
    wish = read_body(Apply, call.body)

    def act() -> Record:
        return {
            "schema": "costweir.remap/1",
            **call.office.mappings.apply(by=call.caller.actor, expect=wish.expect or ""),
        }

    return once(call, act)


def once(call: Call, act: Callable[[], Mapping[str, object]]) -> Reply:
    """Does what cannot share a transaction with its reply, because another store is changed: the same key gets the
    reply of the first time. What was done before a crash is not done again, because `act` itself does nothing twice.
    """
    asked = Asked(call.caller.actor, call.key, call.digest)
    kept = call.office.control.replies.find(asked) if call.key else None
    if kept is not None:
        return Reply(json.loads(kept.body), kept.status, {"Idempotency-Replayed": "true"})
    reply = Reply(act())
    if call.key:
        text = json.dumps(dict(reply.body))
        call.office.edit(lambda control: control.replies.keep(asked, Kept(reply.status, text)))
    return reply


MEANING: tuple[Operation, ...] = (
    Operation("GET", "/v1/mappings", "listMappings", "What the operator says that lines mean",
              listed("mappings", lambda call: call.office.mappings.listed()), "Mappings", PAGES),
    Operation("POST", "/v1/mappings", "setMapping", "Say what lines mean; what is stored moves with POST /v1/remaps",
              _set, "MappingRow", role="finance", body="MappingWish", statuses=(200, 201), repeatable=True),
    Operation("GET", "/v1/mappings/{id}", "getMapping", "One mapping", _one, "MappingRow", (ID,)),
    Operation("DELETE", "/v1/mappings/{id}", "deleteMapping", "Forget a mapping; undone by POST /v1/remaps", _drop,
              "Deleted", (ID,), "finance", repeatable=True),
    Operation("POST", "/v1/remap-previews", "previewRemap",
              "Which stored lines would mean something else, as mappings stand or with one more or less", _previewed,
              "Remap", role="finance", body="PreviewWish", statuses=(200,), failures=(404,)),
    Operation("POST", "/v1/remaps", "applyMappings", "Give stored lines the meaning that the mappings say", _applied,
              "Remap", role="finance", body="Apply", statuses=(200,), repeatable=True),
)  # fmt: skip
