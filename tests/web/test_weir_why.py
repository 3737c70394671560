"""The page that says why a call was refused, over a real ledger file."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from fake_desk import FakeDesk
from starlette.testclient import TestClient
from weir_site import finished

from costweir.guard import Start, open_ledger
from costweir.guard.ledger import Ask, Candidate, Hold, Refusal, Settlement, Subject, Terms
from costweir.guard.ledgers.reader import LedgerReader
from costweir.web.app import create_app

BUDGET = {
    "id": "acme-day", "scope": {"customer": "acme"}, "limit_usd": "1.00", "window": "day", "timezone": "UTC",
    "mode": "strict", "thresholds": [50, 80, 100],
}  # fmt: skip
SUBJECT = Subject(customer="acme", key="key_1", session="s_1")


def _ask(name: str, output: int, *, priced: bool = True) -> Ask:
    """An answer of at most `output` tokens at $0.0001 a token, and one cent of input; it may not be shorter."""
    candidate = Candidate("big", "up1", 10_000_000, 100_000, output, output, 50, "v1", priced=priced)
    return Ask(name, SUBJECT, (candidate,))


async def _written(folder: Path) -> tuple[Refusal, Refusal]:
    ledger = open_ledger(
        "sqlite:ledger.db", folder=folder, start=Start(terms=Terms(budgets=[BUDGET]), revision=1)
    )
    done = await ledger.reserve(_ask("req_done", 4_900), send=True)
    assert isinstance(done, Hold)
    ledger.settle(done.attempt, Settlement(412_300_000, "reported", 12, {"input": 7, "output": 5}))
    assert isinstance(await ledger.reserve(_ask("req_open", 2_900), send=True), Hold)
    refused = await ledger.reserve(_ask("req_over", 4_000))
    unpriced = await ledger.reserve(_ask("req_unpriced", 10, priced=False))
    at_the_door = Refusal("model_not_allowed", "req_door", "This key may not use model 'big'.")
    ledger.refused(Ask("req_door", SUBJECT, ()), at_the_door)
    await ledger.close()
    assert isinstance(refused, Refusal)
    assert isinstance(unpriced, Refusal)
    return refused, unpriced


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TestClient]:
    """The pages over a ledger with a settled call, an open one and two refusals."""
    refused, unpriced = finished(_written(tmp_path))
    assert (refused.code, unpriced.code) == ("budget_exceeded", "price_unknown")
    desk = FakeDesk()
    with LedgerReader(tmp_path / "ledger.db") as reader:
        app = create_app(desk, office=desk.office, ledger=lambda: reader)
        yield TestClient(app, base_url="http://127.0.0.1")
    desk.office.close()


def test_a_refusal_shows_the_very_numbers_of_the_ledger(site: TestClient) -> None:
    text = site.get("/why/req_over").text
    limit, settled, held = Decimal(1), Decimal("0.4123"), Decimal("0.30")
    needed = Decimal("0.41")
    for amount in (limit, settled, held, limit - settled - held, needed, settled + held + needed - limit):
        assert f"${amount:.4f}" in text
    assert "so it was $0.1223 short" in text
    assert 'href="/why/req_open"' in text, "who holds it is named"
    assert "2,777" in text, "tokens that would have fitted: (0.2877 - 0.01) / 0.0001"


def test_a_call_that_was_served_shows_its_attempts_and_usage(site: TestClient) -> None:
    text = site.get("/live/calls/req_done").text
    assert "What this call cost" in text
    assert "$0.4123" in text
    assert "settled" in text


def test_an_unknown_price_is_named_and_is_not_zero(site: TestClient) -> None:
    text = site.get("/why/req_unpriced").text
    assert "no price known" in text
    assert "unpriced" in text
    assert "$0.0010" not in text


def test_an_unknown_request_is_said_to_be_unknown(site: TestClient) -> None:
    reply = site.get("/why/req_nobody")
    assert reply.status_code == 404
    assert "req_nobody" in reply.text


def test_an_id_is_text_and_never_markup(site: TestClient) -> None:
    assert "<script>alert" not in site.get("/why/%3Cscript%3Ealert(1)%3C%2Fscript%3E").text


def test_a_server_without_a_ledger_says_so() -> None:
    desk = FakeDesk()
    reply = TestClient(create_app(desk), base_url="http://127.0.0.1").get("/why/req_1")
    assert reply.status_code == 503
    assert "ledger" in reply.text
    desk.office.close()


def test_a_call_that_was_turned_away_at_the_door_is_explained_too(site: TestClient) -> None:
    page = site.get("/why/req_door").text

    assert "Why was this call refused?" in page
    assert "may not use model" in page
    assert "HTTP/1.1 403" in page
    assert "How the need was computed" not in page, "nothing was computed"
