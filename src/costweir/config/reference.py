"""Settings as others read them: each value with its origin and without secrets, the JSON Schema, and the
list of all settings that the documentation is made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from costweir.config.environment import KNOWN_NAMES, scalar_keys, section_type, variable_of
from costweir.config.settings import Settings

MASK = "********"
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@\s]*:)[^@\s]*(?=@)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as documented: `type` in words of JSON Schema, `default` as it would be written in TOML."""

    key: str
    type: str
    default: str
    variables: tuple[str, ...]
    meaning: str


def origin(settings: Settings) -> Mapping[str, str]:
    """Every dotted key and where its value came from: `default`, `file PATH`, `environment NAME` or
    `command line`."""
    known: Mapping[str, str] = settings._origins  # pyright: ignore[reportPrivateUsage]
    return {key: known.get(key, "default") for key in scalar_keys()}


def shown(settings: Settings) -> Mapping[str, Any]:
    """Every dotted key and its value, ready for JSON. A secret, or a password inside an address, is
    masked."""
    values: dict[str, Any] = {}
    for key in scalar_keys():
        value: Any = settings
        for part in key.split("."):
            value = getattr(value, part)
        values[key] = _plain(value)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, Path | Decimal):
        return str(value)
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(rf"\g<1>{MASK}", value)
    return value


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the configuration file. Every key may be left out."""
    made = Settings.model_json_schema(mode="validation")
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "costweir.toml"
    made.pop("required", None)
    return made


def settings_list() -> tuple[Setting, ...]:
    """Every setting, the columns of the lists included (`budgets[].limit_usd`), in the order of the
    models."""
    made = schema()
    definitions: dict[str, Any] = made["$defs"]
    listed: list[Setting] = []
    for name, part in made["properties"].items():
        if section_type(Settings.model_fields[name].annotation):
            listed += _section(f"{name}.", definitions[part["$ref"].rsplit("/", 1)[-1]], definitions)
        else:
            listed.append(_setting(name, part, definitions))
            listed += _columns(name, part, definitions)
    return tuple(listed)


def _section(prefix: str, section: dict[str, Any], definitions: dict[str, Any]) -> list[Setting]:
    listed: list[Setting] = []
    for name, part in section["properties"].items():
        listed.append(_setting(prefix + name, part, definitions))
        listed += _columns(prefix + name, part, definitions)
    return listed


def _columns(name: str, part: dict[str, Any], definitions: dict[str, Any]) -> list[Setting]:
    options = part.get("anyOf", [part])
    for option in options:
        reference = option.get("items", {}).get("$ref")
        if reference:
            return _section(f"{name}[].", definitions[reference.rsplit("/", 1)[-1]], definitions)
    return []


def _setting(key: str, part: dict[str, Any], definitions: dict[str, Any]) -> Setting:
    listed = "[]" in key
    names = () if listed else tuple(name for name, target in KNOWN_NAMES.items() if target == key)
    own = () if listed else (variable_of(key),)
    return Setting(
        key, _type(part, definitions), _default(key, part), own + names, part.get("description", "")
    )


def _type(part: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in part:
        part = definitions[part["$ref"].rsplit("/", 1)[-1]]
        return "table of " + ", ".join(part["properties"])
    options = [option for option in part.get("anyOf", [part]) if option.get("type") != "null"]
    words: list[str] = []
    for option in options:
        if "enum" in option:
            words.append(" or ".join(option["enum"]))
        elif option.get("type") == "array":
            words.append(
                f"list of {_type(option['items'], definitions)}"
                if "$ref" not in option["items"]
                else "list of tables"
            )
        elif option.get("type") == "object":
            words.append("table of texts")
        else:
            words.append(_scalar(option))
    return " or ".join(words)


def _scalar(option: dict[str, Any]) -> str:
    if option.get("format") in ("date", "path", "password"):
        return {"date": "day", "path": "path", "password": "secret"}[option["format"]]
    if option.get("examples") == ["3.00"]:
        return "decimal string"
    return {"string": "text", "integer": "whole number", "boolean": "true or false"}[option["type"]]


def _default(key: str, part: dict[str, Any]) -> str:
    if key == "data_dir":
        return "$XDG_DATA_HOME/costweir or ~/.local/share/costweir"
    value = part.get("default")
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
