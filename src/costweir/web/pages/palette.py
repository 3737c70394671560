"""What the search box can jump to: pages, actions, customers, models and saved views, as JSON that is fetched when the
box opens."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.queries.request import Request as Question
from costweir.web.pages.navigation import ACTIONS, places
from costweir.web.pages.shell import Kit

#: Entries of one kind; a longer list is found through its own page.
MOST = 2000
Entry = dict[str, str]


def routes(kit: Kit) -> list[BaseRoute]:
    """`/palette.json`."""
    return [Route("/palette.json", kit.handler(build))]


def build(kit: Kit, request: Request) -> Response:
    """`{"rows": [{"title", "kind", "href", ...}]}`; pages and actions have an `icon` and `words` they are found by. A
    catalogue question that fails leaves its entries out."""
    rows = [*_pages(), *_actions(may_edit=kit.may_edit(request)), *_customers(kit), *_models(kit)]
    rows += [
        {"title": str(view["name"]), "kind": "saved view", "href": str(view["link"])}
        for view in kit.desk.views()
    ]
    return JSONResponse({"rows": rows}, headers={"Cache-Control": "no-cache"})


def _pages() -> Iterator[Entry]:
    for section, place in places():
        letter = f"g {place.letter}" if place.letter else ""
        words = f"{section.title} {place.words}"
        yield {
            "title": place.title,
            "kind": "page",
            "href": place.href,
            "icon": section.key,
            "key": letter,
            "words": words,
        }


def _actions(*, may_edit: bool) -> Iterator[Entry]:
    for action in ACTIONS:
        if may_edit or not action.edits:
            yield {
                "title": action.title,
                "kind": "action",
                "href": action.href,
                "icon": action.icon,
                "words": "",
            }


def _customers(kit: Kit) -> Iterator[Entry]:
    for known in kit.desk.customers()[:MOST]:
        name, address = str(known.get("name") or known["id"]), quote(str(known["id"]), safe="")
        yield {"title": name, "kind": "customer", "href": f"/customers/{address}"}


def _models(kit: Kit) -> Iterator[Entry]:
    answer = kit.ask({"models": Question("spend", by=("model",), limit=200)}).maybe("models")
    for row in answer.rows if answer else ():
        model = str(row.get("model"))
        yield {"title": model, "kind": "model", "href": f"/explore?by=customer&model={quote(model)}"}
