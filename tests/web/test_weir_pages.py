"""Live, Calls and Sessions over a real ledger file, and the pages in a browser."""

from __future__ import annotations

import csv
import io
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from fake_desk import FakeDesk
from playwright.sync_api import Browser, Page, expect
from starlette.testclient import TestClient
from weir_site import write_ledger

from costweir.errors import NotFound
from costweir.guard.ledgers.live import Cursor, Live
from costweir.guard.ledgers.reader import LedgerReader
from costweir.web.app import create_app
from costweir.web.pages.weir.live import figures

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

SESSION = "/live/sessions/s%2F1%20%3Cb%3E"


@contextmanager
def site_of(folder: Path, *, calls: int = 4) -> Iterator[tuple[TestClient, FakeDesk]]:
    desk = FakeDesk()
    with LedgerReader(write_ledger(folder, calls=calls)) as reader:
        app = create_app(desk, office=desk.office, ledger=lambda: reader)
        yield TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)), desk
    desk.office.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TestClient]:
    with site_of(tmp_path) as (client, _):
        yield client


def test_live_shows_what_is_spent_now(site: TestClient) -> None:
    text = site.get("/live").text
    assert "$1.44/h" in text, "12 cents in five minutes"
    assert "$0.1200" in text
    assert "$0.2200" in text, "two calls hold eleven cents each"
    assert "2 calls</span> running" in text
    assert "over budget" in text
    assert "customer acme, session s/1 &lt;b&gt;" not in text, "46 % of a cap is not near"


def test_before_the_first_call_three_lines_point_an_sdk_at_the_gateway() -> None:
    desk = FakeDesk()

    def none() -> LedgerReader:
        raise NotFound("There is no ledger yet.", hint="Start the gateway.")

    app = create_app(desk, office=desk.office, ledger=none)
    app.state.gateway = "http://127.0.0.1:4711"
    client = TestClient(app, base_url="http://127.0.0.1")
    for path in ("/live", "/live/calls", "/live/sessions"):
        reply = client.get(path)
        assert reply.status_code == 200, path
        assert "OPENAI_BASE_URL=http://127.0.0.1:4711/v1" in reply.text
        assert "ANTHROPIC_BASE_URL=http://127.0.0.1:4711" in reply.text
    assert client.get("/live/stream").status_code == 404
    desk.office.close()


def test_calls_can_be_chosen_and_taken_along(site: TestClient) -> None:
    assert site.get("/live/calls").text.count("claude-sonnet-4-5</span>") == 6
    running = site.get("/live/calls?show=running").text
    assert "req_open" in running
    assert "req_01ka8q4zt7" not in running
    blocked = site.get("/live/calls?show=blocked&customer=acme").text
    assert 'href="/why/req_over"' in blocked
    assert "$0.8100" in blocked
    lines = list(csv.DictReader(io.StringIO(site.get("/live/calls.csv?customer=acme").text)))
    assert [line["settled_usd"] for line in lines] == ["", "0.03", "0.03", "0.03", "0.03"]
    assert "**Calls" in site.get("/live/calls.md").text


@pytest.mark.parametrize("query", ["show=all", "before=x", "before=-1", "before=²"])
def test_an_address_of_calls_that_means_nothing_is_refused(site: TestClient, query: str) -> None:
    assert site.get(f"/live/calls?{query}").status_code == 400


def test_a_session_shows_its_cost_against_its_cap(site: TestClient) -> None:
    text = site.get(f"{SESSION}?customer=acme").text
    for part in ("$0.2300", "$0.1200", "$0.1100", "$0.2700", "of $0.50", "5 of 100 calls", "warns at $0.30"):
        assert part in text, part
    assert "$0.0900" in text, "the running cost of the third call"
    assert "s/1 &lt;b&gt;" in text
    assert "<b>&lt;" not in text
    lines = list(csv.DictReader(io.StringIO(site.get(f"{SESSION}/calls.csv?customer=acme").text)))
    assert [line["running_usd"] for line in lines[:-1]] == ["", "0.12", "0.09", "0.06", "0.03"]
    assert lines[-1]["settled_usd"] == "0.12"


@pytest.mark.parametrize(("calls", "said"), [(3, False), (9, True)])
def test_calls_of_the_same_size_again_and_again_are_pointed_at(
    tmp_path: Path, calls: int, said: bool
) -> None:
    with site_of(tmp_path, calls=calls) as (client, _):
        assert ("of the same size to the byte" in client.get(f"{SESSION}?customer=acme").text) is said


def test_the_dearest_sessions_fit_beside_the_limits(site: TestClient) -> None:
    head = site.get("/live").text.split('id="t-top"')[1].split("</thead>")[0]
    assert head.count("<th ") == 6, "a wider table is cut off there"


def test_two_customers_may_use_one_name(site: TestClient) -> None:
    text = site.get(f"{SESSION}?customer=kestrel-legal").text
    assert "The same name is used by" in text
    assert "no call running" not in text
    assert site.get(f"{SESSION}?customer=nobody").status_code == 404
    assert site.get("/live/sessions/nothing").status_code == 404


def post(site: TestClient, path: str, fields: dict[str, str], **headers: str):
    sent = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin", **headers}
    return site.post(path, data=fields, headers=sent, follow_redirects=False)


def token(site: TestClient) -> str:
    return (
        site.get(f"{SESSION}?customer=acme&stop=1")
        .text.partition('name="token" value="')[2]
        .partition('"')[0]
    )


def test_a_session_is_stopped_and_goes_on_and_both_are_audited(tmp_path: Path) -> None:
    with site_of(tmp_path) as (site, desk):
        fields = {"token": token(site), "customer": "acme", "reason": "a loop"}
        reply = post(site, f"{SESSION}/stop", {**fields, "action": "stop"})
        assert reply.status_code == 303
        assert "done=stop-late" in reply.headers["location"], "no gateway runs that could know"
        stops = desk.office.control.stops.listed()
        assert [dict(stop.scope) for stop in stops] == [{"customer": "acme", "session": "s/1 <b>"}]
        text = site.get(f"{SESSION}?customer=acme").text
        assert "1 call finishes, at most $0.1100" in text
        assert "a loop" in text
        assert "Stop this session" not in text
        assert "stopped" not in site.get(f"{SESSION}?customer=kestrel-legal").text
        assert "stopped" in site.get("/live/sessions").text
        assert post(site, f"{SESSION}/stop", {**fields, "action": "resume"}).status_code == 303
        assert desk.office.control.stops.listed() == []
        actions = [row.action for row in desk.office.control.audit.listed(limit=2)]
        assert actions == ["stop.delete", "stop.put"]


def test_nobody_else_can_stop_a_session(tmp_path: Path) -> None:
    with site_of(tmp_path) as (site, desk):
        good = {"token": token(site), "customer": "acme", "action": "stop"}
        assert post(site, f"{SESSION}/stop", good, origin="http://evil.example").status_code == 403
        assert post(site, f"{SESSION}/stop", {**good, "token": "wrong"}).status_code == 403
        assert post(site, f"{SESSION}/stop", {**good, "action": "burn"}).status_code == 400
        assert post(site, f"{SESSION}/stop", {**good, "reason": "x" * 201}).status_code == 400
        assert desk.office.control.stops.listed() == []


def test_the_stream_says_each_call_once_and_the_figures_every_second(tmp_path: Path) -> None:
    with site_of(tmp_path) as (site, _):
        ending = threading.Event()
        site.app.state.stopping = ending.is_set  # type: ignore[attr-defined]
        threading.Timer(1.6, ending.set).start()
        told = site.get("/live/stream?after=0.0")
        assert told.headers["content-type"].startswith("text/event-stream")
        assert told.headers["cache-control"] == "no-store"
        events = [
            json.loads(line.removeprefix("data: "))
            for line in told.text.splitlines()
            if line.startswith("data")
        ]
        assert len(events) == 2
        assert [row[0]["text"] for row in events[0]["blocked"]] == ["req_over"]
        assert len(events[0]["calls"]) == 4
        assert "calls" not in events[1]
        assert events[1]["figures"]["spent"] == "$0.1200"


def test_a_stream_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    with site_of(tmp_path) as (site, _), LedgerReader(tmp_path / "ledger.db") as reader:
        site.app.state.stopping = lambda: True  # type: ignore[attr-defined]
        assert site.get("/live/stream?after=0.0").text == "retry: 2000\n\n", (
            "a server that stops is not held up"
        )
        _, _, end = Live(reader).feed(Cursor(), 100)
        threading.Timer(0.4, lambda: setattr(site.app.state, "stopping", lambda: True)).start()  # type: ignore[attr-defined]
        site.app.state.stopping = None  # type: ignore[attr-defined]
        told = site.get("/live/stream?after=0.0", headers={"last-event-id": end.text}).text
        assert f"id: {end.text}" in told
        assert "req_over" not in told


@contextmanager
def shown(folder: Path) -> Iterator[str]:
    desk = FakeDesk()
    with LedgerReader(write_ledger(folder)) as reader:
        app = create_app(desk, office=desk.office, ledger=lambda: reader)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
        app.state.stopping = lambda: server.should_exit
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
    desk.office.close()


@contextmanager
def screen(browser: Browser, theme: str = "light", width: int = 1440) -> Iterator[tuple[Page, list[str]]]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page, complaints
    finally:
        context.close()


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{item['id']}: {[node['html'][:120] for node in item['nodes'][:3]]}" for item in found]


@pytest.mark.browser
@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)])
def test_the_pages_are_clean_in_both_themes_on_desk_and_phone(
    browser: Browser, tmp_path: Path, theme: str, width: int
) -> None:
    session = f"{SESSION}?customer=acme"
    paths = (
        "/live",
        "/live/calls",
        "/live/calls?show=blocked",
        "/live/sessions",
        session,
        f"{session}&stop=1",
    )
    with shown(tmp_path) as address, screen(browser, theme, width) as (page, complaints):
        for path in paths:
            page.goto(address + path)
            page.locator("html[data-charts]").wait_for(state="attached")
            wide = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide <= 0, path
            assert violations(page) == [], path
            assert page.evaluate("document.querySelectorAll('*').length") <= 1500, path
            if path == session:
                assert page.locator("#p-run svg path").count() > 5
        assert complaints == []


@pytest.mark.browser
def test_stopping_is_a_dialog_that_says_the_money_with_the_safe_button_first(
    browser: Browser, tmp_path: Path
) -> None:
    with shown(tmp_path) as address, screen(browser) as (page, complaints):
        page.goto(f"{address}{SESSION}?customer=acme")
        page.get_by_role("link", name="Stop this session").focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("at most $0.1100 more")
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        page.get_by_role("link", name="Stop this session").click()
        page.get_by_role("link", name="Keep it running").click()
        expect(dialog).to_be_hidden()
        page.get_by_role("link", name="Stop this session").click()
        page.get_by_role("button", name="Stop session").click()
        expect(page.get_by_text("This session is stopped.")).to_be_visible()
        page.get_by_role("button", name="Let it go on").click()
        expect(page.get_by_role("link", name="Stop this session")).to_be_visible()
        assert complaints == []


@pytest.mark.browser
def test_a_pasted_request_id_goes_to_its_reason(browser: Browser, tmp_path: Path) -> None:
    with shown(tmp_path) as address, screen(browser) as (page, _):
        page.goto(f"{address}/live/sessions")
        page.keyboard.press("Control+k")
        page.keyboard.insert_text("req_01ka8q4zt7000000000001")
        page.keyboard.press("Enter")
        page.wait_for_url("**/why/req_01ka8q4zt7000000000001")
        expect(page.get_by_role("heading", level=1)).to_have_text("What this call cost")


def test_the_figures_are_texts_and_never_numbers(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    with LedgerReader(write_ledger(tmp_path)) as reader:
        pulse = Live(reader).pulse(datetime.now(UTC))
    told = figures(pulse)
    assert all(isinstance(text, str) for text in told.values())
    assert Decimal(told["spent"].removeprefix("$")) * 10**9 == pulse.spent


def call(server: Any, body: Mapping[str, Any], key: str) -> int:
    """The status of one call of the session `thread-1`."""
    headers = {"authorization": f"Bearer {key}", "x-costweir-session": "thread-1"}
    url = server.gateway + "/v1/chat/completions"
    try:
        with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=20) as reply:
            return reply.status
    except HTTPError as error:
        return error.code


@pytest.mark.browser
def test_a_call_is_on_screen_within_two_seconds_and_a_stopped_session_is_refused(
    browser: Browser, tmp_path: Path
) -> None:
    from server import running

    with running(tmp_path) as server, screen(browser) as (page, complaints):
        key = server.key("acme", "--may-assert", "session")
        body = {"model": "big", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 30}
        page.goto(server.described["web"] + "/live")
        expect(page.get_by_text("No call yet")).to_be_visible()
        assert f"OPENAI_BASE_URL={server.gateway}/v1" in page.content()
        assert call(server, body, key) == 200
        page.reload()
        expect(page.locator("[data-live=state]")).to_have_text("live")
        before = page.locator("#t-feed tbody tr").count()
        began = time.monotonic()
        assert call(server, body, key) == 200
        expect(page.locator("#t-feed tbody tr")).to_have_count(before + 1, timeout=2_000)
        assert time.monotonic() - began < 2
        page.locator("#t-feed").hover()
        assert call(server, body, key) == 200
        expect(page.locator("[data-live-new]")).to_have_text("1 new")
        assert page.locator("#t-feed tbody tr").count() == before + 1, "nothing moves under the pointer"
        page.mouse.move(0, 0)
        expect(page.locator("#t-feed tbody tr")).to_have_count(before + 2)
        page.goto(server.described["web"] + "/live/sessions/thread-1?customer=acme&stop=1")
        page.get_by_role("button", name="Stop session").click()
        stopped = time.monotonic()
        expect(page.get_by_text("Session stopped.")).to_be_visible()
        assert call(server, body, key) != 200
        assert time.monotonic() - stopped < 2, "the page comes back once the gateway knows"
        assert server.wait_for(lambda: "thread-1" in server.get("web", "/live/calls?show=blocked"), seconds=2)
        page.goto(server.described["web"] + "/live/calls?show=blocked")
        page.locator("#t-calls a").first.click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.goto(server.described["web"] + "/live/sessions/thread-1?customer=acme")
        page.get_by_role("button", name="Let it go on").click()
        expect(page.get_by_text("The session goes on.")).to_be_visible()
        assert call(server, body, key) == 200
        assert complaints == []
