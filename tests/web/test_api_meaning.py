"""Mappings over the API: looked at, set, applied, and undone, each by who may and in the audit chain."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from api_server import ADMIN, Site, site
from bills import line, store

TEXT = "USE1-Odd-Units"
LINES = {"cloud": "aws", "text": TEXT, "service": "Bedrock", "unit": "Units"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, size=20) as running:
        odd = {
            "x_account": "9", "x_model": "unknown", "x_token_class": "other", "x_direction": None, "x_tokens": None,
            "x_line_text": TEXT, "x_line_service": "Bedrock", "x_line_unit": "Units", "x_mapping_confidence": "none",
            "pricing_quantity": Decimal(2),
        }  # fmt: skip
        store(running.desk.warehouse, tmp_path, [line(cost="3", **odd), line(cost="0.5", **odd)])
        yield running


def wish(**meaning: Any) -> dict[str, Any]:
    return {**LINES, "meaning": {"model": "odd-1", **meaning}, "evidence": "the vendor's page"}


def spent(served: Site, model: str) -> str:
    return served.get("/v1/answers/spend", by="model", where=f"model={model}").json["total"]


def test_a_mapping_is_looked_at_set_applied_and_undone(served: Site) -> None:
    token = served.token("finance")
    total = served.get("/v1/answers/spend").json["total"]
    seen = served.call("POST", "/v1/remap-previews", token=token, body={"mapping": wish(tokens_per_unit=10)})
    assert seen.status == 200
    (row,) = seen.json["rows"]
    assert (row["account"], row["lines"], row["billed"]) == ("9", 2, {"amount": "3.50", "currency": "USD"})
    assert (row["before"]["model"], row["after"]["model"], row["tokens_after"]) == ("unknown", "odd-1", "40")
    assert served.get("/v1/mappings").json["rows"] == []
    unknown = spent(served, "unknown")

    made = served.call("POST", "/v1/mappings", token=token, body=wish(tokens_per_unit=10))
    assert (made.status, made.json["set_by"]) == (201, seen_by(served, token))
    assert served.call("POST", "/v1/mappings", token=token, body=wish(tokens_per_unit=10)).status == 200
    assert served.get(f"/v1/mappings/{made.json['id']}").json == made.json
    assert spent(served, "odd-1") == "0.00"

    done = served.call("POST", "/v1/remaps", token=token, body={"expect": seen.json["digest"]})
    assert (done.status, done.json["lines"], done.json["slots"]) == (200, 2, 1)
    assert spent(served, "odd-1") == "3.50"
    assert served.call("POST", "/v1/remaps", token=token, body={}).json["lines"] == 0

    gone = served.call("DELETE", f"/v1/mappings/{made.json['id']}", token=token)
    assert gone.json["deleted"] is True
    served.call("POST", "/v1/remaps", token=token, body={})
    assert (spent(served, "unknown"), spent(served, "odd-1")) == (unknown, "0.00")
    assert served.get("/v1/answers/spend").json["total"] == total

    actions = [row["action"] for row in served.get("/v1/audit", ADMIN).json["rows"]]
    assert actions[:4] == ["mappings.apply", "mapping.delete", "mappings.apply", "mapping.put"]
    assert served.get("/v1/audit/verification", ADMIN).json["ok"] is True


def seen_by(served: Site, token: str) -> str:
    return str(served.get("/v1/tokens", ADMIN).json["rows"][0]["id"]) if token else ""


def test_the_same_key_applies_once_and_gets_the_same_reply(served: Site) -> None:
    served.call("POST", "/v1/mappings", token=ADMIN, body=wish())
    headers = {"Idempotency-Key": "k1"}
    first = served.call("POST", "/v1/remaps", token=ADMIN, body={}, headers=headers)
    again = served.call("POST", "/v1/remaps", token=ADMIN, body={}, headers=headers)
    assert again.json == first.json
    assert (first.json["lines"], again.headers["idempotency-replayed"]) == (2, "true")


def test_what_nobody_looked_at_is_not_applied(served: Site) -> None:
    served.call("POST", "/v1/mappings", token=ADMIN, body=wish())
    refused = served.call("POST", "/v1/remaps", token=ADMIN, body={"expect": "0" * 16})
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    assert spent(served, "odd-1") == "0.00"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({**LINES, "meaning": {}}, "/meaning/model"),
        ({**LINES, "meaning": {"model": "GPT 5"}}, "/meaning/model"),
        ({**LINES, "meaning": {"model": "x", "token_type": "words"}}, "/meaning/token_type"),
        ({**LINES, "meaning": {"model": "x", "tokens_per_unit": 0}}, "/meaning/tokens_per_unit"),
        ({"cloud": "aws", "meaning": {"model": "x"}}, "/text"),
    ],
)
def test_a_body_that_means_nothing_names_its_fault(served: Site, body: object, pointer: str) -> None:
    got = served.call("POST", "/v1/mappings", token=ADMIN, body=body)
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize("scope", ["read", "ingest"])
def test_only_finance_may_change_what_lines_mean(served: Site, scope: Any) -> None:
    token = served.token(scope)
    for path, body in (("mappings", wish()), ("remaps", {}), ("remap-previews", {})):
        assert served.call("POST", f"/v1/{path}", token=token, body=body).status == 403
    assert served.call("DELETE", "/v1/mappings/map_x", token=token).status == 403


def test_a_token_of_a_customer_sees_no_mapping(served: Site) -> None:
    assert served.get("/v1/mappings", served.token("read", "acme")).status == 403
