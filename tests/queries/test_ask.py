"""Answers against an independent oracle, and what an answer says about itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import bills
import oracle_of_bills as oracle
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from costweir.domain.answer import Answer
from costweir.errors import UsageError
from costweir.queries.ask import ask
from costweir.queries.question import catalogue
from costweir.queries.request import Request
from costweir.store.engines.duckdb import DuckDBWarehouse
from costweir.store.warehouse import Slot

APPROVED = {"acme": {"gpt-4o-mini"}, "globex": {"claude-sonnet-4-6"}}
#: No source of these tests is late unless a test is about that.
PATIENT = dict.fromkeys(("aws-cur2", "gcp-export", "azure-export"), timedelta(days=365))
PLAIN = [
    q
    for q in catalogue()
    if q.basis[0] == "billed"
    and q.id not in {"budgets", "margin", "reconcile", "data_health", "charges", "restatements"}
]


def open_store() -> DuckDBWarehouse:
    store = DuckDBWarehouse.open(Path(":memory:"))
    store.migrate()
    bills.refer(store)
    return store


@pytest.fixture
def store() -> Iterator[DuckDBWarehouse]:
    opened = open_store()
    yield opened
    opened.close()


def to_ask(store: DuckDBWarehouse, question: str, *by: str, **given: Any) -> Answer:
    today = given.pop("today", bills.TODAY)
    lags = given.pop("lags", PATIENT)
    return ask(store, Request(question, by=by, **given), today=today, lags=lags)


def amounts(answer: Answer) -> Decimal:
    return sum((Decimal(str(row[f"{answer.basis}_cost"])) for row in answer.rows), Decimal(0))


MONEY = st.decimals(-(10**6), 10**9, places=18, allow_nan=False)
#: A bill in US dollars always has its rate; one in euros may wait for it.
MONIES = st.sampled_from([("USD", Decimal(1)), ("USD", Decimal(1)), ("EUR", Decimal(1)), ("EUR", None)])


@st.composite
def bill_lines(draw: st.DrawFn) -> dict[str, Any]:
    currency, rate = draw(MONIES)
    return bills.line(
        cost=draw(MONEY),
        rate=rate,
        billing_currency=currency,
        usage_date=draw(st.dates(date(2026, 9, 28), date(2026, 10, 5))),
        usage_hour=draw(st.integers(0, 23)),
        x_provider=draw(st.sampled_from(["aws", "gcp"])),
        x_account=draw(st.sampled_from(["1", "2"])),
        x_model=draw(st.sampled_from(["claude-sonnet-4-6", "gpt-4o-mini", "unknown"])),
        x_token_class=draw(st.sampled_from(["input", "output", "cache_read", "image"])),
        x_tokens=draw(st.none() | st.integers(0, 10**9).map(Decimal)),
        x_customer=draw(st.sampled_from(["acme", "globex", "initech", "untagged"])),
        x_project=draw(st.sampled_from(["search", "untagged"])),
        x_feature=draw(st.sampled_from(["chat", "untagged"])),
        x_tier=draw(st.sampled_from(["batch", None])),
        x_is_ai=draw(st.booleans()),
        region_id=draw(st.sampled_from(["eu-west-1", None])),
        charge_category=draw(st.sampled_from(["Usage", "Credit", "Tax"])),
    )


ROWS = st.lists(bill_lines(), max_size=25)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)  # fmt: skip
@given(rows=ROWS, data=st.data())
def test_children_add_up_to_what_the_lines_say(
    rows: list[dict[str, Any]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = open_store()
    bills.store(store, tmp_path_factory.mktemp("staged"), rows)
    for _ in range(6):
        question = data.draw(st.sampled_from(PLAIN))
        basis = data.draw(
            st.sampled_from([name for name in question.basis if name in {"billed", "effective"}])
        )
        known = [name for name in question.dimensions if name in oracle.MEMBERS]
        by = data.draw(st.lists(st.sampled_from(known), unique=True, min_size=1, max_size=4))
        filters = [name for name in question.filters if name in oracle.MEMBERS]
        names = data.draw(st.lists(st.sampled_from(filters), unique=True, max_size=2))
        where = {name: tuple({str(oracle.MEMBERS[name](row)) for row in rows[:2]}) for name in names if rows}
        since = data.draw(st.none() | st.dates(date(2026, 9, 27), date(2026, 10, 3)))
        until = None if since is None else since + timedelta(days=data.draw(st.integers(1, 9)))
        limit = data.draw(st.none() | st.integers(1, 4))
        request = Request(question.id, tuple(by), where, since, until, limit, basis)
        found = ask(store, request, today=bills.TODAY, lags=PATIENT)
        wanted = oracle.answer(
            rows,
            question=question.id,
            by=by,
            where=where,
            days=(since, until),
            basis=basis,
            approved=APPROVED,
        )
        assert_same(found, wanted, by, limit)
    store.close()


def assert_same(found: Answer, wanted: Any, by: list[str], limit: int | None) -> None:
    assert found.currency == wanted.currency
    assert Decimal(found.total) == wanted.total
    assert amounts(found) + Decimal(found.other) == Decimal(found.total)
    costs = {tuple(row[name] for name in by): Decimal(str(row[f"{found.basis}_cost"])) for row in found.rows}
    if limit is None:
        assert costs == wanted.costs
        assert found.other == "0.00"
    else:
        assert len(costs) == min(limit, len(wanted.costs))
        assert all(wanted.costs[key] == cost for key, cost in costs.items())
        assert sorted(costs.values(), reverse=True) == sorted(wanted.costs.values(), reverse=True)[:limit]
    left_out = {
        item.currency: (Decimal(item.amount), item.rows)
        for item in found.excluded
        if item.reason == "no_rate"
    }
    assert left_out == wanted.left_out
    assert found.complete is (not wanted.left_out)
    for row in found.rows:
        members = wanted.groups[tuple(row[name] for name in by)]
        tokens = sum((line["x_tokens"] or Decimal(0) for line in members), Decimal(0))
        assert "lines" not in row or row["lines"] == len(members)
        assert "tokens" not in row or Decimal(str(row["tokens"])) == tokens
        assert "active_days" not in row or row["active_days"] == len({line["usage_date"] for line in members})


def test_a_price_per_thousand_tokens_counts_only_lines_that_have_tokens(
    store: DuckDBWarehouse, tmp_path: Path
) -> None:
    bills.store(store, tmp_path, [
        bills.line(cost="3", x_tokens=Decimal(1_000_000)), bills.line(cost="40", x_tokens=None, x_token_class="image"),
        bills.line(cost="9", x_model="tiny", x_tokens=Decimal(999)),
    ])  # fmt: skip
    rows = to_ask(store, "unit_cost", "model").rows
    assert [(row["model"], row["billed_cost"], row["cost_per_1k_tokens"]) for row in rows] == [
        ("claude-sonnet-4-6", "43.00", "0.003"), ("tiny", "9.00", None),
    ]  # fmt: skip


def test_models_split_their_cost_into_input_output_and_cache(store: DuckDBWarehouse, tmp_path: Path) -> None:
    costs = {"input": "1", "output": "2", "cache_read": "4", "cache_write": "8", "image": "16"}
    bills.store(store, tmp_path, [
        bills.line(cost=cost, x_token_class=name, x_tokens=None if name == "image" else Decimal(2000))
        for name, cost in costs.items()
    ])  # fmt: skip
    (row,) = to_ask(store, "models").rows
    parts = (
        "input_cost",
        "output_cost",
        "cache_read_cost",
        "cache_write_cost",
        "other_cost",
        "token_cost",
        "billed_cost",
    )
    assert [row[name] for name in parts] == ["1.00", "2.00", "4.00", "8.00", "16.00", "15.00", "31.00"]
    assert row["output_cost_per_1k_tokens"] == "1"


def test_bills_in_one_currency_without_a_rate_are_answered_in_it(
    store: DuckDBWarehouse, tmp_path: Path
) -> None:
    bills.store(store, tmp_path, [bills.line(cost="7", billing_currency="EUR", rate=None)])
    answer = to_ask(store, "spend", "customer")
    assert (answer.currency, answer.total, answer.complete) == ("EUR", "7.00", True)


def test_money_without_a_rate_is_left_out_and_named(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(
        store, tmp_path, [bills.line(cost="1"), bills.line(cost="7", billing_currency="EUR", rate=None)]
    )
    answer = to_ask(store, "spend")
    assert (answer.currency, answer.total, answer.complete) == ("USD", "1.00", False)
    assert [(item.reason, item.amount, item.currency, item.rows) for item in answer.excluded] == [
        ("no_rate", "7.00", "EUR", 1)
    ]
    euros = to_ask(store, "spend", currency="eur")
    assert (euros.currency, euros.total) == ("EUR", "7.00")
    assert [(item.reason, item.amount, item.currency) for item in euros.excluded] == [
        ("other_currency", "1.00", "USD")
    ]


def test_a_line_without_a_list_cost_is_counted_as_left_out(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [bills.line(cost="1"), bills.line(cost="2", list_cost=None)])
    answer = to_ask(store, "spend", basis="list")
    assert (answer.total, answer.complete) == ("1.00", False)
    assert [(item.reason, item.rows) for item in answer.excluded] == [("no_list_cost", 1)]


def test_credits_are_in_the_currency_of_the_answer(store: DuckDBWarehouse, tmp_path: Path) -> None:
    euros = bills.line(cost="4", rate=Decimal("1.5"), billing_currency="EUR", x_credit_cost=Decimal(-2))
    bills.store(store, tmp_path, [euros, bills.line(cost="1", x_credit_cost=Decimal("-0.5"))])
    (row,) = to_ask(store, "credits").rows
    assert (row["billed_cost"], row["credit_cost"], row["before_credits_cost"]) == ("7.00", "-3.50", "10.50")
    (row,) = to_ask(store, "credits", currency="EUR").rows
    assert (row["billed_cost"], row["credit_cost"]) == ("4.00", "-2.00")


def test_untagged_is_a_row(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [bills.line(cost="1"), bills.line(cost="3", x_customer="untagged")])
    rows = to_ask(store, "spend", "customer").rows
    assert [(row["customer"], row["share"]) for row in rows] == [("untagged", "0.75"), ("acme", "0.25")]


def test_values_that_nobody_has_give_an_empty_answer(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [bills.line()])
    answer = to_ask(store, "spend", "model", where={"customer": ("'; DROP TABLE charges --",)})
    assert (answer.rows, answer.total, answer.other) == ((), "0.00", "0.00")
    assert to_ask(store, "spend").total == "1.00"


@pytest.mark.parametrize("question", catalogue(), ids=lambda question: question.id)
def test_an_empty_store_gives_an_empty_answer(question: Any) -> None:
    store = DuckDBWarehouse.open(Path(":memory:"))
    store.migrate()
    answer = to_ask(store, question.id)
    assert (answer.rows, answer.total, answer.other, answer.complete) == ((), "0.00", "0.00", True)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"question": "spent"}, "Did you mean spend"),
        ({"question": "spend", "by": ("modle",)}, "Did you mean model"),
        ({"question": "spend", "where": {"custmer": ("a",)}}, "Did you mean customer"),
        ({"question": "spend", "by": ("session",)}, "sessions"),
        ({"question": "spend", "by": ("key",)}, "metered"),
        ({"question": "spend", "by": ("token_class",), "basis": "metered"}, "billed"),
        ({"question": "sessions", "basis": "billed"}, "metered"),
        ({"question": "spend", "where": {"day": ("yesterday",)}}, "day=2026-10-01"),
        ({"question": "spend", "where": {"month": ("2026-13",)}}, "month=2026-10"),
        ({"question": "spend", "where": {"hour": ("noon",)}}, "hour=7"),
        ({"question": "spend", "limit": 0}, "1 or more"),
        ({"question": "spend", "since": date(2026, 10, 2), "until": date(2026, 10, 2)}, "exclusive"),
    ],
)
def test_a_request_that_cannot_be_meant_says_what_can(
    store: DuckDBWarehouse, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ask(store, Request(**given), today=bills.TODAY)
    assert sentence in caught.value.hint


def test_where_takes_days_and_months(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [bills.line(cost="1", usage_date=date(2026, 9, 30)), bills.line(cost="2")])
    assert to_ask(store, "spend", where={"month": ("2026-09",)}).total == "1.00"
    assert to_ask(store, "spend", where={"day": ("2026-10-05", "2026-10-06")}).total == "2.00"


def test_metered_is_the_default_only_where_nothing_is_billed(store: DuckDBWarehouse, tmp_path: Path) -> None:
    store.append([bills.call(number) for number in range(4)])
    answer = to_ask(store, "spend", "session")
    assert (answer.basis, answer.total, len(answer.rows)) == ("metered", "1.00", 3)
    bills.store(store, tmp_path, [bills.line()])
    assert to_ask(store, "spend").basis == "billed"
    assert to_ask(store, "sessions", "session", "key").total == "1.00"


def test_a_call_without_a_price_is_unpriced_and_not_zero(store: DuckDBWarehouse) -> None:
    store.append([bills.call(1), bills.call(2, settled_usd=None)])
    answer = to_ask(store, "sessions")
    assert (answer.total, answer.complete) == ("0.25", False)
    assert [(item.reason, item.rows) for item in answer.excluded] == [("unpriced", 1)]


def test_a_late_source_makes_an_answer_incomplete_unless_its_days_are_not_asked_for(
    store: DuckDBWarehouse, tmp_path: Path
) -> None:
    bills.store(store, tmp_path, [bills.line(usage_date=date(2026, 11, 16))])
    late = to_ask(store, "spend", lags=None)
    assert late.complete_to == {"aws-cur2": "2026-11-17"}
    assert late.as_of == {"aws-cur2": "2026-11-19T06:00:00Z"}
    assert not late.complete
    assert any("stated lag is 48 hours" in note for note in late.notes)
    assert to_ask(store, "spend", until=date(2026, 11, 17), lags=None).complete
    assert to_ask(store, "spend", today=date(2026, 11, 19), lags=None).complete
    assert ask(store, Request("spend"), today=bills.TODAY, lags={"aws-cur2": timedelta(days=9)}).complete
    assert to_ask(store, "spend", where={"provider": ("gcp",)}, lags=None).complete


def test_an_old_bill_is_history_and_not_a_source_that_stopped(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [bills.line(usage_date=date(2025, 6, 10))])
    answer = to_ask(store, "spend", lags=None)
    assert answer.complete_to == {"aws-cur2": "2025-06-11"}
    assert answer.complete


def test_a_source_that_stopped_is_late_although_its_last_month_is_still_restated(
    store: DuckDBWarehouse, tmp_path: Path
) -> None:
    # August came in time; September stops on the 20th and was written anew for the last time in the middle of October.
    august = bills.line(usage_date=date(2026, 8, 31))
    september = bills.line(usage_date=date(2026, 9, 20))
    bills.store(store, tmp_path, [august], loaded_at=datetime(2026, 9, 4, tzinfo=UTC))
    bills.store(store, tmp_path, [september], loaded_at=datetime(2026, 10, 15, tzinfo=UTC))
    answer = to_ask(store, "spend", lags=None)
    assert (answer.complete_to, answer.complete) == ({"aws-cur2": "2026-09-21"}, False)

    # The same two months, read in once and for all, are history.
    bills.store(store, tmp_path, [august], loaded_at=datetime(2026, 10, 15, tzinfo=UTC))
    assert to_ask(store, "spend", lags=None).complete


def test_the_old_bill_of_another_account_is_not_waited_for(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [
        bills.line(usage_date=date(2026, 11, 18)), bills.line(usage_date=date(2026, 10, 31), x_account="2"),
    ], loaded_at=datetime(2026, 11, 19, tzinfo=UTC))  # fmt: skip
    assert to_ask(store, "spend", lags=None).complete


def test_a_reader_that_another_one_took_over_from_is_not_waited_for(
    store: DuckDBWarehouse, tmp_path: Path
) -> None:
    old = bills.line(usage_date=date(2025, 12, 31), x_source="aws-cur")
    bills.store(store, tmp_path, [old, bills.line(usage_date=date(2026, 11, 19))])
    answer = to_ask(store, "spend", lags=None)
    assert answer.complete_to == {"aws-cur2": "2026-11-20"}
    assert list(answer.as_of) == ["aws-cur2"]
    assert answer.complete
    health = to_ask(store, "data_health", lags=None)
    assert [(row["source"], row["complete_to"], row["late"]) for row in health.rows] == [
        ("aws-cur", "2026-01-01", False), ("aws-cur2", "2026-11-20", False),
    ]  # fmt: skip
    history = to_ask(store, "spend", where={"source": ("aws-cur",)}, lags=None)
    assert (history.complete_to, history.complete) == ({"aws-cur": "2026-01-01"}, True)


def test_a_reader_is_waited_for_in_the_accounts_it_still_delivers(
    store: DuckDBWarehouse, tmp_path: Path
) -> None:
    bills.store(store, tmp_path, [
        bills.line(usage_date=date(2026, 9, 30), x_source="aws-cur"),
        bills.line(usage_date=date(2026, 11, 19)),
        bills.line(usage_date=date(2026, 11, 12), x_source="aws-cur", x_account="2"),
    ])  # fmt: skip
    answer = to_ask(store, "spend", lags=None)
    assert answer.complete_to == {"aws-cur": "2026-11-13", "aws-cur2": "2026-11-20"}
    assert not answer.complete


def test_a_sample_is_never_late_and_says_what_it_is(store: DuckDBWarehouse, tmp_path: Path) -> None:
    bills.store(store, tmp_path, [bills.line()], sample=True)
    answer = to_ask(store, "spend", lags=None)
    assert answer.complete
    assert "This is sample data." in answer.notes


def test_a_day_of_an_open_invoice_is_noted_and_does_not_make_an_answer_incomplete(
    store: DuckDBWarehouse, tmp_path: Path
) -> None:
    bills.store(store, tmp_path, [bills.line(usage_date=date(2026, 11, 19))])
    answer = to_ask(store, "spend")
    assert answer.complete
    assert any("may be restated" in note for note in answer.notes)
    assert not any(
        "may be restated" in note for note in to_ask(store, "spend", until=date(2026, 11, 1)).notes
    )


def test_quarantined_lines_in_scope_make_an_answer_incomplete(store: DuckDBWarehouse, tmp_path: Path) -> None:
    rows = [bills.line()]
    broken = bills.stage_quarantine(tmp_path / "q.parquet", [("a.csv", 1, "no amount", "x")])
    load = bills.load_of(Slot("aws", "1", "2026-10"), rows, rows_in=2, rows_quarantined=1, sample=True)
    store.replace(load, charges=bills.stage(tmp_path / "c.parquet", rows), quarantine=broken)
    answer = to_ask(store, "spend")
    assert not answer.complete
    assert [(item.reason, item.rows) for item in answer.excluded] == [("quarantined", 1)]
    assert to_ask(store, "spend", since=date(2026, 11, 1)).complete
    assert to_ask(store, "spend", where={"provider": ("gcp",)}).complete


def test_the_query_id_is_stable_and_tells_questions_apart(store: DuckDBWarehouse) -> None:
    first = to_ask(store, "spend", "model", where={"provider": ("aws", "gcp")}).query_id
    assert first == to_ask(store, "spend", "model", where={"provider": ("gcp", "aws")}).query_id
    others = {to_ask(store, "spend", "provider").query_id, to_ask(store, "tokens", "model").query_id, first}
    assert len(others) == 3


def test_the_link_leads_to_the_same_question(store: DuckDBWarehouse) -> None:
    answer = to_ask(
        store, "spend", "day", where={"model": ("a&b",)}, since=date(2026, 10, 1), until=date(2026, 11, 1)
    )
    link = urlsplit(answer.link)
    assert link.path == "/explore"
    assert parse_qs(link.query) == {
        "question": ["spend"], "by": ["day"], "where": ["model=a&b"], "from": ["2026-10-01"], "to": ["2026-10-31"],
    }  # fmt: skip
