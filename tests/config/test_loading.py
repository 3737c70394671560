"""Where settings come from, which source wins, and how a mistake is answered."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from costweir import config
from costweir.errors import ConfigError

CONTRACT_EXAMPLE = """
ledger = { url = "sqlite:ledger.db", durability = "fsync" }
store = { url = "duckdb:facts.duckdb" }
providers = [ { id = "up1", kind = "openai", base_url = "http://127.0.0.1:9100/v1", api_key_env = "UP1_KEY", allow_private = true } ]
models = [ { id = "big", provider = "up1", upstream = "m1", context_tokens = 128000, max_output_tokens = 4096, degrade_to = ["small"] } ]
prices = [ { model = "big", effective = "2026-01-01", input = "3.00", output = "15.00", cache_read = "0.30", cache_write = "3.75", request = "0" } ]
plans = [ { id = "tier_1", price_usd = "49", budget_usd = "8", session_usd = "0.50", session_calls = 100, tokens_per_minute = 50000 } ]
customers = [ { id = "acme", plan = "tier_1" } ]
budgets = [ { id = "acme-day", scope = { customer = "acme" }, limit_usd = "1.00", window = "day", timezone = "UTC", mode = "strict", thresholds = [50, 80, 95, 100] } ]
"""  # noqa: E501 - the lines of the contract as they stand there


def write(folder: Path, text: str, *, name: str = "costweir.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def problems(file: Path, **environ: str) -> list[config.Problem]:
    return list(config.check(path=file, environ=environ))


def test_the_contract_s_own_example_is_valid(tmp_path: Path) -> None:
    settings = config.load(path=write(tmp_path, CONTRACT_EXAMPLE), environ={"HOME": str(tmp_path)})

    assert settings.providers[0].kind == "openai"
    assert settings.prices[0].cache_write == Decimal("3.75")
    assert settings.budgets[0].thresholds == (50, 80, 95, 100)
    assert settings.customers[0].plan == "tier_1"


def test_an_array_of_tables_means_the_same_as_an_inline_list(tmp_path: Path) -> None:
    inline = write(tmp_path, 'plans = [ { id = "a", price_usd = "49" } ]', name="inline.toml")
    tables = write(tmp_path, '[[plans]]\nid = "a"\nprice_usd = "49"\n', name="tables.toml")
    environ = {"HOME": str(tmp_path)}

    one, other = (config.load(path=path, environ=environ).model_dump() for path in (inline, tables))

    assert one == other
    assert one["plans"][0]["id"] == "a"


def test_without_any_source_everything_has_a_default(tmp_path: Path) -> None:
    settings = config.load(environ={"HOME": str(tmp_path)})

    assert settings.file is None
    assert settings.data_dir == tmp_path / ".local/share/costweir"
    assert (settings.web.port, settings.gateway.port, settings.mcp.port, settings.otlp.port) == (
        8080,
        4000,
        8090,
        4318,
    )
    assert settings.host == "127.0.0.1"


def test_a_flag_beats_the_environment_that_beats_other_tools_that_beat_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'log_level = "error"\n')
    other = {"LOG_LEVEL": "WARNING"}
    own = other | {"COSTWEIR_LOG_LEVEL": "debug"}

    assert config.load(path=file, environ={}).log_level == "error"
    assert config.load(path=file, environ=other).log_level == "warning"
    assert config.load(path=file, environ=own).log_level == "debug"
    assert config.load(path=file, environ=own, overrides={"log_level": "info"}).log_level == "info"


def test_origin_names_the_source_of_every_value(tmp_path: Path) -> None:
    file = write(tmp_path, 'name = "North"\n[web]\nport = 9000\n')
    environ = {"AWS_REGION": "eu-west-1", "COSTWEIR_HOST": "0.0.0.0"}
    origins = config.origin(config.load(path=file, environ=environ, overrides={"gateway.port": "0"}))

    assert origins["name"] == origins["web.port"] == f"file {file}"
    assert origins["aws.region"] == "environment AWS_REGION"
    assert origins["host"] == "environment COSTWEIR_HOST"
    assert origins["gateway.port"] == "command line"
    assert origins["mcp.port"] == "default"


def test_the_file_is_looked_for_in_the_documented_order(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "COSTWEIR_DATA_DIR": str(tmp_path / "data")}
    xdg = write(tmp_path / ".config/costweir", 'name = "xdg"')
    assert config.load(environ=environ).file == xdg
    in_data = write(tmp_path / "data", 'name = "data"')
    assert config.load(environ=environ).file == in_data
    named = write(tmp_path, 'name = "named"', name="named.toml")
    assert config.load(environ=environ | {"COSTWEIR_CONFIG": str(named)}).name == "named"
    flag = write(tmp_path, 'name = "flag"', name="flag.toml")
    assert config.load(path=flag, environ=environ | {"COSTWEIR_CONFIG": str(named)}).name == "flag"


def test_the_data_directory_comes_from_flag_then_environment_then_xdg(tmp_path: Path) -> None:
    environ = {"XDG_DATA_HOME": str(tmp_path / "xdg")}
    assert config.load(environ=environ).data_dir == tmp_path / "xdg/costweir"
    environ["COSTWEIR_DATA_DIR"] = str(tmp_path / "own")
    assert config.load(environ=environ).data_dir == tmp_path / "own"
    assert config.load(environ=environ, overrides={"data_dir": "/srv/x"}).data_dir == Path("/srv/x")


def test_a_relative_data_directory_in_the_file_is_beside_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "etc", 'data_dir = "data"')

    settings = config.load(path=file, environ={"HOME": str(tmp_path)})

    assert settings.data_dir == tmp_path / "etc/data"
    assert settings.store_path == tmp_path / "etc/data/facts.duckdb"
    assert settings.ledger_path == tmp_path / "etc/data/ledger.db"


@pytest.mark.parametrize(
    ("text", "line", "key", "near"),
    [
        ('nmae = "x"', 1, "nmae", "name"),
        ('name = "x"\n\n[web]\nprot = 1', 4, "web.prot", "web.port"),
        ('[[providers]]\nid = "a"\nkind = "mock"\n[[providers]]\nid = "b"\nkindd = "mock"\nkind = "mock"', 6,
         "providers[1].kindd", "providers[1].kind"),
        ('budgets = [ { id = "a", calls = 1, windw = "day" } ]', 1, "budgets[0].windw", "budgets[0].window"),
        ('[[budgets]]\nid = "a"\nlimit_usd = "1"\nscope = { custmer = "x" }', 4, "budgets[0].scope.custmer",
         "budgets[0].scope.customer"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_key(
    tmp_path: Path, text: str, line: int, key: str, near: str
) -> None:
    file = write(tmp_path, text)

    found = problems(file)

    assert [(item.place, item.line, item.key, item.nearest) for item in found] == [
        (str(file), line, key, near)
    ]
    with pytest.raises(ConfigError) as caught:
        config.load(path=file, environ={})
    assert str(file) in caught.value.message
    assert near in caught.value.hint


def test_an_unknown_variable_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(environ={"COSTWEIR_WEB__PROT": "1"})

    assert "COSTWEIR_WEB__PROT" in caught.value.message
    assert caught.value.hint == "Did you mean COSTWEIR_WEB__PORT?"


def test_variables_that_kubernetes_makes_for_a_service_are_no_settings(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path),
        "COSTWEIR_SERVICE_HOST": "10.0.0.1",
        "COSTWEIR_SERVICE_PORT": "8080",
        "COSTWEIR_PORT": "tcp://10.0.0.1:8080",
        "COSTWEIR_PORT_8080_TCP_ADDR": "10.0.0.1",
        "COSTWEIR_GATEWAY_SERVICE_PORT_HTTP": "4000",
        "PROMETHEUS_PORT": "tcp://10.0.0.2:9090",
    }

    assert config.check(environ=environ) == ()


def test_every_problem_is_reported_and_load_says_how_many(tmp_path: Path) -> None:
    file = write(tmp_path, 'nmae = "x"\nlog_level = "loud"\n[web]\nport = 99999\n')

    assert {item.key for item in problems(file)} == {"nmae", "log_level", "web.port"}
    with pytest.raises(ConfigError, match="1 of 3 problems"):
        config.load(path=file, environ={})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 3 4", "line 1"),
        ('[web\nport = 1', "not TOML"),
        ("\ufeffname = 1", "should be a valid string"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_toml_is_one_clear_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        config.load(path=write(tmp_path, text), environ={})
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_or_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        config.load(path=tmp_path / "none.toml", environ={})
    latin = tmp_path / "latin.toml"
    latin.write_bytes('name = "Zürich"'.encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load(path=latin, environ={})
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(path=tmp_path, environ={})


def test_a_problem_from_the_environment_or_a_flag_names_that_place() -> None:
    [variable] = config.check(environ={"COSTWEIR_WORKERS": "many"})
    [flag] = config.check(environ={}, overrides={"web.port": "-1"})

    assert (variable.place, variable.key) == ("environment", "COSTWEIR_WORKERS")
    assert (flag.place, flag.key) == ("command line", "web.port")


def test_a_list_in_the_environment_is_json_and_its_amounts_stay_exact() -> None:
    rates = '[{"currency": "EUR", "usd": 1.08, "since": "2026-01-01"}]'

    settings = config.load(environ={"COSTWEIR_CURRENCY_RATES": rates})

    assert settings.currency_rates[0].usd == Decimal("1.08")
    [problem] = config.check(environ={"COSTWEIR_PLANS": "tier_1"})
    assert "JSON" in problem.text


def test_an_empty_variable_counts_as_not_set() -> None:
    assert config.load(environ={"COSTWEIR_LOG_LEVEL": "", "LOG_LEVEL": ""}).log_level == "info"


def test_settings_cannot_be_changed() -> None:
    settings = config.load(environ={})

    with pytest.raises(ValueError, match="frozen"):
        settings.name = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("word", ["WARN", "Warning", "trace", "FATAL", "notice"])
def test_the_words_that_other_tools_use_for_log_levels_are_understood(word: str) -> None:
    assert config.check(environ={"LOG_LEVEL": word}) == ()
