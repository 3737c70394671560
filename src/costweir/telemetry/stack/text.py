"""How the files of the stack are read and written: data as YAML, one heading for every rendered file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

#: First line of every rendered file that can hold a comment.
MADE = "Made by `costweir render`. Change the settings or the code, not this file."


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key, and a text of several lines keeps them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indents lists too."""
        del indentless
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Writes a value out each time, because a reader of the file looks for it where it stands."""
        del data
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _text)


def yaml_text(value: Any, *about: str) -> str:
    """A YAML file: the heading, lines that say what it is about, and the value in the order that it has."""
    head = "".join(f"# {line}\n" for line in (MADE, *about))
    body = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return head + body


def data(name: str) -> Any:
    """The content of a data file of this room, made anew for each caller."""
    return yaml.safe_load(_source("data", name))


def template(name: str, places: Mapping[str, str] | None = None) -> str:
    """A file that is shipped nearly as it is; `@NAME@` stands for a place."""
    text = _source("templates", name)
    for key, value in (places or {}).items():
        text = text.replace(f"@{key}@", value)
    return text


@cache
def _source(folder: str, name: str) -> str:
    return files("costweir.telemetry.stack").joinpath(folder, name).read_text(encoding="utf-8")
