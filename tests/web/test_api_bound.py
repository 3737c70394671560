"""A token that is bound to a customer sees that customer, in every question, dimension and list, and nobody else.

The oracle is a second world in which the others are called differently and have other money: whatever a bound token
sees has to be the same in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from api_server import ADMIN, Got, Site, site
from bills import call, store, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costweir.domain.charge import UNTAGGED
from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.question import catalogue
from costweir.web.api.bound import narrowable

MINE = "acme"
OTHERS = {"globex": "hooli", "initech": "umbrella"}
NAMES = ("globex", "initech", "hooli", "umbrella", "Globex", "Initech", "quiet-one", "our-secret-model")


def bills(*, other: bool) -> list[dict[str, Any]]:
    """The world, and a world in which everybody else has other names, features and three times the money."""
    rows = world(size=300)
    for number, row in enumerate(rows):
        if row["x_customer"] == MINE:
            continue
        name = row["x_customer"]
        if name != UNTAGGED:
            row["x_customer"] = OTHERS[name] if other else name
            for column in (
                "x_feature",
                "x_project",
                "resource_id",
                "charge_description",
                "tags",
                "x_usage_type",
            ):
                text = f"{row['x_customer']}-{column}-{number}"
                row[column] = json.dumps({"customer": text}) if column == "tags" else text
        if other:
            for column in (
                "billed_cost",
                "effective_cost",
                "list_cost",
                "contracted_cost",
                "x_billed_usd",
                "x_effective_usd",
                "x_list_usd",
                "x_contracted_usd",
                "x_credit_cost",
                "x_tokens",
            ):
                row[column] = None if row[column] is None else row[column] * 3  # fmt: skip
    return rows


def calls(*, other: bool) -> list[dict[str, Any]]:
    names = [MINE, "globex", "initech"]
    return [
        call(
            number,
            customer=OTHERS.get(name, name) if other else name,
            session_id=f"s{number}" if name == MINE else f"{OTHERS[name] if other else name}-s{number}",
            settled_usd=Decimal("0.25") * (3 if other and name != MINE else 1),
        )
        for number in range(60)
        for name in [names[number % 3]]
    ]


class Pair:
    """Two servers that differ in what is not mine."""

    def __init__(self, first: Site, second: Site) -> None:
        self.sites = (first, second)
        self.tokens = [item.token("read", MINE) for item in self.sites]

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> tuple[Got, Got]:
        from urllib.parse import urlencode

        words = f"{path}?{urlencode(query)}" if query else path
        first, second = (
            item.call("GET", words, token=token) for item, token in zip(self.sites, self.tokens, strict=True)
        )
        return first, second


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folders = [tmp_path_factory.mktemp(name) for name in ("this", "that")]
    with site(folders[0], size=0) as first, site(folders[1], size=0) as second:
        for number, (item, folder) in enumerate(zip((first, second), folders, strict=True)):
            store(item.desk.warehouse, folder, bills(other=bool(number)))
            item.desk.warehouse.append(calls(other=bool(number)))
        for path, body in (
            ("plans/quiet-plan", {"price_usd": "12345"}),
            ("customers/quiet-one", {"plan": "quiet-plan"}),
            ("customers/hooli", {"name": "Hooli"}),
            ("budgets/quiet-budget", {"limit_usd": "54321", "scope": {"customer": "quiet-one"}}),
        ):
            assert second.call("PUT", f"/v1/{path}", token=ADMIN, body=body).status == 201
        yield Pair(first, second)


def check(first: Got, second: Got) -> None:
    """Neither shows a name of somebody else, and both are the same but for when they were asked."""
    assert first.status == second.status, (first.text, second.text)
    for got in (first, second):
        for name in NAMES:
            assert name not in got.text, name
    if first.status == 200:
        assert _without_instants(first.json) == _without_instants(second.json)


def _without_instants(value: Any) -> Any:
    """Without instants of loads and mirrors, which are of the test and no customer's."""
    if isinstance(value, dict):
        return {
            key: _without_instants(inner) for key, inner in value.items() if key not in ("as_of", "x_run_id")
        }
    if isinstance(value, list):
        return [_without_instants(inner) for inner in value]
    return value.partition(" as of ")[0] if isinstance(value, str) else value


VALUES = {
    "provider": ["aws", "gcp"], "month": ["2026-10"], "day": ["2026-10-05"], "customer": [MINE], "plan": ["tier_1"],
    "model": ["unknown", "gpt-4o-mini"], "weekday": ["1", "7"], "hour": ["0", "12"], "ai": ["yes"],
}  # fmt: skip
DIMENSIONS = sorted(DIMENSION_TABLE)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    question = draw(st.sampled_from(catalogue()))
    query = [
        ("by", name)
        for name in draw(st.lists(st.sampled_from(question.dimensions or DIMENSIONS), max_size=3))
    ]
    filters = sorted(set(question.filters) & VALUES.keys()) or ["month"]
    names = draw(st.lists(st.sampled_from(filters), max_size=2))
    query += [("where", f"{name}={draw(st.sampled_from(VALUES[name]))}") for name in names]
    if draw(st.booleans()):
        query.append(("basis", draw(st.sampled_from(question.basis))))
    if draw(st.booleans()):
        query += [("since", "2026-09-15"), ("until", "2026-11-01")]
    if draw(st.booleans()):
        query.append(("limit", str(draw(st.integers(1, 5)))))
    return question.id, query


@settings(
    max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(asked=requests())
def test_no_answer_depends_on_anybody_else(pair: Pair, asked: tuple[str, list[tuple[str, str]]]) -> None:
    question, query = asked
    check(*pair.get(f"/v1/answers/{question}", query))


@pytest.mark.parametrize("question", [item.id for item in catalogue()])
def test_every_dimension_of_every_question_shows_one_customer_only(pair: Pair, question: str) -> None:
    item = next(row for row in catalogue() if row.id == question)
    for basis in item.basis:
        for name in ("", *item.dimensions):
            query = [("basis", basis), *([("by", name)] if name else [])]
            got = pair.get(f"/v1/answers/{question}", query)
            check(*got)
            if question not in narrowable():
                assert got[0].status == 403
            elif got[0].status == 200 and name == "customer":
                assert {row["customer"] for row in got[0].json["rows"]} <= {MINE}


@pytest.mark.parametrize("where", ["customer=globex", "customer=untagged", "customer=", "customer=ACME"])
def test_asking_for_somebody_else_is_refused(pair: Pair, where: str) -> None:
    for path in ("/v1/answers/spend", "/v1/charges"):
        for query in ([("where", where)], [("where", f"customer={MINE}"), ("where", where)]):
            first, second = pair.get(path, query)
            assert (first.status, second.status) == (403, 403)


def test_the_total_is_the_plain_sum_of_the_customers_own_lines(pair: Pair) -> None:
    wanted = sum((row["billed_cost"] for row in bills(other=False) if row["x_customer"] == MINE), Decimal(0))
    first, _ = pair.get("/v1/answers/spend")
    assert Decimal(first.json["total"]) == wanted


def test_the_lines_are_the_customers_own_on_every_page(pair: Pair) -> None:
    cursor, seen = "", 0
    while True:
        got = pair.get("/v1/charges", [("limit", "7"), *([("cursor", cursor)] if cursor else [])])
        rows = got[0].json["rows"]
        assert {row["x_customer"] for row in rows} == {MINE}
        seen += len(rows)
        for name in NAMES:
            assert name not in got[0].text
        cursor = got[0].json["next_cursor"]
        if not cursor:
            break
    assert seen == sum(row["x_customer"] == MINE for row in bills(other=False))


def test_a_cursor_of_another_token_shows_nothing_of_it(pair: Pair) -> None:
    first = pair.sites[0]
    for owner in (first.token(), first.token("read", "globex")):
        cursor = first.get("/v1/charges", owner, limit=3).json["next_cursor"]
        assert first.get("/v1/charges", pair.tokens[0], limit=3, cursor=cursor).status == 400


@pytest.mark.parametrize(
    "path", ["status", "questions", "customers", "plans", "budgets", "prices?model=secret", "openapi.json"]
)
def test_lists_hold_the_customers_own_entries(pair: Pair, path: str) -> None:
    first, second = pair.get(f"/v1/{path}")
    assert first.status == 200
    check(first, second)


def test_the_lists_are_not_empty_for_their_owner(pair: Pair) -> None:
    ids = {
        noun: [row["id"] for row in pair.get(f"/v1/{noun}")[0].json["rows"]]
        for noun in ("customers", "plans", "budgets")
    }
    assert ids == {"customers": [MINE], "plans": ["tier_1"], "budgets": ["acme-month"]}


@pytest.mark.parametrize(
    "path", ["customers/globex", "plans/tier_2", "budgets/everything", "budgets/globex-month"]
)
def test_what_is_somebody_elses_looks_as_if_it_were_not_there(pair: Pair, path: str) -> None:
    got = pair.sites[0].get(f"/v1/{path}", pair.tokens[0])
    absent = pair.sites[0].get(f"/v1/{path.partition('/')[0]}/nobody", pair.tokens[0])
    assert (got.status, got.json["code"]) == (absent.status, absent.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["runs", "quarantine", "tokens", "audit", "audit/verification"])
def test_what_is_about_everybody_is_refused(pair: Pair, path: str) -> None:
    assert [got.status for got in pair.get(f"/v1/{path}")] == [403, 403]


@pytest.mark.parametrize("scope", ["read", "finance"])
def test_a_bound_token_writes_nothing(pair: Pair, scope: str) -> None:
    token = pair.sites[0].token(scope, MINE)  # type: ignore[arg-type]
    for method, path, body in (
        ("PUT", "customers/acme", {}), ("DELETE", "customers/acme", None), ("PUT", "plans/p", {"price_usd": "1"}),
        ("PUT", "budgets/acme-month", {"calls": 1}), ("POST", "tokens", {}), ("POST", "loads", {}),
        ("POST", "sample", {}), ("POST", "exports", {}),
    ):  # fmt: skip
        assert pair.sites[0].call(method, f"/v1/{path}", token=token, body=body).status == 403, path


def test_the_test_would_see_a_leak(pair: Pair) -> None:
    """With tokens that are not bound the same comparison fails, so it can fail."""
    first, second = (item.get("/v1/answers/spend", item.token()) for item in pair.sites)
    assert first.json["total"] != second.json["total"]
