"""One call in a table: the same cells on every page and in the feed."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from costweir.domain.usage import INPUT_BUCKETS, OUTPUT_BUCKETS
from costweir.guard.ledger import Attempt, Refused
from costweir.web import format as fmt
from costweir.web.pages.table import Cell, Column, Row
from costweir.web.pages.weir import words

CALLS = (
    Column("Request", "request_id", numeric=False), Column("UTC", "created_at", numeric=False),
    Column("Customer", "customer", numeric=False), Column("Session", "session", numeric=False, wide=True),
    Column("Model", "model", numeric=False), Column("State", "state", numeric=False),
    Column("Tokens in", "input_tokens", wide=True), Column("Tokens out", "output_tokens", wide=True),
    Column("Held", "held_usd", wide=True), Column("Cost", "settled_usd"),
)  # fmt: skip
BLOCKED = (
    Column("Request", "request_id", numeric=False), Column("UTC", "at", numeric=False),
    Column("Customer", "customer", numeric=False), Column("Session", "session", numeric=False, wide=True),
    Column("Model", "model", numeric=False), Column("Reason", "code", numeric=False),
    Column("Limit", "budget_id", numeric=False, wide=True), Column("Needed", "needed_usd"),
)  # fmt: skip
_REASONS = {
    "budget_exceeded": "over budget", "rate_limited": "too fast", "price_unknown": "no price",
    "unbounded_request": "no bound", "ledger_unavailable": "ledger away", "model_not_allowed": "model not allowed",
    "scope_not_allowed": "may not say for whom", "endpoint_not_metered": "path not metered",
}  # fmt: skip


def call(row: Attempt, now: datetime) -> Row:
    """An attempt: what it holds while it is open, and what it cost afterwards."""
    taken = sum(row.usage.get(name, 0) for name in INPUT_BUCKETS)
    given = sum(row.usage.get(name, 0) for name in OUTPUT_BUCKETS)
    number = row.request_id
    ended = row.ended_at is not None
    cost = words.cost_cell(row) if ended else Cell(fmt.NOTHING, title="still running")
    return (
        Cell(number, number, href=f"/live/calls/{quote(number, safe='')}", mono=True, wrap=True, title=number),
        moment(row.created_at, now), customer(row.subject.customer), session(row.subject.customer, row.subject.session),
        Cell(row.model, row.model, mono=True), words.state(row),
        Cell(fmt.count(taken) if ended else fmt.NOTHING, str(taken) if ended else ""),
        Cell(fmt.count(given) if ended else fmt.NOTHING, str(given) if ended else ""),
        words.money_cell(row.held), cost,
    )  # fmt: skip


def blocked(row: Refused, now: datetime) -> Row:
    """A refusal, with the way to its reason."""
    refusal, subject = row.refusal, row.ask.subject
    number, why = refusal.request_id, f"/why/{quote(refusal.request_id, safe='')}"
    asked = row.ask.candidates[0].model if row.ask.candidates else ""
    return (
        Cell(number, number, href=why, mono=True, wrap=True, title=number),
        moment(row.at, now), customer(subject.customer), session(subject.customer, subject.session),
        Cell(asked or fmt.NOTHING, asked, mono=bool(asked)),
        Cell(_REASONS.get(refusal.code, refusal.code), refusal.code, badge=True, tone="bad"),
        Cell(refusal.budget_id or fmt.NOTHING, refusal.budget_id),
        words.money_cell(refusal.needed) if refusal.needed else Cell(fmt.NOTHING),
    )  # fmt: skip


def moment(at: datetime, now: datetime) -> Cell:
    """The time of day, and the day unless it is this one."""
    shown = at.astimezone(UTC)
    cell = words.clock(at)
    if shown.date() == now.astimezone(UTC).date():
        return cell
    return Cell(f"{fmt.day(shown.date(), today=now.date())}, {cell.text}", cell.raw, tone="nowrap")


def customer(name: str) -> Cell:
    """A customer with the link to its page."""
    if not name:
        return Cell("untagged", "", tone="muted")
    return Cell(name, name, href=f"/customers/{quote(name, safe='')}")


def session(of: str, name: str) -> Cell:
    """A session with the link to its page."""
    if not name:
        return Cell(fmt.NOTHING, "", title="The call named no session")
    return Cell(name, name, href=session_link(of, name), mono=True)


def session_link(of: str, name: str) -> str:
    """Where one session is shown. Two customers may use the same name."""
    return f"/live/sessions/{quote(name, safe='')}?{urlencode({'customer': of})}"
