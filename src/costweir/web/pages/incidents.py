"""Incidents: what is wrong or was, the story of one, and the forms by which somebody looks after it. The addresses hold
the filters, so that a link shows the same to everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.control import Control
from costweir.control.incidents import ACTIVE, LONGEST_NOTE, LONGEST_OWNER, SEVERITIES, Incident
from costweir.errors import Conflict, Error, UsageError
from costweir.web import format as fmt
from costweir.web.access import caller_of
from costweir.web.pages.forms import Sent
from costweir.web.pages.paging import read_page, span
from costweir.web.pages.shell import Frame, Kit, Now
from costweir.web.pages.table import Cell, Column, Row, Table

PATH = "/incidents"
#: Which can be looked at, and their states.
SHOWS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "": ("Open", ACTIVE), "resolved": ("Resolved", ("resolved",)), "all": ("All", ()),
}  # fmt: skip
#: How long one may sleep, as the form offers it.
NAPS: Mapping[str, tuple[str, timedelta]] = {
    "1h": ("1 hour", timedelta(hours=1)), "4h": ("4 hours", timedelta(hours=4)),
    "1d": ("1 day", timedelta(days=1)), "7d": ("7 days", timedelta(days=7)),
}  # fmt: skip
TONES = {"critical": "bad", "warning": "warn", "info": "info"}
_STATE_TONES = {"open": "bad", "acknowledged": "warn", "snoozed": "neutral", "resolved": "ok"}
#: What the timeline calls it.
WORDS = {
    "open": "Began", "escalated": "Got worse", "reopened": "Came back", "acknowledged": "Acknowledged",
    "snoozed": "Put to sleep", "awake": "Woke up", "owner": "Given to", "note": "Note", "resolved": "Over",
}  # fmt: skip
_SENT = {"sent": "ok", "pending": "warn", "failed": "bad", "dropped": "neutral"}
_MOST = 10_000
_CRUMB = ("Incidents", PATH)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The address in parts."""

    show: str = ""
    severity: str = ""
    query: str = ""

    def link(self, ending: str = "", **more: object) -> str:
        """The same with some parts changed."""
        values = {"show": self.show, "severity": self.severity, "q": self.query, **more}
        pairs = [(name, str(value)) for name, value in values.items() if value]
        return f"{PATH}{ending}{'?' if pairs else ''}{urlencode(pairs)}"

    @property
    def narrow(self) -> bool:
        """Whether some of what could be shown is left out on purpose."""
        return bool(self.severity or self.query)


def routes(kit: Kit) -> list[BaseRoute]:
    """`/incidents` with CSV and Markdown, and `/incidents/<id>` with its forms."""
    forms: dict[str, Callable[[Sent, datetime], Callable[[Control], Incident]]] = {
        "ack": _ack, "snooze": _snooze, "owner": _own, "note": _note, "resolve": _resolve,
    }  # fmt: skip
    return [
        *(Route(f"{PATH}{ending}", kit.handler(listed)) for ending in ("", ".csv", ".md")),
        Route(f"{PATH}/{{id}}", kit.handler(one)),
        *(
            Route(
                f"{PATH}/{{id}}/{verb}", kit.receiver(_receive(verb, act), role="finance"), methods=["POST"]
            )
            for verb, act in forms.items()
        ),
    ]


def listed(kit: Kit, request: Request) -> Response:
    """What is wrong first, the worst before the rest."""
    now, chosen, at = kit.now(), _read(request), datetime.now(UTC)
    incidents = kit.office.control.incidents
    rows = incidents.listed(
        states=SHOWS[chosen.show][1], severities=(chosen.severity,) if chosen.severity else (), limit=_MOST
    )
    found = [row for row in rows if chosen.query.lower() in f"{row.subject} {row.text} {row.owner}".lower()]
    found.sort(key=lambda row: (not row.active, SEVERITIES.index(row.severity) if row.active else 0))
    kind = request.url.path.rpartition(".")[2]
    if kind in ("csv", "md"):
        return kit.export(_table(found, now, at), kind=kind, name="incidents", now=now)
    shown = span(
        len(found), read_page(request), lambda number: chosen.link(page=number if number > 1 else "")
    )
    counts = incidents.counts()
    last = next(iter(incidents.listed(states=("resolved",), limit=1)), None)
    context = {
        "table": _table(found[shown.part], now, at) if found else None, "span": shown, "chosen": chosen,
        "shows": SHOWS, "severities": SEVERITIES, "counts": counts, "open": sum(counts.open.values()),
        "since": fmt.instant(last.resolved_at, today=now.today) if last else "", "channels": _channels(kit),
        "csv": chosen.link(".csv"), "md": chosen.link(".md"),
    }  # fmt: skip
    return kit.page(
        request,
        Frame("incidents.html", "Incidents", "incidents", (("Incidents", ""),)),
        now=now,
        context=context,
    )


def _read(request: Request) -> Chosen:
    query = request.query_params
    show, severity = query.get("show", ""), query.get("severity", "")
    for name, value, known in (("show", show, SHOWS), ("severity", severity, ("", *SEVERITIES))):
        if value not in known:
            words = ", ".join(filter(None, known))
            raise UsageError(f"{name}={value[:20]} cannot be shown.", hint=f"Use one of {words}.")
    return Chosen(show, severity, query.get("q", "").strip()[:200])


def _channels(kit: Kit) -> list[str]:
    """The names of the configured channels."""
    rows = cast("Sequence[Mapping[str, Any]]", kit.office.settings()["rows"])
    return [item["id"] for row in rows if row["key"] == "channels" for item in row["value"]]


def _table(found: Sequence[Incident], now: Now, at: datetime) -> Table:
    columns = (
        Column("Severity", "severity", numeric=False), Column("What", "text", numeric=False),
        Column("About", "subject", numeric=False, wide=True), Column("State", "state", numeric=False),
        Column("Began", "opened_at", numeric=False, wide=True), Column("For", "", numeric=False, wide=True),
        Column("Owner", "owner", numeric=False, wide=True), Column("Team", "team", numeric=False, wide=True),
    )  # fmt: skip
    return Table("Incidents", columns, tuple(_row(row, now, at) for row in found))


def _row(row: Incident, now: Now, at: datetime) -> Row:
    return (
        Cell(row.severity, row.severity, badge=True, tone=TONES[row.severity]),
        Cell(row.text, row.text, href=f"{PATH}/{quote(row.id, safe='')}"),
        Cell(row.subject, row.subject),
        Cell(row.state, row.state, badge=True, tone=_STATE_TONES[row.state]),
        Cell(fmt.instant(row.opened_at, today=now.today), row.opened_at, tone="nowrap"),
        Cell(lasted(row, at), tone="nowrap"),
        _said(row.owner),
        _said(row.team),
    )


def _said(text: str) -> Cell:
    return Cell(text, text) if text else Cell(fmt.NOTHING, tone="muted")


def lasted(row: Incident, at: datetime) -> str:
    """How long it has been wrong, or was."""
    end = at if row.active else datetime.fromisoformat(row.resolved_at)
    return fmt.age(end - datetime.fromisoformat(row.opened_at))


def one(kit: Kit, request: Request) -> Response:
    """One incident with its story. Raises NotFound."""
    return _one(kit, request)


def _one(kit: Kit, request: Request, *, error: Error | None = None) -> Response:
    now, incidents = kit.now(), kit.office.control.incidents
    found = incidents.find(request.path_params["id"])
    context = {
        "incident": found, "tone": TONES[found.severity], "state_tone": _STATE_TONES[found.state],
        "timeline": incidents.timeline(found.id), "words": WORDS, "messages": _messages(kit, found, now),
        "lasted": lasted(found, datetime.now(UTC)), "error": error, "naps": NAPS, "path": f"{PATH}/{found.id}",
        "explained": found.link if _ours(found.link) else "", "visitor_name": caller_of(request).name,
        "longest_note": LONGEST_NOTE, "longest_owner": LONGEST_OWNER,
        "done": request.query_params.get("done", ""),
    }  # fmt: skip
    frame = Frame(
        "incident.html", "Incident", "incidents", (_CRUMB, (found.subject, "")),
        status=error.http_status if error else 200,
    )  # fmt: skip
    return kit.page(request, frame, now=now, context=context)


def _ours(link: str) -> bool:
    return link.startswith("/") and not link.startswith(("//", "/\\")) and link.isprintable()


def _messages(kit: Kit, found: Incident, now: Now) -> Table | None:
    columns = (
        Column("Channel", "channel", numeric=False), Column("Message", "message", numeric=False),
        Column("State", "state", numeric=False), Column("Tried", "tried_at", numeric=False),
        Column("Note", "note", numeric=False),
    )  # fmt: skip
    rows: list[Row] = []
    for sent in kit.office.control.incidents.outbox.of(found.id):
        said = {name: str(value) for name, value in sent.items()}
        tried = said["tried_at"] if sent["attempts"] else ""
        rows.append((
            Cell(said["channel"], said["channel"]),
            Cell(WORDS.get(said["message"], said["message"]), said["message"]),
            Cell(said["state"], said["state"], badge=True, tone=_SENT[said["state"]]),
            _said(fmt.instant(tried, today=now.today)), _said(said["note"]),
        ))  # fmt: skip
    return Table("Messages", columns, tuple(rows)) if rows else None


Act = Callable[[Sent, datetime], Callable[[Control], Incident]]


def _receive(verb: str, act: Act) -> Callable[[Kit, Sent], Response]:
    def receive(kit: Kit, sent: Sent) -> Response:
        try:
            kit.office.edit(act(sent, datetime.now(UTC)))
        except (UsageError, Conflict) as error:
            return _one(kit, sent.request, error=error)
        return RedirectResponse(f"{PATH}/{quote(_name(sent), safe='')}?done={verb}", 303)

    return receive


def _name(sent: Sent) -> str:
    return sent.request.path_params["id"]


def _ack(sent: Sent, now: datetime) -> Callable[[Control], Incident]:
    owner = caller_of(sent.request).name
    return lambda held: held.incidents.acknowledge(_name(sent), by=sent.actor, now=now, owner=owner)


def _snooze(sent: Sent, now: datetime) -> Callable[[Control], Incident]:
    nap = NAPS.get(sent.get("time"))
    if nap is None:
        raise UsageError(
            f"{sent.get('time')!r} is no time to sleep.", hint=f"Choose one of {', '.join(NAPS)}."
        )
    return lambda held: held.incidents.snooze(_name(sent), now + nap[1], by=sent.actor, now=now)


def _own(sent: Sent, now: datetime) -> Callable[[Control], Incident]:
    return lambda held: held.incidents.assign(_name(sent), sent.get("owner"), by=sent.actor, now=now)


def _note(sent: Sent, now: datetime) -> Callable[[Control], Incident]:
    return lambda held: held.incidents.note(_name(sent), sent.get("text"), by=sent.actor, now=now)


def _resolve(sent: Sent, now: datetime) -> Callable[[Control], Incident]:
    return lambda held: held.incidents.resolve(_name(sent), by=sent.actor, now=now)
