"""The switch that stops calls at once: all of them, or those of one customer, session, key or model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.errors import Error, NotFound, UsageError
from costweir.guard.policy import EACH, KINDS
from costweir.web.pages.entries import fault_of
from costweir.web.pages.forms import Sent, may_change
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.weir import words

LIST = "/live/budgets"
PATH = f"{LIST}/freeze"
_LONGEST_REASON = 200


def routes(kit: Kit) -> list[BaseRoute]:
    """`/live/budgets/freeze`, and what lets calls through again."""
    return [
        Route(PATH, kit.handler(page)),
        Route(PATH, kit.receiver(_stop), methods=["POST"]),
        Route(f"{LIST}/unfreeze", kit.receiver(_free), methods=["POST"]),
    ]


def packed(scope: Mapping[str, str]) -> str:
    """A scope as one field of a form."""
    return json.dumps(dict(scope), sort_keys=True)


def page(kit: Kit, request: Request) -> Response:
    """Says what stopping does before it is done."""
    return _page(kit, request, dict(request.query_params))


def _page(kit: Kit, request: Request, values: Mapping[str, str], error: Error | None = None) -> Response:
    running, held = _running(kit)
    context = {
        "kinds": KINDS, "values": values, "error": error, "may_stop": may_change(request, "admin"),
        "running": running, "held": words.money(held) if running else "",
    }  # fmt: skip
    crumbs = (("Live", "/live"), ("Budgets", LIST), ("Stop calls", ""))
    frame = Frame("weir_freeze.html", "Stop calls", "live", crumbs, error.http_status if error else 200)
    return kit.page(request, frame, now=kit.now(), context=context)


def _running(kit: Kit) -> tuple[int, int]:
    """Calls under way and what they hold."""
    try:
        pulse = kit.live().pulse(datetime.now(UTC))
    except NotFound:
        return 0, 0
    return pulse.open_calls, pulse.held


def _stop(kit: Kit, sent: Sent) -> Response:
    """Stops calls from now on, and waits until the gateway refuses them."""
    try:
        scope, reason = _scope(sent), sent.get("reason")
        if not reason or len(reason) > _LONGEST_REASON or not reason.isprintable():
            raise UsageError(
                "Say why in one line; whoever is refused reads it.", hint="At most 200 characters."
            )
    except UsageError as error:
        return _page(kit, sent.request, sent.fields, error)
    kit.office.edit(lambda control: control.stops.put(scope, by=sent.actor, reason=reason))
    return _done(kit, "stopped", scope)


def _free(kit: Kit, sent: Sent) -> Response:
    """Lets calls through again. Raises NotFound for what is not stopped."""
    wanted = sent.get("scope")
    found = next((stop for stop in kit.office.control.stops.listed() if packed(stop.scope) == wanted), None)
    if found is None:
        raise NotFound("That is not stopped any more.", hint=f"See what is under {LIST}.")
    kit.office.edit(lambda control: control.stops.drop(found.scope, by=sent.actor))
    return _done(kit, "freed", found.scope)


def _done(kit: Kit, verb: str, scope: Mapping[str, str]) -> Response:
    kit.office.budgets.in_force()
    return RedirectResponse(f"{LIST}?{urlencode({verb: words.scope(scope)})}", 303)


def _scope(sent: Sent) -> dict[str, Any]:
    """Whom a form is about; nobody named is everything. Raises UsageError."""
    kind, member = sent.get("kind"), sent.get("member")
    if kind in ("", "everything") and not member:
        if kind:
            return {}
        raise UsageError(
            "Say what to stop.", hint="Choose every call, or one customer, session, key or model."
        )
    if kind not in KINDS:
        raise UsageError("Choose what the name belongs to.", hint="A customer, a session, a key or a model.")
    if member in ("", EACH) or fault_of("id", member):
        raise UsageError(f"Name the {kind} to stop.", hint="An id has 1 to 200 characters on one line.")
    return {kind: member}
