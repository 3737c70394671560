"""Anthropic's costs are cents made dollars exactly, with the tokens that are certain, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.live.doubles_http import Waits, serving
from tests.sources.live.doubles_organisation import (
    KEY,
    OrganisationDouble,
    anthropic_cost,
    anthropic_usage,
    failed,
)

from costweir.errors import NotAllowed, SourceRejected, Unreachable
from costweir.sources.live.anthropic import COSTS, ME, USAGE, Anthropic
from costweir.sources.live.source import Window

TODAY = date(2026, 10, 20)
OCTOBER = Window(date(2026, 10, 1), date(2026, 10, 21))
ORGANISATION = "1f6e8a52-93c4-4d7b-a1e0-5b2c9d8e4f37"


@pytest.fixture
def double() -> OrganisationDouble:
    double = OrganisationDouble(anthropic=True)
    double.put(COSTS, "2026-10-02",
        anthropic_cost("Claude Opus 5 Usage - Input Tokens", "123.78912"),
        anthropic_cost("Claude Opus 5 Usage - Cache Write", "10.000000000000000001", workspace_id="wrkspc_1",
                       token_type="cache_creation.ephemeral_1h_input_tokens", service_tier="batch"),
        anthropic_cost("Web Search Usage", "50", cost_type="web_search", model=None, token_type=None,
                       service_tier=None, context_window=None),
    )  # fmt: skip
    double.put(USAGE, "2026-10-02",
        anthropic_usage(uncached_input_tokens=1500),
        anthropic_usage(workspace_id="wrkspc_1", service_tier="batch",
                        cache_creation={"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 300}),
    )  # fmt: skip
    return double


BILL = Decimal("1.2378912") + Decimal("0.100000000000000000") + Decimal("0.50")


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def source(double: OrganisationDouble, waits: Waits) -> Iterator[Anthropic]:
    with serving(double.answer) as url:
        yield Anthropic(
            "claude", {"ANTHROPIC_ADMIN_KEY": KEY}.get, url=url, retry=waits.policy, today=lambda: TODAY
        )


def silent(_step: str, _done: int, _total: int) -> None:
    pass


def rows(files: tuple[Path, ...]) -> list[dict[str, str]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_cents_become_dollars_exactly(source: Anthropic, tmp_path: Path) -> None:
    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert (fetched.reader, fetched.currency, fetched.provider_total) == ("anthropic", "USD", BILL)
    assert [row["cost"] for row in rows(fetched.files)] == ["1.2378912", "0.1", "0.5"]
    assert fetched.notes == ()


def test_rows_are_staged_with_model_class_tokens_and_workspace(
    source: Anthropic, stager: Any, tmp_path: Path
) -> None:
    fetched = source.fetch(OCTOBER, into=tmp_path / "rows", report=silent)

    staged = stager(*fetched.files)

    load = staged.slots[0].load
    assert (load.slot.provider, load.slot.account, load.slot.period, load.source) == (
        "anthropic", ORGANISATION, "2026-10", "anthropic",
    )  # fmt: skip
    assert (load.rows_in, load.rows_stored, load.file_total) == (3, 3, BILL)
    written, search, plain = sorted(stager.charges(staged), key=lambda row: row["billed_cost"])
    assert (plain["x_model"], plain["x_token_class"], plain["x_tokens"]) == ("claude-opus-5", "input", 1500)
    assert (written["x_token_class"], written["x_cache_ttl"], written["x_tier"], written["x_tokens"]) == (
        "cache_write", "1h", "batch", 300,
    )  # fmt: skip
    assert written["sub_account_id"] == "wrkspc_1"
    assert written["x_usage_type"] == "Claude Opus 5 Usage - Cache Write"
    assert (search["x_operation"], search["x_tokens"]) == ("web_search", None)


@pytest.mark.parametrize(
    ("token_type", "wanted"),
    [
        ("uncached_input_tokens", ("input", "", "")),
        ("output_tokens", ("output", "", "")),
        ("cache_read_input_tokens", ("cache_read", "read", "")),
        ("cache_creation.ephemeral_5m_input_tokens", ("cache_write", "write", "5m")),
        ("cache_creation.ephemeral_1h_input_tokens", ("cache_write", "write", "1h")),
    ],
)
def test_each_token_type_has_its_class(
    source: Anthropic, double: OrganisationDouble, stager: Any, tmp_path: Path, token_type: str, wanted: Any
) -> None:
    double.results = {}
    double.put(COSTS, "2026-10-02", anthropic_cost("Words that may change", "1", token_type=token_type,
                                                   context_window="200k-1M"))  # fmt: skip

    staged = stager(*source.fetch(OCTOBER, into=tmp_path / "rows", report=silent).files)

    (row,) = stager.charges(staged)
    assert (row["x_token_class"], row["x_cache_action"] or "", row["x_cache_ttl"] or "") == wanted
    assert (row["x_model"], row["x_context_band"], row["x_tier"]) == ("claude-opus-5", "long", "standard")


def test_priority_tier_usage_stays_as_tokens_that_cost_nothing(
    source: Anthropic, double: OrganisationDouble, stager: Any, tmp_path: Path
) -> None:
    double.put(USAGE, "2026-10-03", anthropic_usage(output_tokens=900, service_tier="priority"))

    staged = stager(*source.fetch(OCTOBER, into=tmp_path / "rows", report=silent).files)

    (row,) = [row for row in stager.charges(staged) if row["x_tier"] == "priority"]
    assert (row["billed_cost"], row["x_tokens"], row["x_token_class"], row["x_line_type"]) == (
        0,
        900,
        "output",
        "usage",
    )
    assert staged.slots[0].load.file_total == BILL


def test_usage_is_put_to_the_line_of_its_place_and_never_to_another(
    source: Anthropic, double: OrganisationDouble, tmp_path: Path
) -> None:
    double.results = {}
    double.put(COSTS, "2026-10-02", anthropic_cost("here", "1", inference_geo="us"),
               anthropic_cost("anywhere", "2", inference_geo="global"))  # fmt: skip
    double.put(USAGE, "2026-10-02", anthropic_usage(uncached_input_tokens=10, inference_geo="us"))

    found = rows(source.fetch(OCTOBER, into=tmp_path, report=silent).files)

    assert [(row["description"], row["tokens"]) for row in found] == [("here", "10"), ("anywhere", "")]


def test_two_lines_that_may_mean_the_same_usage_get_no_tokens(
    source: Anthropic, double: OrganisationDouble, tmp_path: Path
) -> None:
    double.put(COSTS, "2026-10-02", anthropic_cost("Claude Opus 5 Usage - Input Tokens (fast)", "9"))

    found = rows(source.fetch(OCTOBER, into=tmp_path, report=silent).files)

    inputs = [row for row in found if row["token_type"] == "uncached_input_tokens"]
    assert [(row["kind"], row["tokens"]) for row in inputs] == [("cost", ""), ("cost", ""), ("usage", "1500")]


def test_pages_are_followed_to_the_end(source: Anthropic, double: OrganisationDouble, tmp_path: Path) -> None:
    whole = rows(source.fetch(OCTOBER, into=tmp_path / "one", report=silent).files)
    double.page = 1

    assert rows(source.fetch(OCTOBER, into=tmp_path / "many", report=silent).files) == whole
    assert sum(asked.path == COSTS for asked in double.asked) == 21


def test_days_without_a_bucket_are_said(
    source: Anthropic, double: OrganisationDouble, tmp_path: Path
) -> None:
    def halved(path: str, text: str) -> str:
        if path != COSTS:
            return text
        page = json.loads(text)
        return json.dumps(page | {"data": page["data"][:10]})

    double.reshape = halved

    assert "10 days" in source.fetch(OCTOBER, into=tmp_path, report=silent).notes[0].replace(
        "11 days", "10 days"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace('"amount": "50"', '"amount": 50'), "amount is not a text in cents"),
        (lambda text: text.replace('"amount": "50"', '"amount": "1,5"'), "amount is not a number"),
        (lambda text: text.replace('"currency"', '"money"'), "currency|cents"),
        (lambda text: text.replace("T00:00:00Z", "T01:00:00Z"), "midnight"),
        (lambda text: text.replace('"starting_at"', '"start"'), "starting_at is not an instant"),
        (lambda text: text.replace('"cache_creation"', '"cache"'), "cache_creation is missing"),
    ],
)  # fmt: skip
def test_a_changed_schema_is_one_clear_sentence_and_no_file(
    source: Anthropic, double: OrganisationDouble, tmp_path: Path, change: Any, sentence: str
) -> None:
    double.reshape = lambda _path, text: change(text)

    with pytest.raises(SourceRejected, match=f"Anthropic answered .*({sentence})"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert list(tmp_path.iterdir()) == []


def test_a_storm_in_the_middle_of_the_pages_loses_nothing(
    source: Anthropic, double: OrganisationDouble, waits: Waits, tmp_path: Path
) -> None:
    double.page = 3
    told: list[str] = []

    def stormy(path: str, text: str) -> str:
        told.append(path)
        if len(told) == 3:
            double.storm = [failed(529, "overloaded")] * 3
        return text

    double.reshape = stormy

    assert source.fetch(OCTOBER, into=tmp_path, report=silent).provider_total == BILL
    assert len(waits.slept) == 3


def test_an_expired_key_and_an_outage_leave_the_last_file_as_it_was(
    source: Anthropic, double: OrganisationDouble, tmp_path: Path
) -> None:
    kept = source.fetch(OCTOBER, into=tmp_path, report=silent).files[0].read_bytes()

    double.storm = [failed(500, "down")] * 50
    with pytest.raises(Unreachable):
        source.fetch(OCTOBER, into=tmp_path, report=silent)
    double.storm, double.key = [], "rotated"
    with pytest.raises(NotAllowed, match="refuses the key") as refused:
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert KEY not in refused.value.hint
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [kept]


def test_connect_names_the_organisation_and_reads_only(source: Anthropic, double: OrganisationDouble) -> None:
    checked = source.check()

    assert all(finding.ok for finding in checked.findings)
    assert (checked.account, checked.rows, checked.first_day) == (ORGANISATION, 3, date(2026, 10, 2))
    assert {asked.path for asked in double.asked} == {ME, COSTS}
    double.key = "rotated"
    assert [finding.ok for finding in source.check().findings] == [False]
