"""The documentation against the code: nothing missing, nothing stale."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from costweir import config, errors
from costweir.cli.commands import root
from costweir.queries import catalogue

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(generator().pages()))
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    wanted = generator().pages()[name]

    assert (DOCS / name).read_text(encoding="utf-8") == wanted, f"docs/{name} is stale; run `make docs`"


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_every_command_and_option_is_on_the_page() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert isinstance(root, click.Group)
    for path, command in commands(root, "costweir"):
        if not isinstance(command, click.Group):
            assert f"### `{path}`" in text
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"`{option.opts[0]}" in text, (path, option.opts)


def test_every_exit_code_is_on_the_page() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Error)
    ]

    for code in {kind.exit_code for kind in kinds} | {0, 130}:
        assert f"| {code} | " in text


def test_every_setting_is_on_the_page() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")

    assert [setting.key for setting in config.settings_list() if f"`{setting.key}`" not in text] == []


def test_the_committed_schema_is_the_schema() -> None:
    assert json.loads((DOCS / "costweir.schema.json").read_text(encoding="utf-8")) == config.schema()


def test_every_question_is_on_the_page() -> None:
    text = (DOCS / "questions.md").read_text(encoding="utf-8")

    assert [question.id for question in catalogue() if f"\n## {question.id}\n" not in text] == []


PAGES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    assert isinstance(root, click.Group)
    known = {path for path, _ in commands(root, "costweir")}
    later = {"budget", "key", "ledger", "token", "render", "why"}
    for line in re.findall(
        r"(?:^|`|\$ )(costweir [a-z][a-z -]*[a-z])", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        words = line.split(" -")[0].split()
        assert words[1] in later or " ".join(words[:2]) in known, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
