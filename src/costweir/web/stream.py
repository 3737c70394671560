"""Server-sent events of the gateway: once a second what is new since the listener's cursor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from costweir.errors import Error, UsageError
from costweir.guard.ledgers.live import Cursor, Live
from costweir.web.problems import RateLimited

#: What is new since a cursor, and where to read on.
News = Callable[[Live, Cursor], tuple[Cursor, Mapping[str, object]]]
#: How often it says what is new, and how soon it sees that the server stops.
_TICK_SECONDS, _LOOK_SECONDS = 1.0, 0.25
#: Listeners at once.
MOST = 40
_WAIT_SECONDS = 10
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(slots=True)
class Feeds:
    """How many listen."""

    count: int = 0


async def respond(open_live: Callable[[], Live], request: Request, feeds: Feeds, *, news: News) -> Response:
    """The stream from `?after=`, or from where the browser was cut off; without both from now on.

    Raises UsageError for a cursor that is none, and RateLimited when too many listen.
    """
    live = await run_in_threadpool(open_live)
    told = request.headers.get("last-event-id") or request.query_params.get("after", "")
    cursor = Cursor.read(told) if told else await run_in_threadpool(live.cursor)
    if cursor is None:
        raise UsageError(f"after={told[:40]!r} is no cursor.", hint="Take the id of the last event.")
    if feeds.count >= MOST:
        raise RateLimited(
            "Too many listen already.", wait=_WAIT_SECONDS, hint="Close other pages, or ask again."
        )
    return StreamingResponse(
        _events(live, request, feeds, cursor=cursor, news=news),
        media_type="text/event-stream",
        headers=_HEADERS,
    )


async def _events(
    live: Live, request: Request, feeds: Feeds, *, cursor: Cursor, news: News
) -> AsyncIterator[str]:
    feeds.count += 1
    try:
        yield "retry: 2000\n\n"
        while not _stopping(request):
            try:
                cursor, told = await run_in_threadpool(news, live, cursor)
            except Error:
                return
            text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
            yield f"id: {cursor.text}\ndata: {text}\n\n"
            for _ in range(int(_TICK_SECONDS / _LOOK_SECONDS)):
                await asyncio.sleep(_LOOK_SECONDS)
                if _stopping(request):
                    return
    finally:
        feeds.count -= 1


def _stopping(request: Request) -> bool:
    """Whether the server wants to end, which an open stream would hold up."""
    stopping = getattr(request.app.state, "stopping", None)
    return bool(stopping and stopping())
