"""The pages in a real Chromium: both themes, desk and phone; nothing blocked, nothing overflowing, axe content."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest
from axe_playwright_python.sync_playwright import Axe
from fake_desk import FakeDesk
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

#: Variants that need one look; PAGES get all four.
VARIANTS = {
    "share": "/explore?by=model&mark=share&per=week",
    "lines": "/explore?by=provider&mark=lines&vs=none",
    "nothing": "/explore?by=model&provider=aws&customer=nobody",
    "many rows": "/explore?by=customer&rows=25",
    "last month": "/?month=2026-10",
}
PAGES = {
    "overview": "/",
    "explore": "/explore?from=2026-11-01&to=2026-11-18&by=customer&provider=aws,gcp",
    "customers": "/customers",
    "customer": "/customers/kestrel-legal",
    "plans": "/customers/plans",
    "models": "/customers/models",
    "health": "/settings/health",
    "sources": "/settings/sources",
    "connect": "/settings/sources/connect?kind=azure-query",
    "prices": "/settings/prices?q=claude-sonnet-4",
    "price": "/settings/prices/model?model=claude-sonnet-4-6&provider=aws",
    "unknown": "/settings/unknown",
    "views": "/explore/views",
    "settings": "/settings/all",
    "first steps": "/settings/start",
    "customer list": "/settings/customers",
    "plan list": "/settings/plans",
    "edit a customer": "/settings/customers/edit?id=alder",
    "a customer of the file": "/settings/customers/edit?id=aster-bank",
    "edit a plan": "/settings/plans/edit?id=tier_1",
    "import": "/settings/customers/import",
    "annotations": "/explore/annotations",
    "annotate": "/explore/annotations/edit?day=2026-11-03",
}
CHARTS = ("overview", "explore", "customer", "share", "lines", "many rows", "last month")
SCREENS = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]


@pytest.fixture(scope="session")
def axe() -> Axe:
    return Axe()


@contextmanager
def screen(browser: Browser, theme: str = "light", width: int = 1440) -> Iterator[tuple[Page, list[str]]]:
    """A page of that size and theme, with everything it complains about."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.add_init_script(
        "document.addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"
    )
    try:
        yield page, complaints
    finally:
        context.close()


def visit(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("html[data-charts]").wait_for(state="attached")


def redrawn(page: Page, before: str) -> None:
    """Waits in Python: the policy forbids the page to evaluate text, also for Playwright."""
    deadline = time.monotonic() + 10
    while page.locator(".plot svg").inner_html() == before:
        assert time.monotonic() < deadline, "the chart was not drawn again"
        page.wait_for_timeout(30)


def violations(axe: Axe, page: Page) -> list[str]:
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{item['id']}: {[node['html'][:120] for node in item['nodes'][:3]]}" for item in found]


def overflow(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize(("theme", "width"), SCREENS)
def test_each_page_is_clean_in_both_themes_on_desk_and_phone(
    browser: Browser, site: str, axe: Axe, theme: str, width: int
) -> None:
    with screen(browser, theme, width) as (page, complaints):
        pages = {**PAGES, **VARIANTS} if (theme, width) == SCREENS[0] else PAGES
        for name, path in pages.items():
            visit(page, site + path)
            assert overflow(page) <= 0, name
            assert violations(axe, page) == [], name
            assert page.evaluate("document.querySelectorAll('*').length") <= 1500, name
            if name in CHARTS:
                assert page.locator(".plot svg path").count() > 5, name
        assert complaints == []


def test_pages_reflow_at_320_pixels(browser: Browser, site: str) -> None:
    with screen(browser, width=320) as (page, complaints):
        for name, path in PAGES.items():
            visit(page, site + path)
            assert overflow(page) <= 0, name
        assert complaints == []


def test_empty_and_failed_pages_are_clean_too(browser: Browser, empty_site: str, site: str, axe: Axe) -> None:
    with screen(browser) as (page, _):
        for address in (
            *(empty_site + path for path in PAGES.values()),
            site + "/explore?from=x",
            site + "/no",
        ):
            page.goto(address)
            assert violations(axe, page) == [], address


def test_open_menus_palette_and_help_are_clean(browser: Browser, site: str, axe: Axe) -> None:
    with screen(browser) as (page, complaints):
        visit(page, site + PAGES["explore"])
        for menu in ("Range", "Group by", "Filter"):
            page.locator(".filters summary", has_text=menu).click()
            assert violations(axe, page) == [], menu
        page.keyboard.press("Escape")
        expect(page.locator(".filters details[open]")).to_have_count(0)
        page.keyboard.press("Control+k")
        page.locator("#palette input").fill("kestrel")
        expect(page.locator("#palette li.found a")).to_have_count(1)
        assert violations(axe, page) == []
        page.keyboard.press("Escape")
        page.locator("h1").click()
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        assert violations(axe, page) == []
        assert complaints == []


def test_the_palette_finds_a_customer_by_keyboard_alone(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        visit(page, site + "/")
        page.keyboard.press("Control+k")
        page.keyboard.type("kestrel")
        expect(page.locator("#palette li.found a")).to_have_count(1)
        page.keyboard.press("Enter")
        page.wait_for_url("**/customers/kestrel-legal")


def test_keys_move_between_pages_rows_and_views(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        visit(page, site + "/")
        for second, path in (("e", "/explore"), ("c", "/customers"), ("o", "/")):
            page.keyboard.press("g")
            page.keyboard.press(second)
            page.wait_for_url(site + path)
        visit(page, site + "/explore?by=provider")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.innerText").startswith("Range")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        first = page.evaluate("document.activeElement.innerText")
        assert first == page.locator("#t-x tbody a").first.inner_text()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**provider={first}**")
        visit(page, site + "/explore?by=provider")
        page.keyboard.press("c")
        page.wait_for_url("**vs=none**")


def test_keys_are_dead_inside_a_field(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        visit(page, site + "/explore")
        page.locator(".filters summary", has_text="Filter").click()
        page.locator("input[name=value]").fill("")
        page.locator("input[name=value]").press_sequentially("god")
        assert page.url == site + "/explore"
        assert page.evaluate("document.documentElement.dataset.theme") is None


def test_the_theme_switch_redraws_and_is_remembered(browser: Browser, site: str) -> None:
    with screen(browser) as (page, complaints):
        visit(page, site + "/")
        light = page.locator(".plot svg").inner_html()
        page.keyboard.press("d")
        page.wait_for_function(
            "before => document.querySelector('.plot svg').innerHTML !== before", arg=light
        )
        page.reload()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert complaints == []


def test_the_running_total_is_one_click_away(browser: Browser, site: str) -> None:
    with screen(browser) as (page, complaints):
        visit(page, site + "/")
        day = page.locator(".plot svg").inner_html()
        page.get_by_role("button", name="Running total").click()
        redrawn(page, day)
        expect(page.locator(".plot svg")).to_contain_text("Budget")
        assert complaints == []


def test_a_click_on_a_bar_looks_inside_it(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        visit(page, site + "/explore?from=2026-11-01&to=2026-11-18&by=provider&vs=none")
        box = page.locator(".plot svg").bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"] * 0.272, box["y"] + box["height"] - 60)
        page.wait_for_url(re.compile(r"by=model.*provider=anthropic"))


def test_a_click_on_a_row_adds_its_filter_and_the_table_is_the_legend(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        visit(page, site + "/explore?from=2026-11-01&to=2026-11-18&by=provider")
        page.get_by_role("row", name="aws").get_by_role("link").click()
        page.wait_for_url("**provider=aws")
        expect(page.locator(".chip.set")).to_contain_text("aws")
        expect(page.locator("h1")).to_have_text("Spend by model")
        swatches = page.locator("#t-x .swatch")
        assert swatches.count() == page.locator("#t-x tbody tr").count()


def test_the_csv_behind_the_button_has_the_total_of_the_page(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        visit(page, site + PAGES["explore"])
        with page.expect_download() as started:
            page.get_by_role("link", name="CSV").click()
        assert "sample-data" in started.value.suggested_filename
        rows = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
        parts = sum(Decimal(row["billed_cost_usd"]) for row in rows if row["customer"] != "Total")
        assert parts == Decimal(rows[-1]["billed_cost_usd"])
        assert f"${parts:,.2f}" in page.locator(".sub").first.inner_text()


def test_markdown_is_copied_without_leaving_the_page(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit(page, site + PAGES["explore"])
        page.get_by_role("link", name="Markdown").click()
        expect(page.locator(".toast")).to_have_text("Markdown copied")
        assert page.evaluate("navigator.clipboard.readText()").startswith(
            "**Spend by customer (sample data)**"
        )


def test_focus_is_visible_and_the_skip_link_comes_first(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        visit(page, site + "/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_without_the_chart_bundle_the_table_opens(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        page.route("**/vega.js", lambda route: route.abort())
        visit(page, site + "/")
        expect(page.locator("#t-day")).to_be_visible()
        expect(page.locator(".plot")).to_be_hidden()


def test_without_javascript_tables_links_and_forms_stay(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site + "/explore?by=provider")
    expect(page.locator("#t-x tbody tr").first).to_be_visible()
    page.locator(".filters summary", has_text="Group by").click()
    page.get_by_role("link", name="model", exact=True).click()
    expect(page.locator("h1")).to_have_text("Spend by model")
    context.close()


def test_print_leaves_out_the_frame(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        visit(page, site + "/customers")
        page.emulate_media(media="print")
        expect(page.locator(".side")).to_be_hidden()
        expect(page.locator("#t-customers")).to_be_visible()


def test_a_narrow_screen_opens_the_navigation_as_a_drawer(browser: Browser, site: str, axe: Axe) -> None:
    with screen(browser, width=390) as (page, _):
        visit(page, site + "/")
        expect(page.locator("#nav")).to_be_hidden()
        page.get_by_role("button", name="Open navigation").click()
        expect(page.locator("#nav")).to_be_visible()
        assert violations(axe, page) == []
        page.keyboard.press("Escape")
        expect(page.locator("#nav")).to_be_hidden()


def test_a_failed_card_is_an_alert_on_a_page_that_stays(browser: Browser, serve: Callable, axe: Axe) -> None:  # type: ignore[type-arg]
    from costweir.errors import Unreachable

    with (
        serve(FakeDesk(broken={"margin": Unreachable("Margin took too long.", hint="Reload.")})) as address,
        screen(browser) as (page, _),
    ):
        visit(page, address + "/customers")
        expect(page.get_by_role("alert")).to_contain_text("Margin took too long.")
        expect(page.locator("#t-customers")).to_be_visible()
        assert violations(axe, page) == []


def test_a_view_is_saved_and_found_again_by_keyboard(browser: Browser, serve: Callable, axe: Axe) -> None:  # type: ignore[type-arg]
    with serve(FakeDesk()) as address, screen(browser) as (page, complaints):
        visit(page, address + "/explore?by=model&provider=aws")
        page.locator("summary", has_text="Save view").click()
        assert violations(axe, page) == []
        page.get_by_label("Name").fill("Only aws")
        page.keyboard.press("Enter")
        page.wait_for_url("**/explore/views?saved=Only+aws")
        expect(page.get_by_role("status").first).to_contain_text("Only aws is saved.")
        assert violations(axe, page) == []
        page.keyboard.press("Control+k")
        page.keyboard.type("only")
        expect(page.locator("#palette li.found a")).to_have_count(1)
        page.keyboard.press("Enter")
        page.wait_for_url("**provider=aws")
        visit(page, address + "/explore/views")
        page.get_by_role("button", name="Remove Only aws").click()
        page.get_by_role("button", name="Save it again").click()
        expect(page.locator("#t-views")).to_contain_text("Only aws")
        assert complaints == []


def test_a_command_is_copied_whole(browser: Browser, site: str) -> None:
    with screen(browser) as (page, _):
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit(page, site + "/settings/unknown")
        page.get_by_role("button", name="Copy mapping rules").click()
        expect(page.locator(".toast")).to_have_text("Copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("rules:\n")
        assert copied == page.locator("#mapping-rules").inner_text()


LONG = "5f1c7b22-9d0e-5a41-8c3a-0b6e2d94c7aa:8d2e61f0-33b4-4c19-a7de-5b90f1c2e6d3_2019-05-31"


class LongAccounts(FakeDesk):
    """Account ids as Azure has them."""

    def runs(self, *, limit: int = 100):
        return [{**row, "account": LONG} for row in super().runs(limit=limit)]


def test_a_long_account_id_is_short_to_the_eye_and_whole_in_the_copy(
    browser: Browser, serve: Callable
) -> None:  # type: ignore[type-arg]
    with serve(LongAccounts()) as address, screen(browser) as (page, _):
        visit(page, address + "/settings/health")
        shown = page.locator("#t-runs .cut").first
        box = shown.bounding_box()
        assert box
        assert box["width"] < 220
        assert box["height"] < 30
        assert shown.get_attribute("title") == LONG
        assert shown.inner_text() == LONG
        selected = page.evaluate(
            "() => { const r = document.createRange(); r.selectNodeContents(document.querySelector('#t-runs .cut'));"
            " const s = getSelection(); s.removeAllRanges(); s.addRange(r); return s.toString(); }"
        )
        assert selected == LONG


def test_prices_are_found_by_a_part_of_a_name(browser: Browser, site: str) -> None:
    with screen(browser) as (page, complaints):
        visit(page, site + "/settings/prices")
        page.get_by_label("Model").fill("opus-4-1")
        page.keyboard.press("Enter")
        page.wait_for_url("**q=opus-4-1**")
        page.locator("#t-prices tbody a").first.click()
        expect(page.locator("h1")).to_contain_text("opus-4-1")
        assert complaints == []


def test_keys_without_ctrl_can_be_switched_off_and_stay_off(browser: Browser, site: str, axe: Axe) -> None:
    with screen(browser) as (page, complaints):
        visit(page, site + "/settings/all")
        page.get_by_label("Keys without Ctrl").first.uncheck()
        page.locator("h1").click()
        page.keyboard.press("g")
        page.keyboard.press("o")
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_hidden()
        assert page.url == site + "/settings/all"
        visit(page, site + "/")
        page.keyboard.press("d")
        assert page.evaluate("document.documentElement.dataset.theme") is None
        page.keyboard.press("Control+k")
        expect(page.locator("#palette")).to_be_visible()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Keyboard").click()
        assert violations(axe, page) == []
        page.locator("#keys").get_by_label("Keys without Ctrl").check()
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.keyboard.press("e")
        page.wait_for_url(site + "/explore")
        assert complaints == []


def test_the_palette_finds_pages_by_what_they_are_about_and_offers_actions(
    browser: Browser, site: str
) -> None:
    with screen(browser) as (page, _):
        visit(page, site + "/")
        page.keyboard.press("Control+k")
        page.keyboard.type("quarantine")
        expect(page.locator("#palette li")).to_have_count(1)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url("**/settings/health")
        page.keyboard.press("Control+k")
        page.keyboard.type("keys off")
        expect(page.locator("#palette li")).to_have_count(1)
        page.keyboard.press("Enter")
        page.wait_for_url("**/settings/all#browser")


def test_a_customer_is_added_by_keyboard_and_faults_are_said(
    browser: Browser, serve: Callable, axe: Axe
) -> None:  # type: ignore[type-arg]
    with serve(FakeDesk()) as address, screen(browser) as (page, complaints):
        visit(page, address + "/settings/customers")
        page.keyboard.press("Control+k")
        page.keyboard.type("add a cust")
        expect(page.locator("#palette li")).to_have_count(1)
        page.keyboard.press("Enter")
        page.wait_for_url("**/settings/customers/edit")
        page.get_by_label("Name").focus()
        page.keyboard.type("Acme")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("Id is needed.")
        assert violations(axe, page) == []
        page.get_by_role("alert").get_by_role("link").click()
        expect(page.locator("#f-id")).to_be_focused()
        page.keyboard.type("acme")
        page.get_by_label("Plan").select_option("tier_1")
        page.get_by_role("button", name="Save customer").click()
        page.wait_for_url("**/settings/customers?saved=acme")
        expect(page.locator("#t-list")).to_contain_text("Acme")
        assert violations(axe, page) == []
        assert [text for text in complaints if "422" not in text] == []


def test_a_file_is_previewed_then_imported(browser: Browser, serve: Callable, axe: Axe) -> None:  # type: ignore[type-arg]
    with serve(FakeDesk()) as address, screen(browser, "dark", 390) as (page, complaints):
        visit(page, address + "/settings/customers/import")
        content = "id;name;plan\nacme;Acme;tier_1\nalder;=1+1;tier_2\naster-bank;Mine;tier_1\n".encode(
            "utf-8-sig"
        )
        page.get_by_label("CSV file").set_input_files(
            {"name": "x.csv", "mimeType": "text/csv", "buffer": content}
        )
        page.get_by_role("button", name="Show what changes").click()
        expect(page.locator("#h-seen")).to_have_text("1 added, 1 changed, 0 as they are, 1 refused")
        assert violations(axe, page) == []
        assert overflow(page) <= 0
        page.get_by_role("button", name="Import 2 customers").click()
        page.wait_for_url("**?imported=2")
        expect(page.get_by_role("status").first).to_contain_text("2 customers imported.")
        visit(page, address + "/settings/customers?q=alder")
        with page.expect_download() as started:
            page.get_by_role("link", name="CSV").click()
        assert "'=1+1" in started.value.path().read_text()
        assert complaints == []


def test_two_people_edit_one_plan_and_the_second_is_told(browser: Browser, serve: Callable, axe: Axe) -> None:  # type: ignore[type-arg]
    with serve(FakeDesk()) as address, screen(browser) as (first, _), screen(browser) as (second, _):
        for page in (first, second):
            visit(page, address + "/settings/plans/edit?id=tier_1")
        for page, price in ((first, "59"), (second, "69")):
            page.get_by_label("Price a month").fill(price)
            page.get_by_role("button", name="Save plan").click()
        expect(first.locator("#t-list")).to_contain_text("$59")
        expect(second.get_by_role("alert")).to_contain_text(
            "Somebody changed the plan 'tier_1' after you opened it"
        )
        assert second.get_by_label("Price a month").input_value() == "69"
        assert violations(axe, second) == []
        second.get_by_role("link", name="Open it as it is now").click()
        expect(second.get_by_label("Price a month")).to_have_value("59")


def test_a_plan_is_removed_only_after_its_id_was_typed(browser: Browser, serve: Callable) -> None:  # type: ignore[type-arg]
    with serve(FakeDesk()) as address, screen(browser) as (page, _):
        visit(page, address + "/settings/plans/edit")
        page.get_by_role("textbox", name="Id").fill("trial")
        page.get_by_label("Price a month").fill("0")
        page.get_by_role("button", name="Save plan").click()
        page.get_by_role("link", name="trial", exact=True).click()
        page.get_by_label("Type trial to remove it").fill("trial")
        page.get_by_role("button", name="Remove plan").click()
        page.wait_for_url("**?removed=trial")
        expect(page.locator("#t-list")).not_to_contain_text("trial")


def test_a_day_is_annotated_from_its_chart_by_keyboard(browser: Browser, serve: Callable, axe: Axe) -> None:  # type: ignore[type-arg]
    with serve(FakeDesk()) as address, screen(browser) as (page, complaints):
        visit(page, address + "/customers/kestrel-legal")
        page.locator(".notes").get_by_role("link", name="Annotate").press("Enter")
        page.wait_for_url("**/explore/annotations/edit?**")
        page.get_by_label("Day, UTC").fill("2026-11-03")
        page.get_by_label("What happened").fill("Answers are cached")
        page.get_by_label("What happened").press("Enter")
        page.wait_for_url("**/customers/kestrel-legal")
        page.locator("html[data-charts=ready]").wait_for(state="attached")
        expect(page.locator(".notes")).to_contain_text("3 Nov: Answers are cached")
        expect(page.locator(".plot svg")).to_contain_text("1")
        assert violations(axe, page) == []
        page.locator(".notes").get_by_role("link", name="Answers are cached").click()
        page.get_by_role("button", name="Remove annotation").click()
        page.get_by_role("button", name="Save it again").click()
        expect(page.locator("#t-notes")).to_contain_text("Answers are cached")
        assert violations(axe, page) == []
        assert complaints == []
