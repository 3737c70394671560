"""Cost Explorer is asked as it allows, its bill arrives to the last digit, and what fails is said in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.live.doubles_ce import ACCOUNT, CostExplorerDouble, Spent
from tests.sources.live.doubles_http import Waits, serving

from costweir.errors import ConfigError, NotAllowed, SourceRejected, Unreachable, UsageError
from costweir.sources.live import aws_ce
from costweir.sources.live.aws_calls import Aws
from costweir.sources.live.aws_ce import CostExplorer, day_totals
from costweir.sources.live.source import Window

TODAY = date(2026, 10, 20)
OCTOBER = Window(date(2026, 10, 1), date(2026, 10, 21))
BEDROCK, SERVICE, SONNET = (
    "Amazon Bedrock",
    "Amazon Bedrock Service",
    "Claude Sonnet 4.5 (Amazon Bedrock Edition)",
)


def spent(day: str, service: str, usage_type: str, cost: str, **more: Any) -> Spent:
    return Spent(date.fromisoformat(day), service, usage_type, Decimal(cost), **more)


BILL = [
    spent("2026-10-02", BEDROCK, "USE1-NovaLite-input-tokens", "0.0900000001", quantity=Decimal(1500),
          model="Nova Lite", kind="Input tokens", tags={"customer_id": "acme"}),
    spent("2026-10-02", SONNET, "USE1-MP:USE1_InputTokenCount-Units", "3.1234567891", quantity=Decimal("1.041"),
          model="Claude Sonnet 4.5", kind="Input tokens", tags={"customer_id": "a$b"}, net=Decimal("2.9")),
    spent("2026-10-03", SERVICE, "USW2-anthropic.claude-opus-4-8-mantle-output-tokens-global-standard", "12.5",
          quantity=Decimal(500), model="Claude Opus 4.8", kind="Output tokens"),
    spent("2026-10-03", "Amazon SageMaker", "USE1-Host:ml.g5.xlarge", "33.1", supported=False),
    spent("2026-10-03", "Amazon Elastic Compute Cloud - Compute", "BoxUsage:m5.large", "7.25", supported=False),
    spent("2026-10-03", "Tax", "Tax", "1.11", supported=False),
]  # fmt: skip
AI_TOTAL = Decimal("48.8134567892")


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret-value")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture
def double() -> CostExplorerDouble:
    return CostExplorerDouble(list(BILL), TODAY)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def address(double: CostExplorerDouble) -> Iterator[str]:
    with serving(double.answer) as url:
        yield url


@pytest.fixture
def source(address: str, waits: Waits) -> CostExplorer:
    return CostExplorer("aws-main", Aws(endpoint_url=address, retry=waits.policy), today=lambda: TODAY)


def silent(_step: str, _done: int, _total: int) -> None:
    pass


def rows(files: tuple[Path, ...]) -> list[dict[str, str]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def changed(source: CostExplorer, **fields: Any) -> CostExplorer:
    values = {
        name: getattr(source, name)
        for name in ("id", "aws", "customer_tag", "all_services", "max_pages", "today")
    }
    return CostExplorer(**(values | fields))


def test_what_is_fetched_adds_up_to_the_bill_of_the_ai_services(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert [file.name for file in fetched.files] == ["aws-ce-2026-10.jsonl"]
    assert fetched.reader == "aws-ce"
    assert fetched.provider_total == AI_TOTAL
    assert fetched.currency == "USD"
    assert day_totals(fetched.files) == {
        date(2026, 10, 2): Decimal("3.2134567892"),
        date(2026, 10, 3): Decimal("45.6"),
    }
    assert {row["ce_account_id"] for row in rows(fetched.files)} == {ACCOUNT}
    assert "2 services that are not AI were left out" in fetched.notes[0]


def test_fetched_rows_are_staged_with_model_class_and_tokens(
    source: CostExplorer, stager: Any, tmp_path: Path
) -> None:
    fetched = source.fetch(OCTOBER, into=tmp_path / "rows", report=silent)

    staged = stager(*fetched.files, source="aws-ce")

    load = staged.slots[0].load
    assert (load.slot.provider, load.slot.account, load.slot.period, load.source) == (
        "aws",
        ACCOUNT,
        "2026-10",
        "aws-ce",
    )
    assert (load.rows_in, load.rows_stored, load.rows_quarantined) == (4, 4, 0)
    assert load.file_total == fetched.provider_total
    charges = {row["x_model"]: row for row in stager.charges(staged)}
    nova, sonnet, opus = (charges[name] for name in ("nova-lite", "claude-sonnet-4-5", "claude-opus-4-8"))
    assert (nova["x_token_class"], nova["x_tokens"]) == ("input", 1_500_000)
    assert (sonnet["x_tokens"], sonnet["effective_cost"]) == (1_041_000, Decimal("2.9"))
    assert (opus["x_token_class"], opus["x_routing"], opus["x_line_type"]) == (
        "output",
        "global",
        "Estimated",
    )


def test_requests_keep_the_rules_of_the_service(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    source.fetch(Window(date(2026, 10, 4), date(2026, 10, 6)), into=tmp_path, report=silent)

    first, lines, models, kinds = double.requests
    assert first[0] == "GetDimensionValues"
    assert first[1]["TimePeriod"] == {"Start": "2026-10-01", "End": "2026-10-21"}
    assert lines[1]["GroupBy"] == [
        {"Type": "DIMENSION", "Key": "SERVICE"}, {"Type": "DIMENSION", "Key": "USAGE_TYPE"},
    ]  # fmt: skip
    assert lines[1]["Metrics"] == ["UnblendedCost", "NetAmortizedCost", "UsageQuantity"]
    assert lines[1]["Filter"]["Dimensions"]["Values"] == [
        BEDROCK, SERVICE, "Amazon SageMaker", SONNET,
    ]  # fmt: skip
    assert models[1]["GroupBy"][0] == {"Type": "PRODUCT_ATTRIBUTE", "Key": "model"}
    # A SERVICE filter would lose the services that are named after a model.
    assert "Filter" not in models[1]
    assert kinds[1]["GroupBy"][1] == {"Type": "PRODUCT_ATTRIBUTE", "Key": "inferenceType"}


def test_whole_months_are_asked_for_and_today_is_the_last_day(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    fetched = source.fetch(Window(date(2026, 9, 28), date(2026, 12, 1)), into=tmp_path, report=silent)

    assert fetched.window == Window(date(2026, 9, 1), date(2026, 10, 21))
    assert double.requests[1][1]["TimePeriod"] == {"Start": "2026-09-01", "End": "2026-10-21"}
    with pytest.raises(UsageError, match="no day that has begun"):
        source.fetch(Window(date(2026, 11, 1), date(2026, 12, 1)), into=tmp_path, report=silent)


def test_product_attributes_are_not_asked_for_days_before_they_existed(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    double.bill.append(spent("2026-08-05", BEDROCK, "USE1-NovaLite-input-tokens", "1"))

    source.fetch(Window(date(2026, 8, 1), date(2026, 10, 21)), into=tmp_path, report=silent)

    assert double.requests[1][1]["TimePeriod"]["Start"] == "2026-08-01"
    assert [params["TimePeriod"]["Start"] for _, params in double.requests[2:]] == [
        "2026-09-01",
        "2026-09-01",
    ]


def test_an_old_botocore_does_without_product_attributes(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.__version__", "1.43.109")

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert len(double.requests) == 2
    assert fetched.provider_total == AI_TOTAL


def test_a_model_that_only_the_attribute_names_reaches_the_classifier(
    source: CostExplorer, double: CostExplorerDouble, stager: Any, tmp_path: Path
) -> None:
    bare = "USE1-input-tokens"
    double.bill = [
        spent("2026-10-02", BEDROCK, bare, "2", quantity=Decimal(10), model="Claude Haiku 4.5"),
        spent("2026-10-02", BEDROCK, bare, "3", quantity=Decimal(20), model="Nova Lite"),
    ]

    fetched = source.fetch(OCTOBER, into=tmp_path / "rows", report=silent)

    assert sorted((row["model"], row["unblended_cost"]) for row in rows(fetched.files)) == [
        ("Claude Haiku 4.5", "2"), ("Nova Lite", "3"),
    ]  # fmt: skip
    staged = stager(*fetched.files)
    assert {row["x_model"] for row in stager.charges(staged)} == {"claude-haiku-4-5", "nova-lite"}


def test_attributes_that_do_not_add_up_name_nothing_and_change_no_amount(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    def doubled(operation: str, body: dict[str, Any]) -> dict[str, Any]:
        groups = body.get("GroupDefinitions", [{}])
        if groups and groups[0].get("Type") == "PRODUCT_ATTRIBUTE":
            for result in body["ResultsByTime"]:
                for group in result["Groups"]:
                    group["Metrics"]["UnblendedCost"]["Amount"] = "999"
        return body

    double.reshape = doubled

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert fetched.provider_total == AI_TOTAL
    assert {row["model"] for row in rows(fetched.files)} == {""}


def test_many_pages_give_the_same_rows_as_one(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    whole = source.fetch(OCTOBER, into=tmp_path / "one", report=silent)
    double.page = 1
    steps: list[str] = []

    paged = source.fetch(OCTOBER, into=tmp_path / "many", report=lambda step, *_: steps.append(step))

    assert rows(paged.files) == rows(whole.files)
    assert paged.request_cost_usd == Decimal("0.11")
    assert paged.requests == 12
    assert steps[0] == "Cost Explorer: services, 0.01 USD so far"
    assert steps[-1].endswith("0.11 USD so far")


def test_pages_beyond_the_cap_are_not_bought(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    double.page = 1

    with pytest.raises(ConfigError, match="more than 3 pages") as refused:
        changed(source, max_pages=3).fetch(OCTOBER, into=tmp_path, report=silent)

    assert "max_pages" in refused.value.hint
    assert len(double.requests) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_customer_tag_names_customers_service_by_service(
    source: CostExplorer, double: CostExplorerDouble, stager: Any, tmp_path: Path
) -> None:
    fetched = changed(source, customer_tag="customer_id").fetch(
        OCTOBER, into=tmp_path / "rows", report=silent
    )

    assert fetched.provider_total == AI_TOTAL
    assert [params["Filter"]["Dimensions"]["Values"] for _, params in double.requests[1:]] == [
        [BEDROCK], [SERVICE], ["Amazon SageMaker"], [SONNET],
    ]  # fmt: skip
    staged = stager(*fetched.files)
    assert {row["x_model"]: row["x_customer"] for row in stager.charges(staged)} == {
        "nova-lite": "acme", "claude-sonnet-4-5": "a$b", "claude-opus-4-8": "untagged", "unknown": "untagged",
    }  # fmt: skip


def test_a_storm_of_throttling_is_waited_out(
    source: CostExplorer, double: CostExplorerDouble, waits: Waits, tmp_path: Path
) -> None:
    double.storm = 6

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert fetched.provider_total == AI_TOTAL
    assert [wait.total_seconds() for wait in waits.slept] == [1, 2, 4, 8, 16, 32]
    # What was refused is not paid for.
    assert fetched.request_cost_usd == Decimal("0.04")


def test_a_storm_that_does_not_end_is_said_and_leaves_no_file(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    double.storm = 1000

    with pytest.raises(Unreachable, match="AWS did not answer in 7 tries: LimitExceededException"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert list(tmp_path.iterdir()) == []


def test_expired_credentials_are_one_sentence(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    double.expired = True

    with pytest.raises(NotAllowed, match="AWS refuses GetCallerIdentity: ExpiredToken"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    checked = source.check()
    assert [finding.ok for finding in checked.findings] == [False]


def test_credentials_that_expire_between_two_pages_lose_nothing(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    before = source.fetch(OCTOBER, into=tmp_path, report=silent)
    kept = rows(before.files)
    double.page, double.restate_after = 1, double.answered + 2

    with pytest.raises(Unreachable, match="changed while GetCostAndUsage"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert rows(before.files) == kept
    assert [file.name for file in tmp_path.iterdir()] == ["aws-ce-2026-10.jsonl"]


def test_a_run_that_was_killed_leaves_no_bill_and_the_next_one_is_whole(
    source: CostExplorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(_self: Path, _target: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            source.fetch(OCTOBER, into=tmp_path, report=silent)
    assert list(tmp_path.glob("*.jsonl")) == []

    first = source.fetch(OCTOBER, into=tmp_path, report=silent)
    content = first.files[0].read_bytes()
    again = source.fetch(OCTOBER, into=tmp_path, report=silent)
    assert again.files[0].read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["aws-ce-2026-10.jsonl"]


def test_a_restated_day_is_fetched_with_its_new_amount(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    source.fetch(OCTOBER, into=tmp_path, report=silent)
    double.restate("USE1-NovaLite-input-tokens", "0.05")

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert day_totals(fetched.files)[date(2026, 10, 2)] == Decimal("3.1734567891")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda body: {"Results": body["ResultsByTime"]}, "'ResultsByTime'"),
        (lambda body: group_changed(body, "Keys", ["only one"]), "ValueError"),
        (lambda body: group_changed(body, "Metrics", {}), "'UnblendedCost'"),
        (lambda body: group_changed(body, "Metrics", metric("NaN")), "is not an amount"),
        (lambda body: group_changed(body, "Metrics", metric("1,5")), "is not an amount"),
    ],
)
def test_a_changed_schema_is_one_clear_sentence(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path, change: Any, sentence: str
) -> None:
    double.reshape = lambda operation, body: change(body) if operation == "GetCostAndUsage" else body

    with pytest.raises(SourceRejected, match=rf"Cost Explorer answered GetCostAndUsage .*({sentence})"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert list(tmp_path.iterdir()) == []


def group_changed(body: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    for result in body["ResultsByTime"]:
        for group in result["Groups"]:
            group[name] = value
    return body


def metric(amount: str) -> dict[str, dict[str, str]]:
    return {name: {"Amount": amount, "Unit": "USD"} for name in aws_ce.METRICS}


def test_a_group_that_comes_twice_is_refused(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    def twice(operation: str, body: dict[str, Any]) -> dict[str, Any]:
        for result in body.get("ResultsByTime", []):
            result["Groups"] *= 2
        return body

    double.reshape = twice

    with pytest.raises(SourceRejected, match="twice"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)


def test_a_page_token_that_leads_in_a_circle_is_refused(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    double.tokens["again"] = ("", 0)

    def circle(operation: str, body: dict[str, Any]) -> dict[str, Any]:
        double.tokens["again"] = (json.dumps({k: v for k, v in double.requests[-1][1].items() if k != "NextPageToken"},
                                             sort_keys=True), 0)  # fmt: skip
        return body | ({"NextPageToken": "again"} if operation == "GetCostAndUsage" else {})

    double.reshape = circle

    with pytest.raises(SourceRejected, match="a page token came twice"):
        source.fetch(OCTOBER, into=tmp_path, report=silent)


def test_a_month_without_ai_has_no_file(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    double.bill = [line for line in BILL if line.service == "Tax"]

    fetched = source.fetch(OCTOBER, into=tmp_path, report=silent)

    assert fetched.files == ()
    assert fetched.provider_total == 0


def test_all_services_are_fetched_when_asked_for(
    source: CostExplorer, double: CostExplorerDouble, tmp_path: Path
) -> None:
    fetched = changed(source, all_services=True).fetch(OCTOBER, into=tmp_path, report=silent)

    assert fetched.provider_total == sum(line.cost for line in BILL)


def test_connect_says_the_account_the_first_day_and_what_it_cost(
    source: CostExplorer, double: CostExplorerDouble
) -> None:
    double.bill.append(spent("2026-03-05", BEDROCK, "USE1-NovaLite-input-tokens", "1"))

    checked = source.check()

    assert all(finding.ok for finding in checked.findings)
    assert (checked.account, checked.first_day, checked.last_day) == (ACCOUNT, date(2026, 3, 1), TODAY)
    assert len(double.requests) == 1
    assert "0.01 USD" in checked.findings[-1].text
    assert source.usual_lag == timedelta(hours=48)


def test_connect_says_when_cost_explorer_is_off(source: CostExplorer, double: CostExplorerDouble) -> None:
    double.enabled = False

    checked = source.check()

    assert [finding.ok for finding in checked.findings] == [True, False]
    assert "not enabled" in checked.findings[1].hint


def test_the_policy_allows_what_is_called_and_no_more(source: CostExplorer) -> None:
    (statement,) = json.loads(source.policy())["Statement"]

    assert statement["Action"] == ["ce:GetCostAndUsage", "ce:GetDimensionValues", "sts:GetCallerIdentity"]


def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)

    with pytest.raises(ConfigError) as refused:
        CostExplorer("aws").fetch(OCTOBER, into=tmp_path, report=silent)

    assert refused.value.hint == "Install it: pip install 'costweir[aws]'"
