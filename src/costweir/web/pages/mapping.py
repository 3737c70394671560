"""Gives lines of a bill a meaning: the form, what it would change in every stored month, and the button that does it.

What is applied is what was looked at: the preview's digest goes with the form (law L6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.control import Control
from costweir.control.mappings import OwnMapping
from costweir.domain.charge import TOKEN_CLASSES
from costweir.errors import Conflict, Error
from costweir.web.api.bodies import MappingWish, read_body
from costweir.web.pages import rows as cells
from costweir.web.pages.forms import Sent
from costweir.web.pages.shell import Frame, Kit, Now
from costweir.web.pages.table import Cell, Column, Row, Table

LIST = "/settings/unknown"
PATH = f"{LIST}/map"
#: Clouds that have their own rules; a line of anybody else is matched as `other`.
CLOUDS = ("aws", "gcp", "azure", "openai", "anthropic")
#: Which lines, and what they mean.
LINE = ("cloud", "text", "service", "unit")
MEANING = ("model", "token_type", "tokens_per_unit")
#: Rows of a preview; the sums count all of them.
MOST = 100


@dataclass(frozen=True, slots=True)
class Draft:
    """The form as it stands: its texts, the mapping they make, or why they make none."""

    values: Mapping[str, str]
    mapping: OwnMapping | None = None
    error: Error | None = None


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/unknown/map`: to look at, and to apply."""
    return [
        Route(PATH, kit.handler(show)),
        Route(PATH, kit.receiver(change, role="finance"), methods=["POST"]),
    ]


def show(kit: Kit, request: Request) -> Response:
    """The form for the lines of the address, with the preview once it names a model; or the preview of `?without=`."""
    asked = request.query_params
    without = asked.get("without", "")
    if without:
        told = kit.office.mappings.preview(drop=without)
        return _page(kit, request, Draft({"without": without}), told)
    draft = _read(kit, asked)
    told = kit.office.mappings.preview(draft.mapping) if draft.mapping else None
    return _page(kit, request, draft, told)


def _read(kit: Kit, given: Mapping[str, str]) -> Draft:
    # an empty service or unit is one: lines that have none
    values = {name: given[name] for name in LINE if name in given}
    values |= {name: given.get(name, "").strip() for name in (*MEANING, "evidence")}
    if not values["model"]:
        return Draft(values)
    meaning: dict[str, Any] = {name: values[name] for name in MEANING if values[name]}
    if meaning.get("tokens_per_unit", "").isdigit():
        meaning["tokens_per_unit"] = int(meaning["tokens_per_unit"])
    wish = {**{name: text for name, text in values.items() if name not in MEANING}, "meaning": meaning}
    try:
        return Draft(values, kit.office.mappings.complete(read_body(MappingWish, wish).model_dump()))
    except Error as error:
        return Draft(values, error=error)


def _page(kit: Kit, request: Request, draft: Draft, told: Mapping[str, Any] | None) -> Response:
    now = kit.now()
    context = {
        "draft": draft, "classes": TOKEN_CLASSES, "told": told, "table": _table(told, now) if told else None,
        "more": max(0, len(told["rows"]) - MOST) if told else 0, "names": (*LINE, *MEANING, "evidence"),
    }  # fmt: skip
    status = draft.error.http_status if draft.error else 200
    title = "Undo a mapping" if "without" in draft.values else "Give a line its meaning"
    crumbs = (("Settings", "/settings/health"), ("Unknown SKUs", LIST), (title, ""))
    return kit.page(
        request, Frame("mapping.html", title, "settings", crumbs, status), now=now, context=context
    )


def _table(told: Mapping[str, Any], now: Now) -> Table:
    columns = (
        Column("Month", "period", numeric=False), Column("State", "closed", numeric=False),
        Column("Provider", "provider", numeric=False), Column("Account", "account", numeric=False),
        Column("Unit", "unit", numeric=False), Column("Lines", "lines"), Column("Cost", "cost"),
        Column("Means now", "before", numeric=False), Column("Would mean", "after", numeric=False),
        Column("Tokens now", "tokens_before"), Column("Tokens then", "tokens_after"),
    )  # fmt: skip
    listed = cast("Sequence[Mapping[str, Any]]", told["rows"])
    return Table("What would change", columns, tuple(_row(row) for row in listed[:MOST]))


def _row(row: Mapping[str, Any]) -> Row:
    state = "closed" if row["closed"] else "open"
    return (
        Cell(row["period"], row["period"], tone="nowrap"),
        Cell(state, state, badge=True, tone="warn" if row["closed"] else "info"),
        Cell(row["provider"], row["provider"], swatch=row["provider"]),
        Cell(row["account"], row["account"], mono=True, wrap=True),
        Cell(row["unit"], row["unit"]),
        cells.count(row["lines"]),
        cells.money(row["billed"]["amount"], row["billed"]["currency"], places=None),
        _meaning(row["before"]),
        _meaning(row["after"]),
        cells.count(row["tokens_before"]),
        cells.count(row["tokens_after"]),
    )


def _meaning(meaning: Mapping[str, str]) -> Cell:
    text = f"{meaning['model']}, {meaning['token_type']}"
    return Cell(text, text)


def change(kit: Kit, sent: Sent) -> Response:
    """Sets or forgets the mapping and moves what was looked at. Raises Conflict when something else would move."""
    office, without = kit.office, sent.get("without")
    draft = Draft({}) if without else _read(kit, sent.fields)
    if draft.error is not None:
        return _page(kit, sent.request, draft, None)

    seen = office.mappings.preview(draft.mapping, without)
    if seen["digest"] != sent.get("digest"):
        raise Conflict(
            "The stored lines changed since you looked, so nothing was changed.",
            hint="Go back and look again.",
        )

    def keep(control: Control) -> None:
        if draft.mapping is not None:
            *_, entry = office.mappings.put(control, draft.mapping, by=sent.actor)
        else:
            _, entry = office.mappings.drop(control, without, by=sent.actor)
        if entry is not None:
            control.audit.add(entry)

    office.edit(keep)
    done = office.mappings.apply(by=sent.actor, expect=str(seen["digest"]))
    undo = draft.mapping.id if draft.mapping else ""
    return RedirectResponse(f"{LIST}?{urlencode({'moved': str(done['lines']), 'undo': undo})}", 303)
