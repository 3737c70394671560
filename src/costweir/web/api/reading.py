"""The operations that read: answers, lines, lists. They show what the desk gives and add nothing up (law L4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from costweir.errors import NotFound, UsageError
from costweir.queries.charge_pages import MOST, ChargesRequest
from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.question import catalogue
from costweir.queries.render import COST_COLUMNS
from costweir.queries.request import Request
from costweir.web.api import bound
from costweir.web.api.paging import PAGES, SHORT_PAGES, page, wanted
from costweir.web.api.table import Call, Operation, Param
from costweir.web.desk import Record

_DAY = {"type": "string", "format": "date", "examples": ["2026-11-01"]}
TEXT = {"type": "string", "maxLength": 200, "pattern": r"^[^\x00]*$", "examples": ["aws"]}


def _where(names: Sequence[str]) -> dict[str, object]:
    return {"type": "string", "pattern": f"^({'|'.join(names)})=", "examples": ["provider=aws"]}


_BILLED = [name for name, item in DIMENSION_TABLE.items() if item.charges]
ID = Param("id", TEXT, "The id.", place="path")
SINCE = Param("since", _DAY, "First day, UTC.")
UNTIL = Param("until", {**_DAY, "examples": ["2026-12-01"]}, "First day after, UTC.")

ANSWER_PARAMS = (
    Param("id", {"type": "string", "enum": [item.id for item in catalogue()]}, "The question.", checked=False,
          place="path"),
    Param("by", {"type": "string", "enum": list(DIMENSION_TABLE)}, "Dimension to split by.", repeated=True,
          checked=False),
    Param("where", _where(list(DIMENSION_TABLE)), "DIMENSION=VALUE; values of one dimension are alternatives.",
          repeated=True, checked=False),
    SINCE,
    UNTIL,
    Param("through", _DAY, "Last day, UTC; the earlier of this and until counts."),
    Param("limit", {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
          "Only the largest rows; the rest is in `other`."),
    Param("basis", {"type": "string", "enum": list(COST_COLUMNS)}, "Which cost; the default is the question's first."),
    Param("currency", {"type": "string", "pattern": "^[A-Za-z]{3}$", "examples": ["USD"]}, "ISO 4217 code."),
)  # fmt: skip

CHARGE_PARAMS = (
    Param(
        "where", _where(_BILLED), "DIMENSION=VALUE; values of one dimension are alternatives.", repeated=True
    ),
    SINCE,
    UNTIL,
    Param(
        "limit", {"type": "integer", "minimum": 1, "maximum": MOST}, "Lines of a page; the default is 100."
    ),
    Param("cursor", {"type": "string", "maxLength": 400}, "`next_cursor` of the page before."),
)

_BEFORE = Param("before", {"type": "integer", "minimum": 1, "maximum": 2**53 - 1}, "Rows with a lower `seq`.")


def parse_request(question: str, query: Sequence[tuple[str, str]]) -> Request:
    """Reads `by`, `where=DIM=VALUE`, `since`, `until`, `limit`, `basis`, `currency` from a query string.

    `by` and `where` may repeat, and `by` takes a comma list. Raises UsageError that names the parameter at fault.
    """
    from costweir.web.api.table import read_params

    return _request(read_params(_ANSWER, {"id": question}, query))


def _request(values: Mapping[str, object]) -> Request:
    by = [part for text in _texts(values, "by") for part in text.split(",") if part]
    return Request(
        question=str(values["id"]), by=tuple(by), where=_filters(_texts(values, "where")),
        since=_day(values, "since"), until=_end(values), limit=_whole(values, "limit"),
        basis=str(values.get("basis", "")), currency=str(values.get("currency", "")),
    )  # fmt: skip


def _answer(call: Call) -> Mapping[str, object]:
    wanted = _request(call.values)
    bound.check_question(wanted.question, call.caller.customer)
    return call.desk.ask(replace(wanted, where=bound.narrow(wanted.where, call.caller.customer))).to_json()


def _charges(call: Call) -> Mapping[str, object]:
    values = call.values
    page = call.office.charges(
        ChargesRequest(
            where=bound.narrow(_filters(_texts(values, "where")), call.caller.customer),
            since=_day(values, "since"), until=_day(values, "until"), limit=_whole(values, "limit") or 100,
            cursor=str(values.get("cursor", "")),
        )
    )  # fmt: skip
    return {"schema": "costweir.charges/1", "rows": page.rows, "next_cursor": page.next_cursor or None}


def _status(call: Call) -> Mapping[str, object]:
    return {"schema": "costweir.status/1", **call.desk.status()}


def _prices(call: Call) -> Mapping[str, object]:
    values = call.values
    rows = call.office.prices(
        provider=str(values.get("provider", "")), model=str(values.get("model", "")),
        on=_day(values, "on") or datetime.now(UTC).date(),
        # What the operator pays is not for customers.
        own=not call.caller.customer,
    )  # fmt: skip
    return {"schema": "costweir.prices/1", **page(rows, values)}


def _tokens(call: Call) -> Sequence[Record]:
    return [token.to_json() for token in call.office.control.tokens.listed()]


def _audit(call: Call) -> Sequence[Record]:
    rows = call.office.control.audit.listed(limit=wanted(call.values), before=call.values.get("before"))
    return [row.to_json() for row in rows]


def _verified(call: Call) -> Mapping[str, object]:
    return {"schema": "costweir.audit_verification/1", **call.office.control.audit.verify().to_json()}


def customers_of(call: Call) -> Sequence[Record]:
    """The customers that the caller sees."""
    return bound.own_customers(call.desk.customers(), call.caller.customer)


def plans_of(call: Call) -> Sequence[Record]:
    """The plans that the caller sees."""
    return bound.own_plans(call.desk.plans(), call.desk.customers(), call.caller.customer)


def budgets_of(call: Call) -> Sequence[Record]:
    """The budgets that the caller sees."""
    return bound.own_budgets(call.desk.budgets(), call.caller.customer)


def listed(
    noun: str, read: Callable[[Call], Sequence[Record]], *, most: int | None = None
) -> Callable[[Call], Mapping[str, object]]:
    """A list page by page; `most` rows to a page unless a limit is given, else all."""

    def handle(call: Call) -> Mapping[str, object]:
        return {"schema": f"costweir.{noun}/1", **page(list(read(call)), call.values, most=most)}

    return handle


def _one(noun: str, read: Callable[[Call], Sequence[Record]]) -> Callable[[Call], Mapping[str, object]]:
    def handle(call: Call) -> Mapping[str, object]:
        for row in read(call):
            if row["id"] == call.values["id"]:
                return {"schema": f"costweir.{noun}/1", **row}
        raise NotFound(f"There is no {noun} {call.values['id']!r}.", hint=f"GET /v1/{noun}s lists them.")

    return handle


def _texts(values: Mapping[str, object], name: str) -> list[str]:
    found = values.get(name)
    return [str(item) for item in found] if isinstance(found, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _end(values: Mapping[str, object]) -> date | None:
    """The first day after the ones asked for, said as such or by the last of them; the earlier counts."""
    until, through = _day(values, "until"), _day(values, "through")
    if through is None or through == date.max:
        return until
    after = through + timedelta(days=1)
    return min(until, after) if until else after


def _day(values: Mapping[str, object], name: str) -> date | None:
    found = values.get(name)
    return found if isinstance(found, date) else None


def _whole(values: Mapping[str, object], name: str) -> int | None:
    found = values.get(name)
    return found if isinstance(found, int) else None


def _filters(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    where: dict[str, tuple[str, ...]] = {}
    for text in texts:
        dimension, found, wanted = text.partition("=")
        if not found:
            raise UsageError(f"where={text!r} has no value.", hint="Write where=provider=aws.")
        where[dimension] = (*where.get(dimension, ()), wanted)
    return where


_ANSWER = Operation(
    "GET",
    "/v1/answers/{id}",
    "getAnswer",
    "Answer one question",
    _answer,
    "Answer",
    ANSWER_PARAMS,
    bound="own",
)
READING: tuple[Operation, ...] = (
    Operation("GET", "/v1/status", "getStatus", "What is stored", _status, "Status", bound="all"),
    Operation(
        "GET", "/v1/questions", "listQuestions", "What can be asked",
        listed("questions", lambda call: bound.own_questions(call.desk.questions(), call.caller.customer)),
        "Questions", PAGES, bound="own",
    ),
    _ANSWER,
    Operation("GET", "/v1/charges", "listCharges", "The lines of the bills, page by page, ordered by day", _charges,
              "Charges", CHARGE_PARAMS, bound="own"),
    Operation("GET", "/v1/customers", "listCustomers", "Every customer", listed("customers", customers_of),
              "Customers", PAGES, bound="own"),
    Operation("GET", "/v1/customers/{id}", "getCustomer", "One customer", _one("customer", customers_of), "CustomerRow",
              (ID,), bound="own"),
    Operation("GET", "/v1/plans", "listPlans", "Every plan", listed("plans", plans_of), "Plans", PAGES,
              bound="own"),
    Operation("GET", "/v1/plans/{id}", "getPlan", "One plan", _one("plan", plans_of), "PlanRow", (ID,), bound="own"),
    Operation("GET", "/v1/budgets", "listBudgets", "Every budget as it is defined", listed("budgets", budgets_of),
              "Budgets", PAGES, bound="own"),
    Operation("GET", "/v1/budgets/{id}", "getBudget", "One budget", _one("budget", budgets_of), "BudgetRow", (ID,),
              bound="own"),
    Operation("GET", "/v1/runs", "listRuns", "The newest loads first",
              listed("runs", lambda call: call.desk.runs(limit=wanted(call.values)), most=100), "Runs", SHORT_PAGES),
    Operation(
        "GET", "/v1/quarantine", "listQuarantine", "Lines that could not be read",
        listed("quarantine", lambda call: call.desk.quarantine(
            run_id=call.values.get("run_id", ""), limit=wanted(call.values)), most=100),
        "Quarantine", (Param("run_id", TEXT, "Only the lines of one run."), *SHORT_PAGES),
    ),
    Operation(
        "GET", "/v1/prices", "listPrices", "The prices of a day; amounts are for 1,000,000 tokens", _prices, "Prices",
        (Param("provider", TEXT, "Only this provider."), Param("model", TEXT, "Part of a model's id."),
         Param("on", _DAY, "The day; the default is today."), *PAGES), bound="own",
    ),
    Operation("GET", "/v1/tokens", "listTokens", "Every token that was made", listed("tokens", _tokens), "Tokens",
              PAGES, role="admin"),
    Operation(
        "GET", "/v1/audit", "listAudit", "The newest changes first", listed("audit", _audit, most=100),
        "Audit",
        (*SHORT_PAGES, _BEFORE),
        role="admin",
    ),
    Operation("GET", "/v1/audit/verification", "verifyAudit", "Whether the audit chain holds", _verified,
              "AuditVerification", role="admin"),
)  # fmt: skip
