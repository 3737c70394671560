"""Lists of approved models: from the file and by hand, patterns included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from costweir import config
from costweir.control import Approval, Control
from costweir.control.approvals import expand
from costweir.errors import ConfigError

SEEN = {"gpt-5", "gpt-5-mini", "gpt-4o", "claude-sonnet-4-6"}


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with Control.open(tmp_path / "control.db") as opened:
        yield opened


def settings_of(folder: Path, text: str) -> config.Settings:
    file = folder / "costweir.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(path=file, environ={})


def test_an_entry_is_added_once_and_in_lower_case(control: Control) -> None:
    assert control.approvals.approve("acme", ["GPT-5*", "gpt-5*", " "]) == [Approval("acme", "gpt-5*")]
    assert control.approvals.approve("acme", ["gpt-5*"]) == []
    assert control.approvals.listed() == [Approval("acme", "gpt-5*", "user")]


def test_what_is_taken_off_is_named_and_other_customers_keep_theirs(control: Control) -> None:
    control.approvals.approve("acme", ["gpt-5", "gpt-4o"])
    control.approvals.approve("globex", ["gpt-5"])

    assert control.approvals.unapprove("acme", ["gpt-5", "never-there"]) == [Approval("acme", "gpt-5")]
    assert control.approvals.listed("acme") == [Approval("acme", "gpt-4o")]
    assert control.approvals.listed("globex") == [Approval("globex", "gpt-5")]


def test_the_configuration_file_replaces_its_own_entries_only(control: Control, tmp_path: Path) -> None:
    control.approvals.approve("acme", ["gpt-4o"])
    control.sync(settings_of(tmp_path, '[[approved_models]]\ncustomer = "acme"\nmodels = ["gpt-5*"]\n'))
    both = [Approval("acme", "gpt-4o", "user"), Approval("acme", "gpt-5*", "config")]
    assert control.approvals.listed() == both

    control.sync(settings_of(tmp_path, ""))
    assert control.approvals.listed() == both[:1]


def test_what_the_file_says_cannot_be_taken_off_by_hand(control: Control, tmp_path: Path) -> None:
    control.sync(settings_of(tmp_path, '[[approved_models]]\ncustomer = "acme"\nmodels = ["gpt-5"]\n'))

    assert control.approvals.unapprove("acme", ["gpt-5"]) == []
    assert control.approvals.listed() == [Approval("acme", "gpt-5", "config")]


def test_a_pattern_stands_for_the_models_that_were_seen() -> None:
    pairs = expand([Approval("acme", "gpt-5*"), Approval("acme", "o3")], SEEN)

    assert pairs == [("acme", model) for model in ("gpt-5", "gpt-5*", "gpt-5-mini", "o3")]


def test_a_pattern_that_covers_nothing_still_makes_a_list() -> None:
    """Else its customer would count as one who may use every model."""
    assert expand([Approval("acme", "mistral-*")], SEEN) == [("acme", "mistral-*")]


def test_a_model_on_two_lists_of_one_customer_is_there_once() -> None:
    entries = [
        Approval("acme", "gpt-5", "config"),
        Approval("acme", "gpt-5", "user"),
        Approval("acme", "gpt-*"),
    ]

    pairs = expand(entries, SEEN)

    assert len(pairs) == len(set(pairs))
    assert ("acme", "gpt-4o") in pairs


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[[approved_models]]\ncustomer = "a"\nmodels = []\n', "models"),
        (
            '[[approved_models]]\ncustomer = "a"\nmodels = ["x"]\n[[approved_models]]\ncustomer = "a"\nmodels = ["y"]',
            "'a' has two lists",
        ),
        ('[[approved_models]]\ncustomer = "a"\nmodel = ["x"]\n', "model"),
    ],
)
def test_a_list_that_says_nothing_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        settings_of(tmp_path, text)
