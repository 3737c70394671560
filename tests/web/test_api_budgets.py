"""The API about limits: what they hold, what one would have refused, and what is stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_server import ADMIN, Site
from test_api_weir import Served
from weir_site import write_ledger

from costweir.guard.policy import KINDS


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("budgets")
    write_ledger(folder / "data")
    with Served(folder) as made:
        yield made


def test_balances_are_the_ledgers_and_can_be_narrowed(served: Site) -> None:
    rows = served.get("/v1/balances").json["rows"]
    assert rows
    want = [row for row in rows if row["scope"].get("customer") == "acme"]
    assert served.get("/v1/balances", scope="customer=acme").json["rows"] == want
    assert served.get("/v1/balances", scope="weather=fine").status == 400


def test_a_budget_is_tried_and_nothing_is_set(served: Site) -> None:
    token = served.token("finance")
    before = served.office.control.stops.revision
    free = served.call("POST", "/v1/budget-previews/try", token=token, body={"limit_usd": "1000"}).json
    assert free["calls"] > 0
    assert (free["blocked_calls"], free["rows"]) == (0, [])
    none = served.call("POST", "/v1/budget-previews/try", token=token, body={"limit_usd": "0"}).json
    assert none["blocked_calls"] == none["calls"] == free["calls"]
    assert none["blocked_usd"] == free["cost_usd"]
    assert served.call("POST", "/v1/budget-previews/try", token=token, body={}).status == 422
    assert served.office.control.stops.revision == before


def test_calls_are_stopped_and_let_through(served: Site) -> None:
    body = {"scope": {"customer": "acme"}, "reason": "a loop"}
    assert served.call("POST", "/v1/stops", body=body, token=served.token("finance")).status == 403
    done = served.call("POST", "/v1/stops", body=body, token=ADMIN)
    assert (done.status, done.json["scope"]) == (200, {"customer": "acme"})
    assert [row["reason"] for row in served.get("/v1/stops").json["rows"]] == ["a loop"]
    path = "/v1/stops?scope=customer%3Dacme"
    assert served.call("DELETE", path, token=served.token("finance")).status == 403
    assert served.call("DELETE", "/v1/stops", token=ADMIN).status == 404, "not everything was stopped"
    assert served.call("DELETE", path, token=ADMIN).status == 200
    assert served.get("/v1/stops").json["rows"] == []


@pytest.mark.parametrize(
    "body",
    [{}, {"scope": {}}, {"scope": {}, "reason": ""}, {"scope": {"customer": "*"}, "reason": "all"}],
    ids=str,
)
def test_what_stops_nothing_or_says_nothing_is_refused(served: Site, body: dict[str, object]) -> None:
    assert served.call("POST", "/v1/stops", body=body, token=ADMIN).status in (400, 422)
    assert served.get("/v1/stops").json["rows"] == []


def test_a_token_of_one_customer_sees_none_of_it(served: Site) -> None:
    bound = served.token("read", "acme")
    assert {served.get(path, bound).status for path in ("/v1/balances", "/v1/stops")} == {403}


def test_every_kind_that_the_gateway_knows_may_be_named(served: Site) -> None:
    for kind in KINDS:
        body = {"scope": {kind: "x"}, "reason": "why"}
        assert served.call("POST", "/v1/stops", body=body, token=ADMIN).status == 200, kind
        assert served.call("DELETE", f"/v1/stops?scope={kind}%3Dx", token=ADMIN).status == 200, kind
