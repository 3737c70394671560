"""Annotations are written through forms and stand on the charts of what they are about."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from fake_desk import FakeDesk
from fake_office import FakeOffice
from hypothesis import given
from hypothesis import strategies as st
from test_pages import Post, Reply, rows_of

from costweir.control import Annotation
from costweir.control.edits import version_of
from costweir.web.pages.marks import MOST, Subject, choose
from costweir.web.pages.series import buckets
from costweir.web.pages.view import Days

LIST = "/explore/annotations"
NOVEMBER = "/explore?from=2026-11-01&to=2026-11-18"
Serve = Callable[..., AbstractContextManager[str]]


@dataclass
class Office:
    """A running site with the office behind it."""

    address: str
    held: FakeOffice

    def send(self, **fields: str) -> Post:
        found = re.search(r'name="token" value="(\w+)"', Reply(self.address + LIST + "/edit").text)
        assert found
        return Post(f"{self.address}{LIST}/edit", {"token": found[1], **fields})

    def note(self, day: str, text: str, dimension: str = "", member: str = "") -> Annotation:
        draft = Annotation(day, text, "Ada", dimension, member)
        return self.held.control.edits.annotate(draft, by="test")

    def texts(self) -> list[str]:
        return [note.text for note in self.held.control.annotations.listed()]


@pytest.fixture
def office(serve: Serve) -> Iterator[Office]:
    desk = FakeDesk()
    with serve(desk) as address:
        yield Office(address, desk.office)


def dots(text: str, name: str) -> list[Mapping[str, str]]:
    found = re.search(rf'data-spec="{name}">(.*?)</script>', text)
    assert found
    layers = json.loads(found[1])["layer"]
    return next((layer["data"]["values"] for layer in layers if "data" in layer), [])


def test_an_annotation_is_written_found_changed_and_removed_with_a_way_back(office: Office) -> None:
    saved = office.send(day="2026-11-03", text="nova-2-lite <is> live", author="Ada", back=NOVEMBER)
    assert (saved.status, saved.headers["Location"]) == (303, NOVEMBER)
    assert "nova-2-lite &lt;is&gt; live" in Reply(office.address + LIST).text
    [note] = office.held.control.annotations.listed()
    version = version_of(note.to_json())
    changed = office.send(id=note.id, version=version, day="2026-11-04", text="nova is live", author="Eve")
    assert changed.headers["Location"] == f"{LIST}?saved=1"
    [after] = office.held.control.annotations.listed()
    assert (after.day, after.text, after.author) == ("2026-11-04", "nova is live", "Ada")
    gone = office.send(id=note.id, version=version_of(after.to_json()), action="remove")
    assert office.texts() == []
    undo = Reply(office.address + gone.headers["Location"])
    assert "Save it again" in undo.words
    fields = dict(re.findall(r'name="(day|text|author|dimension|member)" value="([^"]*)"', undo.text))
    assert office.send(**fields).status == 303
    assert office.texts() == ["nova is live"]
    audit = [(row.actor, row.action) for row in reversed(office.held.control.audit.listed())]
    assert audit == [("browser", f"annotation.{what}") for what in ("put", "put", "delete", "put")]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"day": "2026-11-31", "text": "x"}, "is not a day"),
        ({"day": "2026-11-03", "text": " "}, "has 1 to 280 characters"),
        ({"day": "2026-11-03", "text": "x", "dimension": "customer"}, "both a dimension and its member"),
        ({"day": "2026-11-03", "text": "x", "dimension": "colour", "member": "y"}, "cannot be about"),
    ],
)
def test_what_cannot_be_kept_comes_back_with_its_reason(
    office: Office, fields: dict[str, str], sentence: str
) -> None:
    reply = office.send(**fields)
    assert reply.status == 400
    assert sentence in html.unescape(reply.words)
    assert office.texts() == []


def test_a_change_of_what_somebody_else_changed_is_refused(office: Office) -> None:
    note = office.note("2026-11-03", "first")
    seen = version_of(note.to_json())
    office.held.control.edits.annotate(Annotation("2026-11-03", "by Bob", id=note.id), by="bob")
    for fields in ({"day": "2026-11-03", "text": "mine"}, {"action": "remove"}):
        reply = office.send(id=note.id, version=seen, **fields)
        assert reply.status == 409
        assert "Somebody changed the annotation after you opened it" in reply.words
    assert office.texts() == ["by Bob"]


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example", ""]
)
def test_the_way_back_never_leaves_the_site(office: Office, back: str) -> None:
    assert office.send(day="2026-11-03", text="x", back=back).headers["Location"] == f"{LIST}?saved=1"


def test_a_form_of_another_site_changes_nothing(office: Office) -> None:
    reply = Post(f"{office.address}{LIST}/edit", {"token": "x", "day": "2026-11-03", "text": "x"})
    assert reply.status == 403
    assert office.texts() == []


def test_charts_show_what_they_are_about(office: Office) -> None:
    office.note("2026-11-03", "for all")
    office.note("2026-11-05", "about aws", "provider", "aws")
    office.note("2026-11-05", "about gcp", "provider", "gcp")
    office.note("2026-11-09", "about Kestrel", "customer", "kestrel-legal")
    office.note("2026-10-09", "another month")
    shown = {
        "/": {"for all", "about aws", "about gcp"},
        f"{NOVEMBER}&by=provider": {"for all", "about aws", "about gcp"},
        f"{NOVEMBER}&by=model&provider=aws": {"for all", "about aws"},
        f"{NOVEMBER}&by=model": {"for all"},
        "/customers/kestrel-legal": {"for all", "about Kestrel"},
    }
    for path, wanted in shown.items():
        text = Reply(office.address + path).text
        found = {
            note
            for note in ("for all", "about aws", "about gcp", "about Kestrel", "another month")
            if note in text
        }
        assert found == wanted, path
    assert dots(Reply(office.address + "/").text, "day") == [
        {"d": "3 Nov", "n": "1"},
        {"d": "5 Nov", "n": "2"},
    ]


def test_the_form_is_filled_from_the_chart_it_was_opened_from(office: Office) -> None:
    text = Reply(office.address + "/customers/kestrel-legal").text
    link = re.search(r'href="(/explore/annotations/edit\?day[^"]*)"', text)
    assert link
    form = Reply(office.address + html.unescape(link[1])).text
    assert 'name="member" value="kestrel-legal"' in form
    assert "<option selected>customer</option>" in form
    assert 'name="back" value="/customers/kestrel-legal"' in form


def test_the_list_is_searched_and_exported(office: Office) -> None:
    office.note("2026-11-03", "=1+1")
    office.note("2026-11-05", "release 4", "model", "gpt-4o")
    rows = rows_of(Reply(f"{office.address}{LIST}.csv").text)
    assert [(row["day"], row["text"], row["about"]) for row in rows] == [
        ("2026-11-05", "release 4", "model=gpt-4o"), ("2026-11-03", "'=1+1", "all spend"),
    ]  # fmt: skip
    assert [row["text"] for row in rows_of(Reply(f"{office.address}{LIST}.csv?q=GPT").text)] == ["release 4"]
    assert Reply(f"{office.address}{LIST}/edit?id=nothing").status == 404


FIRST = date(2026, 11, 1)


@given(st.lists(st.integers(-3, 33), max_size=20), st.sampled_from(["day", "week", "month"]))
def test_every_annotation_in_range_is_a_dot_or_counted(offsets: list[int], per: str) -> None:
    time = buckets(Days(FIRST, date(2026, 11, 30)), per, today=date(2026, 11, 30))
    notes = [Annotation((FIRST + timedelta(days=offset)).isoformat(), "x") for offset in offsets]
    marks = choose(notes, time)
    assert sum(len(mark.notes) for mark in marks.shown) + marks.more == sum(
        1 for item in offsets if 0 <= item < 30
    )
    assert len(marks.shown) <= MOST
    assert [mark.number for mark in marks.shown] == list(range(1, len(marks.shown) + 1))
    assert [place for place, _ in marks.dots] == sorted({place for place, _ in marks.dots})


def test_a_filter_goes_before_what_a_chart_names() -> None:
    note = Annotation("2026-11-03", "x", dimension="model", member="a")
    assert Subject(named={"model": ["a", "b"]}).concerns(note)
    assert not Subject({"model": ["b"]}, {"model": ["a", "b"]}).concerns(note)
    assert not Subject().concerns(note)
