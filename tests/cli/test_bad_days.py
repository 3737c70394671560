"""A bad day of a provider is one clear sentence, and nothing that was loaded is lost: throttling without end, pages
that break off, a login page of a proxy, a changed schema, expired credentials, a clock that is wrong."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from tests.cli.test_live_kinds import spent
from tests.sources.live.doubles_http import Asked, Reply, serving
from tests.sources.live.kinds import KINDS, Kind

from costweir.app import runner
from costweir.sources.live import gcp_client

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Wi-Fi login</body></html>"
Bend = Callable[[Asked, Callable[[], Reply]], Reply]


@dataclass
class Way:
    """The way to a provider. `bend` is what goes wrong on it; it gets the request, and may ask for the right reply."""

    to: str
    bend: Bend | None = None
    asked: int = field(default=0)

    def answer(self, asked: Asked) -> Reply:
        self.asked += 1
        return self.bend(asked, lambda: self.right(asked)) if self.bend else self.right(asked)

    def right(self, asked: Asked) -> Reply:
        connection = HTTPConnection(urlsplit(self.to).netloc, timeout=20)
        headers = {
            name: text
            for name, text in asked.headers.items()
            if name not in ("connection", "accept-encoding")
        }
        path = f"{asked.path}?{asked.query}" if asked.query else asked.path
        try:
            connection.request(asked.method, path, asked.body or None, headers)
            reply = connection.getresponse()
            kept = {name.lower(): text for name, text in reply.getheaders() if name.lower() not in DROPPED}
            return Reply(reply.read(), reply.status, kept)
        except (OSError, HTTPException):
            return Reply(status=0)
        finally:
            connection.close()


DROPPED = ("content-length", "connection", "server", "date", "transfer-encoding")


def html(_: Asked, __: Callable[[], Reply]) -> Reply:
    return Reply(HTML, 200, {"content-type": "text/html"})


def gateway_html(_: Asked, __: Callable[[], Reply]) -> Reply:
    return Reply(HTML, 502, {"content-type": "text/html"})


def storm(_: Asked, __: Callable[[], Reply]) -> Reply:
    return Reply(
        b'{"error": {"code": 429, "message": "Too many", "errors": [{"reason": "rateLimitExceeded"}]}}', 429
    )


def half(_: Asked, right: Callable[[], Reply]) -> Reply:
    reply = right()
    reply.cut = len(reply.body) // 2
    return reply


def renamed(old: bytes, new: bytes) -> Bend:
    def bend(_: Asked, right: Callable[[], Reply]) -> Reply:
        reply = right()
        packed = reply.body[:2] == b"\x1f\x8b"
        body = (gzip.decompress(reply.body) if packed else reply.body).replace(old, new)
        reply.body = gzip.compress(body) if packed else body
        return reply

    return bend


def refused(status: int, body: object, kind: str = "application/json") -> Bend:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return lambda _asked, _right: Reply(raw, status, {"content-type": kind})


def aws(code: str, message: str) -> Bend:
    """AWS refuses JSON operations with 400, and S3 and STS with XML."""

    def bend(asked: Asked, _: Callable[[], Reply]) -> Reply:
        if "x-amz-target" in asked.headers:
            return Reply(json.dumps({"__type": code, "message": message}).encode(), 400)
        inside = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        text = inside if asked.method == "GET" else f"<ErrorResponse>{inside}</ErrorResponse>"
        return Reply(text.encode(), 403, {"content-type": "text/xml"})

    return bend


BLOB = '<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthenticationFailed</Code><Message>{}</Message></Error>'
GOOGLE: Any = {
    "error": {"code": 401, "message": "Request had invalid authentication credentials.", "errors": []}
}
EXPIRED: dict[str, Bend] = {
    "aws-ce": aws("ExpiredTokenException", "The security token included in the request is expired"),
    "aws-export": aws("ExpiredTokenException", "The security token included in the request is expired"),
    "gcp-bigquery": refused(401, GOOGLE),
    "azure-query": refused(
        401, {"error": {"code": "ExpiredAuthenticationToken", "message": "The token expired."}}
    ),
    "azure-export": refused(403, BLOB.format("Signature did not match."), "application/xml"),
    "openai": refused(401, {"error": {"message": "Incorrect API key provided: sk-admin-canary-0123456789."}}),
    "anthropic": refused(401, {"error": {"message": "invalid x-api-key"}}),
}
#: What a provider renames on this bad day.
SCHEMA: dict[str, tuple[bytes, bytes]] = {
    "aws-ce": (b'"Groups"', b'"Bunches"'),
    "aws-export": (b"lineItem/UnblendedCost", b"lineItem/WhollyNewCost"),
    "gcp-bigquery": (b'"name": "cost"', b'"name": "costs"'),
    "azure-query": (b'"columns"', b'"pillars"'),
    # As long as before, because a listing says how long a file is.
    "azure-export": (b"CostInBillingCurrency", b"KostInBillingCurrency"),
    "openai": (b'"amount"', b'"sum"'),
    "anthropic": (b'"amount"', b'"sum"'),
}
SKEWED: dict[str, Bend] = {
    "aws-ce": aws(
        "InvalidSignatureException", "Signature expired: 20261121T0000Z is now earlier than 20261121T0300Z"
    ),
    "aws-export": aws(
        "RequestTimeTooSkewed", "The difference between the request time and the current time is too large"
    ),
    "azure-export": refused(
        403, BLOB.format("Request date header too old: 'Sat, 21 Nov 2026'"), "application/xml"
    ),
}


@contextmanager
def bent(kind: Kind) -> Iterator[tuple[Way, list[str]]]:
    """The way to the double of a kind, and the words that connect over it."""
    at = kind.words.index("--base-url") + 1
    parts = urlsplit(kind.words[at])
    way = Way(f"{parts.scheme}://{parts.netloc}")
    with serving(way.answer) as url:
        yield way, [*kind.words[:at], url + parts.path, *kind.words[at + 1 :]]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: not our own tries, not Google's, not those of the object store."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(runner, "Patience", partial(runner.Patience, sleep=lambda _: None))
    retry = gcp_client.BigQuery._retry
    monkeypatch.setattr(
        gcp_client.BigQuery, "_retry", lambda self: retry(self).with_timeout(0.2).with_delay(initial=0.01)
    )
    monkeypatch.setattr(
        "costweir.sources.live.azure_blobs.RETRY", {"max_retries": 1, "retry_timeout": timedelta(seconds=2)}
    )


def is_one_clear_sentence(error: dict[str, Any], secrets: list[str]) -> None:
    text, hint = error["message"], error["hint"]
    assert re.fullmatch(r"[^\s<>][^\n<>]*\.", text), text
    assert len(text) < 250, text
    assert hint
    assert "<html" not in hint
    assert "Traceback" not in text + hint
    assert "fault in Costweir" not in text + hint
    for secret in secrets:
        assert secret not in text + hint


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("name", list(KINDS))
def test_no_bad_day_loses_anything_or_needs_a_second_sentence(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (home / "data").mkdir()
    with KINDS[name]() as kind, bent(kind) as (way, words):
        for variable, value in kind.environ.items():
            monkeypatch.setenv(variable, value)
        made = cli("connect", kind.provider, "--id", "live", *words, "--write", "--json")
        assert made.code == 0, made.err
        assert cli("pull", "live", "--json").code == 0
        loaded: Decimal = spent(cli)
        assert loaded == kind.total()
        kind.restate()

        days: dict[str, tuple[Bend, set[int]]] = {
            "html": (html, {1, 3}),
            "gateway": (gateway_html, {3}),
            "storm": (storm, {3}),
            "half": (half, {3}),
            "expired": (EXPIRED[name], {1}),
            "schema": (renamed(*SCHEMA[name]), {1}),
        }
        if name in SKEWED:
            days["clock"] = (SKEWED[name], {1})
        for day, (bend, codes) in days.items():
            way.bend, before = bend, way.asked
            done = cli("pull", "live", "--json")
            assert done.code in codes, (day, done.code, done.err, done.out)
            assert way.asked > before, day
            is_one_clear_sentence(done.error, kind.secrets)
            assert (done.error["transient"]) == (done.code == 3), day
            if day == "clock":
                assert "clock of this machine" in done.error["message"], done.error
            assert spent(cli) == loaded, day
            run = cli("runs", "--limit", "1", "--json").json["rows"][0]
            assert (run["connection"], run["status"]) == ("live", "failed"), day
            checked = cli("connect", kind.provider, "--id", "live", "--json")
            if day in ("expired", "clock"):
                assert checked.code == 1, (day, checked.err)
                is_one_clear_sentence(checked.error, kind.secrets)

        way.bend = None
        assert cli("pull", "live", "--json").code == 0
        assert spent(cli) == kind.total() != loaded
        assert [path.name for path in (home / "data/staging").iterdir()] == []
