"""Customers and plans are added, changed, removed and imported through forms, and nobody overwrites what they have not
seen."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from fake_desk import FakeDesk
from fake_office import FakeOffice
from hypothesis import given
from hypothesis import strategies as st
from test_pages import Post, Reply, rows_of

from costweir.config import tables
from costweir.control import Customer, Plan
from costweir.web.api.bodies import read_body
from costweir.web.pages.entries import CUSTOMERS, PLANS, fill, values_of
from costweir.web.pages.importing import original, preview
from costweir.web.pages.table import safe

Serve = Callable[..., AbstractContextManager[str]]


@dataclass
class Office:
    """A running site with the office behind it."""

    address: str
    held: FakeOffice

    def form(self, path: str) -> dict[str, str]:
        """The hidden fields of the last form of a page."""
        text = Reply(self.address + path).text
        found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text)
        return {name: html.unescape(value) for name, value in found if name in ("token", "version", "digest")}

    def save(self, path: str, fields: dict[str, str], seen: dict[str, str] | None = None) -> Post:
        name = fields.get("id", "")
        known = any(row.id == name for row in (*self.held.control.customers(), *self.held.control.plans()))
        asked = f"{path}/edit?id={quote(name)}" if known else f"{path}/edit"
        return Post(f"{self.address}{path}/edit", (seen or self.form(asked)) | fields)

    def upload(self, path: str, text: str, **more: str) -> Post:
        return Post(f"{self.address}{path}/import", self.form(f"{path}/import") | {"text": text, **more})

    def audit(self) -> list[tuple[str, str]]:
        return [(row.action, row.subject) for row in reversed(self.held.control.audit.listed())]

    def customer(self, name: str) -> Customer | None:
        return next((row for row in self.held.control.customers() if row.id == name), None)


@pytest.fixture
def office(serve: Serve) -> Iterator[Office]:
    desk = FakeDesk()
    with serve(desk) as address:
        yield Office(address, desk.office)


def test_a_customer_is_added_changed_and_removed_and_each_is_audited(office: Office) -> None:
    added = office.save(
        "/settings/customers", {"id": "acme", "name": "Acme", "plan": "tier_1", "since": "2026-01-31"}
    )
    assert (added.status, added.headers["Location"]) == (303, "/settings/customers?saved=acme")
    assert "The customer acme is saved." in Reply(office.address + added.headers["Location"]).words
    changed = office.save(
        "/settings/customers", {"id": "acme", "name": "Acme Ltd", "plan": "tier_2", "since": ""}
    )
    assert changed.status == 303
    assert office.customer("acme") == Customer("acme", "Acme Ltd", "tier_2", "")
    assert (
        office.save("/settings/customers", {"id": "acme", "action": "remove", "typed": "acm"}).status == 422
    )
    assert (
        office.save("/settings/customers", {"id": "acme", "action": "remove", "typed": "acme"}).status == 303
    )
    assert office.customer("acme") is None
    assert office.audit() == [
        ("customer.put", "customer:acme"), ("customer.put", "customer:acme"), ("customer.delete", "customer:acme"),
    ]  # fmt: skip


def test_a_plan_is_added_and_stays_while_customers_are_on_it(office: Office) -> None:
    fields = {"id": "big", "name": "Big", "price_usd": "499.50", "budget_usd": "", "session_calls": "100"}
    assert office.save("/settings/plans", fields).status == 303
    assert Plan("big", "Big", "499.50", session_calls=100) in office.held.control.plans()
    assert "Move them to another plan" in Reply(office.address + "/settings/plans/edit?id=tier_1").words
    refused = office.save("/settings/plans", {"id": "tier_1", "action": "remove", "typed": "tier_1"})
    assert refused.status == 409
    assert "Customers are on the plan" in html.unescape(refused.words)


def test_a_change_of_what_somebody_else_changed_is_refused_in_one_sentence(office: Office) -> None:
    seen = office.form("/settings/customers/edit?id=alder")
    office.held.control.edits.put(Customer("alder", "Alder, by Bob", "tier_1"), by="bob")
    for fields in ({"name": "Mine", "plan": "", "since": ""}, {"action": "remove", "typed": "alder"}):
        reply = office.save("/settings/customers", {"id": "alder", **fields}, seen)
        assert reply.status == 409
        words = html.unescape(reply.words)
        assert "Somebody changed the customer 'alder' after you opened it, so nothing was saved." in words
    assert office.customer("alder") == Customer("alder", "Alder, by Bob", "tier_1")
    there = office.save(
        "/settings/customers", {"id": "alder", "name": "x"}, office.form("/settings/customers/edit")
    )
    assert (there.status, "already" in there.words) == (409, True)


def test_what_was_typed_comes_back_with_a_sentence_for_each_fault(office: Office) -> None:
    reply = office.save(
        "/settings/plans", {"id": " ", "price_usd": "1,000", "session_calls": "0", "name": "<b>"}
    )
    assert reply.status == 422
    words = html.unescape(reply.words)
    for sentence in ("Id is needed.", "Write the amount as 1234.50", "Write a whole number above zero"):
        assert sentence in words
    assert 'value="&lt;b&gt;"' in reply.text
    assert reply.text.count('aria-invalid="true"') == 3
    assert office.audit() == []


def test_what_the_file_sets_is_read_only(office: Office) -> None:
    for path in ("/settings/plans/edit?id=tier_3", "/settings/customers/edit?id=aster-bank"):
        text = Reply(office.address + path).text
        assert "Set in costweir.toml" in text
        assert 'name="version"' not in text
    form = office.form("/settings/customers/edit?id=alder")
    reply = office.save("/settings/customers", {"id": "aster-bank", "name": "x"}, form)
    assert (reply.status, "set in the configuration file" in reply.words) == (409, True)


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": None}])
def test_another_site_changes_nothing(office: Office, headers: dict[str, str | None]) -> None:
    form = office.form("/settings/customers/edit")
    for path in ("/settings/customers/edit", "/settings/customers/import", "/settings/plans/edit"):
        reply = Post(
            office.address + path, form | {"id": "acme", "text": "id\nacme", "action": "import"}, headers
        )
        assert reply.status == 403
    assert office.customer("acme") is None


def test_lists_are_paged_filtered_and_exported_whole(office: Office) -> None:
    with office.held.control.transaction():
        for number in range(60):
            office.held.control.add(Customer(f"many-{number:03d}", f"Many {number}", "tier_2"))
    first = Reply(office.address + "/settings/customers?q=many&plan=tier_2").text
    assert first.count("/settings/customers/edit?id=") == 25
    assert "1–25 of 60" in first
    last = Reply(office.address + "/settings/customers?q=many&plan=tier_2&page=3").text
    assert last.count("/settings/customers/edit?id=") == 10
    assert 'rel="next"' not in last
    found = re.search(r'href="(/settings/customers\.csv[^"]*)"', last)
    assert found
    rows = rows_of(Reply(office.address + html.unescape(found[1])).text)
    assert [row["id"] for row in rows] == [f"many-{number:03d}" for number in range(60)]
    assert Reply(office.address + "/settings/customers?page=0").status == 400


def test_a_file_is_shown_line_by_line_before_anything_is_written(office: Office) -> None:
    text = (
        "id,name,plan\nacme,Acme,tier_1\nalder,Alder Two,tier_2\nfjord,Fjord Analytics,tier_2\nx,X,nowhere\n"
    )
    text += "aster-bank,Mine,tier_1\nacme,Again,\nshort\n"
    shown = office.upload("/settings/customers", text, action="preview")
    assert shown.status == 200
    assert "1 added, 1 changed, 1 as they are, 4 refused" in shown.words
    words = html.unescape(shown.words)
    for sentence in (
        "There is no plan 'nowhere'", "It is set in costweir.toml; change it there.", "Line 2 has this id already.",
        "It has 1 cells, and the header has 3.", "Name: Alder Dental → Alder Two; Plan: tier_1 → tier_2",
    ):  # fmt: skip
        assert sentence in words
    assert office.audit() == []
    digest = re.search(r'name="digest" value="(\w+)"', shown.text)
    assert digest
    done = office.upload("/settings/customers", text, action="import", digest=digest[1])
    assert (done.status, done.headers["Location"]) == (303, "/settings/customers?imported=2")
    assert office.customer("acme") == Customer("acme", "Acme", "tier_1")
    # A column that the file lacks stays as it was.
    assert office.customer("alder") == Customer("alder", "Alder Two", "tier_2", "2025-01-01")
    assert office.audit() == [("customer.put", "customer:acme"), ("customer.put", "customer:alder")]


def test_an_import_of_what_changed_since_the_preview_writes_nothing(office: Office) -> None:
    text = "id,name\nalder,Alder Two\nacme,Acme\n"
    shown = office.upload("/settings/customers", text, action="preview")
    digest = re.search(r'name="digest" value="(\w+)"', shown.text)
    assert digest
    office.held.control.edits.put(Customer("alder", "Alder, by Bob"), by="bob")
    reply = office.upload("/settings/customers", text, action="import", digest=digest[1])
    assert reply.status == 409
    assert "Somebody changed customers after this preview, so nothing was imported." in reply.words
    assert "Name: Alder, by Bob → Alder Two" in html.unescape(reply.words)
    assert office.customer("acme") is None
    assert office.upload("/settings/customers", text, action="import").status == 409


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The file is empty."),
        ("name\nx", "The first line has no column id."),
        ("id,colour\nx,y", "There is no column 'colour' in a list of customers."),
        ("id,id\nx,y", "A column is there twice."),
        ('id\n"x', "cannot be read as CSV"),
        ("id\n" + "x\n" * 5001, "more than 5,000 lines"),
        ("id\n" + "x" * 530_000, "larger than 512 KB"),
    ],
)
def test_a_file_that_is_no_list_says_why(office: Office, text: str, sentence: str) -> None:
    reply = office.upload("/settings/customers", text, action="preview")
    assert reply.status == 400
    assert sentence in html.unescape(reply.words)


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_files_of_spreadsheets_are_read(separator: str) -> None:
    text = "\ufeffid,name,since\r\nacme,Müller,2026-01-31\r\n\r\n".replace(",", separator)
    seen = preview(CUSTOMERS, text, kept=[], plans=[])
    assert [line.entry for line in seen.lines] == [Customer("acme", "Müller", "", "2026-01-31")]


def test_what_is_exported_imports_as_no_change(office: Office) -> None:
    """A name that begins as a formula is neutralised in the file and comes back as it was."""
    for kind in (CUSTOMERS, PLANS):
        text = Reply(f"{office.address}{kind.path}.csv").text
        kept = office.held.control.customers() if kind is CUSTOMERS else office.held.control.plans()
        seen = preview(kind, text, kept=kept, plans=[plan.id for plan in office.held.control.plans()])
        assert {line.state for line in seen.lines} == {"same"}
        assert len(seen.lines) == len(kept)


@given(st.text(max_size=20))
def test_neutralising_a_cell_loses_nothing(text: str) -> None:
    exported = safe(text)
    assert exported[:1] not in tuple("=+@") or exported == text
    assert original(exported) == text or safe(text[1:]) == text


TEXTS = st.text(max_size=8) | st.sampled_from(
    ["49", "49.00", "1e3", "-1", "2026-01-31", "20260131", "0", "7", "p"]
)


@given(st.fixed_dictionaries({item.name: TEXTS for item in (*CUSTOMERS.fields, *PLANS.fields)}))
def test_what_a_form_takes_the_api_takes_and_keeps_alike(values: dict[str, str]) -> None:
    for kind, model in ((CUSTOMERS, tables.Customer), (PLANS, tables.Plan)):
        filled = fill(kind, values, before=None, plans=["p"])
        if filled.entry is None:
            assert filled.faults
            continue
        body = {
            item.name: int(text) if item.shape == "count" else text
            for item in kind.fields
            if (text := values_of(kind, filled.entry)[item.name])
        }
        assert read_body(model, body, filled.entry.id).id == filled.entry.id


def test_the_same_amount_written_otherwise_is_no_change() -> None:
    kept = Plan("p", "P", "49")
    filled = fill(PLANS, {"id": "p", "name": "P", "price_usd": "49.00"}, before=kept, plans=[])
    assert filled.entry == kept
