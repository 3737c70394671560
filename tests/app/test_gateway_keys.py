"""A configuration file is enough: its keys work from the first request, and only the server makes them so."""

from __future__ import annotations

from pathlib import Path

import pytest

from costweir import config
from costweir.app.mirror import sync_keys
from costweir.control import Control
from costweir.errors import ConfigError

KEY = "0123456789abcdef" * 3


def settings(folder: Path, text: str, **environ: str) -> config.Settings:
    file = folder / "costweir.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(path=file, environ={"HOME": str(folder), "COSTWEIR_DATA_DIR": str(folder), **environ})


def test_a_key_of_the_file_is_known_after_the_start_and_over_when_it_is_gone(tmp_path: Path) -> None:
    (tmp_path / "ci.key").write_text(f"{KEY}\n")
    with Control.open(tmp_path / "control.db") as control:
        for row in ('key_env = "CI"', 'key_file = "ci.key"'):
            text = f'keys = [ {{ id = "ci", customer = "acme", may_assert = ["session"], {row} }} ]'
            sync_keys(settings(tmp_path, text, CI=KEY), control)
            found = control.keys.ring().find(KEY)
            assert found is not None
            assert (found.id, found.customer, found.may_assert) == ("ci", "acme", ("session",))

        sync_keys(settings(tmp_path, ""), control)
        assert control.keys.ring().find(KEY) is None


def test_a_start_without_the_variable_is_refused(tmp_path: Path) -> None:
    chosen = settings(tmp_path, 'keys = [ { id = "ci", customer = "acme", key_env = "CI" } ]')

    with Control.open(tmp_path / "control.db") as control, pytest.raises(ConfigError, match="to be in CI"):
        sync_keys(chosen, control)
