"""Sessions with calls in the last day: what each cost so far, and how near its cap it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.control.stops import Stop
from costweir.errors import NotFound
from costweir.guard.ledger import Balance
from costweir.guard.ledgers.reader import Session
from costweir.web import format as fmt
from costweir.web.pages.paging import read_page, span
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.table import Cell, Column, Row, Table
from costweir.web.pages.weir import rows, words
from costweir.web.pages.weir.calls import address

PATH = "/live/sessions"
#: Sessions that are listed, the newest call first.
MOST = 2_000
_COLUMNS = (
    Column("Session", "session", numeric=False), Column("State", "state", numeric=False),
    Column("Customer", "customer", numeric=False), Column("Key", "key", numeric=False, wide=True),
    Column("Calls", "calls"), Column("Settled", "settled_usd"), Column("Held", "held_usd", wide=True),
    Column("Of its cap", "used_percent"), Column("Last call, UTC", "last_at", numeric=False, wide=True),
)  # fmt: skip


def routes(kit: Kit) -> list[BaseRoute]:
    """`/live/sessions`, also as CSV and Markdown."""
    return [Route(f"{PATH}{ending}", kit.handler(page)) for ending in ("", ".csv", ".md")]


def page(kit: Kit, request: Request) -> Response:
    """The list, or what to do before the first call."""
    now, at = kit.now(), datetime.now(UTC)
    found: Sequence[Session] = ()
    caps: Mapping[tuple[str, str], Balance] = {}
    with suppress(NotFound):
        found = kit.ledger().sessions(limit=MOST)
        caps = caps_of(kit.ledger().balances()) if found else {}
    stops = stops_of(kit)
    kind = request.url.path.rpartition(".")[2]
    if kind in ("csv", "md"):
        return kit.export(table(found, caps, stops, at=at), kind=kind, name="sessions", now=now)
    shown = span(
        len(found), read_page(request), lambda number: f"{PATH}?page={number}" if number > 1 else PATH
    )
    context = {
        "table": table(found[shown.part], caps, stops, at=at) if found else None, "span": shown,
        "gateway": address(request), "more": len(found) == MOST,
    }  # fmt: skip
    frame = Frame("weir_sessions.html", "Sessions", "live", (("Live", "/live"), ("Sessions", "")))
    return kit.page(request, frame, now=now, context=context)


def stops_of(kit: Kit) -> Sequence[Stop]:
    """What is stopped by hand; nothing where this server keeps nothing."""
    return kit.kept.control.stops.listed() if kit.kept is not None else ()


def stop_of(stops: Sequence[Stop], customer: str, session: str) -> Stop | None:
    """The stop that this session meets, its own before a wider one."""
    values = {"customer": customer, "session": session}
    met = [stop for stop in stops if all(values.get(kind) == name for kind, name in stop.scope.items())]
    return max(met, key=lambda stop: len(stop.scope), default=None)


def caps_of(balances: Sequence[Balance]) -> Mapping[tuple[str, str], Balance]:
    """The limit in USD of each session that has the least left."""
    found: dict[tuple[str, str], Balance] = {}
    for row in balances:
        name = row.scope.get("session")
        if name is None or row.remaining is None:
            continue
        key = (row.scope.get("customer", ""), name)
        if key not in found or row.remaining < (found[key].remaining or 0):
            found[key] = row
    return found


def table(
    found: Sequence[Session], caps: Mapping[tuple[str, str], Balance], stops: Sequence[Stop], *, at: datetime
) -> Table:
    """One row for each session."""
    return Table(
        "Sessions",
        _COLUMNS,
        tuple(
            _row(one, caps.get((one.customer, one.session)), stop_of(stops, one.customer, one.session), at)
            for one in found
        ),
    )


def brief(table: Table) -> Table:
    """The columns that a narrow place has room for: those that are not for wide screens only."""
    kept = [place for place, column in enumerate(table.columns) if not column.wide]
    return replace(
        table,
        columns=tuple(table.columns[place] for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in table.rows),
    )


def _row(one: Session, cap: Balance | None, stop: Stop | None, at: datetime) -> Row:
    if stop is not None:
        state = Cell("stopped", "stopped", badge=True, tone="bad")
    elif one.held:
        state = Cell("running", "running", badge=True, tone="info")
    else:
        state = Cell("waiting", "waiting", badge=True, tone="neutral")
    return (
        rows.session(one.customer, one.session), state, rows.customer(one.customer),
        Cell(one.key or fmt.NOTHING, one.key, mono=bool(one.key)), Cell(fmt.count(one.calls), str(one.calls)),
        words.money_cell(one.settled), words.money_cell(one.held), _used(cap), rows.moment(one.last, at),
    )  # fmt: skip


def _used(cap: Balance | None) -> Cell:
    if cap is None or not cap.limit:
        return Cell("no cap", "", tone="muted")
    gauge = words.gauge(cap, "")
    share = (cap.settled + cap.debt + cap.held) * 100 // cap.limit
    tone = {"ok": "level"}.get(gauge.state, gauge.state)
    return Cell(
        f"{share} % of {words.limit_money(cap.limit)}", str(share), bar=f"{min(share, 100)}%", tone=tone
    )
