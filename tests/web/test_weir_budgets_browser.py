"""The pages of budgets in a real Chromium: both themes, desk and phone, with the keyboard alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from fake_desk import FakeDesk
from playwright.sync_api import Browser, expect
from served import serving
from test_browser import SCREENS, overflow, screen, violations, visit
from test_weir_budgets import BUDGETS, EDIT, FREEZE, PATH, spend

from costweir.app.terms import read_terms
from costweir.control import Budget

pytestmark = pytest.mark.browser
PAGES = (PATH, f"{PATH}?page=2", EDIT, f"{EDIT}?id=acme-day", FREEZE)


@pytest.fixture
def desk(tmp_path: Path) -> FakeDesk:
    """An office with budgets over two pages, and something that is stopped."""
    made = FakeDesk()
    control = made.office.control
    many = ({"id": f"b{number}", "limit_usd": "7.00", "window": "week"} for number in range(12))
    for row in (*BUDGETS, *many):
        control.edits.put(Budget(str(row["id"]), {key: row[key] for key in row if key != "id"}), by="test")
    control.stops.put({"session": "s_17"}, by="ada", reason="a loop")
    terms, revision = read_terms(control)
    with ThreadPoolExecutor(1) as aside:
        # Playwright's own loop runs in this thread.
        aside.submit(asyncio.run, spend(tmp_path, terms, revision)).result()
    made.office.ledger_file = tmp_path / "ledger.db"
    return made


@pytest.fixture
def site(desk: FakeDesk) -> Iterator[str]:
    """Its address."""
    with serving(desk) as address:
        yield address


@pytest.fixture(scope="module")
def axe() -> Axe:
    return Axe()


@pytest.mark.parametrize(("theme", "width"), SCREENS)
def test_the_pages_are_clean_in_both_themes_on_desk_and_phone(
    browser: Browser, site: str, axe: Axe, theme: str, width: int
) -> None:
    with screen(browser, theme, width) as (page, complaints):
        for path in PAGES:
            visit(page, site + path)
            assert overflow(page) <= 0, path
            assert violations(axe, page) == [], path
            assert page.evaluate("document.querySelectorAll('*').length") <= 1500, path
        visit(page, f"{site}{EDIT}?id=acme-day")
        page.get_by_label("Limit, USD").fill("0.50")
        page.get_by_role("button", name="See what it would have blocked").click()
        expect(page.get_by_role("heading", name="What it would have done")).to_be_visible()
        assert violations(axe, page) == []
        assert overflow(page) <= 0
        assert complaints == []


def test_a_limit_is_changed_with_the_keyboard_alone(browser: Browser, site: str, desk: FakeDesk) -> None:
    with screen(browser) as (page, complaints):
        visit(page, f"{site}{EDIT}?id=acme-day")
        page.get_by_label("Limit, USD").focus()
        page.keyboard.press("Control+A")
        page.keyboard.type("0.50")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="What it would have done").wait_for()
        expect(page.get_by_text("1 call of 1 customer would have been blocked")).to_be_visible()
        page.get_by_role("button", name="Save budget").focus()
        page.keyboard.press("Enter")
        page.get_by_text("The budget acme-day is saved.").wait_for()
        # No gateway runs in this test, and the page does not pretend that one does.
        expect(page.get_by_text("has not taken over the latest change yet")).to_be_visible()
        assert complaints == []
    kept = next(budget for budget in desk.office.control.budgets() if budget.id == "acme-day")
    assert kept.definition["limit_usd"] == "0.50"


def test_the_fullest_limit_is_a_meter_in_words(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        visit(page, site + PATH)
        meter = page.get_by_role("meter").first
        expect(meter).to_have_accessible_name("acme-day, customer acme")
        expect(meter).to_have_attribute("aria-valuetext", "$0.8000 settled and $0.1000 held of $1.00")


def test_stopping_begins_with_the_way_out(browser: Browser, site: str, desk: FakeDesk) -> None:
    with screen(browser) as (page, _):
        visit(page, site + PATH)
        page.get_by_role("link", name="Stop calls").click()
        form = page.locator("form").filter(has=page.get_by_label("Reason"))
        buttons = form.locator(".btn")
        expect(buttons.first).to_have_text("Keep calls going")
        form.get_by_label("What to stop").select_option("customer")
        form.get_by_label("Its id").fill("acme")
        form.get_by_label("Reason").fill("a loop")
        form.get_by_role("button", name="Stop these calls").click()
        expect(page.get_by_text("Stopped: customer acme.").first).to_be_visible()
        page.get_by_role("button", name="Let customer acme through").click()
        page.get_by_text("Let through again: customer acme.").wait_for()
    assert [dict(stop.scope) for stop in desk.office.control.stops.listed()] == [{"session": "s_17"}]
