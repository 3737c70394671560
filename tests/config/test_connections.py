"""What the lists of live sources and channels accept and refuse, and that no secret stands in them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from costweir import config
from costweir.config.connections import SOURCE_OPTIONS, Connection, interval_of


def said(tmp_path: Path, text: str) -> str:
    file = tmp_path / "costweir.toml"
    file.write_text(text, encoding="utf-8")
    return " ".join(problem.sentence for problem in config.check(path=file, environ={}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('sources = [ { id = "A b", kind = "aws-ce" } ]', "sources[0].id"),
        ('sources = [ { id = "../a", kind = "aws-ce" } ]', "sources[0].id"),
        ('sources = [ { id = "a", kind = "aws" } ]', "sources[0].kind"),
        ('sources = [ { id = "a", kind = "azure-export" } ]', "azure-export needs url"),
        ('sources = [ { id = "files", kind = "aws-ce" } ]', "a word of `costweir pull`"),
        ('sources = [ { id = "a", kind = "gcp-bigquery" } ]', "needs tables"),
        ('sources = [ { id = "a", kind = "openai", scope = "/x" } ]', "scope is not an option of openai"),
        ('sources = [ { id = "a", kind = "openai", every = "0h" } ]', "every"),
        ('sources = [ { id = "a", kind = "openai", api_key = "sk" } ]', "api_key is not a setting"),
        ('sources = [ { id = "a", kind = "openai" }, { id = "a", kind = "aws-ce" } ]', "there twice"),
        ('channels = [ { id = "a", kind = "webhook", url_env = "U" } ]', "webhook needs secret_env"),
        ('channels = [ { id = "a", kind = "slack" } ]', "slack needs either url_env, or token_env"),
        ('channels = [ { id = "a", kind = "slack", url_env = "U", events = ["X!"] } ]', "events"),
        (
            'channels = [ { id = "a", kind = "slack", token_env = "T" } ]',
            "token_env and channel come together",
        ),
        ('channels = [ { id = "a", kind = "pagerduty" } ]', "pagerduty needs key_env"),
        ('channels = [ { id = "a", kind = "apprise", url_env = "U", quiet = "22-7" } ]', "channels[0].quiet"),
        ('routing = { default = ["a"] }', "names the channel 'a', which is not declared"),
        ('routing = { routes = [ { severities = ["bad"], channels = ["a"] } ] }', "severities"),
        ("routing = { routes = [ { channels = [] } ] }", "channels"),
        ('channels = [ { id = "a", kind = "email", host = "h", to = ["a@b.c"] } ]', "email needs from"),
        (
            'channels = [ { id = "a", kind = "email", host = "h", to = ["a@b.c\\nBcc: x@y.z"], from = "a@b.c" } ]',
            "channels[0].to",
        ),
        (
            'channels = [ { id = "a", kind = "email", host = "h", to = ["a@b.c"], from = "a@b.c", tls = "none" } ]',
            "on this machine",
        ),
        (
            'channels = [ { id = "a", kind = "email", host = "h", to = ["a@b.c"], from = "a@b.c", user = "u" } ]',
            "come together",
        ),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in said(tmp_path, text)


def test_a_source_has_the_secrets_of_its_variables_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "costweir.toml"
    file.write_text(
        '[[sources]]\nid = "a"\nkind = "openai"\n[[sources]]\nid = "b"\nkind = "anthropic"\napi_key_env = "MINE"\n',
        encoding="utf-8",
    )
    environ = {"OPENAI_ADMIN_KEY": "sk-1", "MINE": "sk-2", "ANTHROPIC_ADMIN_KEY": "sk-3"}
    settings = config.load(path=file, environ=environ)

    assert settings.secret("OPENAI_ADMIN_KEY") == "sk-1"
    assert settings.secret("MINE") == "sk-2"
    assert settings.secret("ANTHROPIC_ADMIN_KEY") is None
    assert "sk-" not in str(config.shown(settings))
    assert any("MINE, which is not set" in text for text in config.load(path=file, environ={}).warnings)


def test_every_option_of_a_kind_is_a_setting_and_every_setting_is_an_option_of_some_kind() -> None:
    options = {name for pair in SOURCE_OPTIONS.values() for names in pair for name in names}
    assert options == set(Connection.model_fields) - {"id", "kind", "enabled", "every", "all_services"}


@pytest.mark.parametrize(("text", "hours"), [("6h", 6), ("90m", 1.5), ("2d", 48)])
def test_an_interval_is_a_number_and_a_unit(text: str, hours: float) -> None:
    assert interval_of(text) == timedelta(hours=hours)


@pytest.mark.parametrize(("page", "examples"), [("sources.md", 1), ("alerts.md", 2)])
def test_the_examples_of_the_documentation_are_valid(tmp_path: Path, page: str, examples: int) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in text.split("```toml\n")[1:]]

    assert len(blocks) >= examples
    assert said(tmp_path, "\n".join(blocks)) == ""
