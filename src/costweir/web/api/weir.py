"""The operations about the gateway: what is spent now, attempts, sessions, why a call was refused, and the switch that
stops a session. Every amount is the ledger's, in USD."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from costweir.control import Control
from costweir.control.audit import Change
from costweir.errors import Error, NotFound
from costweir.guard.ledger import Attempt, usd
from costweir.guard.ledgers.live import Cursor, Live, Pulse
from costweir.guard.ledgers.reader import LedgerReader, Session
from costweir.guard.why import Record, attempt_record, explain
from costweir.guard.why import instant as instant_text
from costweir.web.access import caller_of
from costweir.web.api.bodies import StopWish, read_body
from costweir.web.api.reading import ID, TEXT
from costweir.web.api.routes import check_caller
from costweir.web.api.schemas import DECIMAL, INSTANT, WHOLE, Schema, nullable, record
from costweir.web.api.table import Call, Operation, Param, Reply
from costweir.web.api.writing import write
from costweir.web.problems import problem
from costweir.web.stream import Feeds, respond

_ANY: Schema = {"type": "object"}
_WORD: Schema = {"type": "string"}
STATES = ("HELD", "SENT", "SETTLED", "RELEASED", "UNCERTAIN")
_LIMIT = Param("limit", {"type": "integer", "minimum": 1, "maximum": 1_000}, "How many; the default is 100.")
#: Calls of one event of the stream.
_FED = 200
_CUSTOMER = Param("customer", TEXT, "Only this customer.")
_SESSION = Param("session", TEXT, "Only the session of this name.")
_BEFORE = Param(
    "before", {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
    "Attempts with a lower number than this; `next_before` of the page before.",
)  # fmt: skip
_STATE = Param("state", {"type": "string", "enum": list(STATES)}, "Only attempts in this state.")


def _ledger(call: Call) -> LedgerReader | None:
    """The ledger; None before the gateway's first start."""
    with suppress(NotFound):
        return call.office.ledger()
    return None


def pulse_record(pulse: Pulse | None, at: datetime) -> Record:
    """What is spent now, as JSON; zeros before the first call."""
    return {
        "at": instant_text(at), "per_hour_usd": usd(pulse.per_hour if pulse else 0),
        "last_hour_usd": usd(pulse.spent if pulse else 0), "last_hour_calls": pulse.calls if pulse else 0,
        "open_calls": pulse.open_calls if pulse else 0, "held_usd": usd(pulse.held if pulse else 0),
        "last_hour_blocked": pulse.blocked if pulse else 0,
        "minutes": [
            {"start": instant_text(one.start), "calls": one.calls, "spent_usd": usd(one.spent)}
            for one in (pulse.minutes if pulse else ())
        ],
    }  # fmt: skip


def streamed(open_live: Callable[[], Live]) -> Route:
    """`/v1/live`: server-sent events with what is spent now, attempts as they end, and refusals."""
    feeds = Feeds()

    async def handle(request: Request) -> Response:
        try:
            check_caller(LISTEN, caller_of(request))
            return await respond(open_live, request, feeds, news=_news)
        except Error as error:
            return problem(error)

    return Route("/v1/live", handle)


def _news(live: Live, cursor: Cursor) -> tuple[Cursor, Mapping[str, object]]:
    at = datetime.now(UTC)
    ended, refused, reached = live.feed(cursor, _FED)
    pulse = pulse_record(live.pulse(at), at)
    pulse.pop("minutes")
    return reached, {
        "schema": "costweir.live/1", **pulse, "attempts": [_attempt(row) for row in ended],
        "refusals": [
            {
                "request_id": row.refusal.request_id, "at": instant_text(row.at), "code": row.refusal.code,
                "budget_id": row.refusal.budget_id or None, "needed_usd": usd(row.refusal.needed),
                "customer": row.ask.subject.customer or None,
            }
            for row in refused
        ],
    }  # fmt: skip


def _attempt(row: Attempt) -> Record:
    return {
        **attempt_record(row),
        "customer": row.subject.customer or None,
        "session": row.subject.session or None,
    }


def session_record(row: Session) -> Record:
    """A session as JSON."""
    return {
        "session": row.session, "customer": row.customer or None, "key": row.key or None, "calls": row.calls,
        "settled_usd": usd(row.settled), "held_usd": usd(row.held), "first_at": instant_text(row.first),
        "last_at": instant_text(row.last),
    }  # fmt: skip


def _rate(call: Call) -> Mapping[str, object]:
    ledger, at = _ledger(call), datetime.now(UTC)
    return {
        "schema": "costweir.spend_rate/1",
        **pulse_record(None if ledger is None else Live(ledger).pulse(at), at),
    }


def _attempts(call: Call) -> Mapping[str, object]:
    ledger, values = _ledger(call), call.values
    limit: int = values.get("limit", 100)
    found = (
        [] if ledger is None else Live(ledger).calls(
            before=values.get("before", 0), state=values.get("state", ""), customer=values.get("customer", ""),
            session=values.get("session", ""), limit=limit + 1,
        )
    )  # fmt: skip
    rows = [_attempt(row) for row in found[:limit]]
    return {
        "schema": "costweir.attempts/1", "rows": rows,
        "next_before": found[limit - 1].attempt if len(found) > limit else None,
    }  # fmt: skip


def _sessions(call: Call) -> Mapping[str, object]:
    ledger = _ledger(call)
    found = [] if ledger is None else ledger.sessions(limit=call.values.get("limit", 100))
    return {"schema": "costweir.sessions/1", "rows": [session_record(row) for row in found]}


def _why(call: Call) -> Mapping[str, object]:
    return {"schema": "costweir.why/1", **explain(call.office.ledger(), call.values["id"]).to_json()}


def _stop(call: Call) -> Reply:
    wish, name = read_body(StopWish, call.body), call.values["id"]
    scope = {**({"customer": wish.customer} if wish.customer else {}), "session": name}

    def change(control: Control) -> tuple[Reply, Change | None]:
        made = control.stops.put(scope, by=call.caller.actor, reason=wish.reason)
        return Reply({"schema": "costweir.stop/1", **made.to_json()}), None

    return write(call, change)


def _resume(call: Call) -> Reply:
    name, customer = call.values["id"], call.values.get("customer", "")
    scope = {**({"customer": customer} if customer else {}), "session": name}

    def change(control: Control) -> tuple[Reply, Change | None]:
        control.stops.drop(scope, by=call.caller.actor)
        return Reply({"schema": "costweir.stop/1", "id": name, "deleted": True}), None

    return write(call, change)


_ATTEMPT = record(
    {
        "attempt_id": _WORD, "request_id": _WORD, "state": {"type": "string", "enum": list(STATES)}, "model": _WORD,
        "provider": _WORD, "customer": nullable(_WORD), "session": nullable(_WORD), "held_usd": DECIMAL,
        "settled_usd": nullable(DECIMAL), "debt_usd": DECIMAL, "usage": _WORD, "tokens": _ANY, "price_version": _WORD,
        "created_at": INSTANT, "ended_at": nullable(INSTANT), "outcome": nullable(_WORD), "error_type": nullable(_WORD),
        "error_detail": nullable(_WORD),
        "finish_reason": nullable(_WORD), "degraded_from": nullable(_WORD), "hold": nullable(_ANY),
        "worst_case_usd": nullable(DECIMAL),
    }
)  # fmt: skip
_ROW = record(
    {
        "session": _WORD, "customer": nullable(_WORD), "key": nullable(_WORD), "calls": WHOLE, "settled_usd": DECIMAL,
        "held_usd": DECIMAL, "first_at": INSTANT, "last_at": INSTANT,
    }
)  # fmt: skip


def _named(noun: str) -> Schema:
    return {"type": "string", "const": f"costweir.{noun}/1"}


_PULSE: Mapping[str, Schema] = {
    "at": INSTANT, "per_hour_usd": DECIMAL, "last_hour_usd": DECIMAL, "last_hour_calls": WHOLE, "open_calls": WHOLE,
    "held_usd": DECIMAL, "last_hour_blocked": WHOLE,
}  # fmt: skip
WEIR_SCHEMAS: Mapping[str, Schema] = {
    "Live": record({
        "schema": _named("live"), **_PULSE,
        "attempts": {"type": "array", "items": {"$ref": "#/components/schemas/Attempt"}},
        "refusals": {"type": "array", "items": record({
            "request_id": _WORD, "at": INSTANT, "code": _WORD, "budget_id": nullable(_WORD), "needed_usd": DECIMAL,
            "customer": nullable(_WORD),
        })},
    }),
    "SpendRate": record({
        "schema": _named("spend_rate"), **_PULSE,
        "minutes": {"type": "array", "items": record({"start": INSTANT, "calls": WHOLE, "spent_usd": DECIMAL})},
    }),
    "Attempt": _ATTEMPT,
    "Attempts": record({
        "schema": _named("attempts"), "rows": {"type": "array", "items": {"$ref": "#/components/schemas/Attempt"}},
        "next_before": nullable(WHOLE),
    }),
    "SessionEntry": _ROW,
    "Sessions": record({
        "schema": _named("sessions"), "rows": {"type": "array", "items": {"$ref": "#/components/schemas/SessionEntry"}},
    }),
    "Why": record({
        "schema": _named("why"), "request_id": _WORD, "outcome": _WORD, "summary": _WORD, "subject": _ANY,
        "attempts": {"type": "array", "items": _ANY}, "refusal": nullable(_ANY),
        "budgets": {"type": "array", "items": _ANY},
    }),
    "Stop": record({
        "schema": _named("stop"), "scope": _ANY, "reason": _WORD, "created_at": INSTANT, "created_by": _WORD,
    }),
}  # fmt: skip
_STOP_PATH = "/v1/sessions/{id}/stop"
#: It answers with a stream, which the other operations do not.
LISTEN = Operation(
    "GET", "/v1/live", "listen", "What happens at the gateway, as it happens", _rate, "Live",
    (Param("after", {"type": "string", "pattern": r"^[0-9]+\.[0-9]+$"}, "The id of the last event that was heard."),),
)  # fmt: skip
WEIR: tuple[Operation, ...] = (
    Operation("GET", "/v1/spend-rate", "getSpendRate", "What the gateway spends now", _rate, "SpendRate"),
    Operation("GET", "/v1/attempts", "listAttempts", "Calls to providers, the newest first", _attempts, "Attempts",
              (_STATE, _CUSTOMER, _SESSION, _BEFORE, _LIMIT)),
    Operation("GET", "/v1/sessions", "listSessions", "Sessions of the last day, the newest call first", _sessions,
              "Sessions", (_LIMIT,)),
    Operation("POST", _STOP_PATH, "stopSession", "Refuse every further call of a session", _stop, "Stop", (ID,),
              "admin", body="StopWish", statuses=(200,), repeatable=True),
    Operation("DELETE", _STOP_PATH, "resumeSession", "Let a stopped session go on", _resume, "Deleted",
              (ID, _CUSTOMER), "admin", repeatable=True),
    Operation("GET", "/v1/why/{id}", "getWhy", "Why a request was admitted or refused, by the ledger's numbers", _why,
              "Why", (ID,)),
)  # fmt: skip
