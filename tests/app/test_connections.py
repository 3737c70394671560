"""A row of `[[sources]]` becomes the live source it describes, and says its policy without any library or key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from costweir import config
from costweir.app.connections import find_connection, open_source
from costweir.config.connections import PROVIDERS, SourceKind
from costweir.errors import NotFound

ROWS: dict[str, dict[str, Any]] = {
    "aws-ce": {"customer_tag": "customer_id", "max_pages": 5, "profile": "billing"},
    "aws-export": {"export": "cur", "url": "s3://bills/exports/cur"},
    "gcp-bigquery": {
        "tables": ["my-project.bills.gcp_billing_export_v1_0X0X0X_0X0X0X_0X0X0X"],
        "maximum_bytes": 10,
    },
    "azure-query": {
        "scope": "/subscriptions/00000000-0000-0000-0000-000000000000",
        "cost": "amortized",
        "customer_tag": "tenant",
        "max_pages": 7,
    },
    "azure-export": {"url": "az://acc/exports/daily", "access_key_env": "AZ_KEY"},
    "openai": {"api_key_env": "MY_KEY", "organization": "org-1"},
    "anthropic": {"base_url": "http://127.0.0.1:9/x"},
}
ENVIRON = {
    "MY_KEY": "sk-canary-1",
    "AZ_KEY": "az-canary-2",
    "AZURE_CLIENT_SECRET": "az-canary-3",
    "HOME": "/",
}


def settings_with(folder: Path, kind: str) -> config.Settings:
    row = {"id": f"my-{kind}", "kind": kind, **ROWS[kind]}
    return config.load(environ={**ENVIRON, "COSTWEIR_DATA_DIR": str(folder)}, source=row)


@pytest.mark.parametrize("kind", get_args(SourceKind))
def test_every_kind_can_be_opened_and_says_its_policy(tmp_path: Path, kind: str) -> None:
    settings = settings_with(tmp_path, kind)
    source = open_source(find_connection(settings, f"my-{kind}"), settings)

    assert (source.id, source.kind) == (f"my-{kind}", kind)
    assert len(source.policy()) > 40
    assert source.usual_lag.total_seconds() > 0
    assert "canary" not in repr(source) + source.policy()


def test_options_arrive(tmp_path: Path) -> None:
    def opened(kind: str) -> Any:
        settings = settings_with(tmp_path, kind)
        return open_source(settings.sources[0], settings)

    assert (opened("aws-ce").customer_tag, opened("aws-ce").max_pages) == ("customer_id", 5)
    assert opened("aws-ce").aws.profile == "billing"
    assert (opened("aws-export").bucket, opened("aws-export").prefix) == ("bills", "exports/cur")
    assert (opened("gcp-bigquery").bigquery.project, opened("gcp-bigquery").bigquery.maximum_bytes) == (
        "my-project",
        10,
    )
    assert opened("azure-query").cost == "AmortizedCost"
    assert (opened("azure-query").customer_tag, opened("azure-query").max_pages) == ("tenant", 7)
    assert opened("azure-export").access_key == "az-canary-2"
    assert opened("openai").secret(opened("openai").key_env) == "sk-canary-1"
    assert opened("anthropic").url == "http://127.0.0.1:9/x"


def test_every_kind_belongs_to_a_provider_of_connect() -> None:
    assert sorted(kind for kinds in PROVIDERS.values() for kind in kinds) == sorted(get_args(SourceKind))


def test_an_unknown_source_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        find_connection(settings_with(tmp_path, "openai"), "opnai")
    assert "my-openai" in caught.value.hint
