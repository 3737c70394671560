"""The pages of incidents: the list and its filters, the story of one, and the forms of whoever looks after it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from fake_desk import FakeDesk
from fake_office import FakeOffice
from playwright.sync_api import Browser
from test_browser import SCREENS, overflow, screen, violations
from test_pages import Post, Reply

from costweir.control.incidents import Condition

NOW = datetime.now(UTC) - timedelta(hours=3)
BURN = Condition(
    "a", "spend_burn", "acme", "acme <b>burns</b> 14 times its pace.", "Freeze it.", severity="critical",
    team="platform", link="/explore?by=model&customer=acme", period="2026-11", value="$4,812.10", limit="$5,000.00",
)  # fmt: skip
LATE = Condition("b", "source_late", "aws-main", "aws-main is late.", link="https://evil.example/")
SHARE = Condition("c", "untagged", "all spend", "7.2 % names no customer.", severity="info")
Serve = Callable[..., AbstractContextManager[str]]


@dataclass
class Site:
    """A running site with incidents in it."""

    address: str
    held: FakeOffice
    ids: dict[str, str]

    def get(self, path: str) -> Reply:
        return Reply(self.address + path)

    def act(self, key: str, verb: str, **fields: str) -> Post:
        path = f"/incidents/{self.ids[key]}"
        found = re.search(r'name="token" value="(\w+)"', self.get(path).text)
        assert found
        return Post(f"{self.address}{path}/{verb}", {"token": found[1], **fields})

    def state(self, key: str) -> str:
        return self.held.control.incidents.find(self.ids[key]).state


@pytest.fixture
def site(serve: Serve) -> Iterator[Site]:
    desk = FakeDesk()
    incidents = desk.office.control.incidents
    incidents.observe([BURN, LATE, SHARE], told=lambda _: ("ops",), now=NOW)
    outbox = incidents.outbox
    first, *_ = outbox.claim(outbox.due(NOW), NOW)
    outbox.not_sent([first], "Webhook ops answered 503.", NOW)
    incidents.observe([BURN, LATE], told=lambda _: (), now=NOW + timedelta(hours=1))
    with serve(desk) as address:
        yield Site(address, desk.office, {row.key: row.id for row in incidents.listed()})


def test_what_is_wrong_stands_first_and_the_worst_above_it(site: Site) -> None:
    page = site.get("/incidents")
    assert "2 incidents are open" in page.words
    assert page.text.index(site.ids["a"]) < page.text.index(site.ids["b"])
    assert site.ids["c"] not in page.text
    assert "<b>burns</b>" not in page.text
    assert "Nobody is told." in page.words
    assert "1 failed delivery so far" in page.words
    everything = site.get("/incidents?show=all").text
    assert all(name in everything for name in site.ids.values())


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("severity=critical", "a"),
        ("severity=warning", "b"),
        ("show=resolved", "c"),
        ("show=all&q=AWS", "b"),
        ("show=all&severity=info&q=aws", ""),
    ],
)
def test_the_address_holds_the_filters_and_the_file_has_the_same_rows(
    site: Site, query: str, keys: str
) -> None:
    page = site.get(f"/incidents?{query}")
    assert {key for key, name in site.ids.items() if f"/incidents/{name}" in page.text} == set(keys)
    rows = list(csv.DictReader(io.StringIO(site.get(f"/incidents.csv?{query}").text)))
    assert len(rows) == len(keys)
    assert "about:blank" not in page.text


@pytest.mark.parametrize("query", ["show=gone", "severity=loud"])
def test_a_filter_that_is_none_is_refused(site: Site, query: str) -> None:
    assert site.get(f"/incidents?{query}").status == 400


def test_every_page_counts_what_is_open(site: Site) -> None:
    assert 'aria-label="Incidents, 2 open"' in site.get("/settings/all").text
    site.act("a", "resolve")
    site.act("b", "resolve")
    assert 'aria-label="Incidents, none open"' in site.get("/settings/all").text
    quiet = site.get("/incidents")
    assert "All quiet" in quiet.words
    assert "Nothing is wrong" in quiet.words


def test_the_story_of_one_says_what_is_known_who_was_told_and_what_explains_it(site: Site) -> None:
    page = site.get(f"/incidents/{site.ids['a']}")
    for words in (
        "$4,812.10",
        "of $5,000.00",
        "2026-11",
        "platform",
        "Freeze it.",
        "Webhook ops answered 503.",
    ):
        assert words in page.words
    assert 'href="/explore?by=model&amp;customer=acme"' in page.text
    assert "evil.example" not in site.get(f"/incidents/{site.ids['b']}").text
    assert site.get("/incidents/none").status == 404


def test_somebody_looks_after_it_and_every_step_is_on_the_page_and_in_the_audit_chain(site: Site) -> None:
    for verb, fields in (
        ("ack", {}), ("snooze", {"time": "4h"}), ("owner", {"owner": "Ada"}), ("note", {"text": "a <loop>"}),
        ("resolve", {}),
    ):  # fmt: skip
        done = site.act("a", verb, **fields)
        assert (done.status, done.headers["Location"]) == (303, f"/incidents/{site.ids['a']}?done={verb}")
    page = site.get(f"/incidents/{site.ids['a']}?done=resolve")
    for words in ("Closed by hand while it is still wrong", "Ada", "Put to sleep", "Acknowledged", "Over"):
        assert words in page.words
    assert "a &lt;loop&gt;" in page.text
    actions = [row.action for row in reversed(site.held.control.audit.listed(limit=5))]
    assert actions == [f"incident.{what}" for what in ("ack", "snooze", "assign", "note", "resolve")]
    assert site.act("a", "note", text="later").status == 303


def test_what_cannot_be_done_comes_back_with_its_reason(site: Site) -> None:
    assert "no time to sleep" in site.act("a", "snooze", time="1y").words
    assert "characters" in site.act("a", "note", text=" ").words
    site.act("a", "resolve")
    late = site.act("a", "ack")
    assert (late.status, "resolved already" in late.words) == (409, True)


def test_a_form_that_no_page_of_ours_sent_changes_nothing(site: Site) -> None:
    path = f"{site.address}/incidents/{site.ids['a']}/ack"
    assert Post(path, {"token": "0" * 64}).status == 403
    assert site.state("a") == "open"


@pytest.mark.browser
@pytest.mark.parametrize(("theme", "width"), SCREENS)
def test_the_pages_are_clean_in_both_themes_on_desk_and_phone(
    browser: Browser, site: Site, theme: str, width: int
) -> None:
    incidents = site.held.control.incidents
    incidents.note(site.ids["a"], "x" * 200, by="ada", now=NOW)
    long = replace(BURN, key="long", text="word " * 60, subject="s" * 80)
    incidents.observe([BURN, LATE, long], told=lambda _: ("ops",), now=NOW + timedelta(hours=2))
    paths = ("/incidents", "/incidents?show=all", "/incidents?q=nobody", f"/incidents/{site.ids['a']}",
             f"/incidents/{site.ids['c']}?done=ack")  # fmt: skip
    with screen(browser, theme, width) as (page, complaints):
        for path in paths:
            page.goto(site.address + path)
            assert overflow(page) <= 0, path
            assert violations(Axe(), page) == [], path
        page.goto(site.address + paths[0])
        what = page.locator("#t-incidents tbody tr td:nth-child(2)").first.bounding_box()
        assert what is not None
        assert what["width"] >= 180, "a sentence can be read"
        assert complaints == []
