"""The mappings that were set by hand, for readers of bills that have no control database of their own open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from costweir.control.control import Control
from costweir.errors import Conflict


def kept_rules(path: Path) -> list[dict[str, Any]]:
    """Every mapping in the form of `mappings.yaml`. The file is only read, so that nobody waits; one from an older
    version is brought up to date. Raises what `Control.open` raises."""
    try:
        with Control.open(path, read_only=True) as control:
            return [mapping.rule() for mapping in control.mappings.listed()]
    except Conflict:
        with Control.open(path) as control:
            return [mapping.rule() for mapping in control.mappings.listed()]
