"""The API over a real desk with a seeded world of bills, behind a real server on a free port."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

from bills import store, world

from costweir import config
from costweir.app.desk import LocalDesk
from costweir.app.office import DeskOffice
from costweir.control.tokens import Scope, Wish
from costweir.telemetry.metrics import Exporter
from costweir.web.access import Access, Keys
from costweir.web.api import Writes, api_routes
from costweir.web.app import create_app
from costweir.web.throttle import Limits

ADMIN = "admin-token-of-the-tests"
GENEROUS = Limits(rate=100_000, burst=100_000, failures=100_000)
SETTINGS = """
plans = [
  { id = "tier_1", price_usd = "49" },
  { id = "tier_2", price_usd = "99", budget_usd = "18" },
]
customers = [
  { id = "acme", name = "Acme Incorporated", plan = "tier_1", since = 2026-01-01 },
  { id = "globex", name = "Globex Corporation", plan = "tier_2" },
  { id = "initech", name = "Initech Limited" },
]
budgets = [
  { id = "acme-month", scope = { customer = "acme" }, limit_usd = "100" },
  { id = "globex-month", scope = { customer = "globex" }, limit_usd = "77" },
  { id = "everything", limit_usd = "1000", window = "total", mode = "observe" },
]
prices = [{ model = "our-secret-model", effective = "2026-01-01", input = "3.00", output = "15.00" }]
"""


@dataclass(frozen=True)
class Got:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Site:
    """A running server and what is behind it."""

    url: str
    desk: LocalDesk
    office: DeskOffice

    def token(self, scope: Scope = "read", customer: str = "") -> str:
        return self.office.control.tokens.create(Wish(scope, customer), by="test")[1]

    def call(
        self, method: str, path: str, *, token: str = "", body: object = None,
        headers: Mapping[str, str] | None = None, raw: bytes | None = None,
    ) -> Got:  # fmt: skip
        sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        try:
            connection.request(method, path, data, sent)
            reply = connection.getresponse()
            return Got(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode())
        finally:
            connection.close()

    def get(self, path: str, token: str = "", **query: Any) -> Got:
        words = urlencode(query, doseq=True)
        return self.call("GET", f"{path}?{words}" if words else path, token=token)


@contextmanager
def running(app: Any) -> Iterator[str]:
    """The app behind a real server; gives its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", lifespan="off", access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "the test server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)


@contextmanager
def site(
    folder: Path, *, open_reading: bool = True, limits: Limits = GENEROUS, size: int = 300
) -> Iterator[Site]:
    """A store with bills of three clouds, customers, plans and budgets, served."""
    file = folder / "costweir.toml"
    file.write_text(SETTINGS, encoding="utf-8")
    settings = config.load(path=file, environ={}, overrides={"data_dir": str(folder / "data")})
    with LocalDesk(settings) as desk:
        store(desk.warehouse, folder, world(size=size))
        desk.warehouse.mirror(
            "customer_approved_models",
            ("customer_id", "model"),
            [("acme", "gpt-4o-mini"), ("globex", "unknown")],
        )
        office = DeskOffice(desk, settings)
        routes = api_routes(
            desk, writes=Writes(load=desk.load, adopt=desk.adopt, export=desk.export), ready=desk.not_ready,
            office=office, metrics=Exporter([], gateway_pid=lambda: None).expose,
        )  # fmt: skip
        app = Access(
            create_app(desk, routes=routes, office=office), keys=Keys(ADMIN), open_reading=open_reading,
            tokens=office.token, limits=limits,
        )  # fmt: skip
        with running(app) as url:
            yield Site(url, desk, office)


def escaped(text: str) -> str:
    """A path part."""
    return quote(text, safe="")
