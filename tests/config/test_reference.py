"""What is shown of the settings: all of it, with its origin, and no secret."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from costweir import config
from costweir.config.environment import KNOWN_NAMES, scalar_keys
from costweir.config.settings import Settings

SECRET = "s3cr3t-value"


def test_no_secret_is_ever_shown_or_printed(tmp_path: Path) -> None:
    file = tmp_path / "costweir.toml"
    file.write_text('providers = [ { id = "a", kind = "mock", api_key_env = "UP_KEY" } ]')
    environ = {
        "UP_KEY": SECRET,
        "DATABASE_URL": f"postgresql://me:{SECRET}@db/x",
        "DB_PASSWORD": SECRET,
        "GF_SECURITY_ADMIN_PASSWORD": SECRET,
        "AZURE_CLIENT_SECRET": SECRET,
        "REDSHIFT_PASSWORD": SECRET,
        "COSTWEIR_STORE__URL": f"postgresql://me:{SECRET}@db/facts",
        "COSTWEIR_LEDGER__URL": f"redis://:{SECRET}@cache:6379/0",
    }
    settings = config.load(path=file, environ=environ)

    shown = json.dumps(dict(config.shown(settings)))

    assert SECRET not in shown
    assert SECRET not in repr(settings.database) + repr(settings.grafana) + repr(settings.azure)
    assert "postgresql://me:********@db/facts" in shown
    assert settings.secret("UP_KEY") == SECRET
    assert settings.secret("DB_PASSWORD") is None


def test_a_refused_secret_is_not_repeated_in_the_message() -> None:
    [problem] = config.check(environ={"COSTWEIR_STORE__URL": f"mysql://me:{SECRET}@db/x"})

    assert SECRET not in problem.sentence + problem.hint


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("LOG_LEVEL", "ERROR", "log_level"),
        ("ENVIRONMENT", "production", "environment"),
        ("DB_HOST", "db", "database.host"),
        ("DB_NAME", "facts", "database.name"),
        ("DB_USER", "me", "database.user"),
        ("DB_PASSWORD", "x", "database.password"),
        ("DATABASE_URL", "postgresql://x", "database.url"),
        ("PROMETHEUS_URL", "http://p:9090", "prometheus.url"),
        ("PROMETHEUS_PORT", "9090", "prometheus.port"),
        ("PROMETHEUS_RETENTION", "90d", "prometheus.retention"),
        ("GF_SERVER_ROOT_URL", "https://g", "grafana.root_url"),
        ("GF_AUTH_ANONYMOUS_ENABLED", "true", "grafana.anonymous"),
        ("GF_SECURITY_ADMIN_PASSWORD", "x", "grafana.admin_password"),
        ("GCP_PROJECT_ID", "p", "gcp.project_id"),
        ("AWS_REGION", "us-east-1", "aws.region"),
        ("AZURE_SUBSCRIPTION_ID", "s", "azure.subscription_id"),
        ("AZURE_TENANT_ID", "t", "azure.tenant_id"),
        ("AZURE_CLIENT_ID", "c", "azure.client_id"),
        ("AZURE_CLIENT_SECRET", "x", "azure.client_secret"),
        ("REDSHIFT_HOST", "r", "redshift.host"),
        ("REDSHIFT_USER", "u", "redshift.user"),
        ("REDSHIFT_PASSWORD", "x", "redshift.password"),
    ],
)
def test_the_variables_of_other_tools_are_taken(variable: str, value: str, key: str) -> None:
    settings = config.load(environ={variable: value})

    assert config.origin(settings)[key] == f"environment {variable}"
    assert config.shown(settings)[key] is not None


def test_every_known_name_fills_a_setting_that_exists() -> None:
    assert set(KNOWN_NAMES.values()) <= scalar_keys().keys()


def test_a_database_url_of_another_program_does_not_move_the_store() -> None:
    settings = config.load(environ={"DATABASE_URL": "postgresql://shop/orders"})

    assert settings.store.url == "duckdb:facts.duckdb"
    assert settings.ledger.url == "sqlite:ledger.db"


def test_the_schema_knows_every_key_of_the_models() -> None:
    schema = config.schema()

    assert set(schema["properties"]) == set(Settings.model_fields)
    assert schema["additionalProperties"] is False
    for definition in schema["$defs"].values():
        if "properties" in definition:
            assert definition["additionalProperties"] is False


def test_every_setting_is_described() -> None:
    undescribed = [
        setting.key for setting in config.settings_list() if not setting.meaning and "." in setting.key
    ]

    assert undescribed == []
    assert len(config.settings_list()) > 100


def test_the_example_uses_only_known_keys() -> None:
    example = Path(__file__).parents[2] / "docs/costweir.example.toml"
    tomllib.loads(example.read_text(encoding="utf-8"))

    assert config.check(path=example, environ={}) == ()


def test_every_section_refuses_unknown_keys_and_is_frozen() -> None:
    def models(kind: type[BaseModel]) -> list[type[BaseModel]]:
        return [kind, *(inner for below in kind.__subclasses__() for inner in models(below))]

    from costweir.config.fields import Section

    for model in models(Section):
        assert model.model_config.get("extra") == "forbid", model
        assert model.model_config.get("frozen") is True, model
