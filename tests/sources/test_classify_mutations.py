"""One word of a labelled line is changed, and exactly the slot that the word stands for changes with it."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from costweir.sources.classify import Classifier, Line, Meaning


@cache
def classifier() -> Classifier:
    return Classifier.load()


@cache
def lines(cloud: str) -> tuple[Line, ...]:
    path = Path(__file__).parent / "data" / "bill_lines_labelled.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["cloud"] == cloud]
    return tuple(Line(cloud, row["service"], row["text"], row["unit"]) for row in rows)


def changed(cloud: str, pattern: str, word: str) -> list[tuple[Meaning, Meaning]]:
    """The meaning of every line that `pattern` fits, before and after its match becomes `word`."""
    pairs: list[tuple[Meaning, Meaning]] = []
    for line in lines(cloud):
        text = re.sub(pattern, word, line.text, count=1)
        if text != line.text:
            pairs.append((classifier().classify(line), classifier().classify(replace(line, text=text))))
    assert len(pairs) >= 5
    return pairs


@pytest.mark.parametrize(
    ("word", "routing"),
    [("DZone", "datazone"), ("Dz", "datazone"), ("Data Zone", "datazone"), ("regnl", "regional")],
)
def test_only_the_routing_follows_the_deployment_word_of_azure(word: str, routing: str) -> None:
    for before, after in changed("azure", r"\b(?:glbl|Glbl|Gl|global)\b", word):
        assert replace(before, routing=routing) == after


def test_only_the_tier_follows_a_batch_word_on_azure() -> None:
    for before, after in changed("azure", r"\b(?=(?:Inp|Outp|inp|opt) )", "Batch "):
        if before.tier == "standard":
            assert replace(before, tier="batch") == after


def test_only_the_tier_follows_a_suffix_on_aws() -> None:
    for suffix, tier in (("batch", "batch"), ("flex", "flex"), ("priority", "priority")):
        for before, after in changed("aws", r"(?<=put-tokens)$", f"-{suffix}"):
            assert replace(before, tier=tier) == after


def test_only_the_routing_follows_cross_region_global_on_aws() -> None:
    for before, after in changed("aws", r"(?<=put-tokens)$", "-cross-region-global"):
        assert replace(before, routing="global") == after


def test_input_and_output_are_mirror_images_on_google() -> None:
    for before, after in changed("gcp", r"Text Input(?= - | Flex)", "Text Output"):
        assert (before.direction, after.direction) == ("input", "output")
        assert replace(before, direction="output", token_type="output") == after


def test_only_the_model_follows_the_version_of_a_marketplace_service() -> None:
    for line in lines("aws"):
        newer = re.sub(r"Claude (Sonnet|Haiku|Opus|Fable) \d(?:\.\d)?(?= \()", r"Claude \1 7.3", line.service)
        if newer != line.service:
            before, after = classifier().classify(line), classifier().classify(replace(line, service=newer))
            assert after.model == re.sub(r"-\d(?:-\d)?$", "-7-3", before.model)
            assert replace(after, model=before.model) == before
