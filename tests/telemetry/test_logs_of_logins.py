"""Who comes in is told, and who is turned away; never with what they showed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from costweir.telemetry.logs import masked
from costweir.web.access import Access, Keys

ADMIN = "canary-admin-token-0f31"


def ask(access: Access, path: str, query: str = "", **headers: str) -> int:
    """The status of one request."""
    statuses: list[int] = []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.7", 1), "server": ("x", 80), "scheme": "http", "http_version": "1.1", "root_path": "",
        }  # fmt: skip
        await access(scope, receive, send)

    asyncio.run(run())
    return statuses[0]


def test_logins_are_events_with_their_way_and_their_end(caplog: pytest.LogCaptureFixture) -> None:
    keys = Keys(ADMIN)
    once = keys.once
    access = Access(PlainTextResponse("inside"), keys=keys, open_reading=False)
    with caplog.at_level(logging.INFO, "costweir"):
        assert ask(access, "/enter", "once=canary-wrong-word") == 403
        assert ask(access, "/enter", f"once={once}") == 303
        assert ask(access, "/v1/answers/spend", authorization="Bearer canary-wrong-token") == 401
        assert ask(access, "/v1/answers/spend", authorization=f"Bearer {ADMIN}") == 200
    told = [record for record in caplog.records if getattr(record, "event_type", "") == "authentication"]
    fields: list[dict[str, str]] = [record.__dict__["fields"] for record in told]
    assert [(one["method"], one["outcome"], one["role"]) for one in fields] == [
        ("link", "refused", ""), ("link", "ok", "admin"), ("token", "refused", ""),
    ]  # fmt: skip
    assert {one["client"] for one in fields} == {"192.0.2.7"}
    assert [record.levelname for record in told] == ["WARNING", "INFO", "WARNING"]
    for record in told:
        assert masked(record.getMessage()) == record.getMessage()
    text = repr([record.__dict__ for record in caplog.records])
    assert not [word for word in (ADMIN, once, "canary-wrong-word", "canary-wrong-token") if word in text]
