"""Sources: what has been loaded and how late it usually is, the live sources, and how to add one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.domain.answer import Answer
from costweir.queries.coverage import stated_lags
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.desk import Record
from costweir.web.pages import connecting
from costweir.web.pages import rows as cells
from costweir.web.pages.health import last_day, runs_table
from costweir.web.pages.shell import Frame, Kit, Now
from costweir.web.pages.table import Cell, Column, Row, Table

PATH = "/settings/sources"
RUNS = 10
_TONES = {"ok": "ok", "failed": "bad", "running": "info", "interrupted": "warn"}
_WORDS = {"ok": "pulled", "failed": "failed", "running": "pulling now", "interrupted": "cut short"}
_STATES = {"late": "warn", "ended": "neutral", "sample": "info", "up to date": "ok"}
#: A source that is not late after so many days brings no more: its account was closed, or another reader took over.
ENDED_DAYS = 62
#: How each provider is connected: name, what is read, the command, and the extra it needs.
CONNECT = (
    ("AWS", "Cost Explorer at once; the data export in S3 with --url or --export", "aws", "aws"),
    ("Google Cloud", "The billing export in BigQuery", "gcp", "gcp"),
    ("Azure", "Cost Management queries at once; the export in Blob storage with --url", "azure", "azure"),
    ("OpenAI", "The organisation's costs and usage, with an admin key", "openai", ""),
    ("Anthropic", "The organisation's costs and usage, with an admin key", "anthropic", ""),
)


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/sources`, its table as CSV and Markdown, and the live sources as JSON."""
    paths = (PATH, f"{PATH}.csv", f"{PATH}.md")
    return [
        *(Route(path, kit.handler(build)) for path in paths),
        Route(f"{PATH}.json", kit.handler(listed)),
        *connecting.routes(kit),
    ]


def listed(kit: Kit, _: Request) -> Response:
    """The live sources as JSON, for the desk of another process."""
    found = [dict(row) for row in kit.desk.connections()]
    return JSONResponse({"schema": "costweir.connections/1", "rows": found})


def build(kit: Kit, request: Request) -> Response:
    """Live sources first, then what is loaded, then how to add one."""
    now = kit.now()
    found = kit.ask({"health": Question("data_health")})
    health = found.need("health")
    table = _loaded(health, now)
    kind = request.url.path.rpartition(".")[2]
    if kind in ("csv", "md"):
        return kit.export(table, kind=kind, name="sources", now=now)
    live = kit.desk.connections()
    runs = kit.desk.runs(limit=RUNS)
    context = {
        "empty": now.unbilled, "answer": health, "table": table if table.rows else None,
        "live": _live(live, now) if live else None, "broken": [row for row in live if row["status"] == "failed"],
        "runs": runs_table(runs, now) if runs else None, "connect": CONNECT,
        "csv": f"{PATH}.csv", "md": f"{PATH}.md", "setup": connecting.links(kit, request),
    }  # fmt: skip
    frame = Frame("sources.html", "Sources", "settings", (("Settings", "/settings/health"), ("Sources", "")))
    return kit.page(request, frame, now=now, context=context)


def _loaded(health: Answer, now: Now) -> Table:
    columns = (
        Column("Source", "source", numeric=False), Column("Provider", "provider", numeric=False),
        Column("Account", "account", numeric=False), Column("State", "state", numeric=False),
        Column("Complete to", "complete_to"), Column("Behind", "days_behind", hint="From the end of that day"),
        Column("Usual lag", "stated_lag_hours", hint="How long it may take to deliver a day"),
        Column("Last load", "last_load", numeric=False), Column("Quarantined", "rows_quarantined"),
    )  # fmt: skip
    lags = stated_lags()
    rows: list[Row] = []
    for row in health.rows:
        source = str(row["source"])
        late, sample = bool(row.get("late")), bool(row.get("sample"))
        ended = not late and _days_behind(row.get("complete_to"), now) > ENDED_DAYS
        state = "late" if late else "ended" if ended else "sample" if sample else "up to date"
        lag = lags.get(source, lags["default"])
        aside = int(str(row.get("rows_quarantined") or 0))
        loaded = str(row.get("last_load") or "")
        rows.append(
            (
                Cell(source, source, mono=True),
                Cell(str(row["provider"]), str(row["provider"]), swatch=str(row["provider"])),
                Cell(str(row["account"]), str(row["account"]), mono=True, wrap=True),
                Cell(state, state, badge=True, tone=_STATES[state]),
                last_day(row.get("complete_to"), now),
                Cell(fmt.NOTHING, tone="muted", title="It delivers no more")
                if ended
                else _behind(row.get("complete_to"), now),
                Cell(f"{_hours(lag)} h", str(_hours(lag))),
                Cell(fmt.instant(loaded, today=now.today), loaded),
                Cell(f"{aside:,}", str(aside), href="/settings/health#quarantine" if aside else ""),
            )
        )
    return Table("Loaded sources", columns, tuple(rows))


def _hours(lag: timedelta) -> int:
    return int(lag.total_seconds()) // 3600


def _days_behind(value: object, now: Now) -> int:
    return max((now.today - date.fromisoformat(str(value)[:10])).days, 0) if value else 0


def _behind(value: object, now: Now) -> Cell:
    if not value:
        return Cell(fmt.NOTHING)
    days = _days_behind(value, now)
    return Cell(fmt.plural(days, "day"), str(days))


def _live(live: Sequence[Record], now: Now) -> Table:
    columns = (
        Column("Source", "id", numeric=False), Column("Kind", "kind", numeric=False),
        Column("State", "status", numeric=False), Column("Every", "every"),
        Column("Last tried", "last_attempt", numeric=False),
        Column("Last pulled in full", "last_success", numeric=False),
        Column("What it said", "note", numeric=False),
    )  # fmt: skip
    rows: list[Row] = []
    for row in live:
        status = str(row.get("status") or "")
        word = _WORDS.get(status, "never pulled") if row.get("enabled") else "off"
        said = " ".join(str(row.get(name) or "") for name in ("note", "hint")).strip()
        rows.append(
            (
                Cell(str(row["id"]), str(row["id"]), mono=True),
                Cell(str(row["kind"]), str(row["kind"]), mono=True),
                Cell(word, status, badge=True, tone=_TONES.get(status, "") or "neutral"),
                Cell(str(row["every"]), str(row["every"])),
                _instant(row.get("last_attempt"), now),
                _instant(row.get("last_success"), now),
                Cell(said or fmt.NOTHING, said, tone="" if said else "muted"),
            )
        )
    return Table("Live sources", columns, tuple(rows))


def _instant(value: object, now: Now) -> Cell:
    text = str(value or "")
    return Cell(fmt.instant(text, today=now.today), text) if text else cells.when(None, now.today)
