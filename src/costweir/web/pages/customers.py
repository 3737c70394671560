"""Customers ranked by what they cost, with revenue, margin, budget and trend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.domain.answer import Answer
from costweir.domain.answer import Cell as Value
from costweir.domain.charge import UNTAGGED
from costweir.domain.money import decimal_text
from costweir.insights.breakdown import cost_field, left, matrix
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.desk import Record
from costweir.web.pages import customer
from costweir.web.pages import rows as cells
from costweir.web.pages.limits import Limits, gauge, read_limits
from costweir.web.pages.paging import read_page, span
from costweir.web.pages.period import choices, read_days
from costweir.web.pages.series import buckets
from costweir.web.pages.shell import Frame, Kit, json_link
from costweir.web.pages.table import Cell, Column, Row, Table, ordered, spark
from costweir.web.pages.view import Days, explore_link

PATH = "/customers"
#: Customers that are asked for; the CSV has them all, the page 25 at a time.
MOST = 10_000


def routes(kit: Kit) -> list[BaseRoute]:
    """`/customers` with CSV and Markdown, and `/customers/<id>`, which has to come after its sister pages."""
    lists = [Route(path, kit.handler(build)) for path in (PATH, f"{PATH}.csv", f"{PATH}.md")]
    return [*lists, Route(f"{PATH}/{{id:path}}", kit.handler(customer.build))]


def build(kit: Kit, request: Request) -> Response:
    """The ranked table."""
    now = kit.now()
    frame = Frame("customers.html", "Customers", "customers", (("Customers", ""),))
    if now.empty:
        return kit.page(request, frame, now=now, context={"empty": True})
    days = read_days(kit, request, now)
    question = Question("customers", by=("customer",), since=days.first, until=days.until, limit=MOST)
    margin = Question("margin", by=("customer",), since=days.first, until=days.until)
    found = kit.ask({"customers": question, "margin": margin})
    answer, paid = found.need("customers"), found.maybe("margin")
    sort = request.query_params.get("sort", "")
    known = {str(entry["id"]): entry for entry in kit.desk.customers()}
    sheet = Sheet(
        answer, _by_customer(paid) if paid else {}, known, read_limits(kit.desk), days, sort or "-cost"
    )
    rows = ordered(answer.rows, sheet.table, sort)
    title = f"Customers, {fmt.days(days.first, days.last, today=now.today)}"
    name = f"customers-{days.first}-to-{days.last}"
    if request.url.path.endswith(".csv"):
        return kit.export(sheet.table(rows), kind="csv", name=name, now=now)
    menu = choices(PATH, days, now=now, sort=sort)
    shown = span(len(rows), read_page(request), menu.page_url)
    table = sheet.table(rows[shown.part], _trends(kit, rows[shown.part], days))
    if request.url.path.endswith(".md"):
        return kit.export(replace(table, title=title), kind="md", name=name, now=now)
    revenue = any(Decimal(str(row.get("revenue_usd") or 0)) for row in paid.rows) if paid else False
    context = {
        "empty": False, "answer": answer, "table": table, "problems": found.problems, "revenue": revenue,
        "total": fmt.money(Decimal(answer.total), answer.currency, places=2), "span": shown,
        "json_link": json_link(question), **menu.context(shown.number),
    }  # fmt: skip
    return kit.page(request, frame, now=now, context=context)


def _trends(kit: Kit, rows: Sequence[Mapping[str, Value]], days: Days) -> Answer | None:
    """Spend per day of the customers of one page."""
    names = tuple(str(row["customer"]) for row in rows)
    per_day = Question("spend", ("customer", "day"), {"customer": names}, days.first, days.until)
    return kit.ask({"days": per_day}).maybe("days") if names else None


def _by_customer(answer: Answer) -> dict[str, Mapping[str, Value]]:
    return {str(row["customer"]): row for row in answer.rows}


def _columns(answer: Answer) -> tuple[Column, ...]:
    return (
        Column("Customer", "customer", numeric=False, sort="customer"),
        Column("Plan", "plan", numeric=False, sort="plan"),
        Column("Cost", f"{cost_field(answer)}_{answer.currency.lower()}", sort="cost"),
        Column("Share", "share", sort="share"),
        Column("Revenue", "revenue_usd", sort="revenue"),
        Column("Margin", "margin_usd", sort="margin"),
        Column("Budget used", "budget_used", numeric=False, sort="used"),
        Column("Budget", "budget_usd", sort="budget"),
        Column("Active days", "active_days", sort="days"),
        Column("Per active day", "cost_per_active_day", sort="daily"),
        Column("Trend", numeric=False, wide=True),
    )


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that the rows of the table are made from."""

    answer: Answer
    paid: Mapping[str, Mapping[str, Value]]
    known: Mapping[str, Record]
    limits: Limits
    days: Days
    sorted_by: str

    def table(self, rows: Sequence[Mapping[str, Value]], trends: Answer | None = None) -> Table:
        """The table of some rows of the answer; what is not among them is one line, and the last is the total."""
        answer = self.answer
        made = [*self._rows(rows, trends)]
        rest = left(answer, rows)
        if rest:
            made.append((Cell("All others"), Cell(), _money_cell(rest, answer), *(Cell() for _ in range(8))))
        total = cells.money(answer.total, answer.currency)
        share = Cell("100.0%", "1") if Decimal(answer.total) else Cell(fmt.NOTHING)
        closing = (Cell("Total", "Total"), Cell(), total, share, *(Cell() for _ in range(7)))
        return Table("Customers by cost", _columns(answer), tuple(made), closing, sorted_by=self.sorted_by)

    def _rows(self, rows: Sequence[Mapping[str, Value]], trends: Answer | None) -> Iterator[Row]:
        time = buckets(self.days, "day", today=self.days.last)
        lines = matrix(trends, "customer", "day") if trends else {}
        for row in rows:
            name = str(row["customer"])
            path, dot = spark(time.fill(lines.get(name, {}))) if trends else ("", ("", ""))
            yield (
                _who(name, self.known, self.days),
                _plan(name, self.known, self.limits.plans),
                *_money(row, self.answer, self.paid.get(name)),
                *_budget(name, row, self.answer, self.limits),
                cells.count(row.get("active_days")),
                cells.money(row.get("cost_per_active_day"), self.answer.currency, places=2),
                Cell(spark=path, dot=dot),
            )


def _money_cell(amount: Decimal, answer: Answer) -> Cell:
    return cells.money(decimal_text(amount), answer.currency)


def _who(name: str, known: Mapping[str, Record], days: Days) -> Cell:
    if name == UNTAGGED:
        href = explore_link(days, by="service", where={"customer": UNTAGGED})
        return Cell(UNTAGGED, UNTAGGED, href=href, swatch="untagged")
    shown = str(known[name].get("name") or name) if name in known else name
    return Cell(shown, name, href=f"{PATH}/{quote(name, safe='')}")


def _plan(name: str, known: Mapping[str, Record], plans: Mapping[str, str]) -> Cell:
    plan = str((known.get(name) or {}).get("plan") or "")
    return Cell(plans.get(plan, plan), plan) if plan else Cell(fmt.NOTHING, "", tone="muted")


def _money(row: Mapping[str, Value], answer: Answer, paid: Mapping[str, Value] | None) -> list[Cell]:
    cost = cells.money(row[cost_field(answer)], answer.currency, tone="strong")
    share = cells.share(row.get("share"))
    if paid is None or not Decimal(str(paid.get("revenue_usd") or 0)):
        return [cost, share, Cell("no revenue", "", tone="muted"), Cell(fmt.NOTHING, "", tone="muted")]
    margin = cells.money(paid.get("margin_usd"), "USD")
    lost = Decimal(str(paid.get("margin_usd") or 0)) < 0
    return [
        cost,
        share,
        cells.money(paid["revenue_usd"], "USD"),
        replace(margin, tone="c-bad" if lost else ""),
    ]


def _budget(name: str, row: Mapping[str, Value], answer: Answer, limits: Limits) -> list[Cell]:
    limit = limits.of(name)
    if limit is None or limit == 0:
        return [Cell(fmt.NOTHING, "", tone="muted"), Cell(fmt.NOTHING, "", tone="muted")]
    used = cells.number(row, cost_field(answer))
    share = (used / limit).quantize(Decimal("0.000001"))
    shown = gauge(name, used, limit, currency=answer.currency)
    tone = {"ok": "level"}.get(shown.state, shown.state)
    return [
        Cell(f"{fmt.ratio(share)} used", f"{share:f}", bar=shown.settled, tone=tone),
        Cell(fmt.money_round(limit), f"{limit:f}"),
    ]
