"""Budgets of the gateway: how full each is, the worst first; how each is defined; and what is stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.errors import NotFound
from costweir.guard.ledger import Balance
from costweir.guard.policy import THRESHOLDS
from costweir.guard.why import instant
from costweir.web import format as fmt
from costweir.web.pages.directory import ORIGINS
from costweir.web.pages.forms import may_change
from costweir.web.pages.paging import Span, read_page, span
from costweir.web.pages.shell import Frame, Kit, Now
from costweir.web.pages.table import Cell, Column, Gauge, Row, Table
from costweir.web.pages.weir import words
from costweir.web.pages.weir.freeze import packed

PATH = "/live/budgets"
#: Gauges of one page, and definitions.
GAUGES, DEFINITIONS = 20, 25
#: A form that is filled already, for somebody who has no budget yet.
PRESETS = (
    ("Everything, $10 a day", "id=everything&limit_usd=10.00&window=day"),
    ("Each customer, $8 a month", "id=each-customer&limit_usd=8.00&window=month&kind_1=customer&member_1=*"),
    ("Each session, $0.50", "id=each-session&limit_usd=0.50&window=session&kind_1=session&member_1=*"),
)  # fmt: skip
_SAID = {
    "saved": "The budget {} is saved.", "removed": "The budget {} is removed.", "stopped": "Stopped: {}.",
    "freed": "Let through again: {}.",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """One limit in its open window. A step of the ladder is a percentage and whether spent cost reached it."""

    name: str
    href: str
    scope: str
    window: str
    gauge: Gauge
    used: str
    settled: str
    held: str
    left: str
    limit: str
    resets: str
    ladder: tuple[tuple[int, bool], ...]
    mode: str


def routes(kit: Kit) -> list[BaseRoute]:
    """`/live/budgets`, also as CSV and Markdown."""
    return [Route(f"{PATH}{ending}", kit.handler(page)) for ending in ("", ".csv", ".md")]


def page(kit: Kit, request: Request) -> Response:
    """Every gauge, then every definition, then what is stopped."""
    now, kind = kit.now(), request.url.path.rpartition(".")[2]
    found = worst_first(_balances(kit))
    if kind in ("csv", "md"):
        return kit.export(_exact(found), kind=kind, name="budgets", now=now)

    defined = {str(row["id"]): row for row in kit.office.budgets.listed()}
    shown = _span(request, "page", len(found), GAUGES)
    below = _span(request, "definitions", len(defined), DEFINITIONS)
    context = {
        "levels": [level(row, defined.get(row.budget_id, {}), now) for row in found[shown.part]], "span": shown,
        "reached": sum(1 for row in found if share(row) >= 1), "many": len(found), "table_span": below,
        "table": _defined(tuple(defined.values())[below.part], now) if defined else None, "presets": PRESETS,
        "stops": _stops(kit, now), "said": _said(request), "applied": kit.office.budgets.in_force(wait=False),
        "may_stop": may_change(request, "admin"), "csv": f"{PATH}.csv", "md": f"{PATH}.md",
    }  # fmt: skip
    frame = Frame("weir_budgets.html", "Budgets", "live", (("Live", "/live"), ("Budgets", "")))
    return kit.page(request, frame, now=now, context=context)


def share(row: Balance) -> Decimal:
    """What part of a limit is settled or held; a limit of nothing is full."""
    used = row.settled + row.held + row.debt
    return Decimal(used) / row.limit if row.limit else Decimal(1)


def worst_first(rows: Sequence[Balance]) -> list[Balance]:
    """The limits in USD, the fullest first."""
    return sorted((row for row in rows if row.limit is not None), key=lambda row: -share(row))


def level(row: Balance, defined: Mapping[str, Any], now: Now) -> Level:
    """A balance in words."""
    spent, limit = row.settled + row.debt, row.limit or 0
    places = words.places_of(spent, row.held, limit)
    steps: Sequence[int] = defined.get("thresholds") or THRESHOLDS
    return Level(
        row.budget_id, _href(row.budget_id), words.scope(row.scope), words.window(row.window_id),
        words.gauge(row, f"{row.budget_id}, {words.scope(row.scope)}"), fmt.ratio(share(row)),
        words.money(spent, places=places), words.money(row.held, places=places),
        words.money(row.remaining or 0, places=places), words.money(limit, places=places),
        fmt.instant(row.resets_at.isoformat(), today=now.today) if row.resets_at else "never",
        tuple((step, spent * 100 >= limit * step) for step in steps), str(defined.get("mode") or "strict"),
    )  # fmt: skip


def member_text(scope: Mapping[str, Any], each: Sequence[str]) -> str:
    """`customer acme, each session`; everything for none."""
    fixed = [f"{kind} {name}" for kind, name in scope.items()]
    return ", ".join([*fixed, *(f"each {kind}" for kind in each)]) or "everything"


def _span(request: Request, name: str, count: int, size: int) -> Span:
    """One of the two lists in pages; the other stays where it is."""
    kept = {key: value for key in ("page", "definitions") if (value := request.query_params.get(key))}

    def link(number: int) -> str:
        return f"{PATH}?{urlencode({**kept, name: number})}"

    return span(count, read_page(request, name), link, size=size)


def _balances(kit: Kit) -> Sequence[Balance]:
    """None before the gateway first ran."""
    try:
        return kit.ledger().balances()
    except NotFound:
        return ()


def _said(request: Request) -> str:
    """What was just done, in a sentence."""
    query = request.query_params
    return next((text.format(query[key][:200]) for key, text in _SAID.items() if query.get(key)), "")


def _href(name: str) -> str:
    """Where a budget is changed; one of a plan with its plan."""
    if name.startswith("plan:"):
        return f"/settings/plans/edit?{urlencode({'id': name.split(':')[1]})}"
    return f"{PATH}/edit?{urlencode({'id': name})}"


def _defined(rows: Sequence[Mapping[str, Any]], now: Now) -> Table:
    columns = (
        Column("Budget", "id", numeric=False), Column("For", "scope", numeric=False),
        Column("Limit", "limit_usd"), Column("Window", "window", numeric=False),
        Column("Other limits", "limits", numeric=False, wide=True), Column("Mode", "mode", numeric=False, wide=True),
        Column("Ends", "expires", numeric=False, wide=True), Column("Set in", "set_in", numeric=False, wide=True),
    )  # fmt: skip
    return Table("Definitions", columns, tuple(_definition(row, now) for row in rows))


def _definition(row: Mapping[str, Any], now: Now) -> Row:
    name, limit, expires = str(row["id"]), row["limit_usd"], row["expires"]
    word, tone = ORIGINS.get(str(row["origin"]), ORIGINS["user"])
    other = ", ".join(
        fmt.plural(int(row[key]), one, many)
        for key, one, many in _OTHERS
        if row[key] is not None
    )  # fmt: skip
    return (
        Cell(name, name, href=_href(name)), Cell(member_text(row["scope"], row["each"])),
        Cell(fmt.money(Decimal(limit)), limit) if limit else Cell(fmt.NOTHING, title="No limit in USD"),
        Cell(str(row["window"]), str(row["window"])), Cell(other or fmt.NOTHING, other),
        Cell(str(row["mode"]), str(row["mode"])),
        Cell(fmt.instant(expires, today=now.today), expires, tone="nowrap") if expires else Cell(fmt.NOTHING),
        Cell(word, word, badge=True, tone=tone),
    )  # fmt: skip


_OTHERS = (
    ("calls", "call", "calls"), ("parallel", "call at once", "calls at once"),
    ("tokens_per_minute", "token a minute", "tokens a minute"),
    ("requests_per_minute", "request a minute", "requests a minute"),
)  # fmt: skip


def _stops(kit: Kit, now: Now) -> Sequence[Mapping[str, str]]:
    """What is stopped; `scope` is what lets it through again."""
    return [
        {
            "what": member_text(stop.scope, ()), "reason": stop.reason, "by": stop.created_by,
            "since": fmt.instant(stop.created_at, today=now.today), "scope": packed(stop.scope),
        }
        for stop in kit.office.control.stops.listed()
    ]  # fmt: skip


def _exact(rows: Sequence[Balance]) -> Table:
    """The gauges in full precision."""
    columns = (
        Column("Budget", "budget_id", numeric=False), Column("For", "scope", numeric=False),
        Column("Window", "window_id", numeric=False), Column("Limit", "limit_usd"), Column("Settled", "settled_usd"),
        Column("Held", "held_usd"), Column("Debt", "debt_usd"), Column("Left", "remaining_usd"),
        Column("Resets", "resets_at", numeric=False),
    )  # fmt: skip

    def row_of(row: Balance) -> Row:
        resets = instant(row.resets_at) or ""
        amounts = (row.limit, row.settled, row.held, row.debt, row.remaining)
        scope = words.scope(row.scope)
        return (
            Cell(row.budget_id, row.budget_id), Cell(scope, scope), Cell(row.window_id, row.window_id),
            *(words.money_cell(amount) for amount in amounts), Cell(resets or fmt.NOTHING, resets),
        )  # fmt: skip

    return Table("Budgets", columns, tuple(row_of(row) for row in rows))
