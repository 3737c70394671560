"""The operations on incidents: what is wrong or was, and what somebody does about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from costweir.config.connections import interval_of
from costweir.control import Control
from costweir.control.audit import Change
from costweir.control.incidents import ACTIVE, SEVERITIES, Incident
from costweir.web.api.bodies import AckWish, CommentWish, OwnerWish, SnoozeWish, read_body
from costweir.web.api.paging import SHORT_PAGES, page, wanted
from costweir.web.api.reading import ID
from costweir.web.api.schemas import INSTANT, NEXT, TEXT, TRUTH, WHOLE, Schema, nullable, record
from costweir.web.api.table import Call, Operation, Param, Reply
from costweir.web.api.writing import write

_STATES = (*ACTIVE, "resolved")
_STATE = Param(
    "state", {"type": "string", "enum": list(_STATES)}, "Only in one of these states.", repeated=True
)
_SEVERITY = Param(
    "severity",
    {"type": "string", "enum": list(SEVERITIES)},
    "Only of one of these severities.",
    repeated=True,
)


def _listed(call: Call) -> Mapping[str, object]:
    rows = call.office.control.incidents.listed(
        states=call.values.get("state", ()), severities=call.values.get("severity", ()),
        limit=wanted(call.values),
    )  # fmt: skip
    return {
        "schema": "costweir.alerts/1",
        **page([row.to_json() for row in rows], call.values, most=100),
    }


def _one(call: Call) -> Mapping[str, object]:
    incidents = call.office.control.incidents
    found = incidents.find(call.values["id"])
    return {
        "schema": "costweir.alert/1", **found.to_json(),
        "timeline": [entry.to_json() for entry in incidents.timeline(found.id)],
        "deliveries": incidents.outbox.of(found.id),
    }  # fmt: skip


def _act(call: Call, change: Callable[[Control, datetime], Incident]) -> Reply:
    def run(control: Control) -> tuple[Reply, Change | None]:
        after = change(control, datetime.now(UTC))
        return Reply({"schema": "costweir.alert/1", **after.to_json()}), None

    return write(call, run)


def _ack(call: Call) -> Reply:
    owner, name, by = read_body(AckWish, call.body).owner or "", call.values["id"], call.caller.actor
    return _act(call, lambda held, now: held.incidents.acknowledge(name, by=by, now=now, owner=owner))


def _snooze(call: Call) -> Reply:
    time, name, by = interval_of(read_body(SnoozeWish, call.body).time), call.values["id"], call.caller.actor
    return _act(call, lambda held, now: held.incidents.snooze(name, now + time, by=by, now=now))


def _own(call: Call) -> Reply:
    owner, name, by = read_body(OwnerWish, call.body).owner or "", call.values["id"], call.caller.actor
    return _act(call, lambda held, now: held.incidents.assign(name, owner, by=by, now=now))


def _comment(call: Call) -> Reply:
    text, name, by = read_body(CommentWish, call.body).text, call.values["id"], call.caller.actor
    return _act(call, lambda held, now: held.incidents.note(name, text, by=by, now=now))


def _resolve(call: Call) -> Reply:
    name, by = call.values["id"], call.caller.actor
    return _act(call, lambda held, now: held.incidents.resolve(name, by=by, now=now))


_WORDS: tuple[str, ...] = (
    "id", "key", "period", "event", "subject", "team", "text", "hint", "link", "value", "limit", "owner",
)  # fmt: skip
_FIELDS: Mapping[str, Schema] = {
    **dict.fromkeys(_WORDS, TEXT),
    "severity": {"type": "string", "enum": list(SEVERITIES)},
    "state": {"type": "string", "enum": list(_STATES)},
    "episode": WHOLE, "put_aside": TRUTH, "opened_at": INSTANT, "updated_at": INSTANT,
    **dict.fromkeys(("acknowledged_at", "snoozed_at", "snoozed_until", "resolved_at"), nullable(INSTANT)),
}  # fmt: skip
_ENTRY = record({"at": INSTANT, "actor": TEXT, "what": TEXT, "text": TEXT})
_SENT = record({"message": TEXT, "channel": TEXT, "state": TEXT, "attempts": WHOLE, "note": TEXT})


def _named(noun: str) -> Schema:
    return {"type": "string", "const": f"costweir.{noun}/1"}


INCIDENT_SCHEMAS: Mapping[str, Schema] = {
    "Incident": record(_FIELDS),
    "Incidents": record({
        "schema": _named("alerts"), "rows": {"type": "array", "items": {"$ref": "#/components/schemas/Incident"}},
        **NEXT,
    }),
    "IncidentRow": record({"schema": _named("alert"), **_FIELDS}),
    "IncidentStory": record({
        "schema": _named("alert"), **_FIELDS, "timeline": {"type": "array", "items": _ENTRY},
        "deliveries": {"type": "array", "items": _SENT},
    }),
}  # fmt: skip


def _change(verb: str, summary: str, handle: Callable[[Call], Reply], body: str) -> Operation:
    return Operation(
        "POST", f"/v1/incidents/{{id}}/{verb}", f"{verb}Incident", summary, handle, "IncidentRow", (ID,), "finance",
        body=body, statuses=(200,), repeatable=True,
    )  # fmt: skip


#: An id may have slashes, so that what stands below one is asked first.
INCIDENTS: tuple[Operation, ...] = (
    _change("ack", "Say that somebody looks after it", _ack, "AckWish"),
    _change("snooze", "Let it sleep for a time", _snooze, "SnoozeWish"),
    _change("owner", "Give it to somebody", _own, "OwnerWish"),
    _change("comment", "Write a note beside it", _comment, "CommentWish"),
    _change("resolve", "Close it", _resolve, ""),
    Operation("GET", "/v1/incidents", "listIncidents", "What is wrong or was, what is wrong first", _listed,
              "Incidents", (_STATE, _SEVERITY, *SHORT_PAGES)),
    Operation("GET", "/v1/incidents/{id}", "getIncident", "One incident, what happened to it, and who was told", _one,
              "IncidentStory", (ID,)),
)  # fmt: skip
