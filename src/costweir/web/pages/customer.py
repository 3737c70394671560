"""One customer: what it costs by model and feature, per day, against its budget and its revenue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from costweir.domain.answer import Answer
from costweir.domain.answer import Cell as Value
from costweir.domain.charge import UNTAGGED
from costweir.domain.money import decimal_text
from costweir.errors import NotFound
from costweir.insights.breakdown import cost_field, fold, left, through
from costweir.queries.request import Request as Question
from costweir.web import charts
from costweir.web import format as fmt
from costweir.web.desk import Record
from costweir.web.pages import rows as cells
from costweir.web.pages.asking import Answers
from costweir.web.pages.limits import gauge, read_limits
from costweir.web.pages.marks import Subject, read_marks
from costweir.web.pages.overview_head import Tile
from costweir.web.pages.period import choices, read_days
from costweir.web.pages.series import Buckets, Meaning, Stack, buckets, provisional, stack
from costweir.web.pages.shell import Frame, Kit, Now, complete_days, json_link, provisional_from, sources_for
from costweir.web.pages.table import Cell, Column, Row, Table, with_bars
from costweir.web.pages.view import Days, View, explore_link, like_days

_NOTHING: Mapping[str, Value] = {}


def build(kit: Kit, request: Request) -> Response:
    """`/customers/<id>`. Raises NotFound for a customer that neither the list nor any bill knows."""
    now = kit.now()
    name = str(request.path_params["id"])
    known = next((entry for entry in kit.desk.customers() if entry["id"] == name), None)
    title = str(known.get("name") or name) if known else name
    frame = Frame(
        "customer.html", title, "customers", (("Customers", "/customers"), (title, "")), charts=True
    )
    if now.empty:
        return kit.page(request, frame, now=now, context={"empty": True, "heading": title})
    days = read_days(kit, request, now)
    sources = sources_for(kit, now, metered=now.metered)
    compared = complete_days(days, sources)
    found = _ask(kit, name, days, like_days(compared or days))
    models = found.need("models")
    if known is None and not models.rows and not _was_ever_billed(kit, name):
        raise NotFound(f"There is no customer {name!r}.", hint="See all customers under /customers.")
    parts = fold(models, "model", named=6)
    open_from = provisional_from(sources, now.today)
    stacked, time = _stack(name, days, found, ends=(open_from, now.today))
    subject = Subject({"customer": (name,)}, {"model": tuple(model for model, _ in parts.named)})
    marks = read_marks(kit, request, time, days=days, subject=subject)
    limits = read_limits(kit.desk)
    limit, plan = limits.of(name), str((known or {}).get("plan") or "")
    total = Decimal(models.total)
    chart = charts.over_time(
        charts.Frame(f"Spend of {title} per day by model", time.labels, models.currency, dots=marks.dots),
        stacked.series,
    )
    context = {
        "empty": False, "heading": title, "known": known is not None,
        "edit": _edit_link(name, known), "plan": limits.plans.get(plan, plan), "answer": models,
        "tiles": _tiles(found, limit, _delta(found, days, compared, now=now)),
        "sources": () if now.metered else sources,
        "json_link": json_link(_spend(name, days, "model")),
        "gauge": gauge(title, total, limit, currency=models.currency) if limit else None,
        "chart": chart, "keys": _keys(stacked), "hatched": any(one.provisional for one in stacked.series),
        "finding": _finding(title, models), "nothing": not models.rows and not parts.total,
        "models": _split(models, "model", name, days),
        "features": _split(found.need("features"), "feature", name, days),
        "explore": explore_link(days, by="model", where={"customer": name}), "problems": found.problems,
        "twin": _twin(stacked, time.labels, models.currency), "annotated": marks,
        **choices(f"/customers/{name}", days, now=now).context(),
    }  # fmt: skip
    return kit.page(request, frame, now=now, context=context)


def _edit_link(name: str, known: Record | None) -> str:
    """The form of a customer that is listed, or the one that adds it under the id that the bills name."""
    wanted = {"id": name} if known else {"new": name}
    return f"/settings/customers/edit?{urlencode(wanted)}"


def _was_ever_billed(kit: Kit, name: str) -> bool:
    return bool(kit.desk.ask(Question("spend", ("customer",), {"customer": (name,)})).rows)


def _spend(name: str, days: Days, *by: str) -> Question:
    return Question("spend", by, {"customer": (name,)}, days.first, days.until)


def _ask(kit: Kit, name: str, days: Days, before: Days) -> Answers:
    return kit.ask(
        {
            "models": _spend(name, days, "model"),
            "features": _spend(name, days, "feature"),
            "per_day": _spend(name, days, "model", "day"),
            "before": _spend(name, before, "model"),
            "margin": Question("margin", ("customer",), {"customer": (name,)}, days.first, days.until),
            "unit": Question("customers", ("customer",), {"customer": (name,)}, days.first, days.until),
        }
    )


def _stack(name: str, days: Days, found: Answers, *, ends: tuple[date, date]) -> tuple[Stack, Buckets]:
    """The chart's series and their buckets; `ends` are the first provisional day and today."""
    parts, per_day = fold(found.need("models"), "model", named=6), found.need("per_day")
    time = buckets(days, "day" if days.count <= 62 else "month", today=ends[1])
    late = provisional(time, ends[0])
    shown = [member for member, _ in parts.named]
    links = {
        model: View(days, "feature", where={"customer": (name,), "model": (model,)}).url() for model in shown
    }
    count = "" if parts.others is None else f" ({fmt.plural(parts.others, 'model')})"
    meaning = Meaning("model", charts.tokens("model", shown), {}, links, late, f"Other{count}")
    return stack(parts, per_day, per_day, time, meaning=meaning), time


def _delta(found: Answers, days: Days, compared: Days | None, *, now: Now) -> str:
    """The change of the complete days against like days, with both named where these are not all."""
    if compared is None:
        return f"Not compared: {'no day of it is over' if now.metered else 'no day has been delivered by all sources'}"
    before, after = found.need("before"), through(found.need("per_day"), compared.last)
    base = like_days(compared)
    words = fmt.days(base.first, base.last, today=now.today)
    delta = fmt.delta(after, Decimal(before.total), base=words, currency=before.currency)
    own = "" if compared == days else f"{fmt.days(compared.first, compared.last, today=now.today)}: "
    return own + delta.text


def _tiles(found: Answers, limit: Decimal | None, delta: str) -> list[Tile]:
    models = found.need("models")
    total, money = Decimal(models.total), models.currency
    tiles = [Tile("Cost", fmt.money(total, money, places=2), note=delta)]
    paid = found.maybe("margin")
    row = _only(paid)
    revenue = cells.number(row, "revenue_usd")
    if revenue:
        margin = cells.number(row, "margin_usd")
        badge = "Costs more than it pays" if margin < 0 else ""
        tiles.append(Tile("Revenue", fmt.money(revenue), note=_earned(row, revenue)))
        share = fmt.percent(margin, revenue)
        tiles.append(
            Tile(
                "Margin",
                fmt.money(margin),
                badge=badge,
                tone="bad",
                note="" if badge else f"{share} of revenue",
            )
        )
    else:
        tiles.append(Tile("Revenue", fmt.NOTHING, note="no plan with a price"))
    if limit:
        tiles.append(Tile("Budget a month", fmt.money_round(limit), note=f"{fmt.percent(total, limit)} used"))
    unit = found.maybe("unit")
    row = _only(unit)
    active = cells.number(row, "active_days")
    daily = cells.number(row, "cost_per_active_day")
    tiles.append(Tile("Active days", fmt.count(active), note=f"{fmt.money(daily, money)} per active day"))
    return tiles


def _earned(row: Mapping[str, Value], revenue: Decimal) -> str:
    """What the revenue is: the whole price of the plan, or the share of the days so far."""
    whole = cells.number(row, "full_revenue_usd") or revenue
    if whole == revenue:
        return "its plan's price"
    return f"its plan's price of {fmt.money_round(whole)}, the share of these days"


def _only(answer: Answer | None) -> Mapping[str, Value]:
    """The one row of an answer about one customer; empty without it."""
    return answer.rows[0] if answer and answer.rows else _NOTHING


def _keys(stacked: Stack) -> list[tuple[str, str, str]]:
    return [(one.label, one.token, one.href) for one in stacked.series]


def _finding(title: str, models: Answer) -> str:
    top = next(iter(fold(models, "model", named=1).named), None)
    if top is None:
        return f"{title} cost nothing in these days."
    amount = fmt.money(top[1], models.currency)
    return f"Spend of {title} per day by model. {top[0]} is largest with {amount}. The table has every value."


def _split(answer: Answer, dimension: str, name: str, days: Days) -> Table:
    field, money = cost_field(answer), answer.currency
    columns = (
        Column(dimension.capitalize(), dimension, numeric=False), Column("Cost", field),
        Column("Share as a bar", numeric=False, wide=True, silent=True), Column("Share", "share"),
        Column("Tokens", "tokens"),
    )  # fmt: skip
    following = "feature" if dimension == "model" else "model"
    rows: list[Row] = []
    shown = answer.rows[:20]
    for row in shown:
        member = str(row[dimension])
        href = explore_link(days, by=following, where={"customer": name, dimension: member})
        first = Cell(member, member, href=href, badge=member == UNTAGGED, mono=dimension == "model")
        paid = cells.money(row[field], money, tone="strong")
        rows.append(
            (first, paid, Cell(bar="0%"), cells.share(row.get("share")), cells.count(row.get("tokens")))
        )
    rows = with_bars(rows, 2, [cells.number(row, field) for row in shown])
    rest = left(answer, shown)
    if rest:
        rows.append((Cell("All others"), cells.money(decimal_text(rest), money), Cell(), Cell(), Cell()))
    total = (Cell("Total", "Total"), cells.money(answer.total, money), Cell(), Cell("100.0%", "1"), Cell())
    return Table(f"Cost by {dimension}", columns, tuple(rows), total)


def _twin(stacked: Stack, labels: tuple[str, ...], money: str) -> Table:
    columns = (
        Column("Day (UTC)", "day", numeric=False), *(Column(one.label, one.label) for one in stacked.series),
        Column("Total", "total"),
    )  # fmt: skip
    rows: list[Row] = []
    for place in reversed(range(len(labels))):
        amounts = [*(one.values[place] for one in stacked.series), stacked.totals[place]]
        rows.append((Cell(labels[place]), *(Cell(fmt.money(amount, money, places=2)) for amount in amounts)))
    return Table("Spend per day by model", columns, tuple(rows))
