"""Unknown SKUs: what they cost, the mappings that make them known, and the same as a file to copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.domain.answer import Answer
from costweir.domain.answer import Cell as Value
from costweir.domain.charge import TOKEN_CLASSES, UNKNOWN
from costweir.insights.breakdown import cost_field
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.pages import mapping
from costweir.web.pages import rows as cells
from costweir.web.pages.shell import Frame, Kit, Now, json_link
from costweir.web.pages.table import Cell, Column, Row, Table

PATH = mapping.LIST
#: Lines on the page; the rest is one line.
MOST = 40
#: What a mapping matches a line by.
LINES = ("provider", "line_service", "line_text", "line_unit")


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/unknown`, with CSV and Markdown, and the page that gives lines a meaning."""
    paths = (PATH, f"{PATH}.csv", f"{PATH}.md")
    return [*(Route(path, kit.handler(build)) for path in paths), *mapping.routes(kit)]


def build(kit: Kit, request: Request) -> Response:
    """The largest first."""
    now = kit.now()
    crumbs = (("Settings", "/settings/health"), ("Unknown SKUs", ""))
    frame = Frame("unknown.html", "Unknown SKUs", "settings", crumbs)
    if now.unbilled:
        return kit.page(request, frame, now=now, context={"empty": True})
    question = Question("unknown_skus", by=LINES, limit=MOST)
    found = kit.ask({"unknown": question, "all": Question("spend", by=("provider",))})
    answer, whole = found.need("unknown"), found.maybe("all")
    table = unknown_table(answer, now)
    kind = request.url.path.rpartition(".")[2]
    if kind in ("csv", "md"):
        return kit.export(table, kind=kind, name="unknown-skus", now=now)
    asked = request.query_params
    kept = kit.kept.mappings.listed() if kit.kept else ()
    context = {
        "empty": False, "answer": answer, "table": table if answer.rows else None, "problems": found.problems,
        "total": cells.money(answer.total, answer.currency).text,
        "nameless": sum(1 for row in answer.rows if not _has_text(row)),
        "share": cells.percent(answer.total, whole.total) if whole else "",
        "kept": _kept(kept, now) if kept else None, "moved": asked.get("moved", ""), "undo": asked.get("undo", ""),
        "stub": mapping_stub(answer, now), "classes": ", ".join(sorted(TOKEN_CLASSES)),
        "csv": f"{PATH}.csv", "md": f"{PATH}.md", "json_link": json_link(question),
    }  # fmt: skip
    return kit.page(request, frame, now=now, context=context)


def unknown_table(answer: Answer, now: Now) -> Table:
    """The lines that no rule knows; they add up to the answer. A text leads to the page that maps it."""
    field = cost_field(answer)
    columns = (
        Column("Provider", "provider", numeric=False), Column("Service", "service", numeric=False),
        Column("Text on the bill", "text", numeric=False), Column("Unit", "unit", numeric=False),
        Column("Lines", "lines"), Column("Last seen", "last_day"), Column("Cost", field),
    )  # fmt: skip
    rows: list[Row] = [
        (
            Cell(str(row["provider"]), str(row["provider"]), swatch=str(row["provider"])),
            _plain(row.get("line_service")),
            Cell(str(row["line_text"]), str(row["line_text"]), href=_map(row), mono=True)
            if _has_text(row)
            else Cell("no text", "", tone="muted"),
            _plain(row.get("line_unit")),
            cells.count(row.get("lines")),
            cells.when(row.get("last_day"), now.today),
            cells.money(row[field], answer.currency, places=None, tone="strong"),
        )
        for row in answer.rows
    ]
    if Decimal(answer.other):
        rest = cells.money(answer.other, answer.currency)
        rows.append((Cell("All others"), *(Cell() for _ in range(5)), rest))
    total = (
        *(Cell("Total" if place == 0 else "") for place in range(6)),
        cells.money(answer.total, answer.currency),
    )
    return Table("Unknown SKUs", columns, tuple(rows), total)


def _plain(value: Value) -> Cell:
    known = value not in (None, "", UNKNOWN)
    return Cell(str(value), str(value)) if known else Cell(fmt.NOTHING, "", tone="muted")


def _map(row: Mapping[str, Value]) -> str:
    """The page that maps exactly these lines."""
    provider = str(row["provider"])
    fields = {
        "cloud": provider if provider in mapping.CLOUDS else "other", "text": str(row["line_text"]),
        **{name: str(row[f"line_{name}"]) for name in ("service", "unit") if row.get(f"line_{name}") != UNKNOWN},
    }  # fmt: skip
    return f"{mapping.PATH}?{urlencode(fields)}"


def _kept(rows: Any, now: Now) -> Table:
    columns = (
        Column("Text on the bill", "text", numeric=False), Column("Cloud", "cloud", numeric=False),
        Column("Model", "model", numeric=False), Column("Counts", "token_type", numeric=False),
        Column("Tokens in a unit", "tokens_per_unit"), Column("Set by", "set_by", numeric=False),
        Column("On", "set_at", numeric=False), Column("Evidence", "evidence", numeric=False),
        Column("Undo", numeric=False, silent=True),
    )  # fmt: skip
    return Table("Mappings set here", columns, tuple(_kept_row(row, now) for row in rows))


def _kept_row(row: Mapping[str, Any], now: Now) -> Row:
    meaning = cast("Mapping[str, Any]", row["meaning"])
    fields = {name: str(row[name]) for name in mapping.LINE if row[name] is not None}
    fields |= {name: str(meaning.get(name, "")) for name in mapping.MEANING} | {
        "evidence": str(row["evidence"])
    }
    return (
        Cell(str(row["text"]), str(row["text"]), href=f"{mapping.PATH}?{urlencode(fields)}", mono=True),
        Cell(str(row["cloud"]), str(row["cloud"])),
        Cell(str(meaning.get("model", UNKNOWN)), str(meaning.get("model", "")), mono=True),
        Cell(str(meaning.get("token_type", "other")), str(meaning.get("token_type", ""))),
        cells.count(meaning.get("tokens_per_unit")),
        Cell(str(row["set_by"]), str(row["set_by"])),
        Cell(fmt.instant(str(row["set_at"]), today=now.today), str(row["set_at"]), tone="nowrap"),
        Cell(str(row["evidence"]) or fmt.NOTHING, str(row["evidence"])),
        Cell("Undo", href=f"{mapping.PATH}?{urlencode({'without': row['id']})}"),
    )


def _has_text(row: Mapping[str, Value]) -> bool:
    return str(row.get("line_text") or UNKNOWN) != UNKNOWN


def mapping_stub(answer: Answer, now: Now) -> str:
    """The YAML of a mapping for every line that has a text; without edits it names no model."""
    field = cost_field(answer)
    rules: list[str] = []
    for row in answer.rows:
        if not _has_text(row):
            continue
        provider = str(row["provider"])
        cost = cells.money(row[field], answer.currency, places=None).text
        seen = cells.when(row.get("last_day"), now.today).text
        lines = fmt.plural(int(str(row.get("lines") or 0)), "line")
        rules += [
            f"  # {_comment(row.get('line_service'))}: {cost} in {lines}, last on {seen}",
            f"  # billed in {_comment(row.get('line_unit'))}",
            f"  - cloud: {provider if provider in mapping.CLOUDS else 'other'}",
            f"    text: {_quoted(row['line_text'])}",
            f"    model: {UNKNOWN}",
            "    token_type: other",
        ]
    return "\n".join(["rules:", *rules]) if rules else ""


def _quoted(value: object) -> str:
    """A YAML text in double quotes; JSON is one."""
    return json.dumps(str(value))


def _comment(value: object) -> str:
    return " ".join(str(value or "unknown").split())
