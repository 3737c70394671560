"""Explore: any dimension over any days, against the period before; the URL is the whole state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import cast

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.domain.answer import Answer
from costweir.domain.charge import UNTAGGED
from costweir.insights.breakdown import Breakdown, fold, largest, pick
from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.request import Request as Question
from costweir.web import charts
from costweir.web import format as fmt
from costweir.web.pages.explore_table import Part, explore_table, ordered_members
from costweir.web.pages.marks import Subject, read_marks
from costweir.web.pages.paging import Span, span
from costweir.web.pages.series import Meaning, Stack, align, buckets, named_members, provisional, stack
from costweir.web.pages.shell import (
    Frame,
    Kit,
    Now,
    Source,
    complete_days,
    json_link,
    last_day,
    month_days,
    provisional_from,
    sources_for,
)
from costweir.web.pages.table import Table
from costweir.web.pages.view import BASES, MARKS, MOST_ROWS, PER, TIME, Days, View, like_days, read_view

#: Members that are asked for at most; the rest arrives as the answer's own `other`.
MOST = 10_000
#: The question behind the table; it has the cost of spend, and tokens and unit price beside it. A call has no lines by
#: token class, so that calls have no unit price and spend itself is asked.
TABLE = "unit_cost"
SPEND = "spend"
METERED = "metered"
#: Series that have a name and a colour in the chart.
NAMED = 6
#: Groupings that are offered first.
FIRST = ("provider", "model", "customer", "token_class", "feature", "project", "plan", "service")
#: The same for calls, which bills do not know one by one.
FIRST_OF_CALLS = ("model", "customer", "session", "key", "plan", "feature", "project", "provider")
LABELS = {"token_class": "token class", "usage_type": "usage type", "sub_account": "sub-account"}


def routes(kit: Kit) -> list[BaseRoute]:
    """`/explore`, and the same view as CSV and Markdown."""
    return [
        Route("/explore", kit.handler(build)),
        Route("/explore.csv", kit.handler(build)),
        Route("/explore.md", kit.handler(build)),
    ]


@dataclass(frozen=True, slots=True)
class Known:
    """What a view can rest on: calls that were `metered` or lines of bills, what says which days are whole, and what
    there is to split by."""

    metered: bool
    sources: tuple[Source, ...]
    dimensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The view with everything that was answered for it. `compared` are its complete days; only these are compared
    with `days_before`. `like` answers them where they are not all. `parts` are the rows of the page, `few` the series
    of the chart."""

    view: View
    known: Known
    compared: Days
    days_before: Days
    now: Answer
    like: Answer | None
    before: Answer | None
    parts: Breakdown
    few: Breakdown
    span: Span
    names: Mapping[str, str]


def build(kit: Kit, request: Request) -> Response:
    """Answers the view in the URL; adding a filter by form redirects to the address that has it."""
    now = kit.now()
    wanted = request.query_params.get("basis", "")
    metered = wanted == METERED or (not wanted and now.metered)
    dimensions = _dimensions(kit, metered=metered)
    last = last_day(kit, now)
    default = month_days(now, "", last=last)
    view = read_view(
        request.query_params.multi_items(), default=default, dimensions=dimensions, bases=(*BASES, METERED)
    )
    added = _added(view)
    if added:
        return RedirectResponse(added.url(), 303)
    if now.empty:
        frame = Frame("explore.html", "Explore", "explore", (("Explore", ""),))
        return kit.page(request, frame, now=now, context={"empty": True})
    asked = _ask(kit, view, Known(metered, sources_for(kit, now, metered=metered), dimensions))
    title = _title(asked)
    if not asked.now.rows:
        return _nothing(kit, request, asked, now=now)
    name = f"spend-by-{view.by}-{view.days.first}-to-{view.days.last}"
    if request.url.path.endswith(".csv"):
        return kit.export(_whole_table(asked, now), kind="csv", name=name, now=now)
    shown = _draw(kit, request, asked, now=now)
    if request.url.path.endswith(".md"):
        return kit.export(replace(shown.table, title=title), kind="md", name=name, now=now)
    context = {
        "empty": False,
        "nothing": None,
        **shown.context,
        **_frame_context(asked, now),
    }
    frame = Frame("explore.html", title, "explore", _crumbs(asked), charts=True)
    return kit.page(request, frame, now=now, context=context)


def _whole_table(asked: Asked, now: Now) -> Table:
    """Every row that the filters leave, for the CSV; what the page shows is a part of it."""
    whole = replace(asked, parts=pick(asked.now, asked.view.by, largest(asked.now, asked.view.by)))
    return explore_table(_part(whole, _meaning(whole)), (), before=asked.before, base=_base(asked, now))


@dataclass(frozen=True, slots=True)
class Drawn:
    """The table, and what the template needs to show it under its chart."""

    table: Table
    context: Mapping[str, object]


def _draw(kit: Kit, request: Request, asked: Asked, *, now: Now) -> Drawn:
    """The series over time: the chart names six members, the table as many as the view wants."""
    view, found, known = asked.view, kit.ask(_by_time(asked)), asked.known.sources
    time = buckets(view.days, view.per, today=now.today)
    meaning = replace(_meaning(asked), provisional=provisional(time, provisional_from(known, now.today)))
    members, whole = found.need("members"), found.need("whole")
    listed = stack(asked.parts, members, whole, time, meaning=meaning)
    stacked = stack(
        asked.few, members, whole, time, meaning=replace(meaning, other=_other(asked.few, view.by))
    )
    before_days = found.maybe("before")
    earlier = buckets(asked.days_before, view.per, today=now.today)
    totals = earlier.fill(_by_day(before_days)) if before_days else ()
    named = {view.by: tuple(name for name, _ in (*asked.few.named, *asked.parts.named))}
    marks = read_marks(kit, request, time, days=view.days, subject=Subject(view.where, named))
    chart = charts.over_time(
        charts.Frame(_title(asked), time.labels, asked.now.currency, height=250, dots=marks.dots),
        stacked.series,
        mark=view.mark,
        before=align(totals, len(time.labels)),
    )
    table = explore_table(_part(asked, meaning), listed.series, before=asked.before, base=_base(asked, now))
    context = {
        "chart": chart,
        "annotated": marks,
        "keys": _keys(asked, stacked),
        "finding": _finding(asked, stacked.totals, time.labels),
        "table": table,
        "hatched": view.mark != "lines" and any(one.provisional for one in stacked.series),
        "problems": found.problems,
    }
    return Drawn(table, context)


def _keys(asked: Asked, stacked: Stack) -> list[tuple[str, str, str]]:
    """A legend of its own where the table, which else is the legend, is at another page or in another order."""
    listed = {name for name, _ in asked.parts.named}
    if all(name in listed for name, _ in asked.few.named):
        return []
    return [(one.label, one.token, one.href) for one in stacked.series]


def _dimensions(kit: Kit, *, metered: bool) -> tuple[str, ...]:
    wanted, first = (SPEND, FIRST_OF_CALLS) if metered else (TABLE, FIRST)
    table = next(question for question in kit.desk.questions() if question["id"] == wanted)
    known = cast("list[str]", table["dimensions"])
    if metered:
        known = [name for name in known if DIMENSION_TABLE[name].calls]
    return (*(name for name in first if name in known), *(name for name in known if name not in first))


def _added(view: View) -> View | None:
    """The view with the filter that the form added as `add=DIM&value=TEXT`, or None."""
    extra = dict(view.unknown)
    dimension, value = extra.get("add", ""), extra.get("value", "").strip()
    if not dimension or not value:
        return None
    unknown = tuple(item for item in view.unknown if item[0] not in ("add", "value"))
    kept = tuple(item for item in view.where.get(dimension, ()) if item != value)
    return replace(view, where={**view.where, dimension: (*kept, value)}, unknown=unknown)


def _question(view: View, days: Days, by: tuple[str, ...]) -> Question:
    return Question(SPEND, by=by, where=view.where, since=days.first, until=days.until, basis=view.basis)


def _listed(view: View, days: Days, known: Known) -> Question:
    question = SPEND if known.metered else TABLE
    return replace(_question(view, days, (view.by,)), question=question, limit=MOST)


def _ask(kit: Kit, view: View, known: Known) -> Asked:
    compared = complete_days(view.days, known.sources)
    before_days = like_days(compared or view.days, weeks=view.per == "week")
    wanted = {"now": _listed(view, view.days, known)}
    if view.vs != "none" and compared is not None:
        wanted["before"] = _listed(view, before_days, known)
        if compared != view.days:
            wanted["like"] = _listed(view, compared, known)
    found = kit.ask(wanted)
    answer = found.need("now")
    names: dict[str, str] = {}
    if view.by == "customer" or "customer" in view.where:
        names = {str(known["id"]): str(known.get("name") or known["id"]) for known in kit.desk.customers()}
    before = found.maybe("before")
    before = before if before and before.rows else None
    like = found.maybe("like") if before else None
    few = fold(answer, view.by, named=min(view.rows, NAMED))
    members = largest(answer, view.by)
    part = span(len(members), view.page, lambda number: replace(view, page=number).url(), size=view.rows)
    asked = Asked(
        view, known, compared or view.days, before_days, answer, like, before, few, few, part, names
    )
    if view.sort:
        whole = replace(asked, parts=pick(answer, view.by, members))
        members = ordered_members(_part(whole, _meaning(whole)), before)
    return replace(asked, parts=pick(answer, view.by, members[part.part]))


def _by_time(asked: Asked) -> dict[str, Question]:
    view = asked.view
    kept = view.where.get(view.by)
    members = dict.fromkeys((*named_members(asked.few), *named_members(asked.parts)))
    named = {view.by: tuple(name for name in members if kept is None or name in kept)}
    wanted = {
        "members": _question(replace(view, where={**view.where, **named}), view.days, (view.by, "day")),
        "whole": _question(view, view.days, ("day",)),
    }
    if asked.before is not None:
        wanted["before"] = _question(view, asked.days_before, ("day",))
    return wanted


def _by_day(answer: Answer) -> dict[str, Decimal]:
    field = f"{answer.basis}_cost"
    return {str(row["day"]): Decimal(str(row[field] or 0)) for row in answer.rows}


def _meaning(asked: Asked) -> Meaning:
    """Colours are those of the chart, which names the largest; the rows of later pages are in its Other."""
    view, parts = asked.view, asked.parts
    members = [name for name, _ in (*asked.few.named, *parts.named)]
    tokens = charts.tokens(view.by, [name for name, _ in asked.few.named])
    if parts.untagged is not None:
        tokens[UNTAGGED] = UNTAGGED
    offered = asked.known.dimensions
    links = {name: view.only(view.by, name, known=offered).url() for name in (*members, UNTAGGED)}
    return Meaning(view.by, tokens, asked.names, links, {}, _other(parts, view.by))


def _other(parts: Breakdown, dimension: str) -> str:
    """`Other (34 customers)`."""
    return "Other" if parts.others is None else f"Other ({fmt.plural(parts.others, _label(dimension))})"


def _part(asked: Asked, meaning: Meaning) -> Part:
    return Part(asked.now, asked.parts, meaning, _label(asked.view.by), asked.view.sort, asked.like)


def _label(dimension: str) -> str:
    return LABELS.get(dimension, dimension.replace("_", " "))


def _title(asked: Asked) -> str:
    return f"Spend by {_label(asked.view.by)}"


def _base(asked: Asked, now: Now) -> tuple[str, str, str]:
    """In words: the days of the view, those that are compared, and those they are compared with."""
    ranges = (asked.view.days, asked.compared, asked.days_before)
    shown = [fmt.days(days.first, days.last, today=now.today) for days in ranges]
    return shown[0], shown[1], shown[2]


def _filters(asked: Asked) -> list[dict[str, str]]:
    return [
        {
            "name": f"{_label(name)} is",
            "value": ", ".join(
                asked.names.get(value, value) if name == "customer" else value for value in values
            ),
            "drop": asked.view.without(name).url(),
            "key": name,
        }
        for name, values in asked.view.where.items()
    ]


def _crumbs(asked: Asked) -> tuple[tuple[str, str], ...]:
    plain = replace(asked.view, where={}, by="provider", sort="", rows=6)
    path: list[tuple[str, str]] = [("Explore", plain.url())]
    where: dict[str, tuple[str, ...]] = {}
    for chip in _filters(asked):
        where[chip["key"]] = asked.view.where[chip["key"]]
        path.append((f"{chip['name']} {chip['value']}", replace(asked.view, where=dict(where)).url()))
    return tuple(path)


def _finding(asked: Asked, totals: tuple[Decimal, ...], labels: tuple[str, ...]) -> str:
    """The sentence that the chart stands for, for those who do not see it."""
    money = asked.now.currency
    top = asked.few.named[0] if asked.few.named else None
    highest = max(range(len(totals)), key=lambda place: totals[place]) if totals else 0
    first = f"{asked.names.get(top[0], top[0])} is largest with {fmt.money(top[1], money)}. " if top else ""
    peak = f"Highest is {labels[highest]} with {fmt.money(totals[highest], money)}. " if totals else ""
    return f"{_title(asked)} per {asked.view.per}. {first}{peak}The table below has every value."


def _frame_context(asked: Asked, now: Now) -> dict[str, object]:
    view, answer, known = replace(asked.view, page=1), asked.now, asked.known
    total = Decimal(answer.total)
    now_text, like_text, before_text = _base(asked, now)
    delta = None
    if asked.before is not None:
        after = Decimal((asked.like or answer).total)
        delta = fmt.delta(after, Decimal(asked.before.total), base=before_text, currency=answer.currency)
    query = view.url("").lstrip("/")
    choices = [name for name in known.dimensions if name not in TIME]
    return {
        "heading": _title(asked), "view": view, "answer": answer, "delta": delta,
        "total": fmt.money(total, answer.currency), "range": now_text, "base": before_text,
        "compared": f"{like_text}: " if asked.like else "",
        "uncompared": _uncompared(asked, before_text),
        "metered": known.metered,
        "sources": () if known.metered else known.sources,
        "chips": _filters(asked),
        "span": asked.span,
        "json_link": json_link(_listed(view, view.days, known)),
        "groups": [
            (_label(name), replace(view, by=name, sort="").url(), name == view.by) for name in choices
        ],
        "pers": [(name, replace(view, per=name).url(), name == view.per) for name in PER],
        "marks": [(name, replace(view, mark=name).url(), name == view.mark) for name in MARKS],
        "bases": [(name, _on(view, name).url(), name == answer.basis) for name in _bases(now, known)],
        "compare": {name: replace(view, vs=name).url() for name in ("prev", "none")},
        "ranges": _ranges(view, now), "dimensions": [(name, _label(name)) for name in choices],
        "here": asked.view.url(),
        "clear": replace(view, where={}, unknown=()).url(),
        "unknown": [(name, value, _drop_unknown(view, name).url()) for name, value in view.unknown],
        "csv": f"/explore.csv{query}", "md": asked.view.url("/explore.md"),
        "sort_url": _sorter(view),
        "more": replace(view, rows=MOST_ROWS).url() if view.rows < MOST_ROWS and asked.parts.others else "",
        "fewer": replace(view, rows=6).url() if view.rows > 6 else "",
    }  # fmt: skip


def _uncompared(asked: Asked, before: str) -> str:
    """Why there is no comparison."""
    whole = complete_days(asked.view.days, asked.known.sources)
    if asked.known.metered:
        return f"no call in {before}" if whole else "not compared, because no day of it is over"
    if whole:
        return f"nothing loaded for {before}"
    return "not compared, because no day of it has been delivered by all sources"


def _bases(now: Now, known: Known) -> tuple[str, ...]:
    """Without a bill there is what was metered and nothing to list or contract."""
    if now.metered:
        return (METERED, "billed")
    return (*BASES, METERED) if known.metered else BASES


def _on(view: View, basis: str) -> View:
    """The view on another basis, by provider where that does not know its dimension."""
    dimension = DIMENSION_TABLE[view.by]
    by = view.by if (dimension.calls if basis == METERED else dimension.charges) else "provider"
    return replace(view, basis=basis, by=by)


def _sorter(view: View) -> Callable[[str], str]:
    return lambda order: replace(view, sort=order).url()


def _drop_unknown(view: View, name: str) -> View:
    return replace(view, unknown=tuple(item for item in view.unknown if item[0] != name))


def _ranges(view: View, now: Now) -> list[tuple[str, str, bool]]:
    """Presets: the newest months, the last twelve, and everything."""
    found: list[tuple[str, Days]] = []
    for month in sorted(now.months, reverse=True)[:3]:
        days = month_days(now, month, last=max(now.today, date.fromisoformat(f"{month}-01")))
        found.append((fmt.month(days.first), days))
    if now.months:
        whole = Days(date.fromisoformat(f"{min(now.months)}-01"), now.today)
        found.append(("Everything", whole))
    return [
        (name, replace(view, days=days, per="day" if days.count <= 62 else "month").url(), days == view.days)
        for name, days in found
    ]


def _nothing(kit: Kit, request: Request, asked: Asked, *, now: Now) -> Response:
    """No rows: finds the filter that removed the most, by asking again without each."""
    view = asked.view
    without = {name: _question(view.without(name), view.days, ()) for name in list(view.where)[:6]}
    found = kit.ask(without)
    worst, most = "", Decimal(0)
    for name in without:
        answer = found.maybe(name)
        if answer is not None and abs(Decimal(answer.total)) >= most and Decimal(answer.total) != 0:
            worst, most = name, abs(Decimal(answer.total))
    nothing = {
        "filter": _label(worst),
        "value": ", ".join(view.where.get(worst, ())),
        "amount": fmt.money(most, asked.now.currency),
        "drop": view.without(worst).url() if worst else "",
    }
    context = {"empty": False, "nothing": nothing, **_frame_context(asked, now)}
    frame = Frame("explore.html", _title(asked), "explore", _crumbs(asked))
    return kit.page(request, frame, now=now, context=context)
