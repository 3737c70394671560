"""The pages that give unknown lines a meaning, over a real store: looked at, applied, and undone."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

import pytest
from api_server import ADMIN, Got, Site, site
from bills import line, store

TEXT = 'USE1-Odd & "quoted"'
MAP = "/settings/unknown/map"
LINES = {"cloud": "aws", "text": TEXT, "service": "Bedrock", "unit": "Units"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, size=0) as running:
        odd = {
            "x_model": "unknown", "x_token_class": "other", "x_direction": None, "x_tokens": None,
            "x_line_text": TEXT, "x_line_service": "Bedrock", "x_line_unit": "Units", "pricing_quantity": Decimal(2),
        }  # fmt: skip
        store(running.desk.warehouse, tmp_path, [line(cost="3", **odd), line(cost="4")])
        yield running


def look(served: Site, **more: str) -> Got:
    return served.call("GET", f"{MAP}?{urlencode({**LINES, **more})}")


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the form that applies."""
    form = page[page.index('method="post"') :]
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}


def send(served: Site, fields: Mapping[str, str]) -> Got:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    return served.call("POST", MAP, raw=urlencode(fields).encode(), headers=headers)


def models(served: Site) -> dict[str, str]:
    rows = served.get("/v1/answers/spend", by="model").json["rows"]
    return {row["model"]: row["billed_cost"] for row in rows}


def test_the_list_leads_to_the_form_of_exactly_these_lines(served: Site) -> None:
    page = served.get("/settings/unknown").text
    assert "$3.00 is of unknown SKUs" in page
    assert f'href="{MAP}?{html.escape(urlencode(LINES))}"' in page.replace("&#34;", "&quot;")
    form = look(served).text
    assert "Show what would change" in form
    assert "Apply to" not in form


def test_nothing_is_changed_before_it_was_seen_and_then_exactly_that(served: Site) -> None:
    page = look(served, model="odd-1", token_type="output", tokens_per_unit="1000", evidence="a mail").text
    for words in (
        "1 line of 1 bill would mean something else",
        "3.00 USD move",
        "unknown, other",
        "odd-1, output",
    ):
        assert words in page
    assert models(served) == {"unknown": "3.00", "claude-sonnet-4-6": "4.00"}
    done = send(served, hidden(page))
    assert (done.status, "moved=1" in done.headers["location"]) == (303, True)
    assert models(served) == {"odd-1": "3.00", "claude-sonnet-4-6": "4.00"}
    listed = served.call("GET", done.headers["location"]).text
    for words in (
        "1 line means something else now.",
        "Mappings set here",
        "odd-1",
        "a mail",
        "browser",
        "Undo",
    ):
        assert words in listed
    (kept,) = served.get("/v1/mappings").json["rows"]
    undo = served.call("GET", f"{MAP}?without={kept['id']}").text
    assert "odd-1, output" in undo
    assert send(served, hidden(undo)).status == 303
    assert models(served) == {"unknown": "3.00", "claude-sonnet-4-6": "4.00"}
    assert [row["actor"] for row in served.get("/v1/audit", ADMIN).json["rows"][:4]] == ["browser"] * 4


def test_what_changed_since_it_was_seen_is_refused(served: Site, tmp_path: Path) -> None:
    fields = hidden(look(served, model="odd-1").text)
    more = {"x_model": "unknown", "x_line_text": TEXT, "x_line_service": "Bedrock", "x_line_unit": "Units"}
    store(served.desk.warehouse, tmp_path, [line(cost="5", x_account="2", **more)])
    refused = send(served, fields)
    assert refused.status == 409
    assert "changed since you looked" in refused.text
    assert served.get("/v1/mappings").json["rows"] == []
    assert "odd-1" not in models(served)


@pytest.mark.parametrize(
    ("given", "says"),
    [({"model": "GPT 5"}, "meaning/model"), ({"model": "x", "tokens_per_unit": "many"}, "tokens_per_unit")],
)
def test_a_wrong_field_is_named_and_what_was_typed_stays(
    served: Site, given: dict[str, str], says: str
) -> None:
    got = look(served, **given)
    assert got.status == 422
    assert says in got.text
    assert all(f'value="{value}"' in got.text for value in given.values())


def test_another_site_cannot_send_the_form(served: Site) -> None:
    fields = hidden(look(served, model="odd-1").text)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "cross-site"}
    got = served.call("POST", MAP, raw=urlencode(fields).encode(), headers=headers)
    assert (got.status, models(served).get("odd-1")) == (403, None)
