"""The login at a provider: what has to be there, and that its secret comes from outside the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from costweir import config
from costweir.errors import ConfigError

WHOLE = {
    "issuer": "https://id.example.com/realms/main",
    "client_id": "costweir",
    "public_url": "https://costs.example.com",
}


def write(folder: Path, **given: str) -> Path:
    lines = [f"{name} = {value}" for name, value in given.items()]
    file = folder / "costweir.toml"
    file.write_text("\n".join(["[oidc]", *lines]), encoding="utf-8")
    return file


def load(folder: Path, given: dict[str, str], **environ: str) -> config.Settings:
    texts = {name: value if value[0] in "[{0123456789" else f'"{value}"' for name, value in given.items()}
    return config.load(path=write(folder, **texts), environ={"HOME": str(folder), **environ})


def test_it_is_off_until_an_issuer_is_named(tmp_path: Path) -> None:
    assert config.load(environ={"HOME": str(tmp_path)}).oidc.issuer is None


def test_the_redirect_address_is_the_public_one_and_never_guessed(tmp_path: Path) -> None:
    oidc = load(tmp_path, WHOLE | {"default_role": "viewer", "public_url": "https://costs.example.com/"}).oidc

    assert oidc.redirect_uri == "https://costs.example.com/oidc/callback"
    assert oidc.secure
    local = WHOLE | {"default_role": "viewer", "public_url": "http://127.0.0.1:8080"}
    assert not load(tmp_path, local).oidc.secure


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"issuer": "http://id.example.com"}, "https://"),
        ({"issuer": "https://me@id.example.com"}, "no user"),
        ({"issuer": "https://me:secret@id.example.com"}, "has a password in it"),
        ({"public_url": "http://costs.example.com"}, "https://"),
        ({"public_url": "https://costs.example.com/costs"}, "no path"),
        ({"scopes": '["profile"]'}, "openid"),
        ({"scopes": '["openid", "two words"]'}, "match"),
        ({"default_role": "owner"}, "viewer"),
        ({"roles": '{ "a" = "read" }'}, "viewer"),
        ({"session_hours": "0"}, "greater than or equal to 1"),
        ({"client_secret_env": "A", "client_secret_file": "b"}, "not in both"),
        ({"client_secret": "hunter2"}, "not a setting"),
        ({"default_role": ""}, ""),
    ],
)
def test_what_could_not_work_is_refused_at_the_start(
    tmp_path: Path, change: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, {**WHOLE, "default_role": "viewer", **{k: v or "x" for k, v in change.items()}})
    assert said in refused.value.message + refused.value.hint
    assert "hunter2" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("missing", [*WHOLE, "default_role"])
def test_every_part_is_needed(tmp_path: Path, missing: str) -> None:
    given = {name: value for name, value in {**WHOLE, "default_role": "viewer"}.items() if name != missing}
    with pytest.raises(ConfigError, match=missing):
        load(tmp_path, given)


def test_the_secret_is_in_a_variable_or_a_file_and_is_missed_when_it_is_not(tmp_path: Path) -> None:
    base = {**WHOLE, "default_role": "viewer"}
    assert load(tmp_path, base).oidc_secret() == ""
    named = base | {"client_secret_env": "SECRET_OF_OIDC"}
    assert load(tmp_path, named, SECRET_OF_OIDC="hunter2").oidc_secret() == "hunter2"
    with pytest.raises(ConfigError, match="SECRET_OF_OIDC, which is not set"):
        load(tmp_path, named).oidc_secret()
    kept = load(tmp_path, base | {"client_secret_file": "oidc-secret"})
    with pytest.raises(ConfigError, match="cannot be read"):
        kept.oidc_secret()
    (tmp_path / "oidc-secret").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        kept.oidc_secret()
    (tmp_path / "oidc-secret").write_text("hunter3\n")
    assert kept.oidc_secret() == "hunter3"
    assert "hunter" not in str(config.shown(kept))
