"""A configuration file with a secret in it is refused before anything starts, and the secret is never repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from costweir import config
from costweir.errors import ConfigError

KEY = "sk-proj-" + "a1B2" * 10
PROVIDER = 'providers = [ {{ id = "up", kind = "openai", {} }} ]'


def write(folder: Path, text: str) -> Path:
    file = folder / "costweir.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        (PROVIDER.format(f'api_key = "{KEY}"'), "providers[0].api_key", "api_key_env"),
        (PROVIDER.format('api_key = "short-secret-9"'), "providers[0].api_key", "api_key_env"),
        (PROVIDER.format(f'api_key_env = "{KEY}"'), "providers[0].api_key_env", "environment"),
        (
            PROVIDER.format('base_url = "https://me:short-secret-9@x.example/v1"'),
            "providers[0].base_url",
            "environment",
        ),
        ('gateway_token = "short-secret-9"', "gateway_token", "environment"),
        ('database = { password = "short-secret-9" }', "database.password", "environment"),
        ('azure = { client_secret = "short-secret-9" }', "azure.client_secret", "environment"),
        ('store = { url = "postgresql://me:short-secret-9@db/facts" }', "store.url", "environment"),
        ('ledger = { url = "postgresql://me:short-secret-9@db/ledger" }', "ledger.url", "environment"),
        (f'name = "{KEY}"', "name", "environment"),
        ('name = "cw-0a1b2c3d-' + "A" * 51 + '"', "name", "environment"),
        ('name = "AKIAIOSFODNN7EXAMPLE"', "name", "environment"),
        ('name = "https://hooks.slack.com/services/T0/B0/x"', "name", "environment"),
    ],
)
def test_a_file_with_a_secret_in_it_starts_nothing_and_the_secret_is_not_repeated(
    tmp_path: Path, text: str, key: str, hint: str
) -> None:
    file = write(tmp_path, text)

    with pytest.raises(ConfigError) as refused:
        config.load(path=file, environ={"HOME": str(tmp_path)})
    problems = config.check(path=file, environ={"HOME": str(tmp_path)})

    assert [problem.key for problem in problems] == [key]
    assert hint in problems[0].hint
    assert problems[0].line == 1
    told = (
        refused.value.message + refused.value.hint + str([row.to_json() for row in problems]) + repr(problems)
    )
    assert "not kept in this file" in told
    assert KEY not in told
    assert "short-secret-9" not in told
    assert "A" * 51 not in told


@pytest.mark.parametrize(
    "text",
    [
        PROVIDER.format('api_key_env = "UP1_KEY"'),
        PROVIDER.format('api_key_file = "/run/secrets/up1"'),
        PROVIDER.format('base_url = "https://me@x.example/v1"'),
        'budgets = [ { id = "b", scope = { key = "key_0a1b2c3d4e5f6071" }, limit_usd = "1" } ]',
        'shared_costs = [ { name = "x", match = { service = "y" }, by = { token = "1", api_key = "2" } } ]',
        'attribution = { customer = [ { tag = ["cost_key", "token"] } ] }',
        'store = { url = "postgresql://db/facts" }',
        'name = "skip-this-name-it-is-no-key-at-all"',
        'name = "ask-someone-who-knows-better"',
    ],
)
def test_what_only_looks_like_one_is_taken(tmp_path: Path, text: str) -> None:
    assert config.check(path=write(tmp_path, text), environ={"HOME": str(tmp_path)}) == ()


def test_the_environment_may_hold_what_the_file_may_not(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path), "DB_PASSWORD": "short-secret-9", "COSTWEIR_STORE__URL": "postgresql://a:b@db/x",
    }  # fmt: skip

    assert config.check(path=write(tmp_path, 'name = "Acme"'), environ=environ) == ()


def test_a_key_file_and_a_variable_give_the_key_and_nothing_shows_it(tmp_path: Path) -> None:
    (tmp_path / "up1.key").write_text(f"{KEY}\n")
    file = write(
        tmp_path,
        'providers = [ { id = "a", kind = "openai", api_key_file = "up1.key" },'
        ' { id = "b", kind = "openai", api_key_env = "UP2" } ]',
    )
    settings = config.load(path=file, environ={"HOME": str(tmp_path), "UP2": f"{KEY}2"})

    assert [settings.provider_key(row) for row in settings.providers] == [KEY, f"{KEY}2"]
    assert KEY not in repr(settings) + str(settings.model_dump()) + str(config.shown(settings))


def test_a_gateway_key_is_named_and_never_written(tmp_path: Path) -> None:
    text = 'keys = [ { id = "ci", customer = "acme", key_env = "CI_KEY" } ]'
    settings = config.load(path=write(tmp_path, text), environ={"HOME": str(tmp_path), "CI_KEY": KEY})
    assert settings.gateway_key(settings.keys[0]) == KEY

    for environ, said in (({}, "where there is none"), ({"CI_KEY": "short"}, "fewer than 32")):
        settings = config.load(path=write(tmp_path, text), environ={"HOME": str(tmp_path), **environ})
        with pytest.raises(ConfigError, match=said):
            settings.gateway_key(settings.keys[0])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('id = "ci", customer = "acme"', "key_env or in key_file"),
        ('id = "ci", key_env = "CI_KEY"', "needs a customer"),
        (f'id = "ci", customer = "acme", key = "{KEY}"', "not kept in this file"),
    ],
)
def test_a_gateway_key_that_cannot_work_is_refused(tmp_path: Path, row: str, said: str) -> None:
    problems = config.check(path=write(tmp_path, f"keys = [ {{ {row} }} ]"), environ={"HOME": str(tmp_path)})

    assert said in problems[0].sentence
    assert KEY not in repr(problems)


def test_a_key_that_is_not_there_is_said(tmp_path: Path) -> None:
    file = write(tmp_path, PROVIDER.format('api_key_file = "gone"'))
    settings = config.load(path=file, environ={"HOME": str(tmp_path)})

    with pytest.raises(ConfigError, match="where there is none"):
        settings.provider_key(settings.providers[0])
