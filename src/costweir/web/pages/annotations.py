"""Annotations: what people know about single days. The list, and the form that adds, changes or removes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.control import Annotation
from costweir.control.annotations import LONGEST_NAME, LONGEST_TEXT, SCOPES
from costweir.control.edits import version_of
from costweir.errors import Conflict, Error, NotFound, UsageError
from costweir.web import format as fmt
from costweir.web.access import caller_of
from costweir.web.pages.forms import Sent
from costweir.web.pages.marks import LIST
from costweir.web.pages.paging import read_page, span
from costweir.web.pages.shell import Frame, Kit, Now
from costweir.web.pages.table import Cell, Column, Row, Table
from costweir.web.pages.view import Days, explore_link

#: Fields of the form, as they are called in the address too.
FIELDS = ("day", "text", "author", "dimension", "member")
#: Who acts for a whole machine and has no name of a person.
NAMELESS = ("admin", "browser")
_CRUMBS = (("Explore", "/explore"), ("Annotations", LIST))


@dataclass(frozen=True, slots=True)
class Draft:
    """A form on its way: its texts, the version that was seen, where to go afterwards, and why it was refused."""

    values: Mapping[str, str]
    id: str = ""
    version: str = ""
    back: str = ""
    error: Error | None = None
    fixed_author: str = ""


def routes(kit: Kit) -> list[BaseRoute]:
    """`/explore/annotations` with CSV and Markdown, and `edit` below it."""
    return [
        *(Route(path, kit.handler(build)) for path in (LIST, f"{LIST}.csv", f"{LIST}.md")),
        Route(f"{LIST}/edit", kit.handler(show)),
        Route(f"{LIST}/edit", kit.receiver(change, role="finance"), methods=["POST"]),
    ]


def build(kit: Kit, request: Request) -> Response:
    """The newest day first; `?q=` is part of the text, author or member."""
    now, query = kit.now(), request.query_params.get("q", "").strip()
    found = [
        note for note in reversed(kit.office.control.annotations.listed()) if _wanted(note, query.lower())
    ]
    kind = request.url.path.rpartition(".")[2]
    if kind in ("csv", "md"):
        return kit.export(_table(found, now), kind=kind, name="annotations", now=now)

    def link(number: int, ending: str = "") -> str:
        pairs = [pair for pair in (("q", query), ("page", str(number) if number > 1 else "")) if pair[1]]
        return f"{LIST}{ending}{'?' if pairs else ''}{urlencode(pairs)}"

    shown = span(len(found), read_page(request), link)
    asked = request.query_params
    context = {
        "table": _table(found[shown.part], now) if found else None, "span": shown, "query": query,
        "saved": bool(asked.get("saved")), "undo": _undo(asked) if asked.get("removed") else None,
        "csv": link(1, ".csv"), "md": link(1, ".md"),
    }  # fmt: skip
    frame = Frame("annotations.html", "Annotations", "explore", (_CRUMBS[0], ("Annotations", "")))
    return kit.page(request, frame, now=now, context=context)


def _wanted(note: Annotation, query: str) -> bool:
    return query in f"{note.text} {note.author} {note.member}".lower()


def _undo(asked: Mapping[str, str]) -> dict[str, str]:
    return {name: asked.get(name, "") for name in FIELDS}


def _table(found: Sequence[Annotation], now: Now) -> Table:
    columns = (
        Column("Day", "day", numeric=False), Column("Annotation", "text", numeric=False),
        Column("About", "about", numeric=False), Column("By", "author", numeric=False),
        Column("Changed", "updated_at", numeric=False),
    )  # fmt: skip
    return Table("Annotations", columns, tuple(_row(note, now) for note in found))


def _row(note: Annotation, now: Now) -> Row:
    day = fmt.day(date.fromisoformat(note.day), today=now.today)
    return (
        Cell(day, note.day, href=f"{LIST}/edit?{urlencode({'id': note.id})}", tone="nowrap"),
        Cell(note.text, note.text),
        _about(note),
        Cell(note.author, note.author) if note.author else Cell(fmt.NOTHING, tone="muted"),
        Cell(fmt.instant(note.updated_at, today=now.today), note.updated_at, tone="nowrap"),
    )


def _about(note: Annotation) -> Cell:
    """What it is about, with a link to the month around it."""
    day = date.fromisoformat(note.day)
    month = Days(day.replace(day=1), day)
    if not note.dimension:
        return Cell("all spend", "", href=explore_link(month, by="provider"))
    href = explore_link(month, by="provider", where={note.dimension: note.member})
    return Cell(f"{note.dimension} {note.member}", f"{note.dimension}={note.member}", href=href)


def show(kit: Kit, request: Request) -> Response:
    """The form of `?id=`, or a new one with what the address fills in. Raises NotFound for an id that is not there."""
    asked = request.query_params
    name, back = asked.get("id", ""), _inside(asked.get("back", ""))
    if not name:
        values = {field: asked.get(field, "") for field in FIELDS}
        values["day"] = values["day"] or kit.now().today.isoformat()
        return _page(kit, request, Draft(values, back=back))
    note = kit.office.control.annotations.find(name)
    if note is None:
        raise NotFound("There is no such annotation.", hint=f"See all under {LIST}.")
    values = {field: str(getattr(note, field)) for field in FIELDS}
    return _page(kit, request, Draft(values, note.id, version_of(note.to_json()), back))


def _inside(link: str) -> str:
    """The address when it is a page of ours, else the list."""
    ours = link.startswith("/") and not link.startswith(("//", "/\\")) and link.isprintable()
    return link if ours else LIST


def _page(kit: Kit, request: Request, draft: Draft) -> Response:
    title = "Edit annotation" if draft.id else "Annotate a day"
    context = {
        "draft": replace(draft, fixed_author=_author(request)), "scopes": SCOPES, "longest": LONGEST_TEXT,
        "longest_name": LONGEST_NAME, "title": title,
    }  # fmt: skip
    status = draft.error.http_status if draft.error else 200
    crumbs = (*_CRUMBS, ("Edit" if draft.id else "Add", ""))
    shown = f"Not saved: {title}" if draft.error else title
    return kit.page(
        request, Frame("annotation.html", shown, "explore", crumbs, status), now=kit.now(), context=context
    )


def _author(request: Request) -> str:
    """The name of somebody who logged in as themselves; others say their name in the form."""
    caller = caller_of(request)
    return (caller.name or caller.actor) if caller.known and caller.actor not in NAMELESS else ""


def change(kit: Kit, sent: Sent) -> Response:
    """Saves or removes one, and goes back to where it was asked for; what cannot be taken comes back."""
    back, name = _inside(sent.get("back")), sent.get("id")
    draft = Draft({field: sent.get(field) for field in FIELDS}, name, sent.get("version"), back)
    try:
        if sent.get("action") == "remove":
            return _remove(kit, sent, draft)
        _save(kit, sent, draft)
    except (UsageError, Conflict) as error:
        return _page(kit, sent.request, replace(draft, error=error))
    return RedirectResponse(f"{LIST}?saved=1" if back == LIST else back, 303)


def _save(kit: Kit, sent: Sent, draft: Draft) -> None:
    values = dict(draft.values)
    before = kit.office.control.annotations.find(draft.id) if draft.id else None
    # Whoever corrects a text does not become its author.
    values["author"] = (before.author if before else "") or _author(sent.request) or values["author"]
    note = Annotation(**values, id=draft.id)
    expected = draft.version if draft.id else None
    kit.office.edit(lambda control: control.edits.annotate(note, by=sent.actor, expected=expected))


def _remove(kit: Kit, sent: Sent, draft: Draft) -> Response:
    gone = kit.office.edit(
        lambda control: control.edits.drop_annotation(draft.id, by=sent.actor, expected=draft.version)
    )
    kept = {field: str(getattr(gone, field)) for field in FIELDS}
    return RedirectResponse(f"{LIST}?{urlencode({'removed': 1, **kept})}", 303)
