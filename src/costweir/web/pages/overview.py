"""The overview of one month: where it stands and will end, what changed, who spends, how complete that is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.domain.period import Month
from costweir.errors import UsageError
from costweir.web import format as fmt
from costweir.web.pages.marks import read_marks
from costweir.web.pages.month import MonthToDate, gather
from costweir.web.pages.overview_cards import changed, completeness, needs, spenders
from costweir.web.pages.overview_head import headline
from costweir.web.pages.overview_plots import plots
from costweir.web.pages.shell import Frame, Kit


def routes(kit: Kit) -> list[BaseRoute]:
    """`/`."""
    return [Route("/", kit.handler(build))]


def build(kit: Kit, request: Request) -> Response:
    """The page of `?month=2026-10`, by default the month of the last day that has a charge."""
    now = kit.now()
    if now.empty:
        frame = Frame("overview.html", "Overview", "overview", (("Overview", ""),))
        return kit.page(request, frame, now=now, context={"empty": True})
    wanted = request.query_params.get("month", "")
    try:
        month = Month.parse(wanted) if wanted else None
    except ValueError:
        raise UsageError(f"month={wanted} is not a month.", hint="Write it as 2026-10.") from None
    data = gather(kit, now, month)
    title = fmt.month(data.days.first)
    context = {
        "empty": False,
        "heading": title if data.is_over else f"{title} so far",
        "data": data,
        "sources": data.sources,
        "months": _months(data),
        "head": headline(data),
        "plots": plots(
            data, lambda time, subject: read_marks(kit, request, time, days=data.days, subject=subject)
        ),
        "changed": changed(data),
        "spenders": spenders(data),
        "complete": completeness(data),
        "needs": needs(data),
        "problems": data.found.problems,
    }
    frame = Frame("overview.html", f"Overview, {title}", "overview", (("Overview", ""),), charts=True)
    return kit.page(request, frame, now=now, context=context)


def _months(data: MonthToDate) -> list[tuple[str, str, bool]]:
    return [
        (fmt.short_month(Month.parse(name).first), f"/?month={name}", name == str(data.month))
        for name in sorted(data.now.months, reverse=True)[:24]
    ]
