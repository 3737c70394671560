"""Prices: the price book as it stands, and every rate of a model with the day it took effect and the day it was
learned (law L6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import cast
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.domain.charge import UNKNOWN
from costweir.domain.money import decimal_text
from costweir.errors import NotFound
from costweir.prices.book import Book
from costweir.prices.rate import ALWAYS, Rate
from costweir.prices.resolve import buckets
from costweir.prices.table import Row as PriceRow
from costweir.queries.request import Request as Question
from costweir.web import charts
from costweir.web import format as fmt
from costweir.web.pages.paging import read_page, span
from costweir.web.pages.shell import Frame, Kit, Now
from costweir.web.pages.table import Cell, Column, Row, Table

PATH = "/settings/prices"
OPERATOR = "operator"
_SHOWN = (
    ("input", "Input"), ("output", "Output"), ("cache_read", "Cache read"), ("cache_write", "Cache write"),
)  # fmt: skip


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/prices` with CSV and Markdown, and `/settings/prices/model?model=&provider=`."""
    lists = [Route(path, kit.handler(build)) for path in (PATH, f"{PATH}.csv", f"{PATH}.md")]
    return [*lists, Route(f"{PATH}/model", kit.handler(show))]


def build(kit: Kit, request: Request) -> Response:
    """`?q=` is part of a model's name, `?provider=` who bills it; without both, the models of the newest bills."""
    now = kit.now()
    query, provider = request.query_params.get("q", "").strip(), request.query_params.get("provider", "")
    missing: list[tuple[str, str]] = []
    try:
        if query or provider:
            rates = list(kit.book().list(provider=provider, match=query, on=now.today))
        else:
            rates, missing = _billed(kit, now)
    except NotFound:
        rates = []
    rates.sort(key=lambda rate: rate.provider != OPERATOR)
    kind = request.url.path.rpartition(".")[2]
    if kind in ("csv", "md"):
        return kit.export(_table(rates, now), kind=kind, name="prices", now=now)
    asked = urlencode([pair for pair in (("q", query), ("provider", provider)) if pair[1]])
    shown = span(
        len(rates), read_page(request),
        lambda number: f"{PATH}?{asked}{'&' if asked else ''}{f'page={number}' if number > 1 else ''}",
    )  # fmt: skip
    context = {
        "table": _table(rates[shown.part], now) if rates else None, "span": shown,
        "query": query, "provider": provider, "count": len(rates),
        "own": sum(1 for rate in rates if rate.provider == OPERATOR),
        "missing": missing, "asked": asked, "providers": _providers(kit, now),
        "csv": f"{PATH}.csv?{asked}", "md": f"{PATH}.md?{asked}",
    }  # fmt: skip
    frame = Frame("prices.html", "Prices", "settings", (("Settings", "/settings/health"), ("Prices", "")))
    return kit.page(request, frame, now=now, context=context)


def _providers(kit: Kit, now: Now) -> list[str]:
    """The providers that have a price today; they change with a release only."""
    names = {rate.provider for rate in kit.book().list(on=now.today)} - {OPERATOR}
    return sorted(names)


def _billed(kit: Kit, now: Now) -> tuple[list[Rate], list[tuple[str, str]]]:
    """The rates of the models of the newest month, and (provider, model) of those without one."""
    if not now.months:
        return [], []
    since = date.fromisoformat(f"{max(now.months)}-01")
    answer = kit.ask({"models": Question("spend", by=("provider", "model"), since=since)}).maybe("models")
    found: dict[str, Rate] = {}
    missing: list[tuple[str, str]] = []
    for row in answer.rows if answer else ():
        provider, model = str(row["provider"]), str(row["model"])
        if model == UNKNOWN:
            continue
        rate = kit.book().find(model, provider=provider, on=now.today)
        if rate is None:
            missing.append((provider, model))
        else:
            found.setdefault(rate.version, rate)
    return sorted(found.values(), key=lambda rate: (rate.provider, rate.model)), missing


def _table(rates: Sequence[Rate], now: Now) -> Table:
    columns = (
        Column("Model", "model", numeric=False), Column("Billed by", "provider", numeric=False),
        Column("Tier", "tier", numeric=False),
        *(Column(title, f"{name}_usd", hint="USD per 1,000,000 tokens") for name, title in _SHOWN),
        Column("Since", "effective"), Column("Learned", "known_from"), Column("From", "source", numeric=False),
    )  # fmt: skip
    rows: list[Row] = []
    for rate in rates:
        own = rate.provider == OPERATOR
        wanted = urlencode({"model": rate.model, **({} if own else {"provider": rate.provider})})
        tier = " ".join(word for word in (rate.tier, rate.routing) if word)
        rows.append(
            (
                Cell(rate.model, rate.model, href=f"{PATH}/model?{wanted}", mono=True),
                _by(rate.provider),
                Cell(tier, tier),
                *(_price(rate.rates.get(name)) for name, _ in _SHOWN),
                _day(rate.effective, now),
                _day(rate.known_from, now),
                Cell("configuration" if own else rate.source, rate.source, tone="nowrap"),
            )
        )
    return Table("Prices in USD per 1,000,000 tokens", columns, tuple(rows))


def _by(provider: str) -> Cell:
    if provider == OPERATOR:
        return Cell("your own", provider, badge=True, tone="info")
    billed = {"google": "gcp"}.get(provider, provider)
    return Cell(provider, provider, swatch=billed if billed in charts.PROVIDERS else "other")


def _price(rate: Decimal | None) -> Cell:
    if rate is None:
        return Cell(fmt.NOTHING, "", tone="muted", title="No price of its own")
    return Cell(fmt.per_million(rate), decimal_text(rate))


def _day(day: date, now: Now) -> Cell:
    if day == ALWAYS:
        return Cell("always", "", title="No source states a first day")
    return Cell(fmt.day(day, today=now.today), day.isoformat())


def show(kit: Kit, request: Request) -> Response:
    """One model, every row that was ever learned, newest last. Raises NotFound for a model without a price."""
    now = kit.now()
    model, provider = request.query_params.get("model", ""), request.query_params.get("provider", "")
    entry = kit.book().show(model, provider=provider)
    rows = cast("Sequence[PriceRow]", entry["rows"])
    own = entry["provider"] == OPERATOR
    sentence = "Your own price, which goes before the book" if own else f"As billed by {entry['provider']}"
    size = cast("int | None", entry["context_tokens"])
    shipped = _shipped(model, provider, now) if own else None
    context = {
        "shipped": shipped, "model": str(entry["model"]), "asked": model, "sentence": sentence, "own": own,
        "table": _history(rows, now), "evidence": _evidence(rows), "size": fmt.count(size) if size else "",
        "stub": _stub(str(entry["model"]), provider, now),
    }  # fmt: skip
    crumbs = (("Settings", "/settings/health"), ("Prices", PATH), (str(entry["model"]), ""))
    return kit.page(
        request, Frame("price.html", f"Price of {model}", "settings", crumbs), now=now, context=context
    )


def _shipped(model: str, provider: str, now: Now) -> Table | None:
    """What the book says where the operator's own price goes before it."""
    try:
        rows = cast("Sequence[PriceRow]", Book.load().show(model, provider=provider)["rows"])
    except NotFound:
        return None
    return _history(rows, now)


def _history(rows: Sequence[PriceRow], now: Now) -> Table:
    columns = (
        Column("Tier", "tier", numeric=False), Column("Applies", "applies", numeric=False),
        Column("Rate", "bucket", numeric=False), Column("Price", "usd"),
        Column("Takes effect", "effective", hint="First day on which it holds"),
        Column("Learned", "known_from", hint="Day on which the book learned it"),
        Column("From", "source", numeric=False),
    )  # fmt: skip
    found: list[Row] = []
    for row in rows:
        tier = " ".join(word for word in (row.key.tier, row.key.routing) if word)
        ends = (_day(row.effective, now), _day(row.known_from, now), Cell(row.source, row.source))
        if row.ended:
            found.append(
                (Cell(tier, tier), Cell("ended"), Cell(), Cell("ended", badge=True, tone="neutral"), *ends)
            )
        for applies, rates in _bands(row):
            found += [
                (
                    Cell(tier, tier),
                    Cell(applies, applies),
                    Cell(name.replace("_", " "), name),
                    _amount(name, text),
                    *ends,
                )
                for name, text in rates.items()
            ]
    return Table("Every price that was learned", columns, tuple(found[:200]))


def _bands(row: PriceRow) -> list[tuple[str, Mapping[str, str]]]:
    hours = f"{row.key.hours} UTC" if row.key.hours else ""
    base = hours or "always"
    return [(base, row.rates), *((f"above {fmt.count(above)} tokens", rates) for above, rates in row.bands)]


def _amount(bucket: str, text: str) -> Cell:
    price = Decimal(text)
    per = buckets()[bucket].per if bucket in buckets() else 1
    shown = fmt.per_million(price) if per != 1 else fmt.money(price)
    return Cell(f"{shown} per {_unit(bucket, per)}", decimal_text(price))


def _unit(bucket: str, per: int) -> str:
    if per == 1_000_000:
        return "1M"
    return "hour" if per == 3600 else "unit" if per == 1 else fmt.count(per)


def _evidence(rows: Sequence[PriceRow]) -> list[str]:
    return list(dict.fromkeys(row.evidence for row in rows if row.evidence.startswith("https://")))[:5]


def _stub(model: str, provider: str, now: Now) -> str:
    """The lines that set an own price, with the amounts left to fill in."""
    lines = ["[[prices]]", f'model = "{model}"']
    if provider:
        lines.append(f'provider = "{provider}"')
    return "\n".join([*lines, f"effective = {now.today.isoformat()}", 'input = ""', 'output = ""'])
