"""Models: what each costs, for which direction, and what a thousand of its tokens cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.domain.answer import Answer
from costweir.domain.answer import Cell as Value
from costweir.domain.money import decimal_text
from costweir.insights.breakdown import cost_field, left
from costweir.queries.request import Request as Question
from costweir.web import charts
from costweir.web import format as fmt
from costweir.web.pages import rows as cells
from costweir.web.pages.paging import read_page, span
from costweir.web.pages.period import choices, read_days
from costweir.web.pages.shell import Frame, Kit, json_link
from costweir.web.pages.table import Cell, Column, Row, Table, ordered, with_bars
from costweir.web.pages.view import Days, explore_link

PATH = "/customers/models"
#: Models that are asked for; the CSV has them all, the page 25 at a time.
MOST = 10_000
_CLASSES = (
    ("input", "Input"),
    ("output", "Output"),
    ("cache_read", "Cache read"),
    ("cache_write", "Cache write"),
)


def routes(kit: Kit) -> list[BaseRoute]:
    """`/customers/models`, also as `/models`, with CSV and Markdown."""
    paths = (PATH, f"{PATH}.csv", f"{PATH}.md", "/models")
    return [Route(path, kit.handler(build)) for path in paths]


def build(kit: Kit, request: Request) -> Response:
    """Ranked by cost; `?sort=` takes any column."""
    now = kit.now()
    frame = Frame("models.html", "Models", "customers", (("Customers", "/customers"), ("Models", "")))
    if now.empty:
        return kit.page(request, frame, now=now, context={"empty": True})
    days = read_days(kit, request, now)
    asked = "sessions" if now.metered else "models"
    question = Question(asked, by=("model",), since=days.first, until=days.until, limit=MOST)
    found = kit.ask({"models": question})
    answer = found.need("models")
    sort = request.query_params.get("sort", "")
    sheet = _calls if now.metered else _both
    rows = ordered(answer.rows, partial(sheet, answer, days, sort), sort)
    title = f"Models, {fmt.days(days.first, days.last, today=now.today)}"
    menu = choices(PATH, days, now=now, sort=sort)
    shown = span(len(rows), read_page(request), menu.page_url)
    kind = request.url.path.rpartition(".")[2]
    part = rows if kind == "csv" else rows[shown.part]
    if kind in ("csv", "md"):
        both = replace(sheet(answer, days, sort, part), title=title)
        return kit.export(both, kind=kind, name=f"models-{days.first}-to-{days.last}", now=now)
    if now.metered:
        tables = {"cost": _calls(answer, days, sort, part)}
    else:
        tables = {"cost": _costs(answer, part, days, sort), "tokens": _tokens(answer, part, days, sort)}
    context = {
        "empty": False, "answer": answer, "tables": tables, "problems": found.problems, "span": shown,
        "json_link": json_link(question), **menu.context(shown.number),
        "total": fmt.money(Decimal(answer.total), answer.currency, places=2), "count": len(answer.rows),
    }  # fmt: skip
    return kit.page(request, frame, now=now, context=context)


def _first(rows: Sequence[Mapping[str, Value]], days: Days) -> list[Cell]:
    names = [str(row["model"]) for row in rows]
    return [
        Cell(name, name, href=explore_link(days, by="customer", where={"model": name}),
             swatch=charts.model_tint(name), mono=True)
        for name in names
    ]  # fmt: skip


def _costs(answer: Answer, wanted: Sequence[Mapping[str, Value]], days: Days, sort: str) -> Table:
    field, money = cost_field(answer), answer.currency
    columns = (
        Column("Model", "model", numeric=False, sort="model"),
        Column("Cost", f"{field}_{money.lower()}", sort="cost"),
        Column("Share as a bar", numeric=False, wide=True, silent=True),
        Column("Share", "share", sort="share"),
        Column(
            "Per 1K tokens",
            "cost_per_1k_tokens",
            sort="unit",
            hint="Over the lines that are billed in tokens",
        ),
        *(Column(title, f"{name}_cost", sort=name) for name, title in _CLASSES),
        Column("Other", "other_cost", sort="other", hint="Embeddings, images, hours, capacity and fees"),
        Column("Customers", "customers", sort="customers"),
    )
    rows: list[Row] = []
    for first, row in zip(_first(wanted, days), wanted, strict=True):
        rows.append(
            (
                first,
                cells.money(row[field], money, tone="strong"),
                Cell(bar="0%", tone=first.swatch),
                cells.share(row.get("share")),
                cells.per_thousand(row.get("cost_per_1k_tokens"), money),
                *(cells.matrix(row.get(f"{name}_cost"), money) for name, _ in _CLASSES),
                cells.matrix(row.get("other_cost"), money),
                cells.count(row.get("customers")),
            )
        )
    rows = with_bars(rows, 2, [cells.number(row, field) for row in wanted])
    rest = left(answer, wanted)
    if rest:
        others = cells.money(decimal_text(rest), money)
        rows.append((Cell("All others", "All others"), others, *(Cell() for _ in range(len(columns) - 2))))
    total = _total(answer, len(columns))
    return Table("Cost by model", columns, tuple(rows), total, sorted_by=sort or "-cost")


def _calls(answer: Answer, days: Days, sort: str, wanted: Sequence[Mapping[str, Value]]) -> Table:
    """The same of metered calls: each is priced whole, so that there is a price of a call and none of a class."""
    field, money = cost_field(answer), answer.currency
    columns = (
        Column("Model", "model", numeric=False, sort="model"),
        Column("Cost", f"{field}_{money.lower()}", sort="cost"),
        Column("Share as a bar", numeric=False, wide=True, silent=True),
        Column("Share", "share", sort="share"),
        Column("Calls", "calls", sort="calls"),
        Column("Per call", "cost_per_call", sort="unit"),
        Column("Tokens", "tokens", sort="tokens"),
        Column("Input", "input_tokens", sort="input"),
        Column("Output", "output_tokens", sort="output"),
    )
    rows: list[Row] = []
    for first, row in zip(_first(wanted, days), wanted, strict=True):
        rows.append(
            (
                first,
                cells.money(row[field], money, tone="strong"),
                Cell(bar="0%", tone=first.swatch),
                cells.share(row.get("share")),
                cells.count(row.get("calls")),
                cells.money(row.get("cost_per_call"), money, places=None),
                *(cells.count(row.get(name)) for name in ("tokens", "input_tokens", "output_tokens")),
            )
        )
    rows = with_bars(rows, 2, [cells.number(row, field) for row in wanted])
    rest = left(answer, wanted)
    if rest:
        others = cells.money(decimal_text(rest), money)
        rows.append((Cell("All others", "All others"), others, *(Cell() for _ in range(len(columns) - 2))))
    total = _total(answer, len(columns))
    return Table("Cost by model", columns, tuple(rows), total, sorted_by=sort or "-cost")


def _tokens(answer: Answer, wanted: Sequence[Mapping[str, Value]], days: Days, sort: str) -> Table:
    money = answer.currency
    columns = (
        Column("Model", "model", numeric=False, sort="model"),
        Column("Tokens", "tokens", sort="tokens"),
        *(Column(title, f"{name}_tokens", sort=f"{name}_tokens") for name, title in _CLASSES),
        Column("Input per 1K", "input_cost_per_1k_tokens", sort="unit_in"),
        Column("Output per 1K", "output_cost_per_1k_tokens", sort="unit_out"),
    )
    rows: list[Row] = []
    for first, row in zip(_first(wanted, days), wanted, strict=True):
        rows.append(
            (
                first,
                replace(cells.count(row.get("tokens")), tone="strong"),
                *(cells.count(row.get(f"{name}_tokens")) for name, _ in _CLASSES),
                cells.per_thousand(row.get("input_cost_per_1k_tokens"), money),
                cells.per_thousand(row.get("output_cost_per_1k_tokens"), money),
            )
        )
    return Table("Tokens by model", columns, tuple(rows), sorted_by=sort)


def _total(answer: Answer, width: int) -> Row:
    amount = cells.money(answer.total, answer.currency)
    share = Cell("100.0%", "1") if Decimal(answer.total) else Cell(fmt.NOTHING)
    return (Cell("Total", "Total"), amount, Cell(), share, *(Cell() for _ in range(width - 4)))


def _both(answer: Answer, days: Days, sort: str, wanted: Sequence[Mapping[str, Value]]) -> Table:
    return _merged(_costs(answer, wanted, days, sort), _tokens(answer, wanted, days, sort))


def _merged(costs: Table, tokens: Table) -> Table:
    """One table for the export: both halves side by side, in the order of the first."""
    by_name = {row[0].raw: row[1:] for row in tokens.rows}
    nothing = tuple(Cell() for _ in tokens.columns[1:])
    rows = tuple((*row, *by_name.get(row[0].raw, nothing)) for row in costs.rows)
    total = (*costs.total, *nothing)
    return Table(costs.title, (*costs.columns, *tokens.columns[1:]), rows, total)
