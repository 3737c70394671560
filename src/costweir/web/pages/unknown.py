"""Unknown SKUs: what they cost, and the mapping that makes them known, ready to copy."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.domain.answer import Answer
from costweir.domain.answer import Cell as Value
from costweir.domain.charge import TOKEN_CLASSES, UNKNOWN
from costweir.insights.breakdown import cost_field
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.pages import rows as cells
from costweir.web.pages.health import unknown_table
from costweir.web.pages.shell import Frame, Kit, Now, json_link

PATH = "/settings/unknown"
#: Lines on the page; the rest is one line.
MOST = 40
#: Clouds that have their own mappings; a line of anybody else is matched as `other`.
CLOUDS = ("aws", "gcp", "azure", "openai", "anthropic")


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/unknown`, with CSV and Markdown; `mappings.yaml` is what there is to copy."""
    paths = (PATH, f"{PATH}.csv", f"{PATH}.md")
    return [Route(path, kit.handler(build)) for path in paths]


def build(kit: Kit, request: Request) -> Response:
    """The largest first."""
    now = kit.now()
    crumbs = (("Settings", "/settings/health"), ("Unknown SKUs", ""))
    frame = Frame("unknown.html", "Unknown SKUs", "settings", crumbs)
    if now.empty:
        return kit.page(request, frame, now=now, context={"empty": True})
    question = Question("unknown_skus", limit=MOST)
    found = kit.ask({"unknown": question, "all": Question("spend", by=("provider",))})
    answer, whole = found.need("unknown"), found.maybe("all")
    table = unknown_table(answer, now)
    kind = request.url.path.rpartition(".")[2]
    if kind in ("csv", "md"):
        return kit.export(table, kind=kind, name="unknown-skus", now=now)
    nameless = sum(1 for row in answer.rows if not _has_text(row))
    context = {
        "empty": False, "answer": answer, "table": table if answer.rows else None, "problems": found.problems,
        "total": cells.money(answer.total, answer.currency).text, "nameless": nameless,
        "share": cells.percent(answer.total, whole.total) if whole else "",
        "stub": mapping_stub(answer, now), "classes": ", ".join(sorted(TOKEN_CLASSES)),
        "csv": f"{PATH}.csv", "md": f"{PATH}.md", "json_link": json_link(question),
    }  # fmt: skip
    return kit.page(request, frame, now=now, context=context)


def _has_text(row: Mapping[str, Value]) -> bool:
    return str(row.get("usage_type") or UNKNOWN) != UNKNOWN


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
            f"  # {_comment(row.get('service'))}: {cost} in {lines}, last on {seen}",
            f"  # billed in {_comment(row.get('unit'))}",
            f"  - cloud: {provider if provider in CLOUDS else 'other'}",
            f"    text: {_quoted(row['usage_type'])}",
            f"    model: {UNKNOWN}",
            "    token_type: other",
        ]
    return "\n".join(["rules:", *rules]) if rules else ""


def _quoted(value: object) -> str:
    """A YAML text in double quotes; JSON is one."""
    return json.dumps(str(value))


def _comment(value: object) -> str:
    return " ".join(str(value or "unknown").split())
