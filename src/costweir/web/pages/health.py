"""Data health: how far each source has delivered, what could not be read, and what has no meaning yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import cast
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.domain.answer import Answer
from costweir.domain.answer import Cell as Value
from costweir.domain.charge import UNTAGGED
from costweir.insights.breakdown import cost_field, tally
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.desk import Record
from costweir.web.pages import rows as cells
from costweir.web.pages.paging import open_span, read_page
from costweir.web.pages.shell import Frame, Kit, Now, Source, complete_until, read_sources
from costweir.web.pages.table import Cell, Column, Row, Table

PATH = "/settings/health"
#: Runs and lines of one page; both lists are on it, and lines are long.
SHOWN = 15
_TONES = {"loaded": "ok", "unchanged": "", "quarantined": "warn", "failed": "bad"}


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/health` with the sources as CSV and Markdown."""
    return [Route(path, kit.handler(build)) for path in (PATH, f"{PATH}.csv", f"{PATH}.md")]


def build(kit: Kit, request: Request) -> Response:
    """Sources first, then what waits: quarantine, unknown SKUs, untagged; then the runs."""
    now = kit.now()
    frame = Frame("health.html", "Data health", "settings", (("Settings", PATH), ("Data health", "")))
    asked = {name: read_page(request, name) for name in ("runs", "lines")}
    runs = kit.desk.runs(limit=asked["runs"] * SHOWN + 1)
    if now.unbilled and not runs:
        return kit.page(request, frame, now=now, context={"empty": True})
    found = kit.ask(
        {
            "health": Question("data_health"),
            "unknown": Question("unknown_skus", limit=20),
            "untagged": Question("untagged", by=("provider",)),
            "nobody": Question("spend", by=("provider",), where={"customer": (UNTAGGED,)}),
        }
    )
    health = found.need("health")
    sources = _sources(health, now)
    kind = request.url.path.rpartition(".")[2]
    if kind in ("csv", "md"):
        return kit.export(sources, kind=kind, name="data-health", now=now)
    known = read_sources(kit, now.today)
    quarantine = kit.desk.quarantine(limit=asked["lines"] * SHOWN + 1)
    spans = {
        "runs": open_span(len(runs), asked["runs"], partial(_link, asked, "runs", "#h-runs"), size=SHOWN),
        "lines": open_span(
            len(quarantine), asked["lines"], partial(_link, asked, "lines", "#quarantine"), size=SHOWN
        ),
    }
    unknown, untagged = found.maybe("unknown"), found.maybe("untagged")
    context = {
        "empty": False, "answer": health, "sources": known, "table": sources, "problems": found.problems,
        "tiles": _tiles(health, unknown, found.maybe("nobody"), now, sources=known),
        "runs": runs_table(runs[spans["runs"].part], now), "spans": spans,
        "csv": f"{PATH}.csv",
        "md": f"{PATH}.md", "quarantine": _quarantine(quarantine[spans["lines"].part]) if quarantine else None,
        "unknown": unknown_table(unknown, now) if unknown and unknown.rows else None,
        "untagged": _untagged(untagged) if untagged and untagged.rows else None,
        "late": _late(health, now),
    }  # fmt: skip
    return kit.page(request, frame, now=now, context=context)


def _link(asked: Mapping[str, int], name: str, place: str, number: int) -> str:
    """The address of another page of one of the two long lists; the other stays where it is."""
    pairs = [pair for pair in {**asked, name: number}.items() if pair[1] > 1]
    return f"{PATH}{'?' if pairs else ''}{urlencode(pairs)}{place}"


def _tiles(
    health: Answer, unknown: Answer | None, nobody: Answer | None, now: Now, *, sources: tuple[Source, ...]
) -> list[tuple[str, str, str]]:
    late = sum(1 for row in health.rows if row.get("late"))
    slowest = complete_until(sources)
    total = Decimal(health.total)
    aside, read = tally(health, "rows_quarantined"), tally(health, "rows_in")
    last = fmt.day(slowest - timedelta(days=1), today=now.today) if slowest else fmt.NOTHING
    tiles = [
        ("Complete to", last, "the last day that all have delivered"),
        ("Accounts up to date", f"{len(health.rows) - late} of {len(health.rows)}", "by their stated lag"),
        ("Quarantined", f"{aside:,}", f"of {read:,} lines read"),
    ]  # fmt: skip
    if unknown is not None:
        amount = Decimal(unknown.total)
        note = f"{fmt.percent(amount, total)} of spend, counted"
        tiles.append(("Unknown SKUs", fmt.money(amount, unknown.currency, places=2), note))
    if nobody is not None:
        amount = Decimal(nobody.total)
        note = f"{fmt.money(amount, nobody.currency, places=2)} without a customer"
        tiles.append(("Untagged share", fmt.percent(amount, total), note))
    return tiles


def _sources(health: Answer, now: Now) -> Table:
    columns = (
        Column("Source", "source", numeric=False), Column("Provider", "provider", numeric=False),
        Column("Account", "account", numeric=False), Column("State", "state", numeric=False),
        Column("Complete to", "complete_to"), Column("Last load", "last_load", numeric=False),
        Column("Months", "months"),
        Column("Lines read", "rows_in"), Column("Stored", "rows_stored"),
        Column("Skipped", "rows_skipped", hint="Not an AI service"),
        Column("Quarantined", "rows_quarantined"), Column("Cost", cost_field(health)),
    )  # fmt: skip
    rows: list[Row] = []
    for row in health.rows:
        late, sample = bool(row.get("late")), bool(row.get("sample"))
        state = "late" if late else "sample" if sample else "up to date"
        aside = int(str(row.get("rows_quarantined") or 0))
        rows.append(
            (
                Cell(str(row["source"]), str(row["source"]), mono=True),
                Cell(str(row["provider"]), str(row["provider"]), swatch=str(row["provider"])),
                Cell(str(row["account"]), str(row["account"]), mono=True, wrap=True),
                Cell(state, state, badge=True, tone="warn" if late else "info" if sample else "ok"),
                last_day(row.get("complete_to"), now),
                Cell(
                    fmt.instant(str(row.get("last_load") or ""), today=now.today),
                    str(row.get("last_load") or ""),
                ),
                *(_lines(row.get(name)) for name in ("months", "rows_in", "rows_stored", "rows_skipped")),
                replace(_lines(aside), tone="c-warn" if aside else "muted"),
                cells.money(row[cost_field(health)], health.currency),
            )
        )
    total = (
        *(Cell("Total" if place == 0 else "") for place in range(11)),
        cells.money(health.total, health.currency),
    )
    return Table("Sources", columns, tuple(rows), total)


def _late(health: Answer, now: Now) -> list[tuple[str, str, str]]:
    rows = [row for row in health.rows if row.get("late")]
    return [
        (str(row["source"]), str(row["account"]), last_day(row.get("complete_to"), now).text) for row in rows
    ]


def last_day(value: Value, now: Now) -> Cell:
    """The last delivered day; the CSV keeps the catalogue's first day that is not."""
    if not value:
        return Cell(fmt.NOTHING)
    day = date.fromisoformat(str(value)[:10])
    return Cell(fmt.day(day - timedelta(days=1), today=now.today), day.isoformat())


def _lines(value: object) -> Cell:
    number = int(str(value or 0))
    return Cell(f"{number:,}", str(number))


def runs_table(runs: Sequence[Record], now: Now) -> Table:
    """The log of loads."""
    columns = (
        Column("Started", "started_at", numeric=False), Column("Source", "source", numeric=False),
        Column("Account", "account", numeric=False), Column("Period", "period", numeric=False),
        Column("Status", "status", numeric=False), Column("Lines read", "rows_in"),
        Column("Stored", "rows_stored"),
        Column("Skipped", "rows_skipped"), Column("Quarantined", "rows_quarantined"),
        Column("Billed", "billed_total"),
    )  # fmt: skip
    return Table("Runs, newest first", columns, tuple(_run(run, now) for run in runs))


def _run(run: Record, now: Now) -> Row:
    status = str(run.get("status") or "")
    note = str(run.get("note") or "")
    return (
        Cell(
            fmt.instant(str(run.get("started_at") or ""), today=now.today), title=f"Run {run.get('run_id')}"
        ),
        Cell(str(run.get("source") or ""), mono=True),
        Cell(str(run.get("account") or ""), mono=True, wrap=True),
        Cell(str(run.get("period") or ""), tone="nowrap"),
        Cell(status, badge=True, tone=_TONES.get(status) or "neutral", note=note),
        *(_lines(run.get(name)) for name in ("rows_in", "rows_stored", "rows_skipped", "rows_quarantined")),
        _total(run),
    )


def _total(run: Record) -> Cell:
    value = run.get("billed_total")
    if isinstance(value, Mapping):
        money = cast("Mapping[str, str]", value)
        return cells.money(money["amount"], money["currency"])
    return cells.money(str(value), str(run.get("currency") or "USD")) if value else Cell(fmt.NOTHING)


def _quarantine(rows: Sequence[Record]) -> Table:
    columns = (
        Column("File", "file", numeric=False), Column("Row", "row_number"),
        Column("Reason", "reason", numeric=False),
        Column("Raw text", "raw", numeric=False), Column("Source", "source", numeric=False),
        Column("Period", "period", numeric=False),
    )  # fmt: skip
    found: list[Row] = []
    for row in rows:
        raw = str(row.get("raw") or "")
        shown = raw if len(raw) <= 160 else f"{raw[:160]} …"
        found.append(
            (
                Cell(str(row.get("file") or ""), mono=True),
                Cell(str(row.get("row_number") or "")),
                Cell(str(row.get("reason") or "")),
                Cell(shown, raw, tone="raw", title=raw[:400]),
                Cell(str(row.get("source") or row.get("source_name") or ""), mono=True),
                Cell(str(row.get("period") or "")),
            )
        )
    return Table("Lines in quarantine", columns, tuple(found))


def unknown_table(answer: Answer, now: Now) -> Table:
    """Lines of AI services that no mapping rule knows; they add up to the answer."""
    field = cost_field(answer)
    columns = (
        Column("Provider", "provider", numeric=False), Column("Service", "service", numeric=False),
        Column("Usage type or SKU text", "usage_type", numeric=False), Column("Unit", "unit", numeric=False),
        Column("Lines", "lines"), Column("Last seen", "last_day"), Column("Cost", field),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(str(row.get("provider") or ""), swatch=str(row.get("provider") or "other")),
            Cell(str(row.get("service") or "")),
            Cell(str(row.get("usage_type") or ""), mono=True),
            Cell(str(row.get("unit") or "")),
            _lines(row.get("lines")),
            cells.when(row.get("last_day"), now.today),
            cells.money(row[field], answer.currency, places=None, tone="strong"),
        )
        for row in answer.rows
    )
    if Decimal(answer.other):
        rest = cells.money(answer.other, answer.currency)
        rows = (*rows, (Cell("All others"), *(Cell() for _ in range(5)), rest))
    total = (
        *(Cell("Total" if place == 0 else "") for place in range(6)),
        cells.money(answer.total, answer.currency),
    )
    return Table("Unknown SKUs", columns, rows, total)


def _untagged(answer: Answer) -> Table:
    field = cost_field(answer)
    kinds = ("customer", "project", "feature")
    columns = (
        Column("Provider", "provider", numeric=False), Column("Cost", field),
        *(Column(f"No {kind}", f"untagged_{kind}_cost") for kind in kinds),
        *(Column(f"No {kind}, in %", f"untagged_{kind}_share") for kind in kinds),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(str(row["provider"]), swatch=str(row["provider"])),
            cells.money(row[field], answer.currency, tone="strong"),
            *(cells.money(row.get(f"untagged_{kind}_cost"), answer.currency) for kind in kinds),
            *(cells.share(row.get(f"untagged_{kind}_share")) for kind in kinds),
        )
        for row in answer.rows
    )
    return Table("Untagged spend by provider", columns, rows)
