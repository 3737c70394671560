"""Saved views: a name for an address, because the address is the whole state of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.errors import Error, NotAllowed, UsageError
from costweir.web import format as fmt
from costweir.web.access import is_admin
from costweir.web.pages.forms import Fields
from costweir.web.pages.shell import Frame, Kit
from costweir.web.problems import problem

PATH = "/explore/views"
LONGEST_NAME = 80
LONGEST_LINK = 4000


def routes(kit: Kit) -> list[BaseRoute]:
    """`/explore/views` to see, save and remove them; `.json` for the desk of another process."""
    return [
        Route(PATH, kit.handler(build)),
        Route(PATH, kit.receiver(change), methods=["POST"]),
        Route(f"{PATH}.json", kit.handler(listed)),
        Route(f"{PATH}.json", _by_token(kit), methods=["POST"]),
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
        "rows": rows, "token": kit.forms.token, "saved": query.get("saved", ""),
        "removed": query.get("removed", ""), "undo": query.get("link", ""), "longest": LONGEST_NAME,
    }  # fmt: skip
    frame = Frame("views.html", "Saved views", "explore", (("Explore", "/explore"), ("Saved views", "")))
    return kit.page(request, frame, now=now, context=context)


def listed(kit: Kit, _: Request) -> Response:
    """The rows as JSON."""
    return JSONResponse({"schema": "costweir.views/1", "rows": [dict(view) for view in kit.desk.views()]})


def change(kit: Kit, fields: Fields) -> Response:
    """Saves or removes a view, and goes to the list. Raises UsageError for a name or link that cannot be kept."""
    name = fields.get("name", "").strip()
    if fields.get("action") == "remove":
        link = next((str(view["link"]) for view in kit.desk.views() if view["name"] == name), "")
        kit.desk.drop_view(name)
        return RedirectResponse(f"{PATH}?{urlencode({'removed': name, 'link': link})}", 303)
    _save(kit, name, fields.get("link", ""))
    return RedirectResponse(f"{PATH}?{urlencode({'saved': name})}", 303)


def _save(kit: Kit, name: str, link: str) -> None:
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"A view needs a name of 1 to {LONGEST_NAME} characters.", hint="Go back and give it one."
        )
    if len(link) > LONGEST_LINK or not link.isprintable():
        raise UsageError("The address of this view is too long to be kept.", hint="Drop some filters.")
    kit.desk.save_view(name, link)


def _by_token(kit: Kit):
    async def handle(request: Request) -> Response:
        try:
            if not is_admin(request):
                raise NotAllowed(
                    "Changing something needs the admin token.", hint="Send it as a bearer token."
                )
            return JSONResponse(await run_in_threadpool(_told, kit, await request.json()))
        except Error as error:
            return problem(error)
        except ValueError:
            return problem(UsageError("The body is not JSON.", hint="Send name and link."))

    return handle


def _told(kit: Kit, body: object) -> Mapping[str, object]:
    fields = cast("Mapping[str, object]", body if isinstance(body, dict) else {})
    name = str(fields.get("name") or "").strip()
    if fields.get("drop"):
        return {"dropped": kit.desk.drop_view(name)}
    _save(kit, name, str(fields.get("link") or ""))
    return {"saved": name}
