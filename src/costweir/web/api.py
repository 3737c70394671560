"""The read API under `/v1`: the catalogue's answers as JSON, errors as RFC 9457 problem documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from costweir.errors import Error, NotAllowed, UsageError
from costweir.queries.request import Request
from costweir.web.access import is_admin
from costweir.web.desk import Desk

Loader = Callable[[Mapping[str, object]], Sequence[Mapping[str, object]]]
Handler = Callable[[HttpRequest], Awaitable[Response]]

_RESERVED = frozenset({"by", "where", "since", "until", "limit", "basis", "currency"})


class Readiness(Protocol):
    """Says why the server is not ready, or nothing when it is."""

    def __call__(self) -> str: ...


def problem(error: Error) -> JSONResponse:
    """The RFC 9457 document of an error, with our `code`, `hint` and `transient`."""
    body = {
        "type": f"urn:costweir:error:{error.code}", "title": error.code.replace("_", " "), "status": error.http_status,
        "detail": error.message, "hint": error.hint, "code": error.code, "transient": error.transient,
    }  # fmt: skip
    headers = {"Retry-After": "2"} if error.transient else None
    return JSONResponse(body, error.http_status, headers, media_type="application/problem+json")


def parse_request(question: str, query: list[tuple[str, str]]) -> Request:
    """Reads `by`, `where=DIM=VALUE`, `since`, `until`, `limit`, `basis`, `currency` from a query string.

    `by` and `where` may repeat, and `by` takes a comma list. Raises UsageError that names the parameter at fault.
    """
    by: list[str] = []
    where: dict[str, tuple[str, ...]] = {}
    single: dict[str, str] = {}
    for name, value in query:
        if name == "by":
            by += [part for part in value.split(",") if part]
        elif name == "where":
            dimension, found, wanted = value.partition("=")
            if not found:
                raise UsageError(f"where={value!r} has no value.", hint="Write where=provider=aws.")
            where[dimension] = (*where.get(dimension, ()), wanted)
        elif name in _RESERVED:
            single[name] = value
        else:
            raise UsageError(
                f"Unknown parameter {name!r}.", hint=f"Known are {', '.join(sorted(_RESERVED))}."
            )
    return Request(
        question=question, by=tuple(by), where=where, since=_day("since", single), until=_day("until", single),
        limit=_whole("limit", single), basis=single.get("basis", ""), currency=single.get("currency", ""),
    )  # fmt: skip


def _day(name: str, values: Mapping[str, str]) -> date | None:
    text = values.get(name)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name}={text!r} is not a day.", hint="Write it as 2026-11-01.") from None


def _whole(name: str, values: Mapping[str, str]) -> int | None:
    text = values.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise UsageError(f"{name}={text!r} is not a whole number above zero.", hint=f"Write {name}=10.")
    return int(text)


def guarded(handler: Handler) -> Handler:
    """Turns an `Error` into its problem document."""

    async def answer(request: HttpRequest) -> Response:
        try:
            return await handler(request)
        except Error as error:
            return problem(error)

    return answer


@dataclass(frozen=True, slots=True)
class Writes:
    """What only the admin token may do: `load` stores staged slots, `adopt` makes sample customers known, and
    `export` writes a FOCUS file and gives its path."""

    load: Loader
    adopt: Callable[[Mapping[str, object]], None]
    export: Callable[[Mapping[str, object]], str]


def api_routes(desk: Desk, *, writes: Writes, ready: Readiness) -> list[Route]:
    """All JSON routes."""

    def rows(noun: str, read: Callable[[HttpRequest], object]) -> Route:
        async def handler(request: HttpRequest) -> Response:
            found = await run_in_threadpool(read, request)
            return JSONResponse({"schema": f"costweir.{noun}/1", "rows": found})

        return Route(f"/v1/{noun}", guarded(handler))

    async def answer(request: HttpRequest) -> Response:
        wanted = parse_request(request.path_params["id"], request.query_params.multi_items())
        result = await run_in_threadpool(desk.ask, wanted)
        return JSONResponse(result.to_json())

    async def status(_: HttpRequest) -> Response:
        found = await run_in_threadpool(desk.status)
        return JSONResponse({"schema": "costweir.status/1", **found})

    async def loads(request: HttpRequest) -> Response:
        job = await _admin_body(request)
        return JSONResponse({"schema": "costweir.pull/1", "rows": await run_in_threadpool(writes.load, job)})

    async def exports(request: HttpRequest) -> Response:
        path = await run_in_threadpool(writes.export, await _admin_body(request))
        return JSONResponse({"schema": "costweir.export/1", "path": path})

    async def sample(request: HttpRequest) -> Response:
        await run_in_threadpool(writes.adopt, await _admin_body(request))
        return JSONResponse({"schema": "costweir.sample/1"})

    async def health(_: HttpRequest) -> Response:
        return PlainTextResponse("ok\n")

    async def readiness(_: HttpRequest) -> Response:
        reason = await run_in_threadpool(ready)
        return PlainTextResponse(f"{reason or 'ready'}\n", 503 if reason else 200)

    async def metrics(_: HttpRequest) -> Response:
        text = await run_in_threadpool(exposition, desk)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    return [
        rows("questions", lambda _: desk.questions()),
        rows("runs", lambda request: desk.runs(limit=_limit(request))),
        rows(
            "quarantine", lambda r: desk.quarantine(run_id=r.query_params.get("run_id", ""), limit=_limit(r))
        ),
        rows("customers", lambda _: desk.customers()),
        rows("plans", lambda _: desk.plans()),
        rows("budgets", lambda _: desk.budgets()),
        Route("/v1/status", guarded(status)),
        Route("/v1/answers/{id}", guarded(answer)),
        Route("/v1/loads", guarded(loads), methods=["POST"]),
        Route("/v1/exports", guarded(exports), methods=["POST"]),
        Route("/v1/sample", guarded(sample), methods=["POST"]),
        Route("/health", health),
        Route("/ready", readiness),
        Route("/metrics", guarded(metrics)),
    ]


async def _admin_body(request: HttpRequest) -> dict[str, Any]:
    if not is_admin(request):
        raise NotAllowed(
            "Changing something needs the admin token.",
            hint="Run the command as the user who started the server.",
        )
    return await request.json()


def _limit(request: HttpRequest) -> int:
    return min(_whole("limit", request.query_params) or 100, 10_000)


def exposition(desk: Desk) -> str:
    """Prometheus text: the build, and for each source the day up to which it has delivered and the time of its load.

    These are gauges, because a bill that is restated may lower what they stand for.
    """
    status = desk.status()
    health = desk.ask(Request("data_health"))
    lines = [
        "# HELP costweir_build_info The running version.",
        "# TYPE costweir_build_info gauge",
        f'costweir_build_info{{version="{status["version"]}"}} 1',
        "# HELP costweir_source_complete_to_timestamp_seconds Everything before this time has been delivered.",
        "# TYPE costweir_source_complete_to_timestamp_seconds gauge",
    ]
    for source, day in sorted(health.complete_to.items()):
        seconds = (date.fromisoformat(day[:10]) - date(1970, 1, 1)).days * 86_400
        lines.append(f'costweir_source_complete_to_timestamp_seconds{{source="{source}"}} {seconds}')
    lines += [
        "# HELP costweir_data_complete 1 when no source is late and nothing is quarantined or unpriced.",
        "# TYPE costweir_data_complete gauge",
        f"costweir_data_complete {int(health.complete)}",
    ]
    return "\n".join(lines) + "\n"


__all__ = ["Writes", "api_routes", "exposition", "guarded", "parse_request", "problem"]
