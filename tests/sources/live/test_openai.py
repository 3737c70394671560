"""OpenAI's costs arrive to the last digit with the tokens that are certain, and the admin key goes nowhere else."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.live.doubles_http import Reply, Waits, serving
from tests.sources.live.doubles_organisation import KEY, OrganisationDouble, failed, openai_cost

from costweir.errors import ConfigError, Error, NotAllowed, SourceRejected, Unreachable
from costweir.sources.live.openai import OpenAI
from costweir.sources.live.source import Window

TODAY = date(2026, 10, 20)
OCTOBER = Window(date(2026, 10, 1), date(2026, 10, 21))
COSTS, COMPLETIONS = "/v1/organization/costs", "/v1/organization/usage/completions"


def completions(model: str, **fields: Any) -> str:
    return json.dumps(
        {"object": "organization.usage.completions.result", "model": model, "project_id": "proj_a", "api_key_id": None,
         "input_tokens": 0, "output_tokens": 0, "input_cached_tokens": 0, "num_model_requests": 1} | fields
    )  # fmt: skip


@pytest.fixture
def double() -> OrganisationDouble:
    double = OrganisationDouble(anthropic=False)
    double.put(COSTS, "2026-10-02",
        openai_cost("gpt-5.5-2026-04-23, input", "1.2345678901234567890123456789012345"),
        openai_cost("gpt-5.5-2026-04-23, cached input", "2e-2"),
        openai_cost("priority | gpt-5.6-sol, output, long context", "7"),
        openai_cost("web search tool calls", "0.03"),
    )  # fmt: skip
    double.put(COSTS, "2026-10-03", openai_cost(
        "gpt-4o-mini-2024-07-18, output", "0.60", project="proj_b", api_key="key_1", quantity=1000,
        quantity_unit="1000_tokens",
    ))  # fmt: skip
    double.put(COMPLETIONS, "2026-10-02",
        completions("gpt-5.5-2026-04-23", input_tokens=1_500_000, input_cached_tokens=500_000),
    )  # fmt: skip
    return double


BILL = Decimal("1.234567890123456789") + Decimal("0.02") + 7 + Decimal("0.03") + Decimal("0.60")


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def address(double: OrganisationDouble) -> Iterator[str]:
    with serving(double.answer) as url:
        yield url


@pytest.fixture
def source(address: str, waits: Waits) -> OpenAI:
    return OpenAI("openai-main", {"OPENAI_ADMIN_KEY": KEY}.get, organization="org-acme", url=address,
                  retry=waits.policy, today=lambda: TODAY)  # fmt: skip


def silent(_step: str, _done: int, _total: int) -> None:
    pass


def rows(files: tuple[Path, ...]) -> list[dict[str, str]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_costs_are_exact_and_add_up_to_the_double_s_bill(source: OpenAI, tmp_path: Path) -> None:
    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert (fetched.reader, fetched.currency, fetched.provider_total) == ("openai", "USD", BILL)
    assert sum(Decimal(row["cost"]) for row in rows(fetched.files)) == BILL
    assert rows(fetched.files)[0]["cost"] == "1.234567890123456789"


def test_rows_are_staged_with_model_class_tokens_and_project(
    source: OpenAI, stager: Any, tmp_path: Path
) -> None:
    fetched = source.fetch(OCTOBER, into=tmp_path / "rows", report=silent)

    staged = stager(*fetched.files)

    load = staged.slots[0].load
    assert (load.slot.provider, load.slot.account, load.slot.period, load.source) == (
        "openai", "org-acme", "2026-10", "openai",
    )  # fmt: skip
    assert (load.rows_in, load.rows_stored, load.file_total) == (5, 5, BILL)
    found = {row["x_usage_type"]: row for row in stager.charges(staged)}
    read = {item: (row["x_model"], row["x_token_class"], row["x_tokens"]) for item, row in found.items()}
    assert read == {
        "gpt-5.5-2026-04-23, input": ("gpt-5.5", "input", 1_000_000),
        "gpt-5.5-2026-04-23, cached input": ("gpt-5.5", "cache_read", 500_000),
        "priority | gpt-5.6-sol, output, long context": ("gpt-5.6-sol", "output", None),
        "web search tool calls": ("unknown", "other", None),
        "gpt-4o-mini-2024-07-18, output": ("gpt-4o-mini", "output", 1_000_000),
    }
    mini = found["gpt-4o-mini-2024-07-18, output"]
    assert (mini["sub_account_id"], mini["x_project"], mini["x_principal"]) == ("proj_b", "proj_b", "key_1")


def test_usage_that_no_line_takes_stays_as_tokens_that_cost_nothing(
    source: OpenAI, double: OrganisationDouble, stager: Any, tmp_path: Path
) -> None:
    double.put(COMPLETIONS, "2026-10-04", completions("gpt-5.5-2026-04-23", output_tokens=77))

    fetched = source.fetch(OCTOBER, into=tmp_path / "rows", report=silent)

    (row,) = [row for row in rows(fetched.files) if row["kind"] == "usage"]
    assert (row["day"], row["line_item"], row["cost"], row["tokens"]) == (
        "2026-10-04", "gpt-5.5-2026-04-23, output", "0", "77",
    )  # fmt: skip
    assert fetched.provider_total == BILL
    assert sum(row["x_tokens"] or 0 for row in stager.charges(stager(*fetched.files))) == 2_500_077


def test_two_lines_that_may_mean_the_same_usage_get_no_tokens(
    source: OpenAI, double: OrganisationDouble, tmp_path: Path
) -> None:
    double.put(COSTS, "2026-10-02", openai_cost("gpt-5.5-2026-04-23, input, long context", "5"))

    found = rows(source.fetch(OCTOBER, into=tmp_path, report=silent).files)

    both = [row for row in found if row["line_item"].startswith("gpt-5.5-2026-04-23, input")]
    assert [(row["kind"], row["tokens"]) for row in both] == [
        ("cost", ""),
        ("cost", ""),
        ("usage", "1000000"),
    ]


def test_usage_of_a_line_that_states_its_quantity_is_not_counted_twice(
    source: OpenAI, double: OrganisationDouble, tmp_path: Path
) -> None:
    double.put(COMPLETIONS, "2026-10-03",
        completions("gpt-4o-mini-2024-07-18", project_id="proj_b", api_key_id="key_1", output_tokens=1_000_000),
    )  # fmt: skip

    found = rows(source.fetch(OCTOBER, into=tmp_path, report=silent).files)

    assert [row["kind"] for row in found] == ["cost"] * 5


def test_each_page_is_asked_for_with_the_same_parameters(
    source: OpenAI, double: OrganisationDouble, tmp_path: Path
) -> None:
    whole = source.fetch(OCTOBER, into=tmp_path / "one", report=silent)
    double.asked.clear()
    double.page = 7

    paged = source.fetch(OCTOBER, into=tmp_path / "many", report=silent)

    assert rows(paged.files) == rows(whole.files)
    assert sum(asked.path == COSTS for asked in double.asked) == 3


def test_whole_months_are_fetched_one_file_each(
    source: OpenAI, double: OrganisationDouble, tmp_path: Path
) -> None:
    double.put(COSTS, "2026-09-01", openai_cost("gpt-5.5-2026-04-23, input", "4"))

    fetched = source.fetch(Window(date(2026, 9, 29), date(2026, 10, 3)), into=tmp_path, report=silent)

    assert [file.name for file in fetched.files] == ["openai-2026-09.jsonl", "openai-2026-10.jsonl"]
    assert fetched.provider_total == BILL + 4


def test_a_month_without_costs_has_no_file(
    source: OpenAI, double: OrganisationDouble, tmp_path: Path
) -> None:
    double.results.clear()

    assert source.fetch(OCTOBER, into=tmp_path, report=silent).files == ()


def test_a_key_that_may_not_read_usage_still_reads_costs(
    source: OpenAI, double: OrganisationDouble, tmp_path: Path
) -> None:
    double.denied.add(COMPLETIONS)

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert fetched.provider_total == BILL
    assert "Usage could not be read" in fetched.notes[0]
    assert [finding.ok for finding in source.check().findings] == [True, False, True]


def test_a_storm_of_429_is_waited_out_as_asked(
    source: OpenAI, double: OrganisationDouble, waits: Waits, tmp_path: Path
) -> None:
    double.storm = [
        failed(429, "slow down", **{"retry-after": "7"}), failed(429, "slow down", **{"retry-after": "9999"}),
        failed(503, "busy"), Reply(status=0), failed(429, "slow down"),
    ]  # fmt: skip

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert fetched.provider_total == BILL
    assert [wait.total_seconds() for wait in waits.slept] == [7, 60, 4, 8, 16]


def test_half_a_page_is_fetched_again(
    source: OpenAI, double: OrganisationDouble, waits: Waits, tmp_path: Path
) -> None:
    body = b'{"object":"page","data":[],"has_more":false,"next_page":null}'
    double.storm = [Reply(body, cut=10)]

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert fetched.provider_total == BILL
    assert len(waits.slept) == 1


def test_a_storm_that_does_not_end_leaves_nothing(
    source: OpenAI, double: OrganisationDouble, tmp_path: Path
) -> None:
    double.storm = [failed(429, "slow down")] * 100

    with pytest.raises(Unreachable, match="OpenAI did not answer in 7 tries: status 429"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert list(tmp_path.iterdir()) == []


def test_the_key_is_in_no_message_no_log_and_no_file(
    address: str, double: OrganisationDouble, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "sk-admin-wrong-CANARY"
    source = OpenAI(
        "openai-main", lambda _name: canary, url=address, today=lambda: TODAY, retry=Waits().policy
    )

    with pytest.raises(NotAllowed) as refused:
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    checked = source.check()
    everything = [
        refused.value.message, refused.value.hint, repr(source), repr(refused.value), repr(checked), caplog.text,
        *capfd.readouterr(), source.policy(), *(asked.path + asked.query for asked in double.asked),
        *(file.read_text() for file in tmp_path.rglob("*")), repr(source._api()),
    ]  # fmt: skip
    assert not any(canary in text for text in everything)
    assert "[key]" in refused.value.hint
    assert {name for asked in double.asked for name, value in asked.headers.items() if canary in value} == {
        "authorization"
    }


def test_the_key_does_not_follow_a_redirect(
    source: OpenAI, double: OrganisationDouble, tmp_path: Path
) -> None:
    elsewhere = OrganisationDouble(anthropic=False)
    with serving(elsewhere.answer) as other:
        double.storm = [Reply(b"", 302, {"location": f"{other}{COSTS}"})]

        with pytest.raises(SourceRejected, match="redirects"):
            source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "url", ["http://api.openai.com", "ftp://api.openai.com", "https://me:you@api.openai.com", "x"]
)
def test_the_key_is_not_sent_over_an_open_line(url: str, tmp_path: Path) -> None:
    source = OpenAI("openai-main", lambda _name: KEY, url=url, today=lambda: TODAY)

    with pytest.raises(ConfigError, match="https://"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)


def test_a_key_that_is_not_set_names_its_variable(tmp_path: Path) -> None:
    source = OpenAI("openai-main", lambda _name: None, key_env="MY_KEY")

    with pytest.raises(ConfigError, match="MY_KEY"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)


@pytest.mark.parametrize(
    ("pattern", "instead", "sentence"),
    [
        ('"data":', '"rows":', "data is missing"),
        ('"has_more":', '"more":', "has_more is missing"),
        ('"has_more":false', '"has_more":true', "next_page is empty"),
        ('"results":', '"lines":', "results is missing"),
        ('"amount":', '"cost":', "amount is missing"),
        ('"value":7', '"value":"seven"', "value is not a number"),
        ('"value":7', '"value":null', "value is not a number"),
        ('"value":7', '"value":true', "value is not a number"),
        ('"currency":"usd"', '"unit":"usd"', "currency is missing"),
        (r'"start_time":(\d+)', '"start_time":1000', "midnight"),
        (r'"start_time":(\d+)', '"start_time":0', "was not asked for"),
        ('"cached input"|, cached input', ", input", "comes twice"),
        ('"line_item":"?[^",]+', '"line_item":{"a":1', "."),
        (r"^\{", "[", "."),
        ('"value":7', '"value":NaN', "no JSON"),
    ],
)
def test_a_changed_schema_is_one_clear_sentence_and_no_file(
    source: OpenAI, double: OrganisationDouble, tmp_path: Path, pattern: str, instead: str, sentence: str
) -> None:
    double.reshape = lambda _path, text: re.sub(pattern, instead, text)

    with pytest.raises(SourceRejected, match=sentence) as refused:
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert refused.value.message.count(". ") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_restated_day_replaces_the_file(source: OpenAI, double: OrganisationDouble, tmp_path: Path) -> None:
    source.fetch(OCTOBER, into=tmp_path, report=silent)
    double.results[COSTS][date(2026, 10, 3)] = [openai_cost("gpt-4o-mini-2024-07-18, output", "0.70")]

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert fetched.provider_total == BILL + Decimal("0.10")
    assert len(list(tmp_path.iterdir())) == 1


def test_connect_says_how_many_lines_and_which_days(source: OpenAI) -> None:
    checked = source.check()

    assert all(finding.ok for finding in checked.findings)
    assert (checked.account, checked.rows) == ("org-acme", 5)
    assert (checked.first_day, checked.last_day) == (date(2026, 10, 2), date(2026, 10, 3))


def test_connect_never_raises(source: OpenAI, double: OrganisationDouble) -> None:
    double.key = "another"

    (finding,) = source.check().findings

    assert not finding.ok
    assert issubclass(NotAllowed, Error)
    assert "refuses the key" in finding.text
