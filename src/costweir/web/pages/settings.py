"""All settings: what is in force, where it was set, and what else can set it. Nothing is changed here, and a secret
is never shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.errors import UsageError
from costweir.web import format as fmt
from costweir.web.pages.shell import Frame, Kit
from costweir.web.pages.table import Cell, Column, Row, Table

PATH = "/settings/all"
#: Which settings to list.
KINDS = {"": "All", "set": "Only what was set", "default": "Only defaults"}
#: Pages that show a list better than a cell can.
PAGES = {
    "customers": "/settings/customers", "plans": "/settings/plans", "prices": "/settings/prices",
    "sources": "/settings/sources",
}  # fmt: skip
_HIDDEN = "secret"


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/all` with CSV and Markdown."""
    return [Route(path, kit.handler(build)) for path in (PATH, f"{PATH}.csv", f"{PATH}.md")]


def build(kit: Kit, request: Request) -> Response:
    """`?q=` is part of a name or meaning, `?show=` keeps what was set or what was not."""
    now = kit.now()
    held = kit.office.settings()
    query, show = request.query_params.get("q", "").strip(), request.query_params.get("show", "")
    if show not in KINDS:
        raise UsageError(f"show={show} is not known here.", hint="Choose set or default, or leave it out.")
    rows = [
        row
        for row in cast("Sequence[Mapping[str, object]]", held["rows"])
        if _wanted(row, query.lower(), show)
    ]
    table = _table(rows)
    kind = request.url.path.rpartition(".")[2]
    if kind in ("csv", "md"):
        return kit.export(table, kind=kind, name="settings", now=now)
    asked = f"?{request.url.query}" if request.url.query else ""
    context = {
        "table": table if rows else None, "file": held["file"], "query": query, "show": show, "kinds": KINDS,
        "count": len(rows), "csv": f"{PATH}.csv{asked}", "md": f"{PATH}.md{asked}",
    }  # fmt: skip
    crumbs = (("Settings", "/settings/health"), ("All settings", ""))
    return kit.page(
        request, Frame("settings.html", "All settings", "settings", crumbs), now=now, context=context
    )


def _wanted(row: Mapping[str, object], query: str, show: str) -> bool:
    text = f"{row['key']} {row['meaning']}".lower()
    default = row["origin"] == "default"
    return query in text and (not show or default == (show == "default"))


def _table(rows: Sequence[Mapping[str, object]]) -> Table:
    columns = (
        Column("Setting", "key", numeric=False), Column("Value", "value", numeric=False),
        Column("Set by", "origin", numeric=False), Column("What it is", "meaning", numeric=False),
        Column("Variable", "variables", numeric=False, hint="An environment variable that sets it"),
    )  # fmt: skip
    return Table("Settings", columns, tuple(_row(row) for row in rows))


def _row(row: Mapping[str, object]) -> Row:
    key, names = str(row["key"]), cast("Sequence[str]", row["variables"])
    return (
        Cell(key, key, mono=True),
        _value(key, row),
        _origin(str(row["origin"])),
        Cell(str(row["meaning"]).replace("`", ""), str(row["meaning"])),
        Cell(names[0] if names else "", " ".join(names), mono=True, title=" or ".join(names)),
    )


def _value(key: str, row: Mapping[str, object]) -> Cell:
    value = row["value"]
    if value is None:
        return Cell(fmt.NOTHING, "", tone="muted", title="Not set")
    if row["type"] == _HIDDEN:
        return Cell("set, not shown", "secret", badge=True, tone="neutral")
    if value in ([], {}):
        return Cell("none", "0", tone="muted")
    if isinstance(value, list):
        items = cast("list[object]", value)
        if all(isinstance(item, str) for item in items):
            return Cell(", ".join(str(item) for item in items), json.dumps(items), tone="wrapany")
        return Cell(fmt.plural(len(items), "row"), str(len(items)), href=PAGES.get(key, ""))
    text = value if isinstance(value, str) else json.dumps(value)
    return Cell(text, text, tone="wrapany")


def _origin(text: str) -> Cell:
    """Where a value comes from: the badge says the kind, the rest is beside it."""
    kind, _, rest = text.partition(" ")
    if kind == "file":
        return Cell(rest.rpartition("/")[2], text, badge=True, tone="info", title=rest)
    if kind == "environment":
        return Cell(kind, text, badge=True, tone="info", note=rest)
    return Cell(text, text, tone="muted") if text == "default" else Cell(text, text, badge=True, tone="info")
