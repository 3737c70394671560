"""The pages over a store that has calls and no bill: what was metered, and no word about bills that do not exist."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from urllib.request import urlopen

import pytest
import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

import bills

from costweir.app.desk import LocalDesk
from costweir.config import load
from costweir.queries.request import Request
from costweir.web.app import create_app

PAGES = (
    "/", "/explore", "/explore?by=session", "/explore?by=key&basis=metered", "/explore?basis=billed", "/customers",
    "/customers/acme", "/customers/plans", "/customers/models",
)  # fmt: skip
#: Days with calls, back from today; the second month has fewer, so that something changed.
DAYS = (0, 1, 2, 3, 5, 8, 30, 31, 33, 36, 40, 45)


def _calls() -> list[dict[str, object]]:
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    return [
        bills.call(
            10 * place + number, started_at=now - timedelta(days=back), provider="openai", plan_tier="tier_1",
            model=f"m{number}", customer=("acme", "globex", "untagged")[number],
            settled_usd=Decimal(1 + number + place) / 100,
        )
        for place, back in enumerate(DAYS)
        for number in range(3)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDesk]:
    """A store with thirty-six calls of two months, and one that has no price yet."""
    data = tmp_path_factory.mktemp("metered")
    settings = load(path=None, overrides={"data_dir": str(data)})
    with LocalDesk(settings) as opened:
        opened.warehouse.append(_calls())
        opened.warehouse.append([bills.call(999, started_at=datetime.now(UTC), settled_usd=None)])
        yield opened


@pytest.fixture(scope="module")
def site(desk: LocalDesk) -> Iterator[str]:
    """Its pages behind a real server."""
    config = uvicorn.Config(create_app(desk), port=0, log_level="critical", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "the test server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(5)


def text(address: str) -> str:
    """What a page says; anything but 200 raises."""
    with urlopen(address, timeout=10) as reply:
        return unescape(reply.read().decode())


def test_the_status_names_the_months_of_the_calls(desk: LocalDesk) -> None:
    status = desk.status()
    assert (status["empty"], status["metered"], status["sample"]) == (False, True, False)
    assert status["months"] == sorted({str(call["usage_month"]) for call in _calls()})


@pytest.mark.parametrize("page", PAGES)
def test_a_page_answers_and_says_nothing_about_bills_that_do_not_exist(site: str, page: str) -> None:
    shown = text(site + page)
    assert "No bills yet" not in shown
    assert "sources up to date" not in shown
    assert "Complete to" not in shown
    assert "all sources have delivered" not in shown
    assert "provisional" not in shown
    assert "invoice open" not in shown
    assert "Metered, no bill" in shown
    assert ("· billed" if "billed" in page else "· metered") in shown


def test_the_overview_holds_what_was_metered_to_the_cent(desk: LocalDesk, site: str) -> None:
    first = datetime.now(UTC).date().replace(day=1)
    total = Decimal(desk.ask(Request("spend", since=first, basis="metered")).total)
    shown = text(site + "/")
    tile = re.search(r'<dd class="stat">([^<]*)', shown)
    assert tile is not None
    assert tile[1].strip() == f"${total:.2f}"
    for word in ("Unknown SKU", "Quarantined", "Sources up to date"):
        assert word not in shown
    assert "Newest call" in shown
    assert "1 metered line has no price yet" in shown


def test_explore_splits_by_what_only_calls_know(desk: LocalDesk, site: str) -> None:
    shown = text(site + "/explore?by=session")
    for name in ("session", "key", "plan"):
        assert f"by={name}" in shown
    assert "by=token_class" not in shown
    assert all(name in shown for name in (">s0<", ">s1<", ">s2<"))
    assert "Calls" in shown
    assert "Per 1K" not in shown
    bases = re.findall(r"basis=(\w+)", shown)
    assert set(bases) == {"metered", "billed"}


def test_every_way_deeper_from_explore_leads_on(site: str) -> None:
    """The drill-down never offers a dimension that calls do not have."""
    address = "/explore"
    for _ in range(8):
        table = text(site + address).partition('id="t-x"')[2]
        link = re.search(r'<th scope="row">.*?href="([^"]+)"', table, re.DOTALL)
        assert link is not None
        address = link[1]


def test_another_basis_leaves_a_dimension_that_it_does_not_know(site: str) -> None:
    shown = text(site + "/explore?by=session")
    link = re.search(r'href="(/explore[^"]*basis=billed[^"]*)"', shown)
    assert link is not None
    assert "by=provider" in link[1]
    assert "Nothing was spent here" in text(site + link[1])


def test_models_show_the_price_of_a_call_and_no_price_of_a_class(site: str) -> None:
    shown = text(site + "/customers/models")
    assert "Per call" in shown
    assert "Cache read" not in shown
    lines = text(site + "/customers/models.csv").splitlines()
    assert lines[0].startswith("model,metered_cost_usd,share,calls,cost_per_call,tokens")
    assert {line.partition(",")[0] for line in lines[1:]} >= {"m0", "m1", "m2"}


def test_pages_about_bills_still_say_that_there_is_none(site: str) -> None:
    assert "No bills yet" in text(site + "/settings/unknown")
    assert "No bills yet" in text(site + "/settings/health")


def test_a_bill_takes_over(tmp_path: Path) -> None:
    with LocalDesk(load(path=None, overrides={"data_dir": str(tmp_path)})) as desk:
        desk.warehouse.append(_calls())
        bills.store(desk.warehouse, tmp_path, [bills.line()])
        status = desk.status()
        assert (status["empty"], status["metered"], status["months"]) == (False, False, ["2026-10"])
        assert desk.ask(Request("margin", by=("plan",))).basis == "billed"
