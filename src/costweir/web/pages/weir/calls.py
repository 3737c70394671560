"""The calls of the gateway, the newest first: those that were sent, and those that were blocked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.errors import NotFound, UsageError
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.table import Table
from costweir.web.pages.weir import rows

PATH = "/live/calls"
#: Rows of one page, and of a file.
PER_PAGE, MOST = 50, 10_000
#: What can be looked at, and the state of the attempts behind it.
SHOWS: Mapping[str, tuple[str, str]] = {
    "": ("All", ""), "running": ("Running", "SENT"), "uncertain": ("Charged at the hold", "UNCERTAIN"),
    "blocked": ("Blocked", ""),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """The address in parts. `before` is the attempt that the page begins below."""

    show: str = ""
    customer: str = ""
    session: str = ""
    before: int = 0

    def link(self, ending: str = "", **more: object) -> str:
        """The same with some parts changed; a new choice begins at the newest."""
        values = {"show": self.show, "customer": self.customer, "session": self.session, "before": 0, **more}
        pairs = [(name, str(value)) for name, value in values.items() if value]
        return f"{PATH}{ending}{'?' if pairs else ''}{urlencode(pairs)}"


def routes(kit: Kit) -> list[BaseRoute]:
    """`/live/calls`, also as CSV and Markdown."""
    return [Route(f"{PATH}{ending}", kit.handler(page)) for ending in ("", ".csv", ".md")]


def page(kit: Kit, request: Request) -> Response:
    """A table of calls; a ledger that was never written has none."""
    now, at, chosen = kit.now(), datetime.now(UTC), _read(request)
    kind = request.url.path.rpartition(".")[2]
    found = _found(kit, chosen, at, MOST if kind in ("csv", "md") else PER_PAGE + 1)
    if kind in ("csv", "md"):
        return kit.export(found, kind=kind, name=chosen.show or "calls", now=now)
    shown = Table(found.title, found.columns, found.rows[:PER_PAGE])
    older = found.keys[PER_PAGE - 1] if len(found.rows) > PER_PAGE else ""
    context = {
        "table": shown if shown.rows else None, "chosen": chosen, "shows": SHOWS, "empty": not _ever(kit),
        "older": chosen.link(before=older) if older else "", "csv": chosen.link(".csv"), "md": chosen.link(".md"),
        "blocked": chosen.show == "blocked", "gateway": address(request),
    }  # fmt: skip
    frame = Frame("weir_calls.html", "Calls", "live", (("Live", "/live"), ("Calls", "")))
    return kit.page(request, frame, now=now, context=context)


def address(request: Request) -> str:
    """Where the gateway listens."""
    return str(getattr(request.app.state, "gateway", "http://localhost:4000"))


def _read(request: Request) -> Chosen:
    query = request.query_params
    show, before = query.get("show", ""), query.get("before", "")
    if show not in SHOWS:
        raise UsageError(
            f"show={show[:20]} is nothing to look at.", hint=f"Use one of {', '.join(filter(None, SHOWS))}."
        )
    if before and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise UsageError(f"before={before[:20]} is no place in the list.", hint="Leave it out.")
    return Chosen(show, query.get("customer", "").strip(), query.get("session", "").strip(), int(before or 0))


def _ever(kit: Kit) -> bool:
    """Whether the gateway saw any call."""
    try:
        live = kit.live()
    except NotFound:
        return False
    cursor = live.cursor()
    return bool(cursor.seq or cursor.refusal or live.calls(limit=1))


def _found(kit: Kit, chosen: Chosen, at: datetime, limit: int) -> Table:
    try:
        live = kit.live()
    except NotFound:
        return Table("Calls", rows.CALLS, ())
    if chosen.show == "blocked":
        refusals = live.refusals(
            before=chosen.before, customer=chosen.customer, session=chosen.session, limit=limit
        )
        numbers = tuple(str(number) for number, _ in refusals)
        return Table(
            "Blocked calls", rows.BLOCKED, tuple(rows.blocked(row, at) for _, row in refusals), keys=numbers
        )
    attempts = live.calls(
        before=chosen.before, state=SHOWS[chosen.show][1], customer=chosen.customer, session=chosen.session,
        limit=limit,
    )  # fmt: skip
    numbers = tuple(str(row.attempt) for row in attempts)
    return Table("Calls", rows.CALLS, tuple(rows.call(row, at) for row in attempts), keys=numbers)
