"""Customers and plans as they are set, with where each was set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.control import Control, Customer, Plan
from costweir.web import format as fmt
from costweir.web.pages.entries import CUSTOMERS, PLANS, Entry, Kind
from costweir.web.pages.paging import Span, read_page, span
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.table import Cell, Column, Row, Table

KINDS = (CUSTOMERS, PLANS)
ORIGINS = {
    "config": ("costweir.toml", "info"),
    "user": ("these pages", "neutral"),
    "demo": ("sample data", "neutral"),
}


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/customers` and `/settings/plans` with CSV and Markdown."""
    return [
        Route(path, kit.handler(partial(_listed, kind)))
        for kind in KINDS
        for path in (kind.path, f"{kind.path}.csv", f"{kind.path}.md")
    ]


def entries(control: Control, kind: Kind) -> Sequence[Entry]:
    """What is kept of one kind, by id."""
    return control.customers() if kind is CUSTOMERS else control.plans()


def plan_names(control: Control) -> dict[str, str]:
    """The plans that a customer may be on, with their names."""
    return {plan.id: plan.name or plan.id for plan in control.plans()}


def crumbs(kind: Kind, last: str = "") -> tuple[tuple[str, str], ...]:
    """The way to a page below the list."""
    here = kind.many.capitalize()
    way = (("Settings", "/settings/health"), (here, kind.path if last else ""))
    return (*way, (last, "")) if last else way


def _listed(kind: Kind, kit: Kit, request: Request) -> Response:
    """`?q=` is part of an id or name, `?plan=` a plan, `?page=` the page; the CSV has all that the filters leave."""
    now, control = kit.now(), kit.office.control
    query, plan = request.query_params.get("q", "").strip(), request.query_params.get("plan", "")
    plans = plan_names(control)
    found = [entry for entry in entries(control, kind) if _wanted(entry, query.lower(), plan)]
    suffix = request.url.path.rpartition(".")[2]
    if suffix in ("csv", "md"):
        return kit.export(_table(kind, found, control), kind=suffix, name=kind.many, now=now)

    def link(number: int, ending: str = "") -> str:
        pairs = (("q", query), ("plan", plan), ("page", str(number) if number > 1 else ""))
        asked = urlencode([pair for pair in pairs if pair[1]])
        return f"{kind.path}{ending}{'?' if asked else ''}{asked}"

    shown: Span = span(len(found), read_page(request), link)
    context = {
        "kind": kind, "table": _table(kind, found[shown.part], control) if found else None, "span": shown,
        "query": query, "plan": plan, "plans": plans, "said": _said(request, kind), "csv": link(1, ".csv"),
        "md": link(1, ".md"), "some": bool(query or plan),
    }  # fmt: skip
    frame = Frame("directory.html", kind.many.capitalize(), "settings", crumbs(kind))
    return kit.page(request, frame, now=now, context=context)


def _wanted(entry: Entry, query: str, plan: str) -> bool:
    if plan and not (isinstance(entry, Customer) and entry.plan == plan):
        return False
    return query in f"{entry.id} {entry.name}".lower()


def _said(request: Request, kind: Kind) -> str:
    """What just happened, in a sentence."""
    query = request.query_params
    if query.get("saved"):
        return f"The {kind.noun} {query['saved']} is saved."
    if query.get("removed"):
        return f"The {kind.noun} {query['removed']} is removed."
    if query.get("imported", "").isdigit():
        return f"{fmt.plural(int(query['imported']), kind.noun)} imported."
    return ""


def _table(kind: Kind, found: Sequence[Entry], control: Control) -> Table:
    if kind is PLANS:
        on = [customer.plan for customer in control.customers()]
        plans = [entry for entry in found if isinstance(entry, Plan)]
        columns = (
            Column("Plan", "name", numeric=False), Column("Id", "id", numeric=False),
            Column("Price a month", "price_usd"), Column("Budget a month", "budget_usd"),
            Column("Budget of a session", "session_usd"), Column("Calls in a session", "session_calls"),
            Column("Tokens a minute", "tokens_per_minute"), Column("Customers"),
            Column("Set in", "set_in", numeric=False),
        )  # fmt: skip
        return Table("Plans", columns, tuple(_plan(plan, on.count(plan.id)) for plan in plans))
    columns = (
        Column("Customer", "name", numeric=False), Column("Id", "id", numeric=False),
        Column("Plan", "plan", numeric=False), Column("Since", "since", numeric=False),
        Column("Set in", "set_in", numeric=False), Column("Spend", numeric=False, silent=True),
    )  # fmt: skip
    plans = plan_names(control)
    customers = [entry for entry in found if isinstance(entry, Customer)]
    return Table("Customers", columns, tuple(_customer(entry, plans) for entry in customers))


def _first(entry: Entry, kind: Kind) -> tuple[Cell, Cell]:
    href = f"{kind.path}/edit?{urlencode({'id': entry.id})}"
    name = entry.name or entry.id
    return Cell(name, name, href=href), Cell(entry.id, entry.id, mono=True, wrap=True)


def _origin(entry: Entry) -> Cell:
    words, tone = ORIGINS[entry.origin]
    return Cell(words, words, badge=True, tone=tone)


def _customer(entry: Customer, plans: Mapping[str, str]) -> Row:
    plan = Cell(plans.get(entry.plan, entry.plan), entry.plan) if entry.plan else _nothing()
    since = Cell(entry.since, entry.since, tone="nowrap") if entry.since else _nothing()
    spend = Cell("Spend", href=f"/customers/{quote(entry.id, safe='')}")
    return (*_first(entry, CUSTOMERS), plan, since, _origin(entry), spend)


def _plan(entry: Plan, customers: int) -> Row:
    amounts = (entry.price_usd, entry.budget_usd, entry.session_usd)
    counts = (entry.session_calls, entry.tokens_per_minute)
    on = f"{CUSTOMERS.path}?{urlencode({'plan': entry.id})}"
    return (
        *_first(entry, PLANS),
        *(Cell(fmt.money_round(Decimal(text)), text) if text else _nothing() for text in amounts),
        *(_nothing() if count is None else Cell(fmt.count(count), str(count)) for count in counts),
        Cell(str(customers), href=on if customers else "", tone="" if customers else "muted"),
        _origin(entry),
    )


def _nothing() -> Cell:
    return Cell(fmt.NOTHING, "", tone="muted", title="Not set")
