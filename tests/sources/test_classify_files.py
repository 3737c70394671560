"""Which services are read at all, the operator's own mappings, and the CSV of `costweir classify`."""

from __future__ import annotations

import csv
import io
from functools import cache
from pathlib import Path

import pytest

from costweir.errors import ConfigError, UsageError
from costweir.sources.classify import APPENDED_COLUMNS, Classifier, Line, classify_csv


@cache
def classifier() -> Classifier:
    return Classifier.load()


def labelled() -> list[dict[str, str]]:
    path = Path(__file__).parent / "data" / "bill_lines_labelled.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- scope ---


def test_every_labelled_line_is_in_the_ai_scope() -> None:
    outside = [row for row in labelled() if not classifier().is_ai(row["cloud"], row["service"], row["text"])]
    assert outside == []


@pytest.mark.parametrize(
    ("cloud", "service", "text", "is_ai"),
    [
        ("aws", "AmazonBedrock", "", True),
        ("aws", "Amazon Bedrock Service", "", True),
        ("aws", "Claude Opus 5 (Amazon Bedrock Edition)", "", True),
        ("aws", "Amazon SageMaker", "", True),
        ("aws", "AWS Marketplace", "USE1-MP:USE1_InputTokenCount-Units", True),
        ("aws", "AWS Marketplace", "MP:SoftwareUsage-Units", False),
        ("aws", "Amazon Simple Storage Service", "TimedStorage-ByteHrs", False),
        ("aws", "AmazonEC2", "BoxUsage:t3.micro", False),
        ("gcp", "C7E2-9256-1C43", "", True),
        ("gcp", "Agent Platform", "", True),
        ("gcp", "Cloud Document AI", "", True),
        ("gcp", "Cloud Run", "Jobs", False),
        ("gcp", "Cloud Storage", "Image Storage Memory Input", False),
        ("azure", "Foundry Models", "", True),
        ("azure", "Cognitive Services", "", True),
        ("azure", "Azure OpenAI Service", "", True),
        ("azure", "Azure Grok Models", "", True),
        ("azure", "SaaS", "Claude Consumption Unit", True),
        ("azure", "Virtual Machines", "D2s v5", False),
        ("azure", "Storage", "Hot LRS Data Stored", False),
        ("openai", "", "", True),
        ("anthropic", "anything", "", True),
        ("other", "Mistral AI", "", True),
        ("other", "Snowflake", "Compute credits", False),
    ],
)
def test_the_ai_scope_takes_ai_services_and_nothing_else(
    cloud: str, service: str, text: str, is_ai: bool
) -> None:
    assert classifier().is_ai(cloud, service, text) is is_ai


# --- the operator's own mappings ---


def overrides(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mappings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


GOOD = """
rules:
  - {cloud: aws, service: Amazon Bedrock, text: USE1-Frobnicator9-input-tokens, unit: 1K tokens,
     model: frobnicator-9, token_type: input, tokens_per_unit: 1000, direction: input, developer: acme}
  - {cloud: aws, service: Amazon Bedrock, text: Odd, model: odd-1}
"""


def test_an_exact_mapping_of_the_operator_beats_every_rule(tmp_path: Path) -> None:
    own = Classifier.load(overrides(tmp_path, GOOD))
    meaning = own.classify(Line("aws", "Amazon Bedrock", "USE1-Frobnicator9-input-tokens", "1K tokens"))
    assert (meaning.model, meaning.tokens_per_unit, meaning.rule_id[:9]) == (
        "frobnicator-9",
        1000,
        "override.",
    )
    assert (
        own.classify(Line("aws", "Amazon Bedrock", "USE1-Frobnicator9-input-tokens", "Hrs")).model
        == "unknown"
    )
    assert own.classify(Line("aws", "Amazon Bedrock", "Odd", "anything")).model == "odd-1"


def test_a_mapping_without_a_service_holds_for_each_and_one_with_it_goes_first(tmp_path: Path) -> None:
    text = (
        "rules:\n  - {cloud: azure, text: Odd, model: odd-1}\n"
        "  - {cloud: azure, service: X, text: Odd, model: odd-2}\n"
    )
    own = Classifier.load(overrides(tmp_path, text))
    assert own.classify(Line("azure", "Foundry Models Odd 2", "Odd", "1/Hour")).model == "odd-1"
    assert own.classify(Line("azure", "X", "Odd", "1/Hour")).model == "odd-2"
    assert own.classify(Line("aws", "X", "Odd", "1/Hour")).model == "unknown"


def test_the_rules_hash_changes_with_the_operators_mappings_and_only_then(tmp_path: Path) -> None:
    assert Classifier.load().rules_hash == classifier().rules_hash
    assert Classifier.load(overrides(tmp_path, GOOD)).rules_hash != classifier().rules_hash


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rules: [", "not YAML"),
        ("[]", "no list"),
        ("rules: [5]", "override 1 is not a mapping"),
        ("rules: [{cloud: aws, service: x}]", "no text 'text'"),
        ("rules: [{cloud: aws, service: 5, text: x}]", "no text 'service'"),
        ("rules: [{cloud: aws, service: x, text: y, modle: z}]", "unknown key 'modle'"),
        ("rules: [{cloud: aws, service: x, text: y, token_type: inputs}]", "token_type 'inputs'"),
        ("rules: [{cloud: aws, service: x, text: y, tokens_per_unit: 1K}]", "tokens_per_unit '1K'"),
        ("rules: [{cloud: aws, service: x, text: y, model: 5}]", "model 5"),
    ],
)
def test_a_wrong_mapping_file_is_refused_with_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Classifier.load(overrides(tmp_path, text))
    assert says in caught.value.message
    assert caught.value.hint


def test_a_missing_mapping_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Classifier.load(tmp_path / "none.yaml")


# --- the CSV of the command ---


def run(text: str) -> tuple[list[dict[str, str]], str]:
    out = io.StringIO()
    classify_csv(io.StringIO(text, newline=""), out, classifier=classifier())
    return list(csv.DictReader(io.StringIO(out.getvalue()))), out.getvalue()


HEAD = "cloud,service,sku_or_usage_type,unit"
LINE = "aws,Amazon Bedrock,USE1-NovaLite-input-tokens,1K tokens"


def test_the_csv_keeps_columns_and_order_and_appends_the_slots() -> None:
    answer, text = run(f"note,{HEAD}\nb,{LINE}\na,azure,Azure OpenAI GPT5,5.4 opt Dz 1M Tokens,1M\n")
    assert text.splitlines()[0] == f"note,{HEAD},{','.join(APPENDED_COLUMNS)}"
    assert [row["note"] for row in answer] == ["b", "a"]
    assert [(row["model"], row["tokens_per_unit"]) for row in answer] == [
        ("nova-lite", "1000"),
        ("gpt-5.4", "1000000"),
    ]


def test_the_csv_may_start_with_a_byte_order_mark_and_name_its_columns_in_capitals() -> None:
    assert run(f"\ufeff{HEAD.upper()}\n{LINE}\n")[0][0]["model"] == "nova-lite"


def test_labels_in_the_csv_never_change_the_answer() -> None:
    plain, _ = run(f"{HEAD}\n{LINE}\n")
    labelled, _ = run(f"{HEAD},expected_model,confidence\n{LINE},gpt-4,low\n")
    assert [labelled[0][name] for name in APPENDED_COLUMNS] == [plain[0][name] for name in APPENDED_COLUMNS]
    assert labelled[0]["expected_model"] == "gpt-4"


def test_an_input_column_with_the_name_of_an_answer_stands_once_and_is_ours() -> None:
    _, text = run(f"{HEAD},model\n{LINE},mine\n")
    assert text.splitlines()[0].split(",").count("model") == 1
    assert "mine" not in text


def test_cells_are_copied_as_they_are() -> None:
    answer, _ = run(f'{HEAD},tag\n{LINE},"=cmd|\'/c calc\'!A1"\n{LINE},"two\nlines"\n')
    assert [row["tag"] for row in answer] == ["=cmd|'/c calc'!A1", "two\nlines"]


def test_the_counts_add_up() -> None:
    out = io.StringIO()
    text = f"{HEAD}\n{LINE}\naws,Amazon Bedrock,Tax,\n"
    counts = classify_csv(io.StringIO(text), out, classifier=classifier())
    assert (counts.rows, counts.high, counts.none, counts.unknown_model) == (2, 1, 1, 1)


def test_a_price_column_is_only_used_to_check_the_unit() -> None:
    answer, _ = run(f"{HEAD},unit_price,currency\n{LINE},15,USD\n{LINE},not a number,USD\n{LINE},NaN,\n")
    assert [row["tokens_per_unit"] for row in answer] == ["1000000", "1000", "1000"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column cloud, service"),
        ("cloud,service,unit\n", "no column sku_or_usage_type"),
        (f"{HEAD}\n{LINE},too,many\n", "Line 2 of the CSV has 6 cells"),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(text)
    assert says in caught.value.message


def test_a_short_row_is_read_with_empty_cells() -> None:
    assert run(f"{HEAD},note\n{LINE}\n\n")[0][0]["note"] == ""
