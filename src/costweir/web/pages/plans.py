"""Plans and margin: is each plan profitable, and who pulls it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.domain.answer import Answer
from costweir.domain.answer import Cell as Value
from costweir.domain.charge import UNTAGGED
from costweir.domain.money import decimal_text
from costweir.insights.breakdown import cost_field, left
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.desk import Record
from costweir.web.pages import rows as cells
from costweir.web.pages.paging import read_page, span
from costweir.web.pages.period import choices, read_days
from costweir.web.pages.shell import Frame, Kit, json_link
from costweir.web.pages.table import Cell, Column, Row, Table, ordered
from costweir.web.pages.view import Days, explore_link

PATH = "/customers/plans"
#: Plans that are asked for; the CSV has them all, the page 25 at a time.
MOST = 10_000


def routes(kit: Kit) -> list[BaseRoute]:
    """`/customers/plans` with CSV and Markdown."""
    return [Route(path, kit.handler(build)) for path in (PATH, f"{PATH}.csv", f"{PATH}.md")]


def build(kit: Kit, request: Request) -> Response:
    """Revenue, cost and margin per plan; below it the customers that cost more than they bring."""
    now = kit.now()
    crumbs = (("Customers", "/customers"), ("Plans & margin", ""))
    frame = Frame("plans.html", "Plans and margin", "customers", crumbs)
    if now.empty:
        return kit.page(request, frame, now=now, context={"empty": True})
    days = read_days(kit, request, now)
    question = Question("margin", by=("plan",), since=days.first, until=days.until, limit=MOST)
    by_customer = Question("margin", by=("customer",), since=days.first, until=days.until)
    found = kit.ask({"plans": question, "customers": by_customer})
    answer = found.need("plans")
    names = {str(plan["id"]): plan for plan in kit.desk.plans()}
    sort = request.query_params.get("sort", "")
    rows = ordered(answer.rows, partial(_plans, answer, names, days), sort)
    menu = choices(PATH, days, now=now, sort=sort)
    shown = span(len(rows), read_page(request), menu.page_url)
    kind = request.url.path.rpartition(".")[2]
    part = rows if kind == "csv" else rows[shown.part]
    table = replace(_plans(answer, names, days, part), sorted_by=sort or "-cost")
    if kind in ("csv", "md"):
        return kit.export(table, kind=kind, name=f"plans-{days.first}-to-{days.last}", now=now)
    customers = {str(known["id"]): str(known.get("name") or known["id"]) for known in kit.desk.customers()}
    losing = found.maybe("customers")
    context = {
        "empty": False, "answer": answer, "table": table, "problems": found.problems,
        "losing": _losing(losing, customers) if losing else None, "has_plans": bool(names),
        "finding": _finding(answer, names), "json_link": json_link(question),
        "span": shown, **menu.context(shown.number),
    }  # fmt: skip
    return kit.page(request, frame, now=now, context=context)


def _name(plan: str, names: dict[str, Record]) -> str:
    known = names.get(plan)
    return str(known.get("name") or plan) if known else plan


def _plans(
    answer: Answer, names: dict[str, Record], days: Days, wanted: Sequence[Mapping[str, Value]]
) -> Table:
    field, money = cost_field(answer), answer.currency
    columns = (
        Column("Plan", "plan", numeric=False, sort="plan"),
        Column("Price a month", "price_usd", sort="price"),
        Column("Customers", "paying_customers", sort="customers"),
        Column("Revenue", "revenue_usd", sort="revenue"),
        Column("LLM cost", f"{field}_{money.lower()}", sort="cost"),
        Column("Margin", "margin_usd", sort="margin"),
        Column("Margin in %", "margin_share", sort="share"),
    )
    rows: list[Row] = []
    for row in wanted:
        plan = str(row["plan"])
        href = explore_link(days, by="customer", where={"plan": plan})
        margin = row.get("margin_usd")
        lost = plan in names and margin is not None and Decimal(str(margin)) < 0
        price = names[plan].get("price_usd") if plan in names else None
        rows.append(
            (
                Cell(_name(plan, names), plan, href=href, badge=plan == UNTAGGED),
                Cell(fmt.money_round(Decimal(str(price))), str(price)) if price else Cell(fmt.NOTHING),
                cells.count(row.get("paying_customers")),
                _revenue(row.get("revenue_usd")),
                cells.money(row[field], money),
                replace(cells.money(margin, "USD"), tone="strong c-bad" if lost else "strong"),
                replace(cells.share(row.get("margin_share")), tone="c-bad" if lost else "muted"),
            )
        )
    rest = left(answer, wanted)
    if rest:
        others = cells.money(decimal_text(rest), money)
        rows.append((Cell("All others", "All others"), Cell(), Cell(), Cell(), others, Cell(), Cell()))
    title = "Plans and margin"
    total = (Cell("Total", "Total"), Cell(), Cell(), Cell(), cells.money(answer.total, money), Cell(), Cell())
    return Table(title, columns, tuple(rows), total)


def _revenue(value: object) -> Cell:
    amount = Decimal(str(value or 0))
    return Cell("no revenue", "0.00", tone="muted") if amount == 0 else cells.money(str(value), "USD")


def _losing(answer: Answer, names: dict[str, str]) -> Table | None:
    """The customers whose cost is above what they pay, worst first, at most twenty."""
    field = cost_field(answer)
    columns = (
        Column("Customer", "customer", numeric=False), Column("Revenue", "revenue_usd"),
        Column("LLM cost", field),
        Column("Margin", "margin_usd"),
    )  # fmt: skip
    losing = [row for row in answer.rows if Decimal(str(row.get("margin_usd") or 0)) < 0]
    losing = [row for row in losing if Decimal(str(row.get("revenue_usd") or 0)) > 0]
    losing.sort(key=lambda row: Decimal(str(row["margin_usd"])))
    rows: list[Row] = []
    for row in losing[:20]:
        customer = str(row["customer"])
        rows.append(
            (
                Cell(names.get(customer, customer), customer, href=f"/customers/{quote(customer, safe='')}"),
                cells.money(row["revenue_usd"], "USD"),
                cells.money(row[field], answer.currency),
                cells.money(row["margin_usd"], "USD", tone="strong c-bad"),
            )
        )
    return Table("Customers that cost more than they pay", columns, tuple(rows)) if rows else None


def _finding(answer: Answer, names: dict[str, Record]) -> str:
    """The answer to the page's question in one sentence."""
    paid = [row for row in answer.rows if Decimal(str(row.get("revenue_usd") or 0)) > 0]
    lost = [_name(str(row["plan"]), names) for row in paid if Decimal(str(row.get("margin_usd") or 0)) < 0]
    if not paid:
        return "No plan has revenue in these days."
    if not lost:
        return "Every plan brings in more than its customers cost."
    costs = "costs more than it brings in" if len(lost) == 1 else "cost more than they bring in"
    return f"{', '.join(lost)} {costs}."
