"""One customer or plan: the form that adds, changes or removes it. Whoever saw an older version changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.control import Control
from costweir.control.edits import version_of
from costweir.errors import Conflict, Error, NotFound
from costweir.web.pages.directory import KINDS, crumbs, entries, plan_names
from costweir.web.pages.entries import CUSTOMERS, PLANS, Entry, Kind, fill, values_of
from costweir.web.pages.forms import Sent
from costweir.web.pages.shell import Frame, Kit


@dataclass(frozen=True, slots=True)
class Draft:
    """A form on its way: what is kept now, the version that was seen, what was typed, and why it was refused."""

    kind: Kind
    entry: Entry | None
    version: str
    values: Mapping[str, str]
    faults: Mapping[str, str] = field(default_factory=dict[str, str])
    error: Error | None = None

    @property
    def title(self) -> str:
        """What the form does."""
        return f"Edit {self.entry.name or self.entry.id}" if self.entry else f"Add a {self.kind.noun}"

    @property
    def status(self) -> int:
        """The HTTP status of the page."""
        return self.error.http_status if self.error else 422 if self.faults else 200

    @property
    def again(self) -> str:
        """Where the form as it is kept now is."""
        path = f"{self.kind.path}/edit"
        return f"{path}?{urlencode({'id': self.entry.id})}" if self.entry else path


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/customers/edit` and `/settings/plans/edit`."""
    found: list[BaseRoute] = []
    for kind in KINDS:
        path = f"{kind.path}/edit"
        found.append(Route(path, kit.handler(partial(_show, kind))))
        receiver = kit.receiver(partial(_change, kind), role="finance")
        found.append(Route(path, receiver, methods=["POST"]))
    return found


def _show(kind: Kind, kit: Kit, request: Request) -> Response:
    """The form of `?id=`, or an empty one with the id of `?new=`. Raises NotFound for an id that is not there."""
    name = request.query_params.get("id", "")
    entry = _find(kit.office.control, kind, name)
    if name and entry is None:
        raise NotFound(f"There is no {kind.noun} {name!r}.", hint=f"See all under {kind.path}.")
    version = version_of(entry.to_json() if entry else None)
    values = values_of(kind, entry)
    if entry is None:
        values["id"] = request.query_params.get("new", "")
    return _page(kit, request, Draft(kind, entry, version, values))


def _find(control: Control, kind: Kind, name: str) -> Entry | None:
    return next((entry for entry in entries(control, kind) if entry.id == name), None)


def _page(kit: Kit, request: Request, draft: Draft) -> Response:
    kind, control = draft.kind, kit.office.control
    name = draft.entry.id if draft.entry else ""
    context = {
        "draft": draft, "kind": kind, "plans": plan_names(control),
        "on": sum(1 for row in control.customers() if kind is PLANS and row.plan == name),
        "spend": f"/customers/{quote(name, safe='')}" if kind is CUSTOMERS and name else "",
    }  # fmt: skip
    title = draft.title if draft.status == 200 else f"Not saved: {draft.title}"
    way = crumbs(kind, (draft.entry.name or name) if draft.entry else "Add")
    return kit.page(
        request, Frame("entry.html", title, "settings", way, draft.status), now=kit.now(), context=context
    )


def _change(kind: Kind, kit: Kit, sent: Sent) -> Response:
    """Saves or removes one, and goes to the list; what cannot be taken comes back with its reasons."""
    control, name, version = kit.office.control, sent.get("id"), sent.get("version")
    entry = _find(control, kind, name) if version else None
    if sent.get("action") == "remove":
        return _remove(kit, sent, Draft(kind, entry, version, values_of(kind, entry)))
    draft = Draft(kind, entry, version, {item.name: sent.get(item.name) for item in kind.fields})
    filled = fill(kind, draft.values, before=entry, plans=plan_names(control))
    if filled.entry is None:
        return _page(kit, sent.request, replace(draft, faults=filled.faults))
    wanted = filled.entry
    try:
        kit.office.edit(lambda held: held.edits.put(wanted, by=sent.actor, expected=version))
    except Conflict as error:
        return _page(kit, sent.request, replace(draft, error=error))
    return RedirectResponse(f"{kind.path}?{urlencode({'saved': wanted.id})}", 303)


def _remove(kit: Kit, sent: Sent, draft: Draft) -> Response:
    kind, name = draft.kind, sent.get("id")
    if sent.get("typed") != name:
        return _page(kit, sent.request, replace(draft, faults={"typed": f"Type {name} to remove it."}))
    try:
        kit.office.edit(
            lambda held: held.edits.remove(kind.held, name, by=sent.actor, expected=draft.version)
        )
    except Conflict as error:
        return _page(kit, sent.request, replace(draft, error=error))
    return RedirectResponse(f"{kind.path}?{urlencode({'removed': name})}", 303)
