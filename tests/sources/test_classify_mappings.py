"""The mapping data: every file fits its schema, every rule has evidence and a line that only it reads."""

from __future__ import annotations

import csv
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from costweir.sources.classify import Classifier, Line
from costweir.sources.meaning import data

ROOT = files("costweir.sources") / "mappings"
SCHEMA: dict[str, Any] = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool
}  # fmt: skip
DOCUMENTS = ["forms", "lines", "services", "slots", "units", "words"]
MODELS = sorted(
    entry.name.removesuffix(".yaml") for entry in (ROOT / "models").iterdir() if entry.name.endswith(".yaml")
)


def problems(value: Any, schema: dict[str, Any], at: str) -> list[str]:
    """The part of JSON Schema that `schema.json` uses."""
    if "$ref" in schema:
        return problems(value, SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], at)
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{at}: {value!r} is none of {schema['enum']}"]
    kind = schema["type"]
    if not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool)):
        return [f"{at}: {value!r} is no {kind}"]
    if kind == "object":
        return of_object(value, schema, at)
    if kind == "array":
        few = [f"{at}: too few"] if len(value) < schema.get("minItems", 0) else []
        return few + [
            p for n, item in enumerate(value) for p in problems(item, schema["items"], f"{at}[{n}]")
        ]
    short = kind == "string" and len(value) < schema.get("minLength", 0)
    odd = kind == "string" and not re.search(schema.get("pattern", ""), value)
    return [f"{at}: {value!r} is not as asked"] if short or odd else []


def of_object(value: dict[str, Any], schema: dict[str, Any], at: str) -> list[str]:
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
    for name, item in value.items():
        if name in known:
            found += problems(item, known[name], f"{at}.{name}")
        elif rest is False:
            found.append(f"{at}: {name} is not known")
        elif isinstance(rest, dict):
            found += problems(item, rest, f"{at}.{name}")
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_mapping_file_fits_its_schema(name: str) -> None:
    assert problems(data.document(name), SCHEMA["$defs"][name], name) == []


@pytest.mark.parametrize("name", MODELS)
def test_every_file_of_models_fits_the_schema(name: str) -> None:
    assert problems(data.document(f"models/{name}"), SCHEMA["$defs"]["models"], name) == []


def test_every_file_that_the_classifier_reads_has_a_schema() -> None:
    assert set(data.DOCUMENTS) == set(DOCUMENTS)


def test_the_schema_check_can_fail() -> None:
    wrong = {"rules": [{"id": "Bad id", "cloud": "aws", "set": {"modality": "smell"}, "more": 1}]}
    assert len(problems(wrong, SCHEMA["$defs"]["lines"], "x")) == 4


def test_ids_of_families_and_rules_are_unique() -> None:
    families = data.families()
    names = [f"{family['id']}.{rule['id']}" for family in families for rule in family["rules"]]
    names += [rule["id"] for rule in data.document("lines")["rules"]]
    assert sorted(set(names)) == sorted(names)


def test_every_rule_reads_at_least_one_line_of_the_tests() -> None:
    classifier = Classifier.load()
    hit: set[str] = set()
    for name in ("bill_lines_labelled", "bill_lines_more"):
        with (Path(__file__).parent / "data" / f"{name}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                meaning = classifier.classify(Line(row["cloud"], row["service"], row["text"], row["unit"]))
                hit.update(meaning.rule_id.split("+")[0].split("/"))
    names = {f"{family['id']}.{rule['id']}" for family in data.families() for rule in family["rules"]}
    names |= {rule["id"] for rule in data.document("lines")["rules"]}
    assert names - hit == set()


def test_every_group_of_a_pattern_goes_into_the_model_id_and_nothing_else_does() -> None:
    for family in data.families():
        for rule in [*family["rules"], *family.get("products", [])]:
            groups = set(re.compile(rule["match"]).groupindex) - {"model"}
            used = set(re.findall(r"[{](\w+)", rule["model"]))
            assert groups == used, rule


def test_the_digest_follows_every_file_that_is_read_and_no_other() -> None:
    assert data.digest() == data.digest()
    assert {"models/anthropic", "slots", "units"} <= set(data.names())
    assert "attribution" not in data.names()
