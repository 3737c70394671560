"""The OpenAPI document is what the code does: committed, valid, and held against the running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from api_server import ADMIN, Site, site
from conforming import CONFORM
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import load_all_checks
from schemathesis.generation import GenerationMode

from costweir.web.api import openapi_document

COMMITTED = Path(__file__).parents[2] / "docs/openapi.json"
DOCUMENT = openapi_document()
load_all_checks()
#: A few tries of each operation; a longer run is one number away.
TRIES = 8


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("schemathesis"), size=40) as running:
        yield running


def test_the_committed_document_is_what_the_code_says() -> None:
    wanted = json.dumps(DOCUMENT, indent=2, ensure_ascii=False) + "\n"
    assert COMMITTED.read_text(encoding="utf-8") == wanted, "docs/openapi.json is stale; run `make docs`"


def test_the_server_gives_the_document(served: Site) -> None:
    assert served.get("/v1/openapi.json").json == json.loads(json.dumps(DOCUMENT))


def test_every_name_that_the_contract_promises_is_described() -> None:
    paths = DOCUMENT["paths"]
    assert isinstance(paths, dict)
    assert {
        "/v1/answers/{id}", "/v1/questions", "/v1/charges", "/v1/customers", "/v1/plans", "/v1/budgets", "/v1/runs",
        "/v1/quarantine", "/v1/prices", "/v1/status", "/v1/audit", "/v1/tokens",
    } <= paths.keys()  # fmt: skip
    names = {item["name"] for item in paths["/v1/answers/{id}"]["get"]["parameters"]}
    assert names >= {"id", "by", "where", "since", "until", "limit", "basis", "currency"}


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(DOCUMENT)
    components = DOCUMENT["components"]
    assert isinstance(components, dict)
    unused: list[str] = []
    for kind, members in components.items():
        unused += [name for name in members if f'"#/components/{kind}/{name}"' not in text]
    wanted = {part.split('"')[0] for part in text.split('"#/components/')[1:]}
    assert {f"{kind}/{name}" for kind, members in components.items() for name in members} >= wanted
    assert unused == ["token"], "only the security scheme is named elsewhere"


def test_the_stream_says_what_its_events_hold() -> None:
    paths: Any = DOCUMENT["paths"]
    (kind,) = paths["/v1/live"]["get"]["responses"]["200"]["content"].items()
    assert kind == (
        "text/event-stream",
        {"schema": {"type": "string"}, "x-event-data": {"$ref": "#/components/schemas/Live"}},
    )


# A stream does not end, so that nothing could be tried on it; its events are in test_api_weir.py.
schema = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT))).exclude(path="/v1/live")


@schema.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    """A request that fits the schema is made to fit what the schema cannot say; that others get 400 or 422 with a hint
    is tested by name in test_api.py."""
    conform = CONFORM.get(context.operation.definition.raw["operationId"]) if context.operation else None
    if conform is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        conform(case)
    if case.query and case.meta.generation.mode is GenerationMode.POSITIVE:
        # a cursor belongs to a page, so that none can be made up
        case.query.pop("cursor", None)
    return case


@schema.parametrize()
@settings(
    max_examples=TRIES, deadline=None, derandomize=True, database=None,
    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_the_server_keeps_the_document(case: schemathesis.Case, served: Site) -> None:
    case.call_and_validate(base_url=served.url, headers={"Authorization": f"Bearer {ADMIN}"})
