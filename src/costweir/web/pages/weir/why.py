"""One request: `/why/<id>` says why it was refused or admitted, with the numbers that the ledger decided by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.guard.codes import STATUSES
from costweir.guard.ledger import Attempt, Balance, Candidate, Refused, dollars, usd
from costweir.guard.why import Why, explain, fitting, instant
from costweir.web import format as fmt
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.table import Cell, Column, Row, Table
from costweir.web.pages.weir import words

_TITLES = {"budget_exceeded": "Why was this call blocked?", "rate_limited": "Why was this call slowed down?"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the picture: what stands before this call, or a candidate on top. Widths in percent."""

    title: str
    note: str
    text: str
    settled: str
    held: tuple[str, str]
    fits: tuple[str, str]
    over: tuple[str, str]
    limit: str


def routes(kit: Kit) -> list[BaseRoute]:
    """`/why/<id>`, the same page as `/live/calls/<id>`."""
    return [
        Route("/why/{request_id}", kit.handler(page)),
        Route("/live/calls/{request_id}", kit.handler(page)),
    ]


def page(kit: Kit, request: Request) -> Response:
    """The whole story of one request."""
    found = explain(kit.ledger(), request.path_params["request_id"])
    now = kit.now()
    refused = found.refused
    title = (
        _TITLES.get(refused.refusal.code, "Why was this call refused?") if refused else "What this call cost"
    )
    context = {
        "found": found, "title": title, "refusal": refused.refusal if refused else None,
        "when": words.moment(_at(found)),
        "attempts": _attempts(found.attempts) if found.attempts else None, "usage": _usage(found.attempts),
        "limits": _limits(found), "words": words, **(_refused(found, refused) if refused else {}),
    }  # fmt: skip
    crumbs = (("Live", "/live"), ("Calls", "/live/calls"), (found.request_id, ""))
    frame = Frame("weir_why.html", title, "live", crumbs)
    return kit.page(request, frame, now=now, context=context)


def _at(found: Why) -> datetime | None:
    if found.refused is not None:
        return found.refused.at
    return found.attempts[0].created_at if found.attempts else None


def _refused(found: Why, refused: Refused) -> dict[str, object]:
    refusal = refused.refusal
    in_dollars = refusal.limit is not None and refusal.code == "budget_exceeded"
    left = max(0, (refusal.limit or 0) - refusal.settled - refusal.held)
    budget = next((row for row in found.budgets if row.budget_id == refusal.budget_id), None)
    return {
        "in_dollars": in_dollars, "left": left, "refused": refused, "short": refusal.needed - left,
        "bars": _bars(refused, left) if in_dollars else (),
        "candidates": _candidates(refused, left if in_dollars else None) if refused.ask.candidates else None,
        "holders": _holders(refused), "received": _received(refused),
        "fits_now": in_dollars and budget is not None and (budget.remaining or 0) >= refusal.needed,
        "needed": refusal.needed, "span": words.window(refusal.window_id), "scope": words.scope(refusal.scope),
        "resets": words.moment(refusal.resets_at) if refusal.resets_at else "", "best": _best(refused, left),
    }  # fmt: skip


def _best(refused: Refused, left: int) -> tuple[str, int] | None:
    """The first model that an answer of some length fits on, and how many tokens of it."""
    for row in refused.ask.candidates:
        cap = fitting(row, left) if row.priced and row.bounded else None
        if cap:
            return row.model, cap
    return None


def _bars(refused: Refused, left: int) -> tuple[Bar, ...]:
    """The picture, zoomed in on what decides: it starts where settled money alone would fill the view."""
    refusal = refused.refusal
    limit = refusal.limit or 0
    needs = [row.fixed + row.cap * row.output_rate for row in refused.ask.candidates]
    used = refusal.settled + refusal.held
    end = max([limit, used, *(used + need for need in needs)])
    shown = max(end - limit + left + refusal.held, 1)
    start = max(0, end - shown * 10 // 7)
    span = max(end - start, 1)

    def at(value: int) -> Decimal:
        return min(Decimal(100), max(Decimal(0), Decimal(value - start) * 100 / span))

    def part(first: int, last: int) -> tuple[str, str]:
        low, high = at(first), at(max(first, last))
        return f"{low:.2f}%", f"{high - low:.2f}%"

    def bar(title: str, note: str, need: int, text: str) -> Bar:
        top = used + need
        return Bar(
            title, note, text, f"{at(refusal.settled):.2f}%", part(refusal.settled, used),
            part(used, min(top, limit)), part(max(used, limit), top), f"{at(limit):.2f}%",
        )  # fmt: skip

    bars = [bar("Before this call", "settled, then held", 0, words.money(used, places=4))]
    for number, (row, need) in enumerate(zip(refused.ask.candidates, needs, strict=True)):
        over = used + need - limit
        title = "As asked" if number == 0 else "Stand-in"
        bars.append(
            bar(title, row.model, need, f"{words.money(over, places=4)} over" if over > 0 else "fits")
        )
    return tuple(bars)


def _candidates(refused: Refused, left: int | None) -> Table:
    columns = (
        Column("Candidate", "model", numeric=False), Column("Input at most", "input_usd"),
        Column("Answer at most", "output_tokens"), Column("Needs", "needed_usd"),
        Column("Result", "result", numeric=False),
    )  # fmt: skip
    return Table(
        "How the need was computed", columns, tuple(_candidate(row, left) for row in refused.ask.candidates)
    )


def _candidate(row: Candidate, left: int | None) -> Row:
    need = row.fixed + row.cap * row.output_rate
    if not row.priced:
        result, needs = Cell("no price known", "unpriced", badge=True, tone="warn"), Cell("unpriced", "")
    elif not row.bounded:
        result, needs = (
            Cell("no bound", "unbounded", badge=True, tone="warn", note=row.why),
            Cell(fmt.NOTHING),
        )
    else:
        needs = words.money_cell(need)
        short = 0 if left is None else need - left
        fits = Cell("fits", "fits", badge=True, tone="ok")
        result = (
            Cell(f"short by {words.money(short, places=4)}", "short", badge=True, tone="bad")
            if short > 0
            else fits
        )
    output = f"{fmt.count(row.cap)} × {fmt.per_million(dollars(row.output_rate) * 1_000_000)}"
    return (
        Cell(row.model, row.model, mono=True), words.money_cell(row.fixed), Cell(output, str(row.cap)), needs, result,
    )  # fmt: skip


def _holders(refused: Refused) -> Table | None:
    if not refused.refusal.holders:
        return None
    columns = (
        Column("Request", "request_id", numeric=False), Column("Ends by", "expires_at", numeric=False),
        Column("Held", "held_usd"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(row.request_id, row.request_id, href=f"/why/{row.request_id}", mono=True),
            words.clock(row.expires_at),
            words.money_cell(row.held),
        )
        for row in refused.refusal.holders
    )
    return Table("Open holds", columns, rows)


def _limits(found: Why) -> Table | None:
    """Every limit that the request meets, as it stands now."""
    if not found.budgets:
        return None
    columns = (
        Column("Limit", "budget_id", numeric=False), Column("Window", "window_id", numeric=False),
        Column("Settled", "settled_usd"), Column("Held", "held_usd", wide=True), Column("Left", "remaining_usd"),
    )  # fmt: skip
    return Table("Limits", columns, tuple(_limit(row) for row in found.budgets))


def _limit(row: Balance) -> Row:
    return (
        Cell(row.budget_id, row.budget_id, note=words.scope(row.scope)),
        Cell(words.window(row.window_id), row.window_id),
        words.money_cell(row.settled + row.debt), words.money_cell(row.held), words.money_cell(row.remaining),
    )  # fmt: skip


def _attempts(rows: Sequence[Attempt]) -> Table:
    columns = (
        Column("Attempt", "attempt_id", numeric=False), Column("State", "state", numeric=False),
        Column("Model", "model", numeric=False), Column("Held", "held_usd"), Column("Cost", "settled_usd"),
        Column("Beyond its hold", "debt_usd", wide=True), Column("Usage", "usage", numeric=False, wide=True),
        Column("UTC", "created_at", numeric=False),
    )  # fmt: skip
    shown = tuple(
        (
            Cell(f"att_{row.attempt}", f"att_{row.attempt}", mono=True), words.state(row),
            Cell(row.model, row.model, mono=True), words.money_cell(row.held, places=None),
            words.cost_cell(row, places=None), words.money_cell(row.debt, places=None),
            Cell(row.certainty or fmt.NOTHING, row.certainty), words.clock(row.created_at),
        )
        for row in rows
    )  # fmt: skip
    return Table("Attempts", columns, shown)


def _usage(rows: Sequence[Attempt]) -> Sequence[tuple[str, str]]:
    """The buckets of the last attempt that has any."""
    for row in reversed(rows):
        if row.usage:
            return [(name.replace("_", " "), fmt.count(count)) for name, count in row.usage.items()]
    return ()


def _received(refused: Refused) -> str:
    """The reply as the caller got it, short of the wire format's own wrapping."""
    refusal = refused.refusal
    body = {
        "code": refusal.code, "request_id": refusal.request_id, "budget_id": refusal.budget_id or None,
        "scope": dict(refusal.scope), "limit_usd": None if refusal.limit is None else usd(refusal.limit),
        "settled_usd": usd(refusal.settled) if refusal.metered else None,
        "held_usd": usd(refusal.held) if refusal.metered else None,
        "needed_usd": usd(refusal.needed) if refusal.needed else None, "resets_at": instant(refusal.resets_at),
    }  # fmt: skip
    status = STATUSES[refusal.code]
    head = [f"HTTP/1.1 {status}", f"x-costweir-request-id: {refusal.request_id}"]
    if status not in (429, 500, 502, 503, 504):
        head.insert(1, "x-should-retry: false")
    if refusal.retry_after is not None:
        head.append(f"retry-after: {max(1, -int(-refusal.retry_after // 1))}")
    return "\n".join([*head, "", refusal.message, "", json.dumps({"costweir": body}, indent=2)])
