"""Every page over a real server: what it says, what it must not contain, and that its numbers add up."""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest
import yaml
from fake_desk import FakeDesk

from costweir.domain.answer import Answer
from costweir.errors import StoreLocked
from costweir.prices.book import Book
from costweir.queries.request import Request as Question
from costweir.sources.classify import Classifier
from costweir.sources.meaning.line import Line

PAGES = (
    "/", "/explore", "/customers", "/customers/plans", "/customers/models", "/models", "/settings/health",
    "/customers/kestrel-legal", "/settings/sources", "/settings/prices", "/settings/unknown", "/explore/views",
    "/settings/all", "/settings/customers", "/settings/plans", "/settings/customers/edit", "/settings/customers/import",
    "/explore/annotations", "/explore/annotations/edit",
)  # fmt: skip
#: Pages that are about what people set, and full without a bill.
UNBILLED = ("/settings/all", "/settings/customers", "/settings/plans", "/settings/customers/edit",
            "/settings/customers/import", "/explore/annotations", "/explore/annotations/edit")  # fmt: skip
TABLES = ("/explore", "/customers", "/customers/plans", "/customers/models", "/settings/health",
          "/settings/sources", "/settings/prices", "/settings/unknown", "/settings/all",
          "/settings/customers", "/settings/plans")  # fmt: skip
Serve = Callable[..., AbstractContextManager[str]]


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


class Reply:
    """What a GET gave."""

    def __init__(
        self, address: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> None:
        asked = Request(address, body, headers=dict(headers or {}))
        try:
            with build_opener(_Stay).open(asked, timeout=20) as reply:
                self.status, self.headers, self.raw = reply.status, reply.headers, reply.read()
        except HTTPError as error:
            with error:
                self.status, self.headers, self.raw = error.code, error.headers, error.read()

    @property
    def text(self) -> str:
        packed = self.headers.get("Content-Encoding") == "gzip"
        return (gzip.decompress(self.raw) if packed else self.raw).decode()

    @property
    def words(self) -> str:
        """The text that a reader sees, without tags."""
        return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<[^>]+>", " ", self.text, flags=re.DOTALL))


class Markup(HTMLParser):
    """Collects what the rules are about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.styles: list[str] = []
        self.handlers: list[str] = []
        self.levels: list[int] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.styles += [tag] if "style" in found or tag == "style" else []
        self.handlers += [name for name in found if name.startswith("on")]
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "script":
            self.scripts.append(found)


class Post(Reply):
    """What a form gave that a page of ours sent; a header of None is left out."""

    def __init__(
        self, address: str, fields: Mapping[str, str], headers: Mapping[str, str | None] | None = None
    ) -> None:
        own = {
            "Origin": "/".join(address.split("/")[:3]),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        sent = {name: value for name, value in {**own, **(headers or {})}.items() if value is not None}
        super().__init__(address, sent, urlencode(fields).encode())


def form_word(address: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', Reply(address + "/explore").text)
    assert found
    return found[1]


def amount(text: str) -> Decimal:
    return Decimal(text.replace("$", "").replace(",", "").replace("−", "-"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_small_closed_and_well_formed(site: str, page: str) -> None:
    reply = Reply(site + page)
    markup = Markup(reply.text)
    assert reply.status == 200
    assert len(reply.text.encode()) <= 60_000
    assert markup.styles == []
    assert markup.handlers == []
    assert markup.levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(markup.levels, markup.levels[1:], strict=False))
    assert len(markup.ids) == len(set(markup.ids))
    assert all(script.get("src") or script.get("type") == "application/json" for script in markup.scripts)


class Crowded(FakeDesk):
    """As many rows as anybody may ask for, with long names. Only the size of a page is of interest here."""

    def ask(self, request: Question) -> Answer:
        answer = super().ask(request)
        if not answer.rows or {"day", "provider", ""} & set(request.by or ("",)):
            return answer
        dimension = request.by[-1]
        most = request.limit or 300
        copies = (
            {**answer.rows[place % len(answer.rows)], dimension: f"a-rather-long-name-{place:04d}"}
            for place in range(most)
        )
        return replace(answer, rows=tuple(copies), other="1.00")

    def quarantine(self, *, run_id: str = "", limit: int = 100) -> Sequence[Mapping[str, object]]:
        return list(super().quarantine()) * limit

    def runs(self, *, limit: int = 100) -> Sequence[Mapping[str, object]]:
        return (list(super().runs()) * limit)[:limit]


def test_a_page_stays_small_when_there_is_more_than_it_can_show(serve: Serve) -> None:
    with serve(Crowded()) as address:
        for page in (*PAGES[1:], "/explore?by=customer&rows=25&from=2026-10-01&to=2026-10-31"):
            reply = Reply(address + page)
            assert reply.status == 200, page
            assert len(reply.text.encode()) <= 60_000, page


@pytest.mark.parametrize("page", PAGES)
def test_every_reply_carries_the_content_security_policy(site: str, page: str) -> None:
    policy = Reply(site + page).headers["Content-Security-Policy"]
    assert policy.startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
    )
    assert "unsafe" not in policy


def shape(link: str) -> tuple[str, ...]:
    """The page of a link with the names of its parameters: links of one shape are alive or dead together."""
    path, _, query = link.partition("?")
    return (path, *sorted(pair.partition("=")[0] for pair in query.split("&")))


def test_no_link_is_dead(site: str) -> None:
    links: dict[tuple[str, ...], str] = {}
    for page in PAGES:
        for link in Markup(Reply(site + page).text).links:
            if link.startswith("/") and not link.startswith("/v1/"):
                links.setdefault(shape(link.partition("#")[0]), link.partition("#")[0])
    assert len(links) > 20
    dead = {link: status for link in links.values() if (status := Reply(site + link).status) != 200}
    assert dead == {}


@pytest.mark.parametrize("page", [page for page in PAGES if page not in UNBILLED])
def test_an_empty_store_says_the_one_command_that_fills_it(empty_site: str, page: str) -> None:
    reply = Reply(empty_site + page)
    assert reply.status == 200
    assert "costweir demo" in reply.text
    assert "costweir pull files PATH" in reply.text
    assert "Sample data" not in reply.text


def test_the_tile_the_legend_and_the_table_show_one_total(site: str) -> None:
    words = Reply(site + "/").words
    tile = re.search(r"Month to date (\$[\d,.]+)", words)
    assert tile
    foot = re.search(r"1–17 Nov ((?:\$[\d,.]+ ?)+)", words)
    assert foot
    assert foot[1].split()[-1] == tile[1]


def test_who_spends_it_adds_up_to_the_tile(site: str) -> None:
    text = Reply(site + "/").text
    card = text[text.index('id="h-who"') : text.index('id="h-trust"')]
    shown = re.findall(r'<span class="num">(\$[\d,.]+)', card)
    tile = re.search(r'<dd class="stat">(\$[\d,.]+)', text)
    assert tile
    assert abs(sum(amount(item) for item in shown) - amount(tile[1])) <= Decimal("0.04")


def test_drivers_of_the_change_add_up_to_the_change(site: str) -> None:
    words = Reply(site + "/").words
    change = re.search(r"adds up to ([+−$\d,.]+)", words)
    assert change
    card = words[words.index("adds up to") : words.index("Largest mover")]
    parts = re.findall(r"([+−]\$[\d,.]+)", card.removeprefix("adds up to " + change[1]))
    assert len(parts) >= 2
    assert abs(sum(amount(item.lstrip("+")) for item in parts) - amount(change[1].lstrip("+"))) <= Decimal(
        "0.03"
    )


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("by", ["provider", "model", "customer", "feature", "token_class", "plan", "service"])
def test_the_csv_is_what_is_shown_and_adds_up_to_the_answer(site: str, by: str) -> None:
    query = f"?from=2026-11-01&to=2026-11-18&by={by}&provider=aws,gcp"
    rows = rows_of(Reply(f"{site}/explore.csv{query}").text)
    answer = FakeDesk().ask(_request(by))
    parts = [Decimal(row["billed_cost_usd"]) for row in rows if row[by] != "Total"]
    assert sum(parts) == Decimal(answer.total) == Decimal(rows[-1]["billed_cost_usd"])
    before = [Decimal(row["billed_cost_usd_before"]) for row in rows if row[by] != "Total"]
    assert sum(before) == Decimal(rows[-1]["billed_cost_usd_before"])


def _request(by: str):

    from costweir.queries.request import Request as Question

    where = {"provider": ("aws", "gcp")}
    return Question("spend", by=(by,), where=where, since=date(2026, 11, 1), until=date(2026, 11, 19))


@pytest.mark.parametrize("page", TABLES)
def test_each_table_exports_csv_and_markdown_of_the_same_rows(site: str, page: str) -> None:
    table, markdown = Reply(f"{site}{page}.csv"), Reply(f"{site}{page}.md")
    rows = list(csv.reader(io.StringIO(table.text)))
    assert table.headers["Content-Type"].startswith("text/csv")
    assert "sample-data" in table.headers["Content-Disposition"]
    assert "(sample data)" in markdown.text.splitlines()[0]
    assert len(rows) == len([line for line in markdown.text.splitlines() if line.startswith("|")]) - 1


def test_a_formula_in_a_name_is_neutralised_and_numbers_are_not(site: str) -> None:
    text = Reply(f"{site}/customers.csv").text
    names = [row["customer"] for row in rows_of(text)]
    assert "'=cmd|'x'!A1" in names
    changes = [
        row["change"]
        for row in rows_of(Reply(f"{site}/explore.csv?by=customer&from=2026-06-01&to=2026-06-30").text)
    ]
    assert any(change.startswith("-") for change in changes)


def test_markup_in_names_and_raw_lines_is_text(site: str) -> None:
    assert "Quarry &amp; Co &lt;Ltd&gt;" in Reply(f"{site}/customers").text
    assert "<b>7,1</b>" not in Reply(f"{site}/settings/health").text
    spec = Reply(f"{site}/explore?by=customer&rows=20").text
    assert (
        "</script><" not in spec.replace("</script>\n", "").replace("</script></", "") or "<Ltd>" not in spec
    )


def test_a_filter_that_was_added_by_form_becomes_part_of_the_address(site: str) -> None:
    reply = Reply(f"{site}/explore?from=2026-11-01&to=2026-11-18&by=model&add=provider&value=aws")
    assert reply.status == 303
    assert reply.headers["Location"] == "/explore?from=2026-11-01&to=2026-11-18&by=model&provider=aws"


def test_unknown_parameters_are_kept_and_shown_as_a_grey_chip(site: str) -> None:
    text = Reply(f"{site}/explore?by=model&colour=green").text
    assert 'class="chip grey set"' in text
    assert "colour=green" in text
    assert all("colour=green" in link for link in re.findall(r'href="(/explore\?[^"]*per=month[^"]*)"', text))


def test_no_rows_name_the_filter_that_removed_the_most(site: str) -> None:
    reply = Reply(f"{site}/explore?by=model&provider=aws&customer=nobody")
    assert "The filter customer is nobody removes the most" in reply.words
    drop = re.search(r'<a class="btn" href="([^"]+)">Drop that filter', reply.text)
    assert drop
    assert "customer" not in drop[1]
    assert "provider=aws" in drop[1]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("from=x", "from=x is not a day."),
        ("from=2026-11-03&to=2026-11-01", "The range ends on 2026-11-01 before it starts"),
        ("by=colour", "by=colour is not known here."),
        ("rows=0", "rows=0 is not a number from 1 to 25."),
        ("per=hour", "per=hour is not known here."),
    ],
)
def test_a_wrong_address_says_what_is_wrong_and_what_to_do(site: str, query: str, sentence: str) -> None:
    reply = Reply(f"{site}/explore?{query}")
    assert reply.status == 400
    assert sentence in reply.words
    assert "req_" in reply.text


def test_without_an_earlier_period_there_is_no_comparison(site: str) -> None:
    reply = Reply(f"{site}/explore?from=2026-05-01&to=2026-05-31&by=provider")
    assert "nothing loaded for 1–30 Apr" in reply.words
    assert "Change" not in reply.words


def test_drill_down_filters_to_the_row_and_moves_to_the_next_grouping(site: str) -> None:
    text = Reply(f"{site}/explore?from=2026-11-01&to=2026-11-18&by=provider").text
    assert 'href="/explore?from=2026-11-01&amp;to=2026-11-18&amp;by=model&amp;provider=aws"' in text


def test_sorting_is_in_the_address_and_named_for_readers(site: str) -> None:
    reply = Reply(f"{site}/explore.csv?by=model&sort=model")
    plain = Reply(f"{site}/explore.csv?by=model&sort=name")
    names = [row["model"] for row in rows_of(plain.text)][:-1]
    assert names == sorted(names, key=str.casefold)
    assert reply.status == 200
    assert 'aria-sort="ascending"' in Reply(f"{site}/explore?by=model&sort=name").text


@pytest.mark.parametrize(("per", "buckets"), [("day", 17), ("week", 4), ("month", 1)])
def test_buckets_of_any_length_hold_the_same_total(site: str, per: str, buckets: int) -> None:
    text = Reply(f"{site}/explore?from=2026-11-01&to=2026-11-17&by=provider&per={per}&vs=none").text
    spec = re.search(r'data-spec="x">(.*?)</script>', text)
    assert spec
    values = json.loads(spec[1])["data"]["values"]
    total = FakeDesk().ask(_days()).total
    assert len(values) == buckets
    assert abs(sum(Decimal(str(row["t"])) for row in values) - Decimal(total)) < Decimal("0.01")


def _days():

    from costweir.queries.request import Request as Question

    return Question("spend", since=date(2026, 11, 1), until=date(2026, 11, 18))


def test_late_days_are_marked_provisional_in_chart_and_table(site: str) -> None:
    text = Reply(site + "/").text
    spec = re.search(r'data-spec="day">(.*?)</script>', text)
    assert spec
    rows = json.loads(spec[1])["data"]["values"]
    assert [bool(row.get("q")) for row in rows] == [False] * 13 + [True] * 4
    assert text.count('<span class="muted">provisional</span>') == 4


def test_the_theme_cookie_is_written_into_the_page_by_the_server(site: str) -> None:
    assert '<html lang="en" data-theme="dark">' in Reply(site + "/", {"Cookie": "theme=dark"}).text
    assert '<html lang="en">' in Reply(site + "/", {"Cookie": 'theme="><b>'}).text


def test_an_unchanged_page_is_not_sent_again(site: str) -> None:
    first = Reply(site + "/customers")
    again = Reply(site + "/customers", {"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.raw) == (304, b"")


def test_static_files_are_immutable_hashed_and_packed(site: str) -> None:
    address = re.search(r'href="(/static/[0-9a-f]{16}/tokens\.css)"', Reply(site + "/").text)
    assert address
    plain, packed = Reply(site + address[1]), Reply(site + address[1], {"Accept-Encoding": "gzip"})
    assert "immutable" in plain.headers["Cache-Control"]
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.text == plain.text
    assert Reply(site + "/static/0123456789abcdef/tokens.css").status == 404
    assert Reply(site + "/static/0123456789abcdef/..%2Fapp.py").status == 404


def test_a_foreign_host_name_is_refused(site: str) -> None:
    reply = Reply(site + "/", {"Host": "evil.example"})
    assert reply.status == 421
    assert "Content-Security-Policy" in reply.headers


def test_a_page_that_is_not_there_says_so(site: str) -> None:
    reply = Reply(site + "/nothing/here")
    assert reply.status == 404
    assert "There is no page at /nothing/here." in reply.words


def test_a_customer_that_nobody_knows_is_not_found(site: str) -> None:
    assert Reply(site + "/customers/nobody").status == 404


def test_a_locked_store_is_said_with_its_hint_and_status(serve: Serve) -> None:
    locked = StoreLocked("The store is locked by another process.", hint="Close it, then reload.")
    with serve(FakeDesk(broken={"spend": locked})) as address:
        reply = Reply(address + "/")
    assert reply.status == 503
    assert "The store is locked by another process. Close it, then reload." in reply.words


def test_a_card_that_fails_leaves_the_rest_of_the_page(serve: Serve) -> None:
    with serve(FakeDesk(broken={"margin": StoreLocked("Margin is away.", hint="Wait.")})) as address:
        reply = Reply(address + "/customers")
    assert reply.status == 200
    assert "Margin is away. Wait." in reply.words
    assert "Kestrel Legal" in reply.words


def test_a_defect_is_a_page_with_the_policy_and_without_the_trace(serve: Serve) -> None:
    class Defect(FakeDesk):
        def plans(self):
            raise ZeroDivisionError("secret detail")

    with serve(Defect()) as address:
        reply = Reply(address + "/")
    assert reply.status == 500
    assert "secret detail" not in reply.text
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_own_data_has_no_sample_badge(serve: Serve) -> None:
    with serve(FakeDesk(sample=False)) as address:
        assert "Sample data" not in Reply(address + "/").text
        assert Reply(address + "/explore.csv").headers["Content-Disposition"].endswith('2026-11-17.csv"')
        assert "sample" not in Reply(address + "/explore.csv").headers["Content-Disposition"]


def test_the_palette_lists_customers_and_models(site: str) -> None:
    rows = json.loads(Reply(site + "/palette.json").text)["rows"]
    assert {"title": "Kestrel Legal", "kind": "customer", "href": "/customers/kestrel-legal"} in rows
    assert {row["kind"] for row in rows} == {"page", "action", "customer", "model"}


def test_a_page_asks_at_most_eight_questions(serve: Serve) -> None:
    desk = FakeDesk()
    with serve(desk) as address:
        for page in PAGES:
            desk.asked.clear()
            Reply(address + page)
            assert len(desk.asked) <= 8, (page, len(desk.asked))


# --- settings ---


def test_a_view_is_saved_found_and_removed_through_forms_of_the_page(serve: Serve) -> None:
    desk = FakeDesk()
    with serve(desk) as address:
        word = form_word(address)
        link = "/explore?by=model&provider=aws"
        saved = Post(f"{address}/explore/views", {"token": word, "name": "Only aws", "link": link})
        assert (saved.status, saved.headers["Location"]) == (303, "/explore/views?saved=Only+aws")
        assert desk.saved == {"Only aws": link}
        assert 'href="/explore?by=model&amp;provider=aws"' in Reply(f"{address}/explore/views").text
        rows = json.loads(Reply(address + "/palette.json").text)["rows"]
        assert {"title": "Only aws", "kind": "saved view", "href": link} in rows
        gone = Post(f"{address}/explore/views", {"token": word, "name": "Only aws", "action": "remove"})
        assert gone.status == 303
        assert desk.saved == {}
        assert "Save it again" in Reply(address + gone.headers["Location"]).text
        rows = [(row.actor, row.action, row.subject) for row in desk.office.control.audit.listed()]
        assert rows == [("browser", "view.delete", "view:Only aws"), ("browser", "view.put", "view:Only aws")]


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"token": "0" * 64}, {}, 403),
        ({"token": ""}, {}, 403),
        ({}, {"Origin": "https://evil.example"}, 403),
        ({}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({}, {"Sec-Fetch-Site": "same-site"}, 403),
        ({}, {"Origin": "null"}, 403),
        ({}, {"Origin": ""}, 403),
        ({}, {"Content-Type": "text/plain"}, 400),
        ({"name": " "}, {}, 400),
        ({"name": "x" * 81}, {}, 400),
        ({"link": "https://evil.example/"}, {}, 400),
        ({"link": "//evil.example/"}, {}, 400),
        ({"link": "/explore?" + "x" * 20_000}, {}, 413),
    ],
)
def test_a_form_that_is_not_ours_or_not_right_changes_nothing(
    serve: Serve, fields: dict[str, str], headers: dict[str, str], status: int
) -> None:
    desk = FakeDesk()
    with serve(desk) as address:
        right = {"token": form_word(address), "name": "x", "link": "/explore"}
        assert Post(f"{address}/explore/views", right | fields, headers).status == status
        assert desk.saved == {}


def test_a_form_without_any_word_of_where_it_comes_from_is_refused(serve: Serve) -> None:
    desk = FakeDesk()
    with serve(desk) as address:
        right = {"token": form_word(address), "name": "x", "link": "/explore"}
        assert Post(f"{address}/explore/views", right, {"Origin": None}).status == 403
        assert desk.saved == {}


def test_sources_say_lag_failure_and_the_command_for_each_provider(site: str) -> None:
    words = Reply(site + "/settings/sources").words
    assert "The last pull of claude failed. The key is not valid any more. Make a new one." in words
    for provider in ("aws", "gcp", "azure", "openai", "anthropic"):
        assert f"costweir connect {provider}" in words
    rows = {row["source"]: row for row in rows_of(Reply(site + "/settings/sources.csv").text)}
    assert (rows["gcp-export"]["stated_lag_hours"], rows["gcp-export"]["days_behind"]) == ("48", "0")
    assert rows["openai-usage"]["state"] == "late"
    listed = json.loads(Reply(site + "/settings/sources.json").text)["rows"]
    assert [row["id"] for row in listed] == ["main-account", "claude", "old"]


def test_prices_are_found_and_every_rate_has_both_days(site: str) -> None:
    rows = rows_of(Reply(site + "/settings/prices.csv?q=claude-sonnet-4-6&provider=anthropic").text)
    standard = next(row for row in rows if row["tier"] == "standard")
    assert (standard["input_usd"], standard["output_usd"]) == ("3.00", "15.00")
    assert standard["known_from"]
    model = Reply(site + "/settings/prices/model?model=claude-sonnet-4-6&provider=anthropic")
    assert "Takes effect" in model.words
    assert "$3.00 per 1M" in model.words
    assert Reply(site + "/settings/prices/model?model=no-such-model").status == 404
    assert "No price has that name" in Reply(site + "/settings/prices?q=no-such-model").words
    assert "No price has that name" in Reply(site + "/settings/prices?provider=nobody").words


def test_prices_without_a_search_are_those_of_the_models_on_the_bills(site: str) -> None:
    models = {row["model"] for row in rows_of(Reply(site + "/settings/prices.csv").text)}
    assert any("gemini-2.5-pro" in model for model in models)
    assert not any("mistral" in model for model in models)


def test_a_price_of_the_operator_is_marked_and_the_books_own_is_still_shown(serve: Serve) -> None:
    own = Book.load(
        overrides=[{"model": "gpt-4o", "effective": "2026-11-01", "input": "1.11", "output": "2"}]
    )
    with serve(FakeDesk(), lambda: own) as address:
        listed = Reply(address + "/settings/prices?q=gpt-4o").text
        assert listed.index("your own") < listed.index("$2.50")
        model = Reply(address + "/settings/prices/model?model=gpt-4o").words
    assert "Your own price, which goes before the book" in model
    assert "$1.11 per 1M" in model[: model.index("What the price book says")]
    assert "$2.50 per 1M" in model[model.index("What the price book says") :]


def test_the_mapping_to_copy_is_what_the_reader_takes(site: str, tmp_path: Path) -> None:
    text = Reply(site + "/settings/unknown").text
    found = re.search(r'id="mapping-rules"[^>]*>(.*?)</pre>', text, flags=re.DOTALL)
    assert found
    path = tmp_path / "mappings.yaml"
    path.write_text(html.unescape(found[1]).replace("model: unknown", "model: odd-1"), encoding="utf-8")
    own = Classifier.load(path)
    assert own.classify(Line("azure", "Azure OpenAI", "unknown-input", "1K tokens")).model == "odd-1"


def test_a_text_on_a_bill_cannot_leave_its_place_in_the_mapping(serve: Serve, tmp_path: Path) -> None:
    nasty = 'a": b\n  - cloud: gcp\n    text: "x" # <b>'

    class Nasty(FakeDesk):
        def ask(self, request: Question) -> Answer:
            answer = super().ask(request)
            if request.question != "unknown_skus":
                return answer
            return replace(
                answer,
                rows=({**answer.rows[0], "line_text": nasty, "line_service": nasty, "line_unit": nasty},),
            )

    with serve(Nasty()) as address:
        text = Reply(address + "/settings/unknown").text
    found = re.search(r'id="mapping-rules"[^>]*>(.*?)</pre>', text, flags=re.DOTALL)
    assert found
    rules = yaml.safe_load(html.unescape(found[1]))["rules"]
    assert [rule["text"] for rule in rules] == [nasty]


# --- like days ---


def test_only_days_that_all_have_delivered_are_compared_and_named(site: str) -> None:
    """Day 1 to 13: the slowest provider of the world is five days late."""
    words = Reply(site + "/").words
    assert "1–13 Nov vs 1–13 Oct" in words
    assert "1–13 Nov against 1–13 Oct, adds up to" in words
    rows = rows_of(Reply(f"{site}/explore.csv?from=2026-11-01&to=2026-11-17&by=provider").text)
    for row in rows:
        like, before = Decimal(row["billed_cost_usd_compared"]), Decimal(row["billed_cost_usd_before"])
        assert Decimal(row["change"]) == like - before
    answer = FakeDesk().ask(Question("spend", since=date(2026, 11, 1), until=date(2026, 11, 14)))
    assert Decimal(rows[-1]["billed_cost_usd_compared"]) == Decimal(answer.total)
    assert "1–13 Nov: " in Reply(site + "/customers/kestrel-legal").words


def test_a_month_without_a_complete_day_is_not_compared(serve: Serve) -> None:
    class Slow(FakeDesk):
        def ask(self, request: Question) -> Answer:
            answer = super().ask(request)
            if request.question != "data_health":
                return answer
            return replace(answer, rows=tuple({**row, "complete_to": "2026-11-01"} for row in answer.rows))

    with serve(Slow()) as address:
        assert "Not compared: no day has been delivered by all sources" in Reply(address + "/").words
        assert "no day of it has been delivered by all sources" in Reply(address + "/explore").words
        assert Reply(address + "/customers/kestrel-legal").status == 200


def test_revenue_of_a_month_in_part_is_named_as_its_share(site: str) -> None:
    assert "its plan's price of $98, the share of these days" in html.unescape(
        Reply(site + "/customers/kestrel-legal").words
    )


def test_the_open_invoice_is_said_beside_provisional_days(site: str) -> None:
    assert "invoice open, may be restated" in Reply(site + "/").words
    assert "may be restated" not in Reply(site + "/?month=2026-09").words


def test_the_first_pages_of_an_empty_store_are_three_steps(empty_site: str) -> None:
    words = Reply(empty_site + "/").words
    steps = [
        words.index(text) for text in ("costweir demo", "costweir pull files PATH", "costweir connect aws")
    ]
    assert steps == sorted(steps)


# --- all settings ---


def test_settings_say_value_and_origin_and_never_a_secret(site: str) -> None:
    reply = Reply(site + "/settings/all")
    assert "********" not in reply.text.replace("me:********@db", "")
    assert "set, not shown" in reply.words
    assert "costweir.toml" in reply.words
    rows = {row["key"]: row for row in rows_of(Reply(site + "/settings/all.csv").text)}
    assert rows["log_level"]["origin"] == "environment LOG_LEVEL"
    assert rows["database.password"]["value"] == "secret"
    assert (rows["web.port"]["value"], rows["web.port"]["origin"]) == ("8080", "default")


def test_settings_are_found_by_name_and_by_whether_they_were_set(site: str) -> None:
    only = rows_of(Reply(site + "/settings/all.csv?show=set").text)
    assert {row["origin"] == "default" for row in only} == {False}
    found = rows_of(Reply(site + "/settings/all.csv?q=port").text)
    assert [row["key"] for row in found] == ["web.port"]
    assert "No setting has that name" in Reply(site + "/settings/all?q=nonsense").words
    assert Reply(site + "/settings/all?show=x").status == 400


# --- navigation ---


def test_every_page_is_in_the_side_bar_or_a_tab_and_every_icon_exists(site: str) -> None:
    from costweir.web.pages import navigation

    text = Reply(site + "/").text
    listed = [row["href"] for row in json.loads(Reply(site + "/palette.json").text)["rows"]]
    for section, place in navigation.places():
        assert Reply(site + place.href).status == 200, place.href
        assert f'id="i-{section.key}"' in text
        assert place.href in listed
    letters = [place.letter for _, place in navigation.places() if place.letter]
    assert len(letters) == len(set(letters))
    for action in navigation.ACTIONS:
        assert f'id="i-{action.icon}"' in text
        assert Reply(site + action.href.partition("#")[0]).status == 200, action.href


def test_keys_that_were_switched_off_are_off_in_the_page_itself(site: str) -> None:
    assert 'data-keys="off"' in Reply(site + "/", {"Cookie": "keys=off"}).text
    assert 'data-keys="off"' not in Reply(site + "/").text
