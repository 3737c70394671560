"""The FOCUS validator: a good file passes, each fault is found by its rule, no more is claimed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pytest

from costweir.errors import NotFound, SourceRejected
from costweir.sources.focus_rules.checks import ROW_CHECKS
from costweir.sources.focus_rules.reduce import reduce
from costweir.sources.focus_rules.validator import Report, rule_data, validate

#: One row of a good file: the columns that FOCUS 1.2 always asks for, and some that depend on the provider.
GOOD: Mapping[str, str] = {
    "BilledCost": "1.5",
    "BillingAccountId": "1",
    "BillingAccountName": "Acme",
    "BillingCurrency": "USD",
    "BillingPeriodEnd": "2026-11-01T00:00:00Z",
    "BillingPeriodStart": "2026-10-01T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargeClass": "",
    "ChargeDescription": "Input tokens",
    "ChargeFrequency": "Usage-Based",
    "ChargePeriodEnd": "2026-10-02T00:00:00Z",
    "ChargePeriodStart": "2026-10-01T00:00:00Z",
    "CommitmentDiscountId": "",
    "CommitmentDiscountStatus": "",
    "ConsumedQuantity": "500",
    "ConsumedUnit": "Tokens",
    "ContractedCost": "1.5",
    "EffectiveCost": "1.5",
    "InvoiceId": "",
    "InvoiceIssuerName": "AWS",
    "ListCost": "1.5",
    "ListUnitPrice": "3",
    "PricingQuantity": "0.5",
    "PricingUnit": "1000 Tokens",
    "ProviderName": "AWS",
    "PublisherName": "AWS",
    "RegionId": "",
    "RegionName": "",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceName": "Bedrock",
    "ServiceSubcategory": "Generative AI",
    "SkuId": "S1",
    "SkuPriceDetails": '{"x_ModelId": "m"}',
    "SkuPriceId": "P1",
    "Tags": '{"team": "a"}',
}


def _file(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _check(tmp_path: Path, *rows: Mapping[str, str]) -> Report:
    return validate(_file(tmp_path / "focus.csv", rows))


def test_a_good_file_breaks_no_rule(tmp_path: Path) -> None:
    report = _check(tmp_path, GOOD)
    assert report.ok
    assert report.advice == ()
    assert "AvailabilityZone" in report.columns_absent
    assert report.rules_checked > 120


def test_every_rule_of_the_model_is_accounted_for() -> None:
    data = rule_data()
    ids = [rule["id"] for rule in data["rules"]]
    ids += [name for part in ("composite", "optional", "covered", "by_hand") for name in data[part]]
    assert len(ids) == len(set(ids)) == 621
    assert len(data["columns"]) == 57
    kinds = {rule["check"][0] for rule in data["rules"]}
    assert kinds <= ROW_CHECKS | {"present", "distinct", "placeholders", "column_names"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"BilledCost": ""}, "BilledCost-C-003-M"),
        ({"BilledCost": "1,5"}, "BilledCost-C-001-M"),
        ({"BilledCost": "+1.5"}, "BilledCost-C-002-M"),
        ({"BilledCost": "1.5 USD"}, "BilledCost-C-002-M"),
        ({"BillingCurrency": "US$"}, "BillingCurrency-C-006-M"),
        ({"ChargePeriodStart": "2026-10-01 00:00:00"}, "ChargePeriodStart-C-002-M"),
        ({"ChargePeriodStart": "yesterday"}, "ChargePeriodStart-C-001-M"),
        ({"ChargeCategory": "usage"}, "ChargeCategory-C-003-M"),
        ({"ChargeClass": "Refund"}, "ChargeClass-C-005-C"),
        ({"ChargeFrequency": "Monthly"}, "ChargeFrequency-C-003-M"),
        (
            {"ChargeCategory": "Purchase", "ConsumedQuantity": "", "ConsumedUnit": ""},
            "ChargeFrequency-C-004-C",
        ),
        ({"ChargeCategory": "Tax", "ConsumedQuantity": "", "ConsumedUnit": ""}, "SkuId-C-004-C"),
        ({"ServiceSubcategory": "Chatbots"}, "ServiceSubcategory-C-003-M"),
        ({"ServiceSubcategory": "Containers"}, "ServiceSubcategory-C-004-M"),
        ({"SkuPriceId": ""}, "SkuPriceId-C-005-C"),
        ({"ListUnitPrice": ""}, "ListUnitPrice-C-005-C"),
        ({"ListUnitPrice": "-3", "ListCost": "-1.5"}, "ListUnitPrice-C-008-M"),
        ({"ListCost": "1.6"}, "ListCost-C-009-C"),
        ({"PricingUnit": ""}, "PricingUnit-C-006-C"),
        ({"ConsumedQuantity": ""}, "ConsumedQuantity-C-006-C"),
        ({"ConsumedUnit": ""}, "ConsumedUnit-C-006-C"),
        ({"CommitmentDiscountStatus": "Used"}, "CommitmentDiscountStatus-C-003-C"),
        ({"CommitmentDiscountId": "c"}, "CommitmentDiscountStatus-C-004-C"),
        (
            {"CommitmentDiscountId": "c", "CommitmentDiscountStatus": "Active"},
            "CommitmentDiscountStatus-C-005-M",
        ),
        ({"RegionId": "eu"}, "RegionName-C-005-C"),
        ({"RegionName": "Europe"}, "RegionName-C-004-C"),
        ({"Tags": "team=a"}, "Tags-C-001-M"),
        ({"Tags": '["a"]'}, "Tags-C-001-M"),
        ({"Tags": '{"a": {"b": 1}}'}, "Tags-C-001-M"),
        ({"SkuPriceDetails": '{"ModelId": "m"}'}, "SkuPriceDetails-C-017-C"),
        ({"InvoiceId": "NULL"}, "NullHandling-A-002-M"),
    ],
)
def test_a_fault_is_found_by_its_rule(tmp_path: Path, change: dict[str, str], rule: str) -> None:
    report = _check(tmp_path, GOOD, {**GOOD, **change})
    found = {finding.rule_id: finding for finding in report.violations}
    assert rule in found
    assert found[rule].count == 1
    assert found[rule].row in (0, 2)
    assert not report.ok


@pytest.mark.parametrize("column", ["BilledCost", "ChargeClass", "ServiceName", "PricingQuantity"])
def test_a_mandatory_column_that_is_missing_is_a_violation(tmp_path: Path, column: str) -> None:
    row = {name: text for name, text in GOOD.items() if name != column}
    missing = [finding for finding in _check(tmp_path, row).violations if finding.row == 0]
    assert [(finding.column, finding.text) for finding in missing] == [(column, "the column has to be there")]


def test_a_recommended_column_that_is_missing_is_advice(tmp_path: Path) -> None:
    row = {name: text for name, text in GOOD.items() if name != "InvoiceId"}
    report = _check(tmp_path, row)
    assert report.ok
    assert [finding.rule_id for finding in report.advice] == ["CostAndUsage-D-033-O"]


def test_columns_of_ones_own_have_a_prefix_and_come_last(tmp_path: Path) -> None:
    report = _check(tmp_path, {"Id": "7", **GOOD, "x_Model": "m"})
    assert {finding.rule_id for finding in report.violations} == {"ColumnHandling-A-010-M"}
    assert {finding.rule_id for finding in report.advice} == {"ColumnHandling-A-012-O"}


def test_one_price_belongs_to_one_sku(tmp_path: Path) -> None:
    report = _check(tmp_path, GOOD, {**GOOD, "SkuId": "S2"})
    assert [finding.rule_id for finding in report.violations] == ["SkuPriceId-C-008-M"]


def test_a_cost_that_is_rounded_in_print_still_matches_its_price(tmp_path: Path) -> None:
    rounded = {"ListUnitPrice": "0.333333333", "PricingQuantity": "3", "ListCost": "1"}
    assert _check(tmp_path, {**GOOD, **rounded}).ok


def test_an_issuer_with_another_name_is_advice_only(tmp_path: Path) -> None:
    report = _check(tmp_path, {**GOOD, "InvoiceIssuerName": "Amazon Web Services EMEA SARL"})
    assert report.ok
    assert [finding.rule_id for finding in report.advice] == ["BilledCost-C-005-C"]


def test_a_finding_says_what_is_asked_for_and_shows_the_first_row(tmp_path: Path) -> None:
    report = _check(
        tmp_path, GOOD, GOOD, {**GOOD, "ChargeClass": "Refund"}, {**GOOD, "ChargeClass": "Refund"}
    )
    assert [finding.to_json() for finding in report.violations] == [
        {
            "rule_id": "ChargeClass-C-005-C",
            "column": "ChargeClass",
            "text": "has to be Correction when ChargeClass is not empty",
            "count": 2,
            "row": 3,
            "example": "Refund",
        }
    ]
    assert report.to_json()["ok"] is False


def test_a_parquet_file_is_checked_by_its_types(tmp_path: Path) -> None:
    path = tmp_path / "focus.parquet"
    cells = ", ".join(
        f"'{text}' AS \"{name}\"" if text else f'NULL AS "{name}"' for name, text in GOOD.items()
    )
    typed = (
        "CAST(BilledCost AS DECIMAL(18, 6)) AS BilledCost, "
        "CAST(ChargePeriodStart AS TIMESTAMP) AS ChargePeriodStart, "
        "MAP {'team': 'a'} AS Tags, 7 AS ServiceName"
    )
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            f"COPY (SELECT * REPLACE ({typed}) FROM (SELECT {cells})) TO '{path}' (FORMAT parquet)"
        )
    assert [finding.rule_id for finding in validate(path).violations] == ["ServiceName-C-001-M"]


def test_a_focus_1_0_file_is_told_what_is_new_in_1_2(tmp_path: Path) -> None:
    old = {
        name: text
        for name, text in GOOD.items()
        if name not in ("InvoiceId", "SkuPriceDetails", "ServiceSubcategory")
    }
    old |= {"Id": "1", "BillingPeriodStart": "2024-09-01 00:00:00", "ChargeClass": "NULL", "RegionId": "NULL"}
    report = _check(tmp_path, old)
    assert {finding.rule_id for finding in report.violations} == {
        "BillingPeriodStart-C-002-M", "ColumnHandling-A-010-M", "NullHandling-A-002-M",
    }  # fmt: skip
    assert {"InvoiceId", "SkuPriceDetails", "ServiceSubcategory"} <= set(report.columns_absent)


@pytest.mark.parametrize(
    "content", [b"", b"PAR1 but not really", b"\xff\xfe\x00bad\x00\n\xff,\xfe\n\x81\x82"]
)
def test_what_is_not_a_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "focus.csv"
    path.write_bytes(content)
    with pytest.raises(SourceRejected) as caught:
        validate(path)
    assert caught.value.hint


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        validate(tmp_path / "none.csv")


def test_names_with_quotes_cannot_break_the_check(tmp_path: Path) -> None:
    report = _check(tmp_path, {**GOOD, 'x_a"b': "'; DROP TABLE x"})
    assert {finding.rule_id for finding in report.violations} == {
        "ColumnHandling-A-001-M",
        "ColumnHandling-A-003-M",
    }


def _rule(
    function: str, requirement: object, condition: object = None, keyword: str = "MUST"
) -> dict[str, object]:
    criteria = {"Keyword": keyword, "Requirement": requirement, "Condition": condition or {}}
    return {
        "Function": function,
        "Reference": "A",
        "ApplicabilityCriteria": [],
        "ValidationCriteria": criteria,
    }


def test_the_reduction_hands_conditions_down_and_drops_what_it_cannot_read() -> None:
    is_set = {"CheckFunction": "CheckNotValue", "ColumnName": "B", "Value": None}
    either = [{"CheckFunction": "CheckValue", "ColumnName": "A", "Value": value} for value in ("x", "y")]
    named = {"CheckFunction": "CheckModelRule", "ModelRuleId": "A-1"}
    model = {
        "Details": {"FOCUSVersion": "1.2"},
        "ModelRules": {
            "A-0": _rule("Composite", {"CheckFunction": "AND", "Items": [named]}, is_set),
            "A-1": _rule("Validation", {"CheckFunction": "OR", "Items": either}),
            "A-2": _rule("Validation", {}),
            "A-3": _rule("Nullability", is_set, {"CheckFunction": "CheckNotValue", "CheckCondition": "B"}),
            "A-4": _rule("Nullability", is_set, keyword="MAY"),
        },
    }  # fmt: skip
    reduced = reduce(model, {"A-2": {"state": "covered"}})
    assert reduced["rules"] == [
        {
            "id": "A-1",
            "column": "A",
            "level": "must",
            "check": ["in", "A", ["x", "y"]],
            "if": ["not_value", "B", None],
        }
    ]
    assert (reduced["composite"], reduced["covered"], reduced["by_hand"], reduced["optional"]) == (
        ["A-0"], ["A-2"], ["A-3"], ["A-4"],
    )  # fmt: skip
