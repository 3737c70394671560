"""What is spent now: the rate of the last minutes, calls as they end, the dearest sessions, limits that are near."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.errors import Error, NotFound
from costweir.guard.ledger import Balance
from costweir.guard.ledgers.live import HOUR, Cursor, Live, Pulse
from costweir.guard.windows import nanoseconds
from costweir.web import format as fmt
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.table import Cell, Column, Row, Table
from costweir.web.pages.weir import rows, words
from costweir.web.pages.weir.calls import address
from costweir.web.pages.weir.sessions import brief, caps_of, stops_of
from costweir.web.pages.weir.sessions import table as session_table
from costweir.web.stream import Feeds, respond

#: Rows of the feed, of the sessions, and of the limits.
FED, TOP, NEAR = 15, 5, 6
#: A limit is near from here on.
_NEAR_PERCENT = 50


def routes(kit: Kit) -> list[BaseRoute]:
    """`/live`, and the stream that keeps it up to date."""
    feeds = Feeds()

    async def stream(request: Request) -> Response:
        try:
            return await respond(kit.live, request, feeds, news=_news)
        except Error as error:
            return await run_in_threadpool(kit.failure, request, error)

    return [Route("/live", kit.handler(page)), Route("/live/stream", stream)]


def page(kit: Kit, request: Request) -> Response:
    """The page as it stands; without a call it says how to make the first."""
    now, at = kit.now(), datetime.now(UTC)
    frame = Frame("weir_live.html", "Spend rate", "live", (("Live", "/live"), ("Spend rate", "")))
    context: dict[str, object] = {"gateway": address(request), "empty": True, "words": words}
    with suppress(NotFound):
        live = kit.live()
        cursor = live.cursor()
        if cursor.seq or cursor.refusal or live.calls(limit=1):
            context |= {"empty": False, "cursor": cursor.text, **_state(kit, live, at=at)}
    return kit.page(request, frame, now=now, context=context)


def _state(kit: Kit, live: Live, *, at: datetime) -> Mapping[str, object]:
    pulse, balances = live.pulse(at), kit.ledger().balances()
    usual = live.usual(at)
    sessions = kit.ledger().sessions(since=nanoseconds(at) - HOUR)
    dearest = sorted(sessions, key=lambda one: one.settled + one.held, reverse=True)[:TOP]
    ended, refused, _ = live.feed(Cursor(), FED)
    return {
        "figures": figures(pulse), "usual": None if usual is None else f"{words.money(usual, places=2)}/h",
        "minutes": _bars(pulse), "twin": _twin(pulse), "finding": _finding(pulse),
        "calls": Table("Calls as they end", rows.CALLS, tuple(rows.call(row, at) for row in ended)),
        "blocked": Table("Blocked calls", rows.BLOCKED, tuple(rows.blocked(row, at) for row in refused[:TOP])),
        "sessions": brief(session_table(dearest, caps_of(balances), stops_of(kit), at=at)) if dearest else None,
        "near": _near(balances),
    }  # fmt: skip


def figures(pulse: Pulse) -> Mapping[str, str]:
    """The tiles by their names."""
    return {
        "rate": f"{words.money(pulse.per_hour, places=2)}/h", "spent": words.money(pulse.spent, places=4),
        "calls": fmt.count(pulse.calls), "held": words.money(pulse.held, places=4),
        "open": fmt.plural(pulse.open_calls, "call"), "blocked": fmt.count(pulse.blocked),
    }  # fmt: skip


def _finding(pulse: Pulse) -> str:
    return f"{words.money(pulse.spent)} in the last hour, {words.money(pulse.per_hour)} an hour at the pace of now."


def _bars(pulse: Pulse) -> list[tuple[int, str, str]]:
    """Place, top and height in percent of each minute, for pixels."""
    most = max((one.spent for one in pulse.minutes), default=0) or 1
    heights = [Decimal(one.spent) * 100 / most for one in pulse.minutes]
    return [
        (place, f"{100 - height:.1f}%", f"{height:.1f}%") for place, height in enumerate(heights) if height
    ]


def _twin(pulse: Pulse) -> Table:
    columns = (
        Column("Minute, UTC", "minute", numeric=False),
        Column("Calls", "calls"),
        Column("Spent", "spent_usd"),
    )
    lines = tuple(
        (Cell(f"{one.start:%H:%M}", one.start.isoformat()), Cell(fmt.count(one.calls)), words.money_cell(one.spent))
        for one in reversed(pulse.minutes)
        if one.calls
    )  # fmt: skip
    return Table("Spend by minute", columns, lines)


def _near(balances: Sequence[Balance]) -> list[tuple[str, str, object]]:
    """Limits of at least half their money, the fullest first: title, where it leads, and its gauge."""
    used = [(_percent(row), row) for row in balances if row.limit]
    near = sorted((one for one in used if one[0] >= _NEAR_PERCENT), key=lambda one: one[0], reverse=True)
    found: list[tuple[str, str, object]] = []
    for _, row in near[:NEAR]:
        name = row.scope.get("session", "")
        href = rows.session_link(row.scope.get("customer", ""), name) if name else "/live/budgets"
        title = words.scope(row.scope) + ("" if name else f", {words.window(row.window_id)}")
        found.append((title, href, words.gauge(row, title)))
    return found


def _percent(row: Balance) -> int:
    return (row.settled + row.debt + row.held) * 100 // (row.limit or 1)


def _news(live: Live, cursor: Cursor) -> tuple[Cursor, Mapping[str, object]]:
    at = datetime.now(UTC)
    ended, refused, reached = live.feed(cursor, FED)
    news: dict[str, object] = {"figures": figures(live.pulse(at))}
    if ended:
        news["calls"] = [_sent(rows.CALLS, rows.call(row, at)) for row in ended]
    if refused:
        news["blocked"] = [_sent(rows.BLOCKED, rows.blocked(row, at)) for row in refused]
    return reached, news


def _sent(columns: Sequence[Column], row: Row) -> list[dict[str, str]]:
    """A row as the page's script builds it: texts and classes, no markup."""
    return [
        {
            name: value
            for name, value in (
                ("text", cell.text), ("href", cell.href), ("badge", cell.tone if cell.badge else ""),
                ("kind", " ".join(filter(None, (
                    "num" if column.numeric else "", "only-wide" if column.wide else "",
                    cell.tone if not cell.badge else "",
                )))),
                ("mono", "mono" if cell.mono else ""), ("cut", "8" if cell.wrap and len(cell.text) > 16 else ""),
                ("title", cell.title),
            )
            if value
        }
        for column, cell in zip(columns, row, strict=True)
    ]  # fmt: skip
