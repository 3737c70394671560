"""Approvals, chargeback, price changes, later prices of calls and annotations over the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from api_server import ADMIN, Site, site
from bills import call


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, size=40) as running:
        yield running


def test_a_list_of_approved_models_is_set_read_and_taken_away(served: Site) -> None:
    token = served.token("finance")
    path = "/v1/approvals/acme"
    assert served.get(path).status == 404
    made = served.call("PUT", path, token=token, body={"models": ["GPT-5*", "gpt-4o-mini"]})
    assert (made.status, made.json["models"]) == (201, ["gpt-4o-mini", "gpt-5*"])
    assert served.call("PUT", path, token=token, body={"models": ["gpt-5*"]}).json["models"] == ["gpt-5*"]
    assert served.get(path).json["customer"] == "acme"
    assert [row["pattern"] for row in served.get("/v1/approvals").json["rows"]] == ["gpt-5*"]
    allowed = served.get("/v1/answers/model_approvals", by="customer", where="customer=acme").json
    assert Decimal(allowed["total"]) > 0
    assert served.call("DELETE", path, token=token).json["deleted"] is True
    assert served.call("DELETE", path, token=token).status == 404
    actions = [row["action"] for row in served.get("/v1/audit", ADMIN).json["rows"]]
    assert actions[:3] == ["approval.put"] * 3


def test_a_customer_sees_its_own_list_only(served: Site) -> None:
    for name in ("acme", "globex"):
        served.call("PUT", f"/v1/approvals/{name}", token=ADMIN, body={"models": [f"{name}-model"]})
    token = served.token("read", "acme")
    assert [row["customer"] for row in served.get("/v1/approvals", token).json["rows"]] == ["acme"]
    assert served.get("/v1/approvals/acme", token).status == 200
    assert served.get("/v1/approvals/globex", token).status == 404
    for path in ("chargeback", "price_changes", "rerate", "annotations"):
        assert served.get(f"/v1/{path}", token).status == 403


def test_a_chargeback_adds_up_to_the_spend_of_the_month(served: Site) -> None:
    told = served.get("/v1/chargeback", month="2026-10").json
    spend = served.get("/v1/answers/spend", since="2026-10-01", until="2026-11-01").json
    assert told["total"] == spend["total"]
    assert sum(Decimal(row["total_cost"]) for row in told["rows"]) == Decimal(told["total"]) != 0


def test_price_changes_say_since_when_and_how_many(served: Site) -> None:
    told = served.get("/v1/price_changes", since="2026-01-01", every="yes").json
    assert (told["since"], len(told["rows"])) == ("2026-01-01", told["changes"])


def test_later_prices_are_looked_at_and_kept_once(served: Site) -> None:
    model: dict[str, Any] = {"model": "our-secret-model", "settled_usd": None, "price_version": None}
    served.desk.warehouse.append([call(1, **model), call(2, **model)])
    seen = served.get("/v1/rerate").json
    assert (seen["calls"], seen["before_usd"], seen["delta_usd"]) == (2, "0.00", "0.0012")
    headers = {"Idempotency-Key": "k1"}
    done = served.call("POST", "/v1/rerates", token=served.token("finance"), body={})
    assert (done.status, done.json["delta_usd"]) == (200, "0.0012")
    again = served.call("POST", "/v1/rerates", token=ADMIN, body={}, headers=headers)
    assert (again.json["calls"], again.json["run_id"]) == (0, "")
    assert served.get("/v1/answers/call_adjustments").json["total"] == "0.0012"
    assert served.get("/v1/audit/verification", ADMIN).json["ok"] is True


def test_an_annotation_is_added_changed_and_removed(served: Site) -> None:
    token = served.token("finance")
    body = {"day": "2026-10-05", "text": "Release 4", "scope": {"model": "gpt-4o-mini"}}
    made = served.call("POST", "/v1/annotations", token=token, body=body)
    assert (made.status, made.json["scope"]) == (201, {"model": "gpt-4o-mini"})
    path = f"/v1/annotations/{made.json['id']}"
    changed = served.call("PUT", path, token=token, body={**body, "text": "Release 5"})
    assert (changed.status, served.get(path).json["text"]) == (200, "Release 5")
    assert [
        row["id"]
        for row in served.get("/v1/annotations", since="2026-10-05", until="2026-10-06").json["rows"]
    ] == [made.json["id"]]
    assert served.get("/v1/annotations", since="2026-10-06").json["rows"] == []
    assert served.call("DELETE", path, token=token).json["deleted"] is True
    assert served.get(path).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "approvals/acme", {"models": ["x"]}), ("DELETE", "approvals/acme", None), ("POST", "rerates", {}),
        ("POST", "annotations", {"day": f"{datetime.now(UTC).date()}", "text": "x"}),
    ],
)  # fmt: skip
def test_reading_is_not_enough_to_change_something(served: Site, method: str, path: str, body: Any) -> None:
    assert served.call(method, f"/v1/{path}", token=served.token("read"), body=body).status == 403
