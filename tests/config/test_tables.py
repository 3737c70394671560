"""What the lists of the configuration accept and refuse."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from costweir import config
from costweir.sources.attribution import AttributionRules


def check(tmp_path: Path, text: str) -> str:
    file = tmp_path / "costweir.toml"
    file.write_text(text, encoding="utf-8")
    return " ".join(problem.sentence for problem in config.check(path=file, environ={}))


MODEL = '[[providers]]\nid = "up"\nkind = "mock"\n[[models]]\nid = "big"\nprovider = "up"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('plans = [ { id = "a", price_usd = 49.0 } ]', "in quotes"),
        ('plans = [ { id = "a", price_usd = true } ]', "decimal string"),
        ('plans = [ { id = "a", price_usd = "-1" } ]', "not an amount"),
        ('plans = [ { id = "a", price_usd = "1e3" } ]', "not an amount"),
        ('plans = [ { id = "a", price_usd = "NaN" } ]', "not an amount"),
        ('plans = [ { id = "a" } ]', "plans[0].price_usd is missing"),
        ('plans = [ { id = " a", price_usd = "1" } ]', "plans[0].id"),
        ('plans = [ { id = "a", price_usd = "1" }, { id = "a", price_usd = "2" } ]', "there twice"),
        ('customers = [ { id = "acme", plan = "tier" } ]', "not declared"),
        (
            'plans = [{ id = "tier_1", price_usd = "1" }]\ncustomers = [{ id = "a", plan = "tier1" }]',
            "mean 'tier_1'",
        ),
        ('models = [ { id = "big", provider = "nobody" } ]', "not declared"),
        (MODEL + 'degrade_to = ["big"]', "degrades to itself"),
        ('providers = [ { id = "a", kind = "opnai" } ]', "providers[0].kind should be"),
        ('providers = [ { id = "a", kind = "mock", base_url = "ftp://x" } ]', "base_url"),
        ('providers = [ { id = "a", kind = "mock", api_key_env = "sk-live-123" } ]', "api_key_env"),
        ('providers = [ { id = "a", kind = "mock", api_key = "sk" } ]', "api_key is not a setting"),
        ('budgets = [ { id = "a" } ]', "a budget needs"),
        ('budgets = [ { id = "a", limit_usd = "1", window = "fortnight" } ]', "window"),
        ('budgets = [ { id = "a", limit_usd = "1", window = "rolling:0h" } ]', "window"),
        ('budgets = [ { id = "a", limit_usd = "1", timezone = "Mars/Base" } ]', "not a time zone"),
        ('budgets = [ { id = "a", limit_usd = "1", timezone = "../etc/passwd" } ]', "not a time zone"),
        ('budgets = [ { id = "a", limit_usd = "1", mode = "soft" } ]', "mode"),
        ('budgets = [ { id = "a", limit_usd = "1", thresholds = [80, 50] } ]', "rising order"),
        ('budgets = [ { id = "a", limit_usd = "1", thresholds = [0] } ]', "1 to 100"),
        ('prices = [ { model = "m", effective = "2026-01-01" } ]', "at least one rate"),
        ('prices = [ { model = "m", effective = "soon", input = "1" } ]', "effective"),
        ('currency_rates = [ { currency = "eur", usd = "1", since = "2026-01-01" } ]', "currency"),
        ('currency_rates = [ { currency = "EUR", usd = "0", since = "2026-01-01" } ]', "above zero"),
        ('ledger = { url = "mysql://x" }', "starts with one of"),
        ('store = { url = "facts.duckdb" }', "starts with one of"),
        ('[[attribution.customer]]\nname = "x"', "exactly one of"),
        ('[[attribution.customer]]\ntag = ["a"]\nsub_account = true', "exactly one of"),
        ('[[attribution.customer]]\nprincipal = "role/.*"', "round brackets"),
        ('[[attribution.customer]]\nprincipal = "role/("', "not a regular expression"),
        ('[[attribution.customer]]\nresource_group = "rg-x"', "{id}"),
    ],
)
def test_a_wrong_value_is_refused_with_its_reason(tmp_path: Path, text: str, said: str) -> None:
    assert said in check(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        'budgets = [ { id = "a", calls = 5, window = "session" } ]',
        'plans = [ { id = "a", price_usd = 49 } ]',
        'budgets = [ { id = "a", requests_per_minute = 5 } ]',
        'budgets = [ { id = "a", calls = 5, window = "rolling:90m", mode = "observe" } ]',
        'budgets = [ { id = "a", parallel = 5, scope = { plan = "tier_1", model = "big" } } ]',
        'customers = [ { id = "Müller & Söhne" } ]',
        'ledger = { url = "memory:", durability = "process" }',
        'store = { url = "clickhouse://host/db" }',
        'prices = [ { model = "m", effective = 2026-01-01, input = "1", cache_write_1h = "2" } ]',
    ],
)
def test_what_the_contract_allows_is_accepted(tmp_path: Path, text: str) -> None:
    assert check(tmp_path, text) == ""


def test_an_amount_keeps_every_digit(tmp_path: Path) -> None:
    file = tmp_path / "costweir.toml"
    file.write_text('prices = [ { model = "m", effective = "2026-01-01", input = "0.000000000000000001" } ]')

    assert config.load(path=file, environ={}).prices[0].input == Decimal("0.000000000000000001")


def test_a_degrade_target_that_is_not_declared_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "costweir.toml"
    file.write_text(MODEL + 'degrade_to = ["small"]')

    [warning] = config.load(path=file, environ={}).warnings

    assert "'small'" in warning


def test_attribution_rules_are_in_the_form_that_the_readers_take(tmp_path: Path) -> None:
    file = tmp_path / "costweir.toml"
    file.write_text(
        '[[attribution.customer]]\nname = "ours"\ntag = ["customer_id"]\n'
        '[[attribution.customer]]\nresource_group = "rg-customer-{id}-{env}"\n'
        '[[attribution.customer]]\nprincipal = "role/([a-z]+)$"\n'
        '[[attribution.customer]]\naccount_map = { 123 = "acme" }\n'
        "[[attribution.project]]\nsub_account = true\n"
    )
    given = config.load(path=file, environ={}).attribution.model_dump(exclude_none=True)

    rules = AttributionRules.from_json(given)

    assert [(rule.name, rule.kind) for rule in rules.customer] == [
        ("ours", "tag"),
        ("resource_group", "resource_group"),
        ("principal", "principal"),
        ("account_map", "account_map"),
    ]
    assert rules.customer[3].values == {"123": "acme"}
    assert [rule.kind for rule in rules.project] == ["sub_account"]
