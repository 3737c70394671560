"""The API under `/v1`: the catalogue's answers, the lines and lists as JSON, and errors as RFC 9457 problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from costweir.errors import Unreachable
from costweir.guard.ledgers.live import Live
from costweir.web.api.budgets import BUDGETS
from costweir.web.api.finance import FINANCE
from costweir.web.api.incidents import INCIDENTS
from costweir.web.api.meaning import MEANING
from costweir.web.api.openapi import document
from costweir.web.api.reading import READING, parse_request
from costweir.web.api.routes import routes
from costweir.web.api.table import Call, Operation
from costweir.web.api.weir import WEIR, streamed
from costweir.web.api.writing import WRITING
from costweir.web.desk import Desk
from costweir.web.office import Office
from costweir.web.problems import problem

Loader = Callable[[Mapping[str, object]], Sequence[Mapping[str, object]]]


class Readiness(Protocol):
    """Says why the server is not ready, or nothing when it is."""

    def __call__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Writes:
    """What only our own commands call, with the admin token: `load` stores staged slots, `adopt` makes sample customers
    known, and `export` writes a FOCUS file and gives its path."""

    load: Loader
    adopt: Callable[[Mapping[str, object]], None]
    export: Callable[[Mapping[str, object]], str]


def openapi_document() -> dict[str, object]:
    """The OpenAPI 3.1 document of every operation that others may call."""
    return document(OPERATIONS)


class Exposed(Protocol):
    """The answer to a scrape."""

    @property
    def body(self) -> bytes:
        """The exposition."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Its content type, and its encoding."""
        ...


def api_routes(
    desk: Desk, *, writes: Writes, ready: Readiness, office: Office | None = None,
    metrics: Callable[[str, str], Exposed] | None = None,
) -> list[Route]:  # fmt: skip
    """All JSON routes. Without an `office` the operations on what people set, lines and prices answer 503. `metrics`
    answers scrapes: it gets the formats and the encodings that the scraper takes."""

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readiness(_: Request) -> Response:
        reason = await run_in_threadpool(ready)
        return PlainTextResponse(f"{reason or 'ready'}\n", 503 if reason else 200)

    async def exposed(request: Request) -> Response:
        if metrics is None:
            return problem(Unreachable("This server has no metrics.", hint="Ask the main server."))
        accept, encodings = (request.headers.get(name, "") for name in ("accept", "accept-encoding"))
        found = await run_in_threadpool(metrics, accept, encodings)
        return Response(found.body, headers=dict(found.headers))

    @cache
    def live() -> Live:
        if office is None:
            raise Unreachable("This server has no gateway.", hint="Ask the main server.")
        return Live(office.ledger())

    return [
        streamed(live),
        *routes((*OPERATIONS, *_internal(writes)), desk, office),
        Route("/health", health),
        Route("/ready", readiness),
        Route("/metrics", exposed),
    ]


def _internal(writes: Writes) -> tuple[Operation, ...]:
    def load(call: Call) -> Mapping[str, object]:
        return {"schema": "costweir.pull/1", "rows": list(writes.load(call.body))}

    def export(call: Call) -> Mapping[str, object]:
        return {"schema": "costweir.export/1", "path": writes.export(call.body)}

    def adopt(call: Call) -> Mapping[str, object]:
        writes.adopt(call.body)
        return {"schema": "costweir.sample/1"}

    return tuple(
        Operation("POST", f"/v1/{noun}", noun, summary, handle, role="admin", body="Internal")
        for noun, summary, handle in (
            ("loads", "Store staged slots", load),
            ("exports", "Write a FOCUS file", export),
            ("sample", "Adopt the sample world", adopt),
        )
    )


def _described(_: Call) -> Mapping[str, object]:
    return openapi_document()


_OPENAPI = (
    Operation("GET", "/v1/openapi.json", "getOpenApi", "This document", _described, "OpenApi", role="ingest",
              bound="all"),
)  # fmt: skip
#: Every operation that others may call.
OPERATIONS = (*_OPENAPI, *READING, *WRITING, *MEANING, *FINANCE, *WEIR, *BUDGETS, *INCIDENTS)

__all__ = ["Exposed", "Readiness", "Writes", "api_routes", "openapi_document", "parse_request", "problem"]
