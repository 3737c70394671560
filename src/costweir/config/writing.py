"""Adds a row to the configuration file, in one step and only when the file stays valid. What people wrote in it is
kept to the letter."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from costweir.errors import ConfigError, Conflict

_BY_HAND = "Add the printed rows by hand."


def toml_row(table: str, values: Mapping[str, object]) -> str:
    """One row of a list of tables: `[[sources]]` and its keys. Values are texts, whole numbers, truths and lists."""
    lines = [f"[[{table}]]", *(f"{name} = {_value(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def append_row(file: Path, table: str, values: Mapping[str, object]) -> None:
    """Adds the row at the end of the file, which is made where there is none, for its owner's eyes only.

    Raises Conflict when a row with this id is there, and ConfigError when the file would not be valid any more.
    """
    before = file.read_text(encoding="utf-8-sig") if file.exists() else ""
    parsed = _parsed(before, file, "is not TOML")
    held: Any = parsed.get(table, [])
    rows = cast("list[dict[str, object]]", held)
    if any(row.get("id") == values["id"] for row in rows):
        raise Conflict(
            f"{file} has {values['id']!r} in {table} already.", hint="Change it there, or take another --id."
        )
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    after = before + gap + toml_row(table, values)
    _parsed(after, file, f"writes {table} as one list, to which no table can be added")
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        part.touch(mode=0o600)
        part.write_text(after, encoding="utf-8")
        if file.exists():
            part.chmod(file.stat().st_mode & 0o777)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _parsed(text: str, file: Path, why: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise ConfigError(f"{file} {why}.", hint=_BY_HAND) from None


def _value(value: object) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_value(item) for item in cast("list[object]", value)) + "]"
    # JSON's texts, whole numbers and truths are TOML's too, but for the one control character JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
