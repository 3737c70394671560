"""Saved queries for the clouds' own log stores, and for ours: `queries/` of what `costweir render` writes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costweir.config import Settings

_SUFFIXES = (".md", ".sql", ".txt", ".kql")
#: Stands for the Google Cloud project in the files, and is left for people where no project is set.
_PROJECT, _UNKNOWN = "$project", "PROJECT"


def files(settings: Settings, profile: str) -> Mapping[str, str]:
    """Path below the folder to text. The profile changes nothing: a query waits for nobody's container."""
    del profile
    project = settings.gcp.project_id or _UNKNOWN
    found = (entry for entry in resources.files(__name__).iterdir() if entry.name.endswith(_SUFFIXES))
    return {
        f"queries/{entry.name}": entry.read_text(encoding="utf-8").replace(_PROJECT, project)
        for entry in sorted(found, key=lambda entry: entry.name)
    }
