"""One session: what it cost so far, call by call, how near its cap it is, and the switch that stops it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.control.stops import Stop
from costweir.domain.usage import COUNT_BUCKETS
from costweir.errors import NotFound, UsageError
from costweir.guard.ledger import Balance
from costweir.guard.ledgers.live import Live, Part, Step, Total
from costweir.guard.policy import Rule
from costweir.web import format as fmt
from costweir.web.pages.forms import Sent, may_change
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.table import Cell, Column, Row, Table
from costweir.web.pages.weir import plot, rows, words
from costweir.web.pages.weir.sessions import caps_of, stop_of, stops_of

#: Calls on the page, in the chart, and in a file.
SHOWN, CHARTED, MOST = 50, 400, 10_000
#: How long a stop waits until the gateway refuses by it.
PATIENCE_SECONDS = 2.0
_STEP_SECONDS = 0.05
_LONGEST_REASON = 200
#: So many calls of the same size in so short a time may be a loop.
_LOOP_CALLS, _LOOP_SPAN = 5, timedelta(minutes=5)
_COLUMNS = (
    Column("Call", "request_id", numeric=False), Column("Feature", "feature", numeric=False),
    Column("Model", "model", numeric=False), Column("State", "state", numeric=False),
    Column("Uncached", "input_tokens"), Column("Cache read", "cache_read_tokens", wide=True),
    Column("Output", "output_tokens"),
    Column("Cost", "settled_usd"), Column("Running", "running_usd"), Column("UTC", "created_at", numeric=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cap:
    """The limit that this session meets first, and the rule behind it."""

    balance: Balance
    rule: Rule | None

    @property
    def warning(self) -> int | None:
        """The first threshold in nano-dollars."""
        steps = self.rule.thresholds if self.rule else ()
        first = next((step for step in steps if step < 100), None)
        return None if first is None or self.balance.limit is None else self.balance.limit * first // 100

    @property
    def calls(self) -> int | None:
        """How many calls it may make."""
        return self.rule.calls if self.rule else None


def routes(kit: Kit) -> list[BaseRoute]:
    """`/live/sessions/<name>?customer=`, its calls as CSV, and the forms that stop it and let it go on."""
    # A name may hold a slash.
    path = "/live/sessions/{session:path}"
    return [
        Route(f"{path}/calls.csv", kit.handler(page)),
        Route(f"{path}/calls.md", kit.handler(page)),
        Route(f"{path}/stop", kit.receiver(stop), methods=["POST"]),
        Route(path, kit.handler(page)),
    ]


def page(kit: Kit, request: Request) -> Response:
    """The page. Raises NotFound for a session that made no call in a week."""
    now, at, live = kit.now(), datetime.now(UTC), kit.live()
    name = request.path_params["session"]
    customer, others = _whose(live, request, name)
    total = live.total(customer, name, now=at)
    if total is None:
        raise NotFound(
            f"The session {name!r} made no call in the last days.",
            hint="The list of sessions has those of today.",
        )
    kind = request.url.path.rpartition("/calls.")[2]
    if kind in ("csv", "md"):
        steps = live.steps(customer, name, now=at, limit=MOST)
        return kit.export(_table(steps, total, at), kind=kind, name=f"session-{_plain(name)}", now=now)
    steps = live.steps(customer, name, now=at, limit=CHARTED)
    cap = _cap(kit, customer, name)
    stopped = stop_of(stops_of(kit), customer, name)
    by_model, by_feature = live.parts(customer, name, now=at)
    asked = request.query_params
    shown = steps[-SHOWN:]
    context = {
        "name": name, "customer": customer, "others": others, "total": total, "cap": cap, "words": words,
        "gauge": words.gauge(cap.balance, f"Session {name} of its cap") if cap else None,
        "started": words.moment(total.first), "ended": words.clock(total.last).text,
        "stop": stopped, "own_stop": stopped is not None and "session" in stopped.scope,
        "said": asked.get("done", ""), "asking": asked.get("stop") == "1" and stopped is None,
        "may_stop": kit.kept is not None and may_change(request, "admin"), "longest": _LONGEST_REASON,
        "chart": plot.running_cost(
            steps, held=total.held, lines=_lines(cap), description=_finding(total, cap), now=at
        ), "finding": _finding(total, cap), "features": _bars(by_feature, "no feature"), "models": _bars(by_model, ""),
        "tokens": [pair for pair in live.tokens(customer, name, now=at) if pair[0] not in COUNT_BUCKETS],
        "table": _table(shown, total, at), "hidden": total.calls - len(shown), "path": address_of(name),
        "query": urlencode({"customer": customer}), "charted": len(steps),
        "repeats": _repeats(steps), "now_cost": total.settled + total.held, "limits": _limits(kit, customer, name),
    }  # fmt: skip
    crumbs = (("Live", "/live"), ("Sessions", "/live/sessions"), (name, ""))
    frame = Frame("weir_session.html", f"Session {name}", "live", crumbs, charts=True)
    return kit.page(request, frame, now=now, context=context)


def address_of(name: str) -> str:
    """The page of a session, without its customer."""
    return f"/live/sessions/{quote(name, safe='')}"


def _whose(live: Live, request: Request, name: str) -> tuple[str, Sequence[str]]:
    """The customer that the address names, else the newest with a session of this name; and the others."""
    known = live.customers_of(name)
    wanted = request.query_params.get("customer")
    customer = wanted if wanted is not None else (known[0] if known else "")
    return customer, [other for other in known if other != customer]


def _cap(kit: Kit, customer: str, name: str) -> Cap | None:
    ledger = kit.ledger()
    found = caps_of(ledger.balances({"session": name})).get((customer, name))
    return None if found is None else Cap(found, ledger.policy().by_id.get(found.budget_id))


def _lines(cap: Cap | None) -> list[tuple[str, int]]:
    """What the chart draws across: the cap and its first warning."""
    if cap is None or cap.balance.limit is None:
        return []
    lines = [
        (
            f"Cap {words.limit_money(cap.balance.limit)}: a call that does not fit is refused",
            cap.balance.limit,
        )
    ]
    if cap.warning is not None:
        lines.append((f"Warning {words.limit_money(cap.warning)}", cap.warning))
    return lines


def _finding(total: Total, cap: Cap | None) -> str:
    of = f" of {words.limit_money(cap.balance.limit or 0)}" if cap else ""
    held = f" and {words.money(total.held)} held" if total.held else ""
    return f"Running cost: {words.money(total.settled)} settled{held}{of} after {fmt.plural(total.calls, 'call')}."


def _repeats(steps: Sequence[Step]) -> int:
    """How many of the newest calls were the same again, as far as numbers tell: model, feature, and the worst case to
    the nano-dollar, which every byte of a request changes. 0 for too few to say anything."""
    count = 0
    for step in reversed(steps):
        newest, one = steps[-1].attempt, step.attempt
        same = (one.model, one.subject.feature, one.held) == (
            newest.model,
            newest.subject.feature,
            newest.held,
        )
        if not same or newest.created_at - one.created_at > _LOOP_SPAN:
            break
        count += 1
    return count if count >= _LOOP_CALLS else 0


def _bars(parts: Sequence[Part], nameless: str) -> list[tuple[str, str, str, str]]:
    """Name, calls, amount, and the share of the largest in percent for pixels."""
    most = max([part.spent for part in parts], default=0) or 1
    return [
        (
            part.name or nameless, fmt.plural(part.calls, "call"), words.money(part.spent, places=4),
            f"{Decimal(part.spent) * 100 / most:.1f}%",
        )
        for part in parts[:6]
    ]  # fmt: skip


def _table(steps: Sequence[Step], total: Total, now: datetime) -> Table:
    last: Row = (
        Cell("Settled"), Cell(), Cell(), Cell(), Cell(), Cell(), Cell(), words.money_cell(total.settled),
        words.money_cell(total.settled), Cell(),
    )  # fmt: skip
    return Table("Calls of this session", _COLUMNS, tuple(_row(step, now) for step in reversed(steps)), last)


def _row(step: Step, now: datetime) -> Row:
    row, ended = step.attempt, step.attempt.ended_at is not None
    number = row.request_id

    def tokens(*names: str) -> Cell:
        count = sum(row.usage.get(name, 0) for name in names)
        return Cell(fmt.count(count), str(count)) if ended else Cell(fmt.NOTHING)

    held = Cell(f"held {words.money(row.held, places=4)}", "", badge=True, tone="hatched")
    return (
        Cell(number, number, href=f"/live/calls/{quote(number, safe='')}", mono=True, wrap=True, title=number),
        Cell(row.subject.feature or fmt.NOTHING, row.subject.feature), Cell(row.model, row.model, mono=True),
        words.state(row), tokens("input"), tokens("cache_read"), tokens("output", "reasoning"),
        words.cost_cell(row) if ended else held,
        words.money_cell(step.running) if ended else Cell(fmt.NOTHING), rows.moment(row.created_at, now),
    )  # fmt: skip


def _limits(kit: Kit, customer: str, name: str) -> Table | None:
    """Every limit of this very session."""
    found = [
        row
        for row in kit.ledger().balances({"session": name})
        if row.scope.get("customer", customer) == customer
    ]
    if not found:
        return None
    columns = (
        Column("Limit", "budget_id", numeric=False), Column("Of", "limit_usd"), Column("Settled", "settled_usd"),
        Column("Held", "held_usd", wide=True), Column("Left", "remaining_usd"),
    )  # fmt: skip
    return Table("Limits of this session", columns, tuple(
        (
            Cell(row.budget_id, row.budget_id), words.money_cell(row.limit, places=words.places_of(row.limit or 0)),
            words.money_cell(row.settled + row.debt), words.money_cell(row.held), words.money_cell(row.remaining),
        )
        for row in found
    ))  # fmt: skip


def stop(kit: Kit, sent: Sent) -> Response:
    """Stops a session or lets it go on, and waits a moment for the gateway to know."""
    name, customer = sent.request.path_params["session"], sent.get("customer")
    action, reason = sent.get("action") or "stop", sent.get("reason")
    if action not in ("stop", "resume"):
        raise UsageError("That is nothing that can be done to a session.", hint="Send stop or resume.")
    if len(reason) > _LONGEST_REASON:
        raise UsageError(f"The reason is longer than {_LONGEST_REASON} characters.", hint="Say it shorter.")
    scope = scope_of(customer, name)
    if action == "stop":
        kit.office.edit(lambda control: control.stops.put(scope, by=sent.actor, reason=reason))
    else:
        _resume(kit, scope, by=sent.actor)
    done = action if applied(kit) else f"{action}-late"
    return RedirectResponse(f"{address_of(name)}?{urlencode({'customer': customer, 'done': done})}", 303)


def scope_of(customer: str, session: str) -> Mapping[str, str]:
    """What a stop of this session is about."""
    return {"customer": customer, "session": session} if customer else {"session": session}


def _resume(kit: Kit, scope: Mapping[str, str], *, by: str) -> Stop:
    return kit.office.edit(lambda control: control.stops.drop(scope, by=by))


def applied(kit: Kit) -> bool:
    """Whether the gateway has what is set now, after a wait of two seconds at most."""
    wanted, end = kit.office.control.stops.revision, time.monotonic() + PATIENCE_SECONDS
    while kit.ledger().revision < wanted:
        if time.monotonic() > end:
            return False
        time.sleep(_STEP_SECONDS)
    return True


def _plain(name: str) -> str:
    """A name as part of the name of a file."""
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in name)[:40]
