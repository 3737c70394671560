"""Lists come page by page, each row once, also while others add rows; and whole where nobody asks for pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_server import ADMIN, Site, site
from hypothesis import given
from hypothesis import strategies as st

from costweir.control import Outcome
from costweir.errors import Conflict, UsageError
from costweir.web.api.paging import page


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("paging"), size=20) as running:
        for number in range(7):
            add_run(running, number)
            running.token()
            running.call("PUT", f"/v1/customers/c{number}", token=ADMIN, body={})
        yield running


def add_run(served: Site, number: int) -> None:
    name = served.office.control.start_run(source="aws-cur2", files=[f"{number}.csv"])
    served.office.control.finish_run(name, Outcome(status="unchanged", note=f"run {number}"))


def walk(served: Site, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        got = served.get(path, ADMIN, limit=limit, **query, **cursor)
        assert got.status == 200, got.text
        assert len(got.json["rows"]) <= limit
        rows += got.json["rows"]
        if got.json["next_cursor"] is None:
            return rows
        cursor = {"cursor": got.json["next_cursor"]}


@pytest.mark.parametrize(
    "path",
    [
        "runs",
        "quarantine",
        "customers",
        "plans",
        "budgets",
        "tokens",
        "audit",
        "questions",
        "prices",
        "mappings",
    ],
)
def test_pages_of_any_size_hold_the_same_rows(served: Site, path: str) -> None:
    whole = served.get(f"/v1/{path}", ADMIN, limit=100_000).json
    assert whole["next_cursor"] is None
    if path != "prices":
        assert walk(served, f"/v1/{path}", 2) == whole["rows"]
    assert walk(served, f"/v1/{path}", 300) == whole["rows"]


def test_a_short_list_is_whole_unless_pages_are_asked_for(served: Site) -> None:
    assert len(served.get("/v1/customers", ADMIN).json["rows"]) == 10


def test_a_run_that_begins_between_two_pages_moves_nothing(served: Site) -> None:
    before = served.get("/v1/runs", ADMIN, limit=100_000).json["rows"]
    first = served.get("/v1/runs", ADMIN, limit=3).json
    add_run(served, 99)
    second = served.get("/v1/runs", ADMIN, limit=100, cursor=first["next_cursor"]).json
    assert first["rows"] + second["rows"] == before


def test_a_cursor_whose_row_is_gone_and_one_of_nobody_are_refused(served: Site) -> None:
    cursor = served.get("/v1/customers", ADMIN, limit=1).json["next_cursor"]
    gone = served.get("/v1/plans", ADMIN, limit=1, cursor=cursor)
    assert (gone.status, gone.json["code"]) == (409, "conflict")
    assert served.get("/v1/plans", ADMIN, cursor="made-up").status == 400


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 5))
def test_equal_rows_all_come(numbers: list[int], limit: int) -> None:
    rows = [{"n": number} for number in numbers]
    found: list[object] = []
    values: dict[str, Any] = {"limit": limit}
    while True:
        told = page(rows, values)
        found += told["rows"]  # type: ignore[operator]
        if told["next_cursor"] is None:
            break
        values["cursor"] = told["next_cursor"]
    assert found == rows


def test_a_page_after_a_row_that_is_not_there_raises() -> None:
    cursor = str(page([{"n": 1}, {"n": 2}], {"limit": 1})["next_cursor"])
    with pytest.raises(Conflict):
        page([{"n": 2}], {"cursor": cursor})
    with pytest.raises(UsageError):
        page([{"n": 2}], {"cursor": cursor + "x"})
