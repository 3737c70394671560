"""A live source is set up on a page as by the command line: shown, tried, added once, and by nobody who may not."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from starlette.requests import Request
from tests.sources.live.kinds import AWS, KINDS, Kind
from tests.web.api_server import running

from costweir import config
from costweir.app.desk import LocalDesk
from costweir.app.office import DeskOffice
from costweir.config.connections import SOURCE_OPTIONS
from costweir.web.access import Access, Caller, Keys, Role
from costweir.web.app import create_app
from costweir.web.pages.connecting import PATH

ADMIN = "admin-token-of-the-tests"


@dataclass
class Site:
    """The pages of a store with nothing in it, and whoever asks for them."""

    url: str
    folder: Path
    desk: LocalDesk

    def call(
        self, method: str, path: str, fields: Mapping[str, str] | None = None, **headers: str
    ) -> tuple[int, str]:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if fields is not None:
            sent = {
                "Content-Type": "application/x-www-form-urlencoded",
                "Sec-Fetch-Site": "same-origin",
                **sent,
            }
        connection.request(method, path, urlencode(fields or {}) if fields is not None else None, sent)
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, text

    def send(self, kind: str, action: str = "check", **fields: str) -> tuple[int, str]:
        token = re.search(r'name="token" value="(\w+)"', self.call("GET", f"{PATH}?kind={kind}")[1])
        assert token is not None
        return self.call("POST", PATH, {"token": token[1], "kind": kind, "action": action, **fields})

    @property
    def rows(self) -> list[dict[str, object]]:
        file = self.folder / "costweir.toml"
        return tomllib.loads(file.read_text()).get("sources", []) if file.exists() else []


@contextmanager
def serving(folder: Path, door: Door | None = None) -> Iterator[Site]:
    settings = config.load(environ={}, overrides={"data_dir": str(folder)})
    with LocalDesk(settings) as desk:
        pages = create_app(desk, office=DeskOffice(desk, settings))
        with running(Access(pages, keys=Keys(ADMIN), open_reading=door is None, door=door)) as url:
            yield Site(url, folder, desk)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as site:
        yield site


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kind]:
    """Cost Explorer at the address that the server's environment names, as for a private endpoint."""
    with KINDS["aws-ce"]() as kind:
        for name, value in AWS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", kind.words[1])
        yield kind


@pytest.mark.parametrize("kind", list(SOURCE_OPTIONS))
def test_every_kind_has_a_form_with_its_policy_and_without_an_address_for_credentials(
    site: Site, kind: str
) -> None:
    status, page = site.call("GET", f"{PATH}?kind={kind}")

    assert status == 200
    assert len(re.search(r'<pre class="code" id="policy"[^>]*>(.*?)</pre>', page, re.DOTALL)[1]) > 40  # type: ignore[index]
    named = set(re.findall(r'name="([a-z_]+)"', page))
    assert {"token", "id", "every", "all_services"} <= named
    assert named.isdisjoint({"base_url", "login_url", "credentials_env"})
    required, optional = SOURCE_OPTIONS[kind]
    assert {*required, *optional} - {"base_url", "login_url", "credentials_env"} <= named
    assert f"kind={kind}" in site.call("GET", "/settings/sources")[1]


def test_a_source_is_tried_and_then_added_once(site: Site, amazon: Kind) -> None:
    status, page = site.send("aws-ce", id="bills")
    assert (status, "It stands" in page) == (200, True)
    assert "Signed in to account 123456789012" in page
    assert f"{amazon.first} to {amazon.last}" in page
    assert "48 hours" in page
    assert "[[sources]]" in page
    assert site.rows == []

    status, page = site.send(
        "aws-ce", "add", id="bills", every="1d", max_pages="9", customer_tag="customer_id"
    )
    assert (status, "bills is added to" in page) == (200, True)
    assert site.rows == [
        {"id": "bills", "kind": "aws-ce", "customer_tag": "customer_id", "max_pages": 9, "every": "1d"}
    ]
    [row] = [row for row in site.desk.control.audit.listed() if row.action == "source.add"]
    assert (row.subject, row.actor) == ("source:bills", "browser")
    status, page = site.send("aws-ce", "add", id="bills")
    assert (status, "already" in page) == (409, True)
    assert len(site.rows) == 1


def test_what_stands_in_the_way_is_said_and_nothing_is_added(
    site: Site, amazon: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    status, page = site.send("aws-ce", "add")
    assert (status, "Something stands in the way" in page) == (200, True)
    assert "no AWS credentials" in page
    assert site.rows == []
    for kind, fields, said, code in (
        ("aws-ce", {"max_pages": "many"}, "whole number", 400),
        ("aws-ce", {"id": "Not A Name"}, "sources[0].id", 400),
        ("aws-ce", {"every": "soon"}, "every", 400),
        ("azure-query", {}, "needs scope", 400),
        ("gcp-bigquery", {}, "needs tables", 400),
    ):
        status, page = site.send(kind, **fields)
        assert (status, said in page) == (code, True), page[page.find("banner") :][:400]
    token = re.search(r'name="token" value="(\w+)"', page)
    assert token is not None
    status, page = site.call("POST", PATH, {"token": token[1], "kind": "<b>oracle"})
    assert (status, "<b>oracle" in page) == (404, False)


def test_credentials_go_to_no_address_that_is_sent_along(site: Site, amazon: Kind) -> None:
    taken = "http://127.0.0.1:9/taken"
    _, page = site.send("aws-ce", id="bills", base_url=taken, login_url=taken, credentials_env="PATH")

    assert "It stands" in page
    assert taken not in page


@dataclass
class Door:
    """Somebody of this role has logged in, whoever asks."""

    role: Role
    open_paths = frozenset[str]()

    def visitor(self, _: Request) -> Caller:
        return Caller("login:vera", self.role, name="Vera")

    def invitation(self, _: Request) -> str:
        return "/"


@pytest.mark.parametrize(("role", "status"), [("read", 403), ("finance", 403), ("admin", 200)])
def test_only_an_admin_tries_and_adds(tmp_path: Path, amazon: Kind, role: Role, status: int) -> None:
    with serving(tmp_path, Door(role)) as site:
        assert site.send("aws-ce", "add")[0] == status
        assert len(site.rows) == (status == 200)
        assert ("needs the role admin" in site.call("GET", PATH)[1]) == (status == 403)
        assert ("Set up Cost Explorer" in site.call("GET", "/settings/sources")[1]) == (status == 200)


def test_a_form_of_another_site_or_without_its_word_is_refused(site: Site, amazon: Kind) -> None:
    fields = {"token": "x", "kind": "aws-ce", "action": "add"}
    assert site.call("POST", PATH, fields, Sec_Fetch_Site="cross-site")[0] == 403
    assert site.call("POST", PATH, fields)[0] == 403
    assert site.rows == []
