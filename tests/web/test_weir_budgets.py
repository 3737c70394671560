"""The pages of budgets: gauges over a real ledger, the form with its back-test, and the switch that stops calls."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from html import unescape
from pathlib import Path

import pytest
from fake_desk import FakeDesk
from httpx2 import Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from weir_site import finished

from costweir.control import Budget
from costweir.guard import Start, open_ledger
from costweir.guard.ledger import Ask, Candidate, Hold, Settlement, Subject, Terms
from costweir.web.access import Caller, Role
from costweir.web.app import create_app

PATH = "/live/budgets"
EDIT, FREEZE = f"{PATH}/edit", f"{PATH}/freeze"
BUDGETS = (
    {"id": "globex-day", "scope": {"customer": "globex"}, "limit_usd": "10.00", "window": "day"},
    {"id": "acme-day", "scope": {"customer": "acme"}, "limit_usd": "1.00", "window": "day"},
)
#: A budget as the form sends it.
FORM = {
    "id": "small", "kind_1": "customer", "member_1": "acme", "limit_usd": "0.50", "window": "day",
    "thresholds": "50,80,95,100", "mode": "strict", "timezone": "UTC", "expires": "",
}  # fmt: skip


def _ask(name: str, customer: str, dollars: int) -> Ask:
    """A call that holds whole dollar tenths."""
    candidate = Candidate("big", "up1", dollars * 100_000_000, 1, 0, 0, 50, "v1")
    return Ask(name, Subject(customer=customer, key="key_1"), (candidate,))


async def spend(path: Path, terms: Terms, revision: int) -> None:
    """Acme spends $0.80 and holds $0.10 of its dollar; Globex spends $0.30."""
    ledger = open_ledger("sqlite:ledger.db", folder=path, start=Start(terms=terms, revision=revision))
    for name, customer, tenths in (("req_1", "acme", 4), ("req_2", "acme", 4), ("req_3", "globex", 3)):
        hold = await ledger.reserve(_ask(name, customer, tenths), send=True)
        assert isinstance(hold, Hold)
        ledger.settle(hold.attempt, Settlement(tenths * 100_000_000, "reported", 12, {"input": 7}))
    assert isinstance(await ledger.reserve(_ask("req_4", "acme", 1), send=True), Hold)
    await ledger.close()


async def _apply(path: Path, revision: int) -> None:
    """What the gateway does with a change."""
    ledger = open_ledger("sqlite:ledger.db", folder=path, start=Start(terms=Terms(), revision=revision))
    await ledger.close()


class _As:
    """The app as somebody with a role sees it."""

    def __init__(self, app: ASGIApp, role: Role) -> None:
        self._app = app
        self._caller = Caller(f"somebody:{role}", role)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "costweir_caller": self._caller}, receive, send)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FakeDesk]:
    """An office with two budgets, and a ledger whose gateway has applied them."""
    made = FakeDesk()
    for row in BUDGETS:
        entry = Budget(str(row["id"]), {key: value for key, value in row.items() if key != "id"})
        made.office.edit(lambda control, entry=entry: control.edits.put(entry, by="test"))
    terms = Terms(budgets=[{**row, "id": row["id"]} for row in BUDGETS])
    finished(spend(tmp_path, terms, made.office.control.stops.revision))
    made.office.ledger_file = tmp_path / "ledger.db"
    yield made
    made.office.close()


@pytest.fixture
def site(desk: FakeDesk) -> TestClient:
    """A browser on this machine."""
    return TestClient(
        create_app(desk, office=desk.office, ledger=desk.office.ledger), base_url="http://127.0.0.1",
        client=("127.0.0.1", 5), headers={"sec-fetch-site": "same-origin"}, follow_redirects=False,
    )  # fmt: skip


def _hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found is not None, name
    return found[1]


def _send(site: TestClient, **fields: str) -> Response:
    """Sends the form as it stands for a budget, with some fields changed."""
    page = site.get(EDIT, params={"id": fields["id"]} if "version" in fields else {}).text
    sent = {**FORM, "version": "", **fields, "token": _hidden(page, "token")}
    if sent["version"] == "now":
        sent["version"] = _hidden(page, "version")
    return site.post(EDIT, data=sent)


def _saved(site: TestClient, **fields: str) -> Response:
    """Looks at what the budget would have blocked, and then saves it."""
    looked = _send(site, **fields)
    assert looked.status_code == 200, looked.text
    return _send(site, action="save", seen=_hidden(looked.text, "seen"), **fields)


def _held(desk: FakeDesk, name: str) -> dict[str, object] | None:
    return next((dict(row.definition) for row in desk.office.control.budgets() if row.id == name), None)


def test_the_fullest_limit_comes_first_with_the_ledgers_numbers(site: TestClient) -> None:
    text = site.get(PATH).text
    assert text.index("acme-day") < text.index("globex-day")
    first = text[text.index("acme-day") : text.index("globex-day")]
    assert "90.0%" in first
    for amount in ("$0.80", "$0.10", "$1.00"):
        assert amount in first
    # Eighty of a hundred cents are settled; what is held passes no step.
    steps = re.findall(r"(\d+)%<span class=\"sr\"> (reached|not reached)", first)
    assert steps == [("50", "reached"), ("80", "reached"), ("95", "not reached"), ("100", "not reached")]


def test_the_csv_has_every_digit(site: TestClient) -> None:
    first = next(csv.DictReader(site.get(f"{PATH}.csv").text.splitlines()))
    names = ("limit_usd", "settled_usd", "held_usd", "debt_usd", "remaining_usd")
    assert [Decimal(first[name]) for name in names] == [
        Decimal(text) for text in ("1", "0.8", "0.1", "0", "0.1")
    ]
    assert first["resets_at"].endswith("T00:00:00.000Z")


def test_a_budget_is_put_before_past_calls_before_it_is_saved(site: TestClient, desk: FakeDesk) -> None:
    looked = _send(site, id="small")
    assert "In the last 30 days 1 call of 1 customer would have been blocked" in looked.text
    assert _held(desk, "small") is None, "looking changes nothing"
    blind = _send(site, id="small", action="save", seen="")
    assert blind.status_code == 200
    assert _held(desk, "small") is None, "nothing is saved unseen"
    done = _saved(site, id="small")
    assert done.status_code == 303
    found = _held(desk, "small")
    assert found is not None
    assert (found["limit_usd"], found["scope"]) == ("0.50", {"customer": "acme"})
    last = desk.office.control.audit.listed()[0]
    assert (last.action, last.actor) == ("budget.put", "browser")


def test_what_was_changed_after_the_look_is_looked_at_again(site: TestClient, desk: FakeDesk) -> None:
    seen = _hidden(_send(site, id="small").text, "seen")
    reply = _send(site, id="small", limit_usd="5.00", action="save", seen=seen)
    assert "It is not what you looked at before" in reply.text
    assert "would have been blocked" in reply.text
    assert _held(desk, "small") is None


def test_a_field_that_is_emptied_is_gone_and_the_others_stay(site: TestClient, desk: FakeDesk) -> None:
    _saved(site, id="small", calls="7")
    page = site.get(EDIT, params={"id": "small"}).text
    assert 'name="calls" value="7"' in page
    assert _saved(site, id="small", version="now", calls="", mode="debt").status_code == 303
    found = _held(desk, "small")
    assert found is not None
    assert "calls" not in found
    assert (found["mode"], found["limit_usd"]) == ("debt", "0.50")


def test_an_edit_that_expires_ends_in_what_was_there_before(site: TestClient, desk: FakeDesk) -> None:
    fields = {"id": "acme-day", "version": "now", "limit_usd": "3.00"}
    assert _saved(site, **fields, expires="24").status_code == 303
    found = _held(desk, "acme-day")
    assert found is not None
    assert found["expires"]
    assert found["then"]["limit_usd"] == "1.00"
    ends = found["expires"]
    # Another change may keep the end, and what follows stays what it was.
    _saved(site, **{**fields, "limit_usd": "4.00"}, expires="kept")
    found = _held(desk, "acme-day")
    assert found is not None
    assert (found["limit_usd"], found["expires"], found["then"]["limit_usd"]) == ("4.00", ends, "1.00")


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit_usd": "1,50"}, {"limit_usd": ""}, {"window": "year"}, {"window": "rolling", "span": "soon"},
        {"member_1": ""}, {"kind_2": "customer", "member_2": "globex"}, {"kind_1": "weather"}, {"calls": "0"},
        {"thresholds": "half"}, {"expires": "9"}, {"mode": "never"}, {"timezone": "Moon/Sea"}, {"id": ""},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_a_budget_comes_back_with_what_was_typed(
    site: TestClient, desk: FakeDesk, wrong: dict[str, str]
) -> None:
    before = desk.office.control.stops.revision
    reply = _send(site, **{"id": "small", "tokens_per_minute": "", **wrong})
    assert 400 <= reply.status_code < 500
    assert 'role="alert"' in reply.text
    assert 'name="member_1"' in reply.text
    assert desk.office.control.stops.revision == before


def test_whoever_saw_an_older_version_changes_nothing(site: TestClient, desk: FakeDesk) -> None:
    old = _hidden(site.get(EDIT, params={"id": "acme-day"}).text, "version")
    _saved(site, id="acme-day", version="now", limit_usd="2.00")
    reply = _saved(site, id="acme-day", version=old, limit_usd="9.00")
    assert reply.status_code == 409
    assert "after you opened it" in reply.text
    found = _held(desk, "acme-day")
    assert found is not None
    assert found["limit_usd"] == "2.00"


def test_a_budget_is_removed_by_typing_its_id(site: TestClient, desk: FakeDesk) -> None:
    fields = {"id": "acme-day", "version": "now", "action": "remove"}
    assert _send(site, **fields, typed="acme").status_code == 400
    assert _held(desk, "acme-day") is not None
    assert _send(site, **fields, typed="acme-day").status_code == 303
    assert _held(desk, "acme-day") is None


def test_an_edit_that_the_gateway_has_not_taken_over_is_said(site: TestClient, tmp_path: Path) -> None:
    assert "not taken over" not in site.get(PATH).text
    done = _saved(site, id="small")
    text = site.get(done.headers["location"]).text
    assert "The budget small is saved. The gateway has not taken over the latest change yet." in text


def test_an_edit_that_the_gateway_holds_is_said(site: TestClient, desk: FakeDesk, tmp_path: Path) -> None:
    done = _saved(site, id="small")
    finished(_apply(tmp_path, desk.office.control.stops.revision))
    text = site.get(done.headers["location"]).text
    assert "The budget small is saved.</b> The gateway holds it now." in text


def test_calls_are_stopped_with_a_reason_and_let_through_again(site: TestClient, desk: FakeDesk) -> None:
    page = site.get(FREEZE).text
    assert "1 call under way may still cost $0.1000 at most" in page
    token = _hidden(page, "token")
    fields = {"token": token, "kind": "customer", "member": "acme", "reason": "a loop"}
    assert site.post(FREEZE, data={**fields, "reason": ""}).status_code == 400
    assert site.post(FREEZE, data={**fields, "member": ""}).status_code == 400
    # A star would stop nobody, and look as if it stopped each one.
    assert site.post(FREEZE, data={**fields, "member": "*"}).status_code == 400
    assert site.post(FREEZE, data={**fields, "kind": "", "member": ""}).status_code == 400
    assert desk.office.control.stops.listed() == []
    assert site.post(FREEZE, data=fields).status_code == 303
    (stop,) = desk.office.control.stops.listed()
    assert (stop.scope, stop.reason, stop.created_by) == ({"customer": "acme"}, "a loop", "browser")
    text = site.get(PATH).text
    assert "Stopped: customer acme." in text
    scope = unescape(_hidden(text, "scope"))
    assert site.post(f"{PATH}/unfreeze", data={"token": token, "scope": scope}).status_code == 303
    assert desk.office.control.stops.listed() == []
    assert site.post(f"{PATH}/unfreeze", data={"token": token, "scope": scope}).status_code == 404


def test_every_call_is_stopped_only_by_saying_so(site: TestClient, desk: FakeDesk) -> None:
    token = _hidden(site.get(FREEZE).text, "token")
    site.post(FREEZE, data={"token": token, "kind": "everything", "reason": "an audit"})
    (stop,) = desk.office.control.stops.listed()
    assert stop.scope == {}
    assert "Stopped: everything." in site.get(PATH).text


def test_a_forged_form_changes_nothing(site: TestClient, desk: FakeDesk) -> None:
    page = site.get(FREEZE).text
    sent = {"token": _hidden(page, "token"), "kind": "everything", "reason": "x"}
    forged = site.post(FREEZE, data=sent, headers={"sec-fetch-site": "cross-site"})
    guessed = site.post(EDIT, data={**FORM, "token": "0" * 64})
    assert (forged.status_code, guessed.status_code) == (403, 403)
    assert desk.office.control.stops.listed() == []


@pytest.mark.parametrize(
    ("scope", "may_set", "may_stop"),
    [("read", False, False), ("finance", True, False), ("admin", True, True)],
)
def test_a_viewer_reads_finance_sets_budgets_and_an_admin_stops_calls(
    desk: FakeDesk, scope: Role, may_set: bool, may_stop: bool
) -> None:
    app = create_app(desk, office=desk.office, ledger=desk.office.ledger)
    site = TestClient(
        _As(app, scope), base_url="http://127.0.0.1", client=("10.0.0.9", 5),
        headers={"sec-fetch-site": "same-origin"}, follow_redirects=False,
    )  # fmt: skip
    shown = site.get(PATH)
    assert shown.status_code == 200
    assert "acme-day" in shown.text
    assert ("Add a budget" in shown.text, "Stop calls" in shown.text) == (may_set, may_stop)
    assert (_send(site, id="small").status_code == 200) == may_set
    token = _hidden(site.get(EDIT).text, "token")
    stopped = site.post(FREEZE, data={"token": token, "kind": "everything", "reason": "an audit"})
    assert (stopped.status_code == 303) == may_stop
    assert bool(desk.office.control.stops.listed()) == may_stop


def test_without_a_budget_there_are_three_to_begin_with() -> None:
    empty = FakeDesk(empty=True)
    for plan in empty.office.control.plans():
        empty.office.control.add(replace(plan, budget_usd="", session_usd="", session_calls=None))
    site = TestClient(
        create_app(empty, office=empty.office, ledger=empty.office.ledger), base_url="http://127.0.0.1"
    )
    text = site.get(PATH).text
    links = re.findall(r'href="(/live/budgets/edit\?[^"]+)"', text)
    assert len(links) == 3
    for link in links:
        form = site.get(unescape(link)).text
        assert _hidden(form, "limit_usd"), link
    empty.office.close()
