"""What every page shares: the frame around it, its assets, its questions in parallel, and its error page."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import cast
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from costweir.domain.answer import Answer
from costweir.errors import Error, Unreachable
from costweir.guard.ledgers.live import Live
from costweir.guard.ledgers.reader import LedgerReader
from costweir.prices.book import Book
from costweir.queries.coverage import stated_lags
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.access import Role, caller_of
from costweir.web.desk import Desk
from costweir.web.office import Office
from costweir.web.pages import navigation
from costweir.web.pages.asking import Asking
from costweir.web.pages.assets import Assets
from costweir.web.pages.forms import MOST_BYTES, Forms, Sent, may_change, read_form
from costweir.web.pages.table import Table, to_csv, to_markdown
from costweir.web.pages.view import Days

#: A provider that is this far behind the newest is taken as no longer used.
_STOPPED = timedelta(days=31)
#: How far each provider has delivered.
HEALTH = Question("data_health", by=("provider",))
Build = Callable[["Kit", Request], Response]
Receive = Callable[["Kit", Sent], Response]


@dataclass(frozen=True, slots=True)
class Frame:
    """The page's own part of the frame: its template, title, place in the navigation and breadcrumb."""

    template: str
    title: str
    nav: str
    crumbs: tuple[tuple[str, str], ...] = ()
    status: int = 200
    charts: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """How far one provider has delivered; `day` is the first day that it has not, `lag` how long the slowest
    source may still add to a day."""

    name: str
    complete_to: str
    as_of: str
    late: bool
    day: date
    lag: timedelta = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Now:
    """What the store holds: the day it is, whether it is sample data, whether it is empty. It is `metered` where no
    bill is stored and the months are those of calls."""

    today: date
    sample: bool = False
    empty: bool = True
    months: tuple[str, ...] = ()
    version: str = ""
    place: str = ""
    metered: bool = False

    @property
    def unbilled(self) -> bool:
        """No bill is stored, so that no source can be late and no line of one unknown."""
        return self.empty or self.metered


@dataclass(slots=True)
class Kit:
    """One per app."""

    desk: Desk
    book: Callable[[], Book] = Book.load
    kept: Office | None = None
    weir: Callable[[], LedgerReader] | None = None
    assets: Assets = field(default_factory=Assets)
    forms: Forms = field(default_factory=Forms)
    pulse: dict[LedgerReader, Live] = field(default_factory=dict[LedgerReader, Live])
    ask: Asking = field(init=False)
    env: Environment = field(init=False)

    def __post_init__(self) -> None:
        self.ask = Asking(self.desk)
        self.env = Environment(
            loader=PackageLoader("costweir.web"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.env.filters["spec"] = _spec
        cast("dict[str, object]", self.env.globals).update(
            sections=navigation.SECTIONS, places=navigation.places(),
            section_of=navigation.section_of, letters=json.dumps(navigation.letters()),
        )  # fmt: skip

    @property
    def office(self) -> Office:
        """What people set. Raises Unreachable when this server keeps nothing."""
        if self.kept is None:
            raise Unreachable("This server keeps no customers, plans or views.", hint="Ask the main server.")
        return self.kept

    def ledger(self) -> LedgerReader:
        """The ledger of the gateway, for reading. Raises NotFound before its first start, Unreachable where it is no
        file."""
        if self.weir is None:
            raise Unreachable(
                "The ledger of this server cannot be read from its pages.",
                hint='Set ledger = { url = "sqlite:ledger.db" }.',
            )
        return self.weir()

    def live(self) -> Live:
        """The same as it changes; minutes that are over are read once. Raises as `ledger` does."""
        reader = self.ledger()
        return self.pulse.setdefault(reader, Live(reader))

    def now(self) -> Now:
        """The state of the store."""
        status = self.desk.status()
        months = cast("list[str]", status.get("months") or [])
        return Now(
            today=date.fromisoformat(str(status["today"])),
            sample=bool(status.get("sample")),
            empty=bool(status.get("empty")),
            months=tuple(months),
            version=str(status.get("version", "")),
            place=" · ".join(str(status[name]) for name in ("name", "environment") if status.get(name)),
            metered=bool(status.get("metered")),
        )

    def page(self, request: Request, frame: Frame, *, now: Now, context: Mapping[str, object]) -> Response:
        """The whole page, with an ETag so that an unchanged one is not sent again."""
        theme = request.cookies.get("theme", "")
        html = self.env.get_template(frame.template).render(
            frame=frame, now=now, theme=theme if theme in ("light", "dark") else "", fmt=fmt,
            asset=self.assets.url, visitor=caller_of(request).name, token=self.forms.token,
            keys_off=request.cookies.get("keys") == "off",
            may_edit=self.may_edit(request), open_incidents=self._open_incidents(),
            **{"problems": (), **self._sources(now, context), **context},
        )  # fmt: skip
        etag = f'"{hashlib.sha256(html.encode()).hexdigest()[:20]}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Cookie, Accept-Encoding"}
        if frame.status == 200 and request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(html, frame.status, headers, media_type="text/html; charset=utf-8")

    def may_edit(self, request: Request) -> bool:
        """Whether whoever asks may change customers, plans, views and annotations here."""
        return self.kept is not None and may_change(request, "finance")

    def _open_incidents(self) -> int:
        """How many incidents are not over; none where that cannot be read: the frame of a page does not fail."""
        if self.kept is None:
            return 0
        try:
            return sum(self.kept.control.incidents.counts().open.values())
        except Error:
            return 0

    def _sources(self, now: Now, context: Mapping[str, object]) -> Mapping[str, object]:
        if "sources" in context:
            return {}
        return {"sources": () if now.unbilled else read_sources(self, now.today)}

    def failure(self, request: Request, error: Error) -> Response:
        """The error as a page: what happened, what to do, and an id to find it in the log."""
        try:
            now = self.now()
        except Error:
            now = Now(today=datetime.now(UTC).date(), empty=False)
        frame = Frame("failure.html", "Not answered", "", status=error.http_status)
        context = {"error": error, "request_id": f"req_{secrets.token_hex(6)}", "again": str(request.url)}
        return self.page(request, frame, now=now, context=context)

    def handler(self, build: Build) -> Callable[[Request], Response]:
        """A Starlette endpoint: `build` in a worker thread, with its Error as a page."""

        def handle(request: Request) -> Response:
            try:
                return build(self, request)
            except Error as error:
                return self.failure(request, error)

        return handle

    def receiver(
        self, change: Receive, *, role: Role = "admin", most: int = MOST_BYTES
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for a form of at most `most` bytes: read, checked for `role`, then `change` in a worker thread,
        with its Error as a page."""

        async def handle(request: Request) -> Response:
            try:
                sent = self.forms.check(request, await read_form(request, most=most), role=role)
                return await run_in_threadpool(change, self, sent)
            except Error as error:
                return await run_in_threadpool(self.failure, request, error)

        return handle

    def export(self, table: Table, *, kind: str, name: str, now: Now) -> Response:
        """The table as CSV or Markdown; sample data says so in its name and title."""
        stem = f"costweir-sample-data-{name}" if now.sample else f"costweir-{name}"
        if kind == "md":
            title = f"{table.title} (sample data)" if now.sample else table.title
            return PlainTextResponse(
                to_markdown(table, title=title), media_type="text/markdown; charset=utf-8"
            )
        headers = {"Content-Disposition": f'attachment; filename="{stem}.csv"'}
        return PlainTextResponse(to_csv(table), media_type="text/csv; charset=utf-8", headers=headers)


def _spec(value: object) -> Markup:
    """JSON that cannot end its script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def last_day(kit: Kit, now: Now) -> date | None:
    """The last day that has a charge, looked for in the newest month; None in an empty store."""
    if not now.months:
        return None
    newest = date.fromisoformat(f"{max(now.months)}-01")
    answer = kit.desk.ask(Question("spend", by=("day",), since=newest))
    days = [date.fromisoformat(str(row["day"])) for row in answer.rows]
    return min(max(days), now.today) if days else None


def provisional_from(sources: tuple[Source, ...], today: date) -> date:
    """The first provisional day: not delivered by all yet, or still within the lag of the slowest source."""
    lag = max((source.lag for source in sources), default=stated_lags()["default"])
    arriving = today - timedelta(days=-(-int(lag.total_seconds()) // 86_400))
    return min(complete_until(sources) or arriving, arriving)


def complete_days(days: Days, sources: tuple[Source, ...]) -> Days | None:
    """The days of a range that every source has delivered, for comparing like with like; None when there is
    none."""
    until = complete_until(sources)
    if until is None or until > days.last:
        return days
    return None if until <= days.first else Days(days.first, until - timedelta(days=1))


def json_link(question: Question) -> str:
    """The address of the same answer as JSON."""
    pairs = [("by", name) for name in question.by]
    pairs += [("where", f"{name}={value}") for name, values in question.where.items() for value in values]
    for name in ("since", "until", "limit", "basis"):
        value = getattr(question, name)
        if value:
            pairs.append((name, str(value)))
    return f"/v1/answers/{question.question}?{urlencode(pairs, safe='=')}"


def complete_until(sources: tuple[Source, ...]) -> date | None:
    """The first day not delivered by the slowest provider. One that stopped over a month ago is left out."""
    newest = max((source.day for source in sources), default=None)
    return min((source.day for source in sources if newest and newest - source.day <= _STOPPED), default=None)


def counted(now: Now) -> tuple[Source, ...]:
    """For reckoning with metered calls: the gateway counts each as it ends, so that every day but today is whole. No
    page shows it, because nobody has to deliver it."""
    return (Source("gateway", "", "", late=False, day=now.today, lag=timedelta(0)),)


def sources_for(kit: Kit, now: Now, *, metered: bool) -> tuple[Source, ...]:
    """What says which days are whole: the sources of the bills, or `counted` where calls are asked for."""
    if metered:
        return counted(now)
    return () if now.unbilled else read_sources(kit, now.today)


def read_sources(kit: Kit, today: date) -> tuple[Source, ...]:
    """Every provider with its last complete day, slowest first; the catalogue judges what is late. Empty when
    the catalogue cannot say: the frame of a page does not fail."""
    try:
        return sources_of(kit.desk.ask(HEALTH), today)
    except Error:
        return ()


def sources_of(answer: Answer | None, today: date) -> tuple[Source, ...]:
    """The same from an answer to `HEALTH`; nothing without one."""
    if answer is None:
        return ()
    lags = stated_lags()
    lag = max((lags.get(name, lags["default"]) for name in answer.complete_to), default=lags["default"])
    found: list[Source] = []
    for row in answer.rows:
        if row.get("complete_to"):
            day = date.fromisoformat(str(row["complete_to"])[:10])
            shown = f"{fmt.day(day - timedelta(days=1), today=today)}, 24:00"
            loaded = fmt.instant(str(row.get("last_load") or ""), today=today)
            found.append(Source(str(row["provider"]), shown, loaded, bool(row.get("late")), day, lag))
    return tuple(sorted(found, key=lambda source: (source.day, source.name)))


def month_days(now: Now, wanted: str, *, last: date | None) -> Days:
    """The days of a `YYYY-MM`, cut at the last day with data; by default the month of that last day."""
    end = last or now.today
    first = date.fromisoformat(f"{wanted}-01") if wanted else end.replace(day=1)
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    until = following - timedelta(days=1)
    return Days(first, min(until, max(end, first)))


def amount(text: object) -> Decimal:
    """A decimal string of an answer as an exact number; nothing is zero."""
    return Decimal(str(text)) if text not in (None, "") else Decimal(0)
