"""Importing customers and plans from a file: choose it, see what it would change, then write exactly that."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.control import Control
from costweir.errors import Conflict, Error, UsageError
from costweir.web.pages.directory import KINDS, crumbs, entries, plan_names
from costweir.web.pages.entries import Kind
from costweir.web.pages.forms import Sent
from costweir.web.pages.importing import Line, Preview, preview
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.table import Cell, Column, Row, Table

#: The largest file.
MOST_BYTES = 512 * 1024
#: A form needs more room than the file in it: every byte of it may take three.
MOST_FORM = 4 * MOST_BYTES
#: Lines of a preview; the rest is counted.
MOST_SHOWN = 100
#: What waits for a decision comes first.
STATES = {"refused": "bad", "changed": "warn", "added": "ok"}


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/customers/import` and `/settings/plans/import`."""
    found: list[BaseRoute] = []
    for kind in KINDS:
        path = f"{kind.path}/import"
        found.append(Route(path, kit.handler(partial(_show, kind))))
        receiver = kit.receiver(partial(_receive, kind), role="finance", most=MOST_FORM)
        found.append(Route(path, receiver, methods=["POST"]))
    return found


def _show(kind: Kind, kit: Kit, request: Request) -> Response:
    return _page(kit, request, kind)


def _page(
    kit: Kit,
    request: Request,
    kind: Kind,
    *,
    text: str = "",
    seen: Preview | None = None,
    error: Error | None = None,
) -> Response:
    """The form, with the preview of `text` once there is one, and the reason where something was refused."""
    table = _table(seen) if seen else None
    context = {
        "kind": kind, "text": text, "seen": seen, "error": error, "table": table if table and table.rows else None,
        "columns": ",".join(item.name for item in kind.fields),
        "hidden": max(sum(1 for line in seen.lines if line.state != "same") - MOST_SHOWN, 0) if seen else 0,
    }  # fmt: skip
    title = f"Import {kind.many}"
    frame = Frame(
        "import.html", title, "settings", crumbs(kind, "Import"), status=error.http_status if error else 200
    )
    return kit.page(request, frame, now=kit.now(), context=context)


def _table(seen: Preview) -> Table:
    columns = (
        Column("Line", "line", numeric=False), Column("Id", "id", numeric=False),
        Column("What happens", "state", numeric=False), Column("Details", "details", numeric=False),
    )  # fmt: skip
    order = list(STATES)
    shown = sorted(
        (line for line in seen.lines if line.state in STATES), key=lambda line: order.index(line.state)
    )
    return Table("What the file changes", columns, tuple(_row(line) for line in shown[:MOST_SHOWN]))


def _row(line: Line) -> Row:
    changes = "; ".join(
        f"{label}: {before or 'empty'} → {after or 'empty'}" for label, before, after in line.changes
    )
    if line.state == "added":
        changes = "; ".join(f"{label}: {after}" for label, _, after in line.changes if after)
    return (
        Cell(str(line.number)),
        Cell(line.id, mono=True, wrap=True),
        Cell(line.state, badge=True, tone=STATES[line.state]),
        Cell(line.reason or changes, tone="wrapany"),
    )


def _receive(kind: Kind, kit: Kit, sent: Sent) -> Response:
    """A preview of the file, or, with the digest of the preview that was looked at, the import of it."""
    text = sent.fields.get("file", "").strip() or sent.fields.get("text", "").strip()
    try:
        if len(text.encode()) > MOST_BYTES:
            raise UsageError(f"The file is larger than {MOST_BYTES // 1024} KB.", hint="Import it in parts.")
        if sent.get("action") == "import":
            return _write(kit, sent, kind, text)
        return _page(kit, sent.request, kind, text=text, seen=_preview(kit.office.control, kind, text))
    except Conflict as error:
        seen = _preview(kit.office.control, kind, text)
        return _page(kit, sent.request, kind, text=text, seen=seen, error=error)
    except UsageError as error:
        return _page(kit, sent.request, kind, text=text, error=error)


def _preview(control: Control, kind: Kind, text: str) -> Preview:
    return preview(kind, text, kept=entries(control, kind), plans=plan_names(control))


def _write(kit: Kit, sent: Sent, kind: Kind, text: str) -> Response:
    def change(control: Control) -> int:
        found = _preview(control, kind, text)
        if found.digest != sent.get("digest"):
            raise Conflict(
                f"Somebody changed {kind.many} after this preview, so nothing was imported.",
                hint="Look at the new preview below, then import.",
            )
        for line in found.writes:
            if line.entry is not None:
                control.edits.put(line.entry, by=sent.actor, expected=line.version)
        return len(found.writes)

    count = kit.office.edit(change)
    return RedirectResponse(f"{kind.path}?{urlencode({'imported': count})}", 303)
