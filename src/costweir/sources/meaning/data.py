"""Reads the mapping data that ships with Costweir, and the digest that tells whether a meaning could have
changed.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ROOT = files("costweir.sources") / "mappings"


def parse(text: str | bytes) -> Any:
    """The content of one YAML document, with the safe loader (plain values only)."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506  # both loaders are the safe ones


def document(name: str) -> dict[str, Any]:
    """One file of the mapping data, by its name without `.yaml`."""
    return parse((_ROOT / f"{name}.yaml").read_bytes())


def families() -> list[dict[str, Any]]:
    """Every model family of every developer, in file order; `developer` is filled in from the file."""
    found: list[dict[str, Any]] = []
    for entry in _family_files():
        content: dict[str, Any] = parse(entry.read_bytes())
        found += [{"developer": content["developer"], **family} for family in content["families"]]
    return found


def digest() -> str:
    """SHA-256 over names and bytes of all mapping files."""
    total = hashlib.sha256()
    for entry in sorted([*_ROOT.iterdir(), *_family_files()], key=lambda item: item.name):
        if entry.name.endswith(".yaml"):
            total.update(entry.name.encode() + b"\0" + entry.read_bytes() + b"\0")
    return total.hexdigest()


def _family_files() -> list[Traversable]:
    return sorted(
        (item for item in (_ROOT / "models").iterdir() if item.name.endswith(".yaml")),
        key=lambda item: item.name,
    )
