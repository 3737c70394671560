"""Saved views: a name for an address, because the address is the whole state of a page."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.errors import UsageError
from costweir.web import format as fmt
from costweir.web.pages.forms import Sent
from costweir.web.pages.shell import Frame, Kit

PATH = "/explore/views"
LONGEST_NAME = 80
LONGEST_LINK = 4000


def routes(kit: Kit) -> list[BaseRoute]:
    """`/explore/views` to see, save and remove them; `.json` for the desk of another process to read."""
    return [
        Route(PATH, kit.handler(build)),
        Route(PATH, kit.receiver(change, role="finance"), methods=["POST"]),
        Route(f"{PATH}.json", kit.handler(listed)),
    ]


def build(kit: Kit, request: Request) -> Response:
    """The list; `?saved=` and `?removed=` say what just happened, `?link=` is what was removed."""
    now = kit.now()
    rows = [
        {**view, "shown": fmt.instant(str(view.get("created_at") or ""), today=now.today)}
        for view in kit.desk.views()
    ]
    query = request.query_params
    context = {
        "rows": rows, "saved": query.get("saved", ""),
        "removed": query.get("removed", ""), "undo": query.get("link", ""), "longest": LONGEST_NAME,
    }  # fmt: skip
    frame = Frame("views.html", "Saved views", "explore", (("Explore", "/explore"), ("Saved views", "")))
    return kit.page(request, frame, now=now, context=context)


def listed(kit: Kit, _: Request) -> Response:
    """The rows as JSON."""
    return JSONResponse({"schema": "costweir.views/1", "rows": [dict(view) for view in kit.desk.views()]})


def change(kit: Kit, sent: Sent) -> Response:
    """Saves or removes a view, and goes to the list. Raises UsageError for a name or link that cannot be kept."""
    name, link = sent.get("name"), sent.get("link")
    if sent.get("action") == "remove":
        gone = kit.office.edit(lambda control: control.edits.drop_view(name, by=sent.actor)).before
        return RedirectResponse(
            f"{PATH}?{urlencode({'removed': name, 'link': gone['link'] if gone else ''})}", 303
        )
    _check(name, link)
    kit.office.edit(lambda control: control.edits.save_view(name, link, by=sent.actor))
    return RedirectResponse(f"{PATH}?{urlencode({'saved': name})}", 303)


def _check(name: str, link: str) -> None:
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"A view needs a name of 1 to {LONGEST_NAME} characters.", hint="Go back and give it one."
        )
    if len(link) > LONGEST_LINK or not link.isprintable():
        raise UsageError("The address of this view is too long to be kept.", hint="Drop some filters.")
