"""The API about incidents: the list, one with its story, and what somebody does about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from api_server import ADMIN, Site, site

from costweir.control.incidents import Condition

NOW = datetime.now(UTC)
MATTERS = (
    Condition(
        "a", "spend_burn", "acme", "acme burns 14 times its pace.", severity="critical", team="platform"
    ),
    Condition("b", "source_late", "aws", "aws is late.", "Wait.", link="/settings/health"),
    Condition("c", "untagged", "all", "7 % is untagged.", severity="info"),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("incidents")) as made:
        yield made


@pytest.fixture
def ids(served: Site) -> dict[str, str]:
    """The incident of each key, all of them open."""
    incidents = served.office.control.incidents
    for minute, seen in enumerate(((), MATTERS)):
        incidents.observe(seen, told=lambda _: ("ops",), now=NOW + timedelta(minutes=minute))
    return {row.key: row.id for row in incidents.listed(states=("open",))}


def test_the_list_is_narrowed_and_paged(served: Site, ids: dict[str, str]) -> None:
    told = served.get("/v1/incidents", state="open").json
    assert told["schema"] == "costweir.alerts/1"
    assert {row["id"] for row in told["rows"]} == set(ids.values())
    assert {row["resolved_at"] for row in told["rows"]} == {None}
    [row] = served.get("/v1/incidents", severity="critical", state="open").json["rows"]
    assert (row["key"], row["team"]) == ("a", "platform")
    first = served.get("/v1/incidents", state="open", limit=2).json
    rest = served.get("/v1/incidents", state="open", limit=2, cursor=first["next_cursor"]).json
    assert {row["key"] for row in first["rows"] + rest["rows"]} == {"a", "b", "c"}
    assert served.get("/v1/incidents", state="gone").status == 400


def test_one_incident_has_its_story(served: Site, ids: dict[str, str]) -> None:
    told = served.get(f"/v1/incidents/{ids['b']}").json
    assert (told["link"], told["hint"]) == ("/settings/health", "Wait.")
    assert [entry["what"] for entry in told["timeline"]] == ["open"]
    assert [(sent["message"], sent["channel"], sent["state"]) for sent in told["deliveries"]] == [
        ("open", "ops", "pending")
    ]
    assert served.get("/v1/incidents/none").status == 404


def test_somebody_looks_after_it_and_closes_it(served: Site, ids: dict[str, str]) -> None:
    path, token = f"/v1/incidents/{ids['a']}", served.token("finance")
    acked = served.call("POST", f"{path}/ack", token=token, body={"owner": "Ada"}).json
    assert (acked["state"], acked["owner"]) == ("acknowledged", "Ada")
    slept = served.call("POST", f"{path}/snooze", token=token, body={"time": "90m"}).json
    assert (slept["state"], slept["snoozed_until"] > slept["snoozed_at"]) == ("snoozed", True)
    assert served.call("POST", f"{path}/comment", token=token, body={"text": "a loop"}).status == 200
    assert served.call("POST", f"{path}/owner", token=token, body={"owner": "Bob"}).json["owner"] == "Bob"
    over = served.call("POST", f"{path}/resolve", token=token)
    assert (over.json["state"], over.json["put_aside"]) == ("resolved", True)
    assert served.call("POST", f"{path}/ack", token=token, body={}).status == 409
    actions = [row.action for row in served.office.control.audit.listed(limit=5)]
    assert actions == [f"incident.{what}" for what in ("resolve", "assign", "note", "snooze", "ack")]


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("snooze", {"time": "0h"}, 422),
        ("snooze", {"time": "91d"}, 422),
        ("ack", {"owner": "a\nb"}, 422),
        ("comment", {"text": " "}, 422),
        ("comment", {}, 422),
        ("ack", {"who": "x"}, 422),
    ],
)
def test_what_cannot_be_done_is_refused(
    served: Site, ids: dict[str, str], verb: str, body: dict[str, str], status: int
) -> None:
    assert served.call("POST", f"/v1/incidents/{ids['c']}/{verb}", token=ADMIN, body=body).status == status


def test_reading_is_not_changing_and_a_customer_sees_none_of_it(served: Site, ids: dict[str, str]) -> None:
    path = f"/v1/incidents/{ids['b']}/ack"
    assert served.call("POST", path, body={}).status == 401
    assert served.call("POST", path, token=served.token("read"), body={}).status == 403
    assert served.get("/v1/incidents", served.token("read", "acme")).status == 403
    assert served.get("/v1/incidents", served.token("read")).status == 200
