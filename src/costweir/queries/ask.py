"""Answers a request: one question, one query, one Answer for every face (law L4).

The rows and the total come from one snapshot, so a bill that is replaced meanwhile cannot make them disagree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from urllib.parse import urlencode

from costweir.domain.answer import Answer, Excluded
from costweir.domain.money import decimal_text
from costweir.domain.period import Period
from costweir.errors import UsageError
from costweir.queries.budgets import answer_budgets
from costweir.queries.cache_savings import answer_cache_savings
from costweir.queries.call_prices import answer_call_prices
from costweir.queries.coverage import Coverage, instant_text, read_coverage
from costweir.queries.dimensions import METERED, Dimension, Facts, find_dimension
from costweir.queries.health import answer_health
from costweir.queries.margin import answer_margin
from costweir.queries.question import Question, find_question, part
from costweir.queries.recent import answer_recent
from costweir.queries.reconcile import answer_reconcile
from costweir.queries.render import COST_COLUMNS, Filter, Selection
from costweir.queries.request import Request
from costweir.queries.result import Asked, Result
from costweir.queries.rows import answer_rows
from costweir.store.warehouse import Reader, Warehouse

#: Questions whose rows need more than one query; all others are answered by `answer_rows`.
SPECIAL: Mapping[str, Callable[[Reader, Asked], Result]] = {
    "budgets": answer_budgets,
    "cache_savings": answer_cache_savings,
    "call_prices": answer_call_prices,
    "data_health": answer_health,
    "margin": answer_margin,
    "recent": answer_recent,
    "reconcile": answer_reconcile,
    "traffic": answer_recent,
}


@dataclass(frozen=True, slots=True)
class _Calls:
    count: int
    last: datetime | None


def ask(
    warehouse: Warehouse,
    request: Request,
    *,
    today: date | None = None,
    lags: Mapping[str, timedelta] | None = None,
    now: datetime | None = None,
) -> Answer:
    """Answers one question of the catalogue.

    `today` is the UTC day it is asked on, and `now` the instant; the one follows from the other, a day ends with its
    last instant. `lags` overrides the stated delivery lag by source. Raises UsageError for an unknown question,
    dimension, basis or value that cannot be read, and Unreachable when the store does not answer.
    """
    question = find_question(request.question)
    period = _period(request)
    if now is None:
        now = datetime.combine(today + timedelta(days=1), time(), UTC) if today else datetime.now(UTC)
    today = today or now.astimezone(UTC).date()
    with warehouse.snapshot() as reader:
        coverage = read_coverage(reader, period, today, lags)
        calls = _calls(reader) if _asks_calls(question, request, coverage) else _Calls(0, None)
        basis = _basis(question, request, billed=bool(coverage.loads) or not calls.count)
        asked = Asked(
            question,
            _select(question, request, basis, period),
            request.currency.upper(),
            coverage,
            request,
            now,
        )
        asked = asked.narrowed()
        result = SPECIAL.get(question.id, answer_rows)(reader, asked)
        gone = _let_go(reader, asked)
    return _answer(asked, result, calls, gone)


def _answer(asked: Asked, result: Result, calls: _Calls, gone: Sequence[str]) -> Answer:
    metered = asked.selection.basis == "metered"
    coverage = asked.coverage
    excluded: tuple[Excluded, ...] = result.excluded if metered else (*result.excluded, *coverage.excluded())
    shown = sum((amount for amount in result.amounts), Decimal(0))
    as_of = coverage.as_of()
    if calls.last is not None and (metered or asked.question.id == "reconcile"):
        as_of = (
            {"calls": instant_text(calls.last)} if metered else {**as_of, "calls": instant_text(calls.last)}
        )
    elif metered:
        as_of = {}
    return Answer(
        query_id=_digest(asked),
        question=asked.question.id,
        basis=asked.selection.basis,
        currency=result.currency,
        period=coverage.period,
        rows=tuple(result.rows),
        total=decimal_text(result.total),
        other=decimal_text(result.total - shown),
        excluded=excluded,
        as_of=as_of,
        complete_to={} if metered else coverage.complete_to(),
        complete=not excluded and not gone and (metered or not coverage.late()),
        notes=(*result.notes, *gone, *([] if metered else coverage.notes())),
        link=_link(asked.request, coverage.period),
    )


def _period(request: Request) -> Period:
    try:
        return Period(request.since, request.until)
    except ValueError as error:
        raise UsageError(f"{str(error)[:1].upper()}{str(error)[1:]}.", hint="until is exclusive.") from error


def _basis(question: Question, request: Request, *, billed: bool) -> str:
    if request.basis:
        if request.basis not in question.basis:
            raise UsageError(
                f"{question.id} has no basis {request.basis!r}.", hint=f"It has: {', '.join(question.basis)}."
            )
        return request.basis
    return question.basis[0] if billed or "metered" not in question.basis else "metered"


def _select(question: Question, request: Request, basis: str, period: Period) -> Selection:
    if request.limit is not None and request.limit < 1:
        raise UsageError(f"A limit of {request.limit} leaves nothing.", hint="Give a limit of 1 or more.")
    names = tuple(dict.fromkeys(request.by or question.by))
    by = tuple(find_dimension(name, question.dimensions) for name in names)
    where = {name: find_dimension(name, question.filters) for name in request.where}
    values = {
        name: (dimension, tuple(dict.fromkeys(dimension.parse(text) for text in request.where[name])))
        for name, dimension in where.items()
        if request.where[name]
    }
    return Selection(
        facts=facts_of(question, basis, (*by, *where.values())),
        basis=basis,
        by=by,
        filter=Filter(values, period.since, period.until),
        only=question.only,
        limit=request.limit if request.limit is not None else question.limit,
    )


def facts_of(question: Question, basis: str, used: tuple[Dimension, ...]) -> Facts:
    """The smallest facts that know what is used. Raises UsageError for a dimension that the basis does not know."""
    if question.needs == "restatements":
        return "restatements"
    if question.needs == "adjustments":
        return "adjustments"
    if basis == "metered":
        for dimension in used:
            if not dimension.calls:
                raise UsageError(
                    f"{dimension.name!r} is known for billed lines and not for metered calls.",
                    hint=f"Ask {question.id} with basis billed, or leave {dimension.name} out.",
                )
        return "calls"
    for dimension in used:
        if not dimension.charges:
            raise UsageError(
                f"{dimension.name!r} is known for metered calls and not for billed lines.",
                hint=f"Bills have no {dimension.name}; ask the question sessions, or use basis metered.",
            )
    return "rollup" if question.needs == "rollup" and all(item.rollup for item in used) else "charges"


def _asks_calls(question: Question, request: Request, coverage: Coverage) -> bool:
    """Whether the answer can depend on calls: most do not, and calls are the longest table."""
    metered = request.basis == "metered" or question.basis[0] == "metered"
    return metered or not coverage.loads or question.id == "reconcile"


def _calls(reader: Reader) -> _Calls:
    count, last = reader.query(part("calls")).rows[0]
    return _Calls(int(str(count)), last if isinstance(last, datetime) else None)


def _let_go(reader: Reader, asked: Asked) -> list[str]:
    """A sentence for the lines or calls that the answer would need and that were let go by age."""
    facts, since = asked.selection.facts, asked.coverage.period.since
    needed = {"charges"} if facts == "charges" else {"calls"} if facts in METERED else set[str]()
    if asked.question.id == "reconcile":
        needed.add("calls")
    return [
        f"{'Bill lines' if name == 'charges' else 'Calls'} before {kept_from} were let go; only sums by day are left."
        for name, kept_from in reader.query(part("kept")).rows
        if name in needed and isinstance(kept_from, date) and (since is None or since < kept_from)
    ]


def _digest(asked: Asked) -> str:
    request, selection = asked.request, asked.selection
    key = [
        asked.question.id, asked.question.version, selection.basis, asked.currency,
        [item.name for item in selection.by],
        sorted([name, sorted(values)] for name, values in request.where.items()),
        str(request.since), str(request.until), selection.limit, sorted(COST_COLUMNS),
    ]  # fmt: skip
    return "q_" + hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]


def _link(request: Request, period: Period) -> str:
    """The page of the web UI that shows the same; its `to` is inclusive."""
    pairs = [("question", request.question), *(("by", name) for name in request.by)]
    pairs += [("where", f"{name}={value}") for name, values in request.where.items() for value in values]
    if period.since is not None:
        pairs.append(("from", period.since.isoformat()))
    if period.until is not None:
        pairs.append(("to", (period.until - timedelta(days=1)).isoformat()))
    for name, value in (
        ("basis", request.basis),
        ("currency", request.currency),
        ("limit", request.limit or ""),
    ):
        if value:
            pairs.append((name, str(value)))
    return f"/explore?{urlencode(pairs)}"
