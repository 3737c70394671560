"""The API about the gateway: spend rate, attempts, sessions, why, and the stream."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import jsonschema_rs
import pytest
from api_server import ADMIN, GENEROUS, SETTINGS, Site, running
from starlette.testclient import TestClient
from weir_site import write_ledger

from costweir import config
from costweir.app.desk import LocalDesk
from costweir.app.office import DeskOffice
from costweir.web.access import Access, Keys
from costweir.web.api import Writes, api_routes, openapi_document
from costweir.web.app import create_app


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("weir")
    write_ledger(folder / "data")
    with Served(folder) as made:
        yield made


class Served:
    """A server on a folder; a context."""

    def __init__(self, folder: Path) -> None:
        file = folder / "costweir.toml"
        file.write_text(SETTINGS, encoding="utf-8")
        settings = config.load(path=file, environ={}, overrides={"data_dir": str(folder / "data")})
        self.desk = LocalDesk(settings)
        office = DeskOffice(self.desk, settings)
        writes = Writes(load=self.desk.load, adopt=self.desk.adopt, export=self.desk.export)
        routes = api_routes(self.desk, writes=writes, ready=self.desk.not_ready, office=office)
        self.app = create_app(self.desk, routes=routes, office=office)
        access = Access(self.app, keys=Keys(ADMIN), open_reading=True, tokens=office.token, limits=GENEROUS)
        self._running = running(access)
        self.office = office

    def __enter__(self) -> Site:
        self.desk.__enter__()
        return Site(self._running.__enter__(), self.desk, self.office)

    def __exit__(self, *error: object) -> None:
        self._running.__exit__(None, None, None)
        self.desk.__exit__(None, None, None)


def test_the_spend_rate_is_the_ledgers(served: Site) -> None:
    told = served.get("/v1/spend-rate").json
    assert told["schema"] == "costweir.spend_rate/1"
    assert (told["last_hour_usd"], told["last_hour_calls"], told["held_usd"]) == ("0.12", 4, "0.22")
    assert sum(Decimal(one["spent_usd"]) for one in told["minutes"]) == Decimal("0.12")


def test_attempts_are_paged_to_their_end(served: Site) -> None:
    numbers: list[str] = []
    before: dict[str, int] = {}
    while True:
        told = served.get("/v1/attempts", limit=2, **before).json
        numbers += [row["attempt_id"] for row in told["rows"]]
        if told["next_before"] is None:
            break
        before = {"before": told["next_before"]}
    assert len(numbers) == len(set(numbers)) == 6
    assert len(served.get("/v1/attempts", state="SENT", customer="acme").json["rows"]) == 1
    assert served.get("/v1/attempts", state="LOST").status == 400


def test_sessions_and_why(served: Site) -> None:
    rows = served.get("/v1/sessions").json["rows"]
    assert {(row["customer"], row["settled_usd"]) for row in rows} == {
        ("acme", "0.12"),
        ("kestrel-legal", "0.00"),
    }
    told = served.get("/v1/why/req_over").json
    assert (told["outcome"], told["refusal"]["needed_usd"]) == ("refused", "0.81")
    assert served.get("/v1/why/req_never").status == 404


def test_a_session_is_stopped_by_an_admin_only_and_audited(served: Site) -> None:
    path, body = "/v1/sessions/s%2F1%20%3Cb%3E/stop", {"customer": "acme", "reason": "a loop"}
    assert served.call("POST", path, body=body).status == 401
    assert served.call("POST", path, body=body, token=served.token("finance")).status == 403
    told = served.call("POST", path, body=body, token=ADMIN)
    assert told.json["scope"] == {"customer": "acme", "session": "s/1 <b>"}
    assert [stop.reason for stop in served.office.control.stops.listed()] == ["a loop"]
    assert served.call("DELETE", path + "?customer=acme", token=ADMIN).status == 200
    assert served.call("DELETE", path + "?customer=acme", token=ADMIN).status == 404
    assert [row.action for row in served.office.control.audit.listed(limit=2)] == ["stop.delete", "stop.put"]


def test_a_token_that_is_bound_to_a_customer_sees_none_of_it(served: Site) -> None:
    bound = served.token("read", "acme")
    for path in ("/v1/spend-rate", "/v1/attempts", "/v1/sessions", "/v1/why/req_over", "/v1/live"):
        assert served.get(path, bound).status == 403, path
    assert served.get("/v1/live", served.token("ingest")).status == 403


def test_before_the_first_start_there_is_nothing(tmp_path: Path) -> None:
    with Served(tmp_path) as site:
        assert site.get("/v1/attempts").json["rows"] == []
        assert site.get("/v1/sessions").json["rows"] == []
        assert site.get("/v1/spend-rate").json["per_hour_usd"] == "0.00"
        assert site.get("/v1/live").status == 404


def test_the_stream_says_each_call_once(tmp_path: Path) -> None:
    write_ledger(tmp_path / "data")
    made = Served(tmp_path)
    with made.desk:
        client = TestClient(made.app, base_url="http://127.0.0.1")
        ending = threading.Event()
        made.app.state.stopping = ending.is_set
        threading.Timer(1.6, ending.set).start()
        text = client.get("/v1/live?after=0.0").text
        told = [
            json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data")
        ]
        assert [len(one["attempts"]) for one in told] == [4, 0]
        described = {"$ref": "#/components/schemas/Live", "components": openapi_document()["components"]}
        for event in told:
            jsonschema_rs.validate(described, event)
        assert [row["request_id"] for row in told[0]["refusals"]] == ["req_over"]
        assert told[0]["last_hour_usd"] == "0.12"
        assert client.get("/v1/live?after=yesterday").status_code == 400
