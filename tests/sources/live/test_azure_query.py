"""A pull of Azure Cost Management is exactly the bill behind it, whatever the service does meanwhile, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.live.azure_double import ENTITY, QPU, TENANT, AzureDouble, Use, serving

from costweir.errors import ConfigError, NotAllowed, SourceRejected, Unreachable
from costweir.sources.live.azure_query import AzureQuery
from costweir.sources.live.source import Window

SCOPE = "/subscriptions/7E1F0C52-9b0a-4d7c-8a55-0a2f4d1c9e01"
TODAY = date(2026, 11, 5)
OCTOBER = Window(date(2026, 10, 28), date(2026, 11, 1))
GPT5 = "Azure OpenAI GPT5"


def bill() -> list[Use]:
    """Two months: model meters of three products, one of them in two sizes, and a virtual machine."""
    uses: list[Use] = []
    for day in (date(2026, 10, 1) + timedelta(days=number) for number in range(35)):
        share = Decimal(day.day) / 8
        uses += [
            Use(day, "Azure OpenAI", "gpt 4.1 mini Inp glbl Tokens", "1K", 1000 * share, Decimal("0.40") * share,
                customer="acme"),
            Use(day, "Azure OpenAI", "gpt 4.1 mini Inp glbl Tokens", "1K", 500 * share, Decimal("0.20") * share),
            Use(day, GPT5, "5.4 opt Dz 1M Tokens", "1M", share, Decimal("12.345678901234567") * share,
                customer="globex"),
            Use(day, "Dv5 Series", "D4 v5", "1 Hour", Decimal(24), Decimal("4.608"), category="Virtual Machines"),
        ]  # fmt: skip
    return uses


@pytest.fixture
def azure() -> Iterator[AzureDouble]:
    with serving(AzureDouble(bill())) as double:
        yield double


class Waits:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, wait: timedelta) -> None:
        self.seconds.append(wait.total_seconds())


def source(azure: AzureDouble, **options: Any) -> AzureQuery:
    given: dict[str, Any] = {"sleep": Waits(), "today": lambda: TODAY, "endpoint": azure.url, **options}
    return AzureQuery("azure-main", given.pop("scope", SCOPE), given.pop("token", lambda: "good"), **given)


def quiet(_text: str, _done: int, _all: int) -> None:
    pass


def lines_of(files: tuple[Path, ...]) -> list[dict[str, str]]:
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def test_a_pull_is_the_bill_to_the_last_digit(azure: AzureDouble, tmp_path: Path, stager: Any) -> None:
    fetched = source(azure).fetch(Window(date(2026, 10, 28), date(2026, 11, 3)), into=tmp_path, report=quiet)
    expected = azure.total(date(2026, 10, 1), TODAY)
    assert fetched.window == Window(date(2026, 10, 1), date(2026, 11, 6))
    assert fetched.provider_total == expected
    assert sum(Decimal(line["Cost"]) for line in lines_of(fetched.files)) == expected
    staged = stager(*fetched.files, source=fetched.reader, all_services=True)
    charges = stager.charges(staged)
    assert sum(row["billed_cost"] for row in charges) == expected
    assert not stager.quarantine(staged)
    assert {(s.load.slot.provider, s.load.slot.account, s.load.slot.period) for s in staged.slots} == {
        ("azure", SCOPE.rpartition("/")[2].lower(), "2026-10"),
        ("azure", SCOPE.rpartition("/")[2].lower(), "2026-11"),
    }


def test_tokens_and_models_come_from_the_meter_its_product_and_its_unit(
    azure: AzureDouble, tmp_path: Path, stager: Any
) -> None:
    fetched = source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)
    charges = stager.charges(stager(*fetched.files, source="azure-query"))
    first = {row["sku_meter"]: row for row in charges if row["usage_date"] == date(2026, 10, 8)}
    assert {meter: (row["x_model"], row["x_direction"], row["x_tokens"]) for meter, row in first.items()} == {
        "gpt 4.1 mini Inp glbl Tokens": ("gpt-4.1-mini", "input", Decimal(1_500_000)),
        "5.4 opt Dz 1M Tokens": ("gpt-5.4", "output", Decimal(1_000_000)),
    }
    assert {row["x_line_type"] for row in charges} == {"ActualCost"}
    assert {row["x_source"] for row in charges} == {"azure-query"}


def test_every_request_keeps_to_the_limits_and_a_month_is_asked_for_as_a_whole(
    azure: AzureDouble, tmp_path: Path
) -> None:
    source(azure).fetch(Window(date(2026, 10, 28), date(2026, 11, 3)), into=tmp_path, report=quiet)
    daily = [body["timePeriod"] for body in azure.requests if body["dataset"]["granularity"] == "Daily"]
    assert daily == [
        {"from": "2026-10-01T00:00:00Z", "to": "2026-10-31T23:59:59Z"},
        {"from": "2026-11-01T00:00:00Z", "to": "2026-11-05T23:59:59Z"},
    ]
    assert [azure.refusal(body) for body in azure.requests] == [""] * 4
    assert all(SCOPE in url for url in azure.urls)


def test_an_enterprise_agreement_that_refuses_units_still_gives_costs_and_a_total(
    tmp_path: Path, stager: Any
) -> None:
    with serving(AzureDouble(bill(), agreement="ea")) as azure:
        fetched = source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)
        expected = azure.total(date(2026, 10, 1), date(2026, 10, 31))
    assert fetched.provider_total == expected
    charges = stager.charges(stager(*fetched.files, source="azure-query", all_services=True))
    assert sum(row["billed_cost"] for row in charges) == expected
    tokens = {row["sku_meter"]: row["x_tokens"] for row in charges if row["usage_date"] == date(2026, 10, 8)}
    assert tokens["5.4 opt Dz 1M Tokens"] == 1_000_000
    assert tokens["gpt 4.1 mini Inp glbl Tokens"] is None, "a unit that nobody named is not guessed"


def test_pages_and_columns_in_another_order_change_nothing(tmp_path: Path) -> None:
    with serving(AzureDouble(bill(), page_size=7, shuffled=True)) as azure:
        fetched = source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)
        assert len(azure.requests) > 10
        assert fetched.provider_total == azure.total(date(2026, 10, 1), date(2026, 10, 31))
    assert sum(Decimal(line["Cost"]) for line in lines_of(fetched.files)) == fetched.provider_total


def test_a_customer_tag_gives_lines_a_customer_and_keeps_their_model(
    azure: AzureDouble, tmp_path: Path, stager: Any
) -> None:
    fetched = source(azure, customer_tag="customer_id").fetch(OCTOBER, into=tmp_path, report=quiet)
    charges = stager.charges(stager(*fetched.files, source="azure-query", all_services=True))
    assert sum(row["billed_cost"] for row in charges) == fetched.provider_total
    seen = {(row["x_customer"], row["x_model"]) for row in charges if row["x_is_ai"]}
    assert seen == {("acme", "gpt-4.1-mini"), ("globex", "gpt-5.4"), ("untagged", "gpt-4.1-mini")}


def test_another_currency_gets_azures_own_rate_of_its_month(tmp_path: Path, stager: Any) -> None:
    euros = [
        Use(date(2026, 10, 3), GPT5, "5.4 opt Dz 1M Tokens", "1M", Decimal(1), Decimal("10.00"), currency="EUR",
            usd=Decimal("11.60")),
        Use(date(2026, 11, 3), GPT5, "5.4 opt Dz 1M Tokens", "1M", Decimal(1), Decimal("10.00"), currency="EUR",
            usd=Decimal("12.50")),
    ]  # fmt: skip
    with serving(AzureDouble(euros)) as azure:
        fetched = source(azure).fetch(
            Window(date(2026, 10, 1), date(2026, 11, 5)), into=tmp_path, report=quiet
        )
    assert (fetched.currency, fetched.provider_total) == ("EUR", Decimal("20.00"))
    charges = stager.charges(stager(*fetched.files, source="azure-query"))
    assert [row["x_billed_usd"] for row in charges] == [Decimal("11.60"), Decimal("12.50")]


def test_two_currencies_have_no_one_total_and_it_is_said(tmp_path: Path) -> None:
    uses = [
        Use(date(2026, 10, 3), GPT5, "5.4 opt Dz 1M Tokens", "1M", Decimal(1), Decimal(3), currency=currency)
        for currency in ("EUR", "USD")
    ]
    with serving(AzureDouble(uses)) as azure:
        fetched = source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert fetched.provider_total is None
    assert any("2 currencies" in note for note in fetched.notes)


def test_restated_days_replace_what_was_read_before(azure: AzureDouble, tmp_path: Path) -> None:
    asked = source(azure)
    first = asked.fetch(OCTOBER, into=tmp_path / "first", report=quiet)
    azure.bill.append(Use(date(2026, 10, 2), GPT5, "5.4 opt Dz 1M Tokens", "1M", Decimal(1), Decimal("-3.5")))
    again = asked.fetch(OCTOBER, into=tmp_path / "again", report=quiet)
    assert first.provider_total is not None
    assert again.provider_total == first.provider_total - Decimal("3.5")
    assert sum(Decimal(line["Cost"]) for line in lines_of(again.files)) == again.provider_total


def test_a_storm_of_429_is_waited_out_by_the_largest_header(azure: AzureDouble, tmp_path: Path) -> None:
    azure.trouble = [
        (429, {QPU: "5", ENTITY: "31", TENANT: "17"}),
        (429, {QPU: "2", "Retry-After": "90"}),
        (429, {TENANT: "00:01:30"}),
        (503, {}),
        "half",
    ]
    waits, said = Waits(), list[str]()
    fetched = source(azure, sleep=waits).fetch(
        OCTOBER, into=tmp_path, report=lambda text, *_: said.append(text)
    )
    assert waits.seconds[:3] == [31, 90, 90]
    assert len(waits.seconds) == 5
    assert "waiting 31 s, as Azure asks" in said
    assert fetched.provider_total == azure.total(date(2026, 10, 1), date(2026, 10, 31))


def test_throttling_that_does_not_end_is_transient_and_leaves_no_file(
    azure: AzureDouble, tmp_path: Path
) -> None:
    azure.trouble = [(429, {ENTITY: "60"})] * 50
    with pytest.raises(Unreachable, match="did not answer"):
        source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert not list(tmp_path.iterdir())


def test_a_wait_of_an_hour_is_left_to_the_next_run(azure: AzureDouble, tmp_path: Path) -> None:
    azure.trouble = [(429, {TENANT: "3600"})]
    waits = Waits()
    with pytest.raises(Unreachable, match="wait 60 minutes"):
        source(azure, sleep=waits).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert not waits.seconds


@pytest.mark.parametrize("status", [401, 403, 404])
def test_credentials_that_may_not_are_not_tried_again(
    azure: AzureDouble, tmp_path: Path, status: int
) -> None:
    azure.trouble = [(status, {})]
    with pytest.raises(NotAllowed):
        source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert len(azure.requests) == 1


def test_a_token_that_expires_on_the_way_leaves_no_half_month(azure: AzureDouble, tmp_path: Path) -> None:
    azure.page_size = 10
    answers = iter(["good"] * 9)
    with pytest.raises(NotAllowed, match="does not accept the token"):
        source(azure, token=lambda: next(answers, "stale")).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert not list(tmp_path.iterdir())


def test_a_fetch_that_is_killed_leaves_no_file_with_a_bills_name(azure: AzureDouble, tmp_path: Path) -> None:
    azure.page_size = 10
    count = iter(range(100))

    def token() -> str:
        if next(count) == 8:
            raise KeyboardInterrupt
        return "good"

    with pytest.raises(KeyboardInterrupt):
        source(azure, token=token).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize("name", ["Cost", "UsageDate", "Currency", "Meter"])
def test_a_renamed_column_is_named(azure: AzureDouble, tmp_path: Path, name: str) -> None:
    azure.rename = {name: "Renamed"}
    with pytest.raises(SourceRejected, match=f"no column {name}"):
        source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert not list(tmp_path.iterdir())


def test_the_old_name_of_the_cost_is_known(azure: AzureDouble, tmp_path: Path) -> None:
    azure.rename = {"Cost": "PreTaxCost", "CostUSD": "PreTaxCostUSD"}
    fetched = source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert fetched.provider_total == azure.total(date(2026, 10, 1), date(2026, 10, 31))


def test_days_that_were_not_asked_for_are_refused(azure: AzureDouble, tmp_path: Path) -> None:
    azure.shift_days = -10_000
    with pytest.raises(SourceRejected, match="was asked for 2026-10-01 to 2026-10-31 and answered for 2025"):
        source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)


def test_the_token_is_not_sent_to_another_host(azure: AzureDouble, tmp_path: Path) -> None:
    azure.page_size, azure.next_host = 5, "https://elsewhere.example"
    with pytest.raises(SourceRejected, match=r"elsewhere\.example"):
        source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)
    with pytest.raises(ConfigError, match="https://"):
        source(azure, endpoint="http://management.example").fetch(OCTOBER, into=tmp_path, report=quiet)


def test_a_redirect_is_not_followed(azure: AzureDouble, tmp_path: Path) -> None:
    azure.trouble = [(307, {"Location": "https://elsewhere.example/"})]
    with pytest.raises(SourceRejected, match="status 307"):
        source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)


def test_pages_in_a_circle_end(azure: AzureDouble, tmp_path: Path) -> None:
    azure.endless = True
    with pytest.raises(SourceRejected, match="circle"):
        source(azure).fetch(OCTOBER, into=tmp_path, report=quiet)


def test_more_requests_than_allowed_are_refused(azure: AzureDouble, tmp_path: Path) -> None:
    azure.page_size = 5
    with pytest.raises(SourceRejected, match="more than 6 requests"):
        source(azure, max_pages=6).fetch(OCTOBER, into=tmp_path, report=quiet)


def test_a_month_without_cost_has_no_file(azure: AzureDouble, tmp_path: Path) -> None:
    fetched = source(azure).fetch(Window(date(2026, 8, 1), date(2026, 9, 1)), into=tmp_path, report=quiet)
    assert fetched.files == ()
    assert not list(tmp_path.iterdir())


def test_the_account_depends_on_the_scope_so_that_two_scopes_do_not_replace_each_other() -> None:
    from costweir.sources.live.azure_scope import Scope

    accounts = {
        text: Scope.parse(text).account
        for text in (
            SCOPE,
            SCOPE + "/resourceGroups/RG-Acme",
            "providers/Microsoft.Billing/billingAccounts/81234567",
            "/providers/Microsoft.Billing/billingAccounts/81234567/billingProfiles/AB-CD",
            "/providers/Microsoft.Management/managementGroups/ai/",
        )
    }
    assert list(accounts.values()) == [
        "7e1f0c52-9b0a-4d7c-8a55-0a2f4d1c9e01",
        "7e1f0c52-9b0a-4d7c-8a55-0a2f4d1c9e01/rg-acme",
        "81234567",
        "81234567/AB-CD",
        "ai",
    ]
    with pytest.raises(ConfigError, match="not an Azure scope"):
        Scope.parse("7e1f0c52")


def test_check_says_from_when_to_when_and_never_raises(azure: AzureDouble) -> None:
    checked = source(azure).check()
    assert all(finding.ok for finding in checked.findings)
    assert (checked.first_day, checked.last_day) == (date(2026, 10, 1), date(2026, 11, 4))
    assert len(azure.requests) == 2
    azure.token = "another"
    (finding,) = source(azure).check().findings
    assert not finding.ok
    assert "renew" in finding.hint
    (finding,) = source(azure, scope="nonsense").check().findings
    assert not finding.ok


def test_the_policy_names_the_scope_and_one_role(azure: AzureDouble) -> None:
    policy = source(azure).policy()
    assert f"--scopes {SCOPE}" in policy
    assert "Cost Management Reader" in policy
    assert "Contributor" not in policy
    assert source(azure).usual_lag == timedelta(hours=24)
