"""Which server `store.url` stands for, where its password comes from, and that no other server is ever sent it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from costweir.app.engines import mark_of, open_warehouse, server_of
from costweir.config import Settings, load
from costweir.errors import ConfigError

PASSWORD = "s3cr3t"
SERVER = {"DB_HOST": "db", "DB_NAME": "costs", "DB_USER": "me", "DB_PASSWORD": PASSWORD}


def settings(folder: Path, environ: Mapping[str, str]) -> Settings:
    return load(environ={"HOME": str(folder), **environ}, overrides={"data_dir": str(folder)})


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"COSTWEIR_STORE__URL": "postgresql://", **SERVER}, ("postgresql://me@db/costs", PASSWORD)),
        ({"COSTWEIR_STORE__URL": "postgresql://db/costs", **SERVER}, ("postgresql://db/costs", PASSWORD)),
        ({"COSTWEIR_STORE__URL": "postgresql://other/costs", **SERVER}, ("postgresql://other/costs", None)),
        (
            {"COSTWEIR_STORE__URL": "postgresql://", "DATABASE_URL": "postgres://a:b@h/x"},
            ("postgres://a:b@h/x", None),
        ),
        (
            {
                "COSTWEIR_STORE__URL": "postgresql://x/y",
                "COSTWEIR_STORE__PASSWORD_ENV": "MINE",
                "MINE": PASSWORD,
            },
            ("postgresql://x/y", PASSWORD),
        ),
        ({"COSTWEIR_STORE__URL": "postgresql://"}, ("postgresql:///", None)),
    ],
    ids=[
        "the known server",
        "the same host",
        "another host",
        "a whole address",
        "a named variable",
        "nothing said",
    ],
)
def test_the_address_and_the_password_of_the_server(
    tmp_path: Path, environ: dict[str, str], wanted: tuple[str, str | None]
) -> None:
    assert server_of(settings(tmp_path, environ)) == wanted


def test_a_password_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    environ = {
        "COSTWEIR_STORE__URL": "postgresql://db/x", "COSTWEIR_STORE__PASSWORD_FILE": str(tmp_path / "secret")
    }  # fmt: skip
    assert server_of(settings(tmp_path, environ)) == ("postgresql://db/x", PASSWORD)
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigError, match="password of the store"):
        server_of(settings(tmp_path, environ))


@pytest.mark.parametrize("url", ["clickhouse://db/x", "bigquery://p/d", "redshift://h/x", "mssql://h/x"])
def test_an_engine_that_is_not_there_yet_is_refused_with_those_that_are(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="DuckDB or PostgreSQL"):
        open_warehouse(settings(tmp_path, {"COSTWEIR_STORE__URL": url}))


def test_an_address_of_another_database_is_refused(tmp_path: Path) -> None:
    environ = {"COSTWEIR_STORE__URL": "postgresql://", "DATABASE_URL": "mysql://me:s3cr3t@db/x"}
    with pytest.raises(ConfigError) as caught:
        server_of(settings(tmp_path, environ))
    assert PASSWORD not in caught.value.message + caught.value.hint


def test_the_mark_of_a_store_tells_stores_apart_and_holds_no_password(tmp_path: Path) -> None:
    urls = (
        "duckdb:facts.duckdb",
        "duckdb:other.duckdb",
        "postgresql://me:s3cr3t@db:5/x",
        "postgresql://db:5/y",
    )
    marks = [mark_of(settings(tmp_path, {"COSTWEIR_STORE__URL": url})) for url in urls]
    assert marks[0] == ""
    assert len(set(marks)) == len(urls)
    assert PASSWORD not in "".join(marks)
