"""Reads the mapping data that ships with Costweir, and the digest that tells whether a meaning could have
changed.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ROOT = files("costweir.sources") / "mappings"

#: The files of the folder that decide a meaning, beside those under `models`.
DOCUMENTS = ("forms", "lines", "services", "slots", "units", "words")


def parse(text: str | bytes) -> Any:
    """The content of one YAML document, with the safe loader (plain values only)."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506  # both loaders are the safe ones


def document(name: str) -> dict[str, Any]:
    """One file of the mapping data, by its name without `.yaml`."""
    return parse((_ROOT / f"{name}.yaml").read_bytes())


def families() -> list[dict[str, Any]]:
    """Every model family of every developer, in file order; `developer` is filled in from the file."""
    found: list[dict[str, Any]] = []
    for name in names():
        if name.startswith("models/"):
            content = document(name)
            found += [{"developer": content["developer"], **family} for family in content["families"]]
    return found


def names() -> list[str]:
    """The names of all files that decide a meaning, sorted."""
    models = [entry.name for entry in (_ROOT / "models").iterdir() if entry.name.endswith(".yaml")]
    return sorted([*DOCUMENTS, *(f"models/{name.removesuffix('.yaml')}" for name in models)])


def digest() -> str:
    """SHA-256 over names and bytes of those files."""
    total = hashlib.sha256()
    for name in names():
        total.update(name.encode() + b"\0" + (_ROOT / f"{name}.yaml").read_bytes() + b"\0")
    return total.hexdigest()
