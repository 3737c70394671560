"""The operations for finance: who may use which models, who pays what, whom new prices touch, and what people noted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

from costweir.control import Annotation, Control
from costweir.control.audit import Change
from costweir.domain.period import Month
from costweir.errors import Conflict, NotFound, UsageError
from costweir.queries.render import COST_COLUMNS
from costweir.web.api.bodies import AnnotationWish, Approved, Rerate, read_body
from costweir.web.api.meaning import once
from costweir.web.api.paging import PAGES, page
from costweir.web.api.reading import ID, SINCE, TEXT, UNTIL
from costweir.web.api.table import Call, Operation, Param, Reply
from costweir.web.api.writing import NEW_ID, write
from costweir.web.desk import Record
from costweir.web.problems import Invalid

_MONTH = Param(
    "month",
    {"type": "string", "pattern": r"^20[0-9]{2}-(0[1-9]|1[0-2])$", "examples": ["2026-10"]},
    "The month; the default is the last full one.",
)
_MODELS = Param("model", TEXT, "Only this model.", repeated=True)
_EVERY = Param("every", {"type": "string", "enum": ["yes", "no"]}, "Also changes of models that nobody used.")


def _approvals(call: Call) -> Record:
    """Every entry, or those of the caller's customer."""
    rows = [entry.to_json() for entry in call.office.control.approvals.listed(call.caller.customer)]
    return {"schema": "costweir.approvals/1", **page(rows, call.values)}


def _approved(call: Call) -> Record:
    name = call.values["id"]
    if call.caller.customer not in ("", name):
        raise _no_list(name)
    return _list_of(call.office.control, name)


def _list_of(control: Control, customer: str) -> Record:
    entries = control.approvals.listed(customer)
    if not entries:
        raise _no_list(customer)
    models = sorted({entry.pattern for entry in entries})
    return {"schema": "costweir.approved_models/1", "customer": customer, "models": models}


def _no_list(customer: str) -> NotFound:
    return NotFound(
        f"{customer!r} has no list and may use every model.", hint="GET /v1/approvals lists them."
    )


def _approve(call: Call) -> Reply:
    customer = call.values["id"]
    wanted = sorted({name.strip().lower() for name in read_body(Approved, call.body).models})

    def change(control: Control) -> tuple[Reply, Change | None]:
        before = control.approvals.listed(customer)
        fixed = {entry.pattern for entry in before if entry.origin != "user"}
        missing = fixed.difference(wanted)
        if missing:
            raise Conflict(
                f"{min(missing)!r} is on the list in the configuration file.",
                hint="Take it out of approved_models there.",
            )
        mine = [entry.pattern for entry in before if entry.origin == "user"]
        control.approvals.unapprove(customer, [name for name in mine if name not in wanted])
        control.approvals.approve(customer, [name for name in wanted if name not in fixed])
        after = _list_of(control, customer)
        return Reply(after, 200 if before else 201), _changed(call, customer, before=mine, control=control)

    return write(call, change)


def _unapprove(call: Call) -> Reply:
    customer = call.values["id"]

    def change(control: Control) -> tuple[Reply, Change | None]:
        mine = [entry.pattern for entry in control.approvals.listed(customer) if entry.origin == "user"]
        if not mine:
            raise _no_list(customer)
        control.approvals.unapprove(customer, mine)
        reply = Reply({"schema": "costweir.approved_models/1", "id": customer, "deleted": True})
        return reply, _changed(call, customer, before=mine, control=control)

    return write(call, change)


def _changed(call: Call, customer: str, *, before: list[str], control: Control) -> Change | None:
    """The row for the audit chain: the list set by hand, before and after."""
    after = [entry.pattern for entry in control.approvals.listed(customer) if entry.origin == "user"]
    if sorted(before) == sorted(after):
        return None
    return Change(
        call.caller.actor,
        "approval.put",
        f"customer:{customer}",
        {"models": sorted(before)},
        {"models": sorted(after)},
    )


def _chargeback(call: Call) -> Record:
    values = call.values
    month = Month.parse(values["month"]) if "month" in values else Month.of(_today()).previous
    told = call.office.chargeback(month, basis=values.get("basis", ""), currency=values.get("currency", ""))
    return {"schema": "costweir.chargeback/1", **told}


def _price_changes(call: Call) -> Record:
    since = call.values.get("since")
    if since is not None and since > _today():
        raise UsageError("since lies after today.", hint="Give a day that is over.")
    told = call.office.price_changes(since=since, every=call.values.get("every") == "yes")
    return {"schema": "costweir.price_changes/1", **told}


def _rerated(call: Call) -> Record:
    since, until = call.values.get("since"), call.values.get("until")
    told = call.office.repricing.preview(since=since, until=until, models=call.values.get("model", ()))
    return {"schema": "costweir.rerate/1", **told}


def _rerate(call: Call) -> Reply:
    wish = read_body(Rerate, call.body)
    days = (wish.since, wish.until)
    if wish.since and wish.until and wish.since >= wish.until:
        raise Invalid(
            "since lies after until.", errors=[{"pointer": "/until", "detail": "is not after since"}]
        )

    def act() -> Record:
        told = call.office.repricing.apply(
            by=call.caller.actor, since=days[0], until=days[1], models=wish.models
        )
        return {"schema": "costweir.rerate/1", **told}

    return once(call, act)


def _notes(call: Call) -> Record:
    since, until = (_day(call.values.get(name)) for name in ("since", "until"))
    rows = [note.to_json() for note in call.office.control.annotations.listed(since=since, until=until)]
    return {"schema": "costweir.annotations/1", **page(rows, call.values)}


def _note(call: Call) -> Record:
    found = call.office.control.annotations.find(call.values["id"])
    if found is None:
        raise NotFound(
            f"There is no annotation {call.values['id']!r}.", hint="GET /v1/annotations lists them."
        )
    return {"schema": "costweir.annotation/1", **found.to_json()}


def _annotate(name: Callable[[Call], str]) -> Callable[[Call], Reply]:
    def handle(call: Call) -> Reply:
        wish = read_body(AnnotationWish, call.body)
        dimension, member = next(iter(wish.scope.items()), ("", ""))
        draft = Annotation(wish.day.isoformat(), wish.text, wish.author or "", dimension, member, name(call))

        def change(control: Control) -> tuple[Reply, Change | None]:
            # the edit writes its own row of the audit chain
            kept = control.edits.annotate(draft, by=call.caller.actor)
            return Reply(
                {"schema": "costweir.annotation/1", **kept.to_json()}, 200 if draft.id else 201
            ), None

        return write(call, change)

    return handle


def _drop_note(call: Call) -> Reply:
    def change(control: Control) -> tuple[Reply, Change | None]:
        control.edits.drop_annotation(call.values["id"], by=call.caller.actor)
        return Reply({"schema": "costweir.annotation/1", "id": call.values["id"], "deleted": True}), None

    return write(call, change)


def _day(day: date | None) -> str:
    return "" if day is None else day.isoformat()


def _today() -> date:
    return datetime.now(UTC).date()


_BASIS = Param(
    "basis", {"type": "string", "enum": [name for name in COST_COLUMNS if name != "metered"]}, "Which cost."
)
_CURRENCY = Param(
    "currency", {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["USD"]}, "ISO 4217 code."
)

FINANCE: tuple[Operation, ...] = (
    Operation("GET", "/v1/approvals", "listApprovals", "Which models each customer may use", _approvals, "Approvals",
              PAGES, bound="own"),
    Operation("GET", "/v1/approvals/{id}", "getApprovals", "The models that one customer may use", _approved,
              "ApprovedModels", (ID,), bound="own"),
    Operation("PUT", "/v1/approvals/{id}", "putApprovals", "Set the list of a customer", _approve, "ApprovedModels",
              (NEW_ID,), "finance", body="Approved", statuses=(201,), repeatable=True),
    Operation("DELETE", "/v1/approvals/{id}", "deleteApprovals", "Take away the list that was set by hand", _unapprove,
              "Deleted", (ID,), "finance", repeatable=True),
    Operation("GET", "/v1/chargeback", "getChargeback", "What each customer pays for a month, shared costs included",
              _chargeback, "Chargeback", (_MONTH, _BASIS, _CURRENCY)),
    Operation("GET", "/v1/price_changes", "listPriceChanges", "What changed in the price book, and whom it touches",
              _price_changes, "PriceChanges", (SINCE, _EVERY)),
    Operation("GET", "/v1/rerate", "previewRerate", "What calls would cost at the prices known now", _rerated,
              "Rerated", (SINCE, UNTIL, _MODELS)),
    Operation("POST", "/v1/rerates", "applyRerate", "Keep those prices as adjustments beside the calls", _rerate,
              "Rerated", role="finance", body="Rerate", statuses=(200,), repeatable=True),
    Operation("GET", "/v1/annotations", "listAnnotations", "What people noted about days", _notes, "Annotations",
              (SINCE, UNTIL, *PAGES)),
    Operation("POST", "/v1/annotations", "addAnnotation", "Note something about a day", _annotate(lambda _: ""),
              "AnnotationRow", role="finance", body="AnnotationWish", statuses=(201,), repeatable=True),
    Operation("GET", "/v1/annotations/{id}", "getAnnotation", "One note", _note, "AnnotationRow", (ID,)),
    Operation("PUT", "/v1/annotations/{id}", "putAnnotation", "Change a note",
              _annotate(lambda call: call.values["id"]), "AnnotationRow", (ID,), "finance", body="AnnotationWish",
              repeatable=True),
    Operation("DELETE", "/v1/annotations/{id}", "deleteAnnotation", "Remove a note", _drop_note, "Deleted", (ID,),
              "finance", repeatable=True),
)  # fmt: skip
