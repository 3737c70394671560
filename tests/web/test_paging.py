"""Long tables come in pages: nothing is shown twice or left out, each page adds up, and the CSV has every row."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal

import pytest
from fake_desk import FakeDesk
from hypothesis import given
from hypothesis import strategies as st
from test_pages import Markup, Reply, amount, rows_of

from costweir.domain.answer import Answer
from costweir.queries.request import Request as Question
from costweir.web.pages.paging import PER_PAGE, open_span, span

COUNT = 60
LONG = ("customer", "model", "plan")
DAYS = "from=2026-11-01&to=2026-11-18"
Serve = Callable[..., AbstractContextManager[str]]


class Many(FakeDesk):
    """A world with sixty customers, models and plans; the larger the number the dearer."""

    def ask(self, request: Question) -> Answer:
        answer = super().ask(request)
        dimension = request.by[0] if len(request.by) == 1 else ""
        if dimension not in LONG or request.where or not answer.rows:
            return answer
        rows = tuple(
            {**answer.rows[0], dimension: f"many-{place:02d}", "billed_cost": f"{place}.50", "share": "0.01"}
            for place in range(COUNT, 0, -1)
        )
        total = sum((Decimal(row["billed_cost"]) for row in rows), Decimal(0))
        return replace(answer, rows=rows, total=str(total), other="0.00")

    def runs(self, *, limit: int = 100) -> Sequence[Mapping[str, object]]:
        rows = list(super().runs()) * COUNT
        return [{**row, "account": f"run-{place:02d}"} for place, row in enumerate(rows[:COUNT])][:limit]

    def quarantine(self, *, run_id: str = "", limit: int = 100) -> Sequence[Mapping[str, object]]:
        row = next(iter(super().quarantine()))
        return [{**row, "file": f"file-{place:02d}.csv"} for place in range(COUNT)][:limit]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from served import serving

    with serving(Many()) as found:
        yield found


def pages(address: str, path: str) -> list[str]:
    """Every page of a list, by its own links."""
    found = [Reply(address + path).text]
    while link := re.search(r'rel="next" href="([^"]+)"', found[-1]):
        found.append(Reply(address + html.unescape(link[1])).text)
        assert len(found) < 20
    return found


def body(text: str, table: str) -> str:
    part = text[text.index(f'id="{table}"') :]
    return part[: part.index("</table>")]


@pytest.mark.parametrize(
    ("path", "table"),
    [
        (f"/customers?{DAYS}", "t-customers"),
        (f"/customers?{DAYS}&sort=customer", "t-customers"),
        (f"/customers/models?{DAYS}&sort=-model", "t-models"),
        (f"/customers/plans?{DAYS}", "t-plans"),
        (f"/explore?{DAYS}&by=customer&rows=25", "t-x"),
        (f"/explore?{DAYS}&by=model&sort=name", "t-x"),
        (f"/explore?{DAYS}&by=plan&rows=10&sort=cost&vs=none", "t-x"),
    ],
)
def test_the_pages_of_a_table_are_its_csv(address: str, path: str, table: str) -> None:
    shown = [re.findall(r">(many-\d\d)<", body(text, table)) for text in pages(address, path)]
    csv = re.sub(r"^([^?]+)", r"\1.csv", path)
    listed = [row[next(iter(row))] for row in rows_of(Reply(address + csv).text)]
    members = [name for name in listed if name.startswith("many-")]
    assert len(members) == COUNT
    flat = [name for names in shown for name in names]
    assert sorted(flat) == sorted(members)
    if "sort=" in path and "/explore" not in path:
        assert flat == members
    assert max(len(names) for names in shown) <= PER_PAGE


@pytest.mark.parametrize(
    ("path", "table"),
    [
        (f"/customers?{DAYS}&page=2", "t-customers"),
        (f"/explore?{DAYS}&by=customer&page=3&vs=none", "t-x"),
    ],
)
def test_each_page_adds_up_to_the_total(address: str, path: str, table: str) -> None:
    rows = re.findall(r"<tr.*?</tr>", body(Reply(address + path).text, table), flags=re.DOTALL)
    costs = [re.findall(r"<t[dh][^>]*>\s*(?:<[^>]+>)*([−$\d,.]+)", row) for row in rows]
    money = [
        amount(next(item for item in cells if "$" in item))
        for cells in costs
        if any("$" in item for item in cells)
    ]
    assert (
        sum(money[:-1])
        == money[-1]
        == sum(Decimal(number) + Decimal("0.5") for number in range(1, COUNT + 1))
    )


def test_the_chart_names_the_same_members_on_every_page(address: str) -> None:
    path = f"{address}/explore?{DAYS}&by=customer&vs=none"
    names = [
        re.search(r'"series":(\[.*?\])', Reply(f"{path}&page={number}").text)[1]  # type: ignore[index]
        for number in (1, 4)
    ]
    assert names[0] == names[1]
    first, last = Reply(path).text, Reply(f"{path}&page=4").text
    assert 'class="legend"><a' not in first
    assert 'class="legend"><a' in last


def test_a_drill_down_a_sort_or_a_filter_starts_at_the_first_page(address: str) -> None:
    text = Reply(f"{address}/explore?{DAYS}&by=customer&page=3").text
    for link in Markup(text).links:
        if link.startswith("/explore?") and "page=" in link:
            assert re.search(r"page=[24]$", link), link


def test_runs_and_quarantine_are_paged_apart(address: str) -> None:
    text = Reply(f"{address}/settings/health?runs=2").text
    assert re.findall(r"run-(\d\d)", body(text, "t-runs"))[0] == "15"
    assert "file-00" in body(text, "t-quarantine")
    links = re.findall(r'rel="next" href="([^"]+)"', text)
    assert [html.unescape(link) for link in links] == [
        "/settings/health?runs=2&lines=2#quarantine", "/settings/health?runs=3#h-runs",
    ]  # fmt: skip
    last = Reply(f"{address}/settings/health?runs=4&lines=4").text
    assert 'rel="next"' not in last
    assert "46–60" in last


@pytest.mark.parametrize(
    "path", ["/customers", "/explore", "/customers/models", "/settings/prices", "/settings/health"]
)
def test_a_page_that_is_no_number_is_refused(address: str, path: str) -> None:
    name = "runs" if path.endswith("health") else "page"
    for wrong in ("0", "-1", "x", "99999", "%C2%B2"):
        assert Reply(f"{address}{path}?{name}={wrong}").status == 400


def test_a_page_behind_the_end_is_the_last(address: str) -> None:
    assert "51–60 of 60" in Reply(f"{address}/customers?{DAYS}&page=99").words


@given(st.integers(0, 200), st.integers(1, 50), st.integers(1, 30))
def test_pages_cover_a_list_once(count: int, number: int, size: int) -> None:
    rows = list(range(count))
    seen: list[int] = []
    page = 1
    while True:
        found = span(count, page, str, size=size)
        seen += rows[found.part]
        if not found.after:
            break
        page += 1
    assert seen == rows
    assert span(count, number, str, size=size).number <= max(-(-count // size), 1)


@given(st.integers(0, 100), st.integers(1, 6))
def test_a_list_of_unknown_length_says_whether_there_is_more(count: int, number: int) -> None:
    rows = list(range(count))
    got = rows[: number * PER_PAGE + 1]
    found = open_span(len(got), number, str)
    assert got[found.part] == rows[(number - 1) * PER_PAGE : number * PER_PAGE]
    assert bool(found.after) == (count > number * PER_PAGE)
