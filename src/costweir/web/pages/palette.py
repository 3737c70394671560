"""What the search box can jump to: customers, models and saved views, as JSON that is fetched when the box opens."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.queries.request import Request as Question
from costweir.web.pages.shell import Kit

#: Entries of one kind; a longer list is found through its own page.
MOST = 2000


def routes(kit: Kit) -> list[BaseRoute]:
    """`/palette.json`."""
    return [Route("/palette.json", kit.handler(build))]


def build(kit: Kit, _: Request) -> Response:
    """`{"rows": [{"title", "kind", "href"}]}`; a catalogue question that fails leaves its entries out."""
    rows: list[dict[str, str]] = []
    for known in kit.desk.customers()[:MOST]:
        name, address = str(known.get("name") or known["id"]), quote(str(known["id"]), safe="")
        rows.append({"title": name, "kind": "customer", "href": f"/customers/{address}"})
    answer = kit.ask({"models": Question("spend", by=("model",), limit=200)}).maybe("models")
    for row in answer.rows if answer else ():
        model = str(row.get("model"))
        rows.append({"title": model, "kind": "model", "href": f"/explore?by=customer&model={quote(model)}"})
    rows += [
        {"title": str(view["name"]), "kind": "saved view", "href": str(view["link"])}
        for view in kit.desk.views()
    ]
    return JSONResponse({"rows": rows}, headers={"Cache-Control": "no-cache"})
