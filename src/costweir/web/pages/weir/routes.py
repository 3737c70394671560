"""The gateway's pages in one list."""

from __future__ import annotations

from starlette.routing import BaseRoute

from costweir.web.pages.shell import Kit
from costweir.web.pages.weir import budget_form, budgets, calls, freeze, keys, live, session, sessions, why


def weir_pages(kit: Kit) -> list[BaseRoute]:
    """Everything below `/live`, and `/why/<id>`."""
    return [
        *live.routes(kit),
        *calls.routes(kit),
        *sessions.routes(kit),
        *session.routes(kit),
        *why.routes(kit),
        *keys.routes(kit),
        *budgets.routes(kit),
        *budget_form.routes(kit),
        *freeze.routes(kit),
    ]
