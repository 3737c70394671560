"""The pages where keys of the gateway are made, rotated and revoked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fake_desk import FakeDesk
from starlette.testclient import TestClient

from costweir.domain.answer import Answer
from costweir.queries.request import Request
from costweir.web.app import create_app

PATH = "/live/keys"
_TEXT = re.compile(r"cw-[0-9a-f]{8}-[A-Za-z0-9_-]{51}")


class KeyDesk(FakeDesk):
    """A store whose calls have keys."""

    def ask(self, request: Request) -> Answer:
        plain = super().ask(replace(request, by=()))
        rows = [{"key": entry.id, "metered_cost": "0.4123"} for entry in self.office.control.keys.listed()]
        return replace(plain, rows=tuple(rows))


@pytest.fixture
def desk() -> Iterator[FakeDesk]:
    """A desk with an office of its own."""
    made = KeyDesk(empty=True)
    yield made
    made.office.close()


@pytest.fixture
def site(desk: FakeDesk) -> TestClient:
    """A browser on this machine."""
    return TestClient(
        create_app(desk, office=desk.office), base_url="http://127.0.0.1", client=("127.0.0.1", 5),
        headers={"sec-fetch-site": "same-origin"}, follow_redirects=False,
    )  # fmt: skip


def _token(site: TestClient, path: str = PATH) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', site.get(path).text)
    assert found is not None
    return found[1]


def _make(site: TestClient, **fields: str) -> str:
    """Makes a key and gives the page that shows it."""
    reply = site.post(PATH, data={"token": _token(site), "customer": "acme", **fields})
    assert reply.status_code == 200, reply.text
    return reply.text


def test_a_key_is_shown_once_and_works(site: TestClient, desk: FakeDesk) -> None:
    reply = site.post(
        PATH, data={"token": _token(site), "customer": "acme", "assert_session": "1", "expires": "30"}
    )
    found = _TEXT.search(reply.text)
    assert found is not None
    assert reply.headers["cache-control"] == "no-store"
    key = desk.office.control.keys.ring().find(found[0])
    assert key is not None
    assert (key.customer, key.may_assert, key.expires_at is not None) == ("acme", ("session",), True)
    assert found[0] not in site.get(PATH).text, "the list does not have it"
    assert key.prefix in site.get(PATH).text
    assert "$0.4123" in site.get(PATH).text, "what it cost this month"


def test_a_key_for_nobody_is_refused_and_the_form_keeps_what_was_typed(
    site: TestClient, desk: FakeDesk
) -> None:
    reply = site.post(PATH, data={"token": _token(site), "customer": "", "name": "my own words"})
    assert reply.status_code == 400
    assert "my own words" in reply.text
    assert desk.office.control.keys.listed() == []


def test_another_site_cannot_make_a_key(site: TestClient, desk: FakeDesk) -> None:
    token = _token(site)
    forged = site.post(
        PATH, data={"token": token, "customer": "acme"}, headers={"sec-fetch-site": "cross-site"}
    )
    guessed = site.post(PATH, data={"token": "0" * 64, "customer": "acme"})
    assert (forged.status_code, guessed.status_code) == (403, 403)
    assert desk.office.control.keys.listed() == []


def test_a_rotated_key_has_a_new_text_and_the_same_id(site: TestClient, desk: FakeDesk) -> None:
    before = _TEXT.search(_make(site))
    key = desk.office.control.keys.listed()[0]
    reply = site.post(f"{PATH}/{key.id}/rotate", data={"token": _token(site), "grace": "none"})
    after = _TEXT.search(reply.text)
    assert before is not None
    assert after is not None
    ring = desk.office.control.keys.ring()
    assert ring.find(before[0]) is None
    found = ring.find(after[0])
    assert found is not None
    assert found.id == key.id


def test_a_key_is_revoked_by_typing_its_prefix(site: TestClient, desk: FakeDesk) -> None:
    text = _TEXT.search(_make(site))
    assert text is not None
    key = desk.office.control.keys.listed()[0]
    path = f"{PATH}/{key.id}"
    wrong = site.post(f"{path}/revoke", data={"token": _token(site, path), "typed": "cw-00000000"})
    assert wrong.status_code == 400
    assert desk.office.control.keys.ring().find(text[0]) is not None
    done = site.post(f"{path}/revoke", data={"token": _token(site, path), "typed": key.prefix})
    assert done.status_code == 303
    assert desk.office.control.keys.ring().find(text[0]) is None
    assert "Revoke it" not in site.get(path).text


def test_a_name_is_text_and_the_csv_runs_nothing(site: TestClient) -> None:
    _make(site, name='=HYPERLINK("http://x")<b>')
    assert "<b>" not in site.get(PATH).text.split("<h1>Keys")[1].replace("<b>The key", "")
    assert "'=HYPERLINK" in site.get(f"{PATH}.csv").text
