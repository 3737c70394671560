"""Which reader of a bill is finer, so that a coarse look at a month never replaces its full export."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import cast


@cache
def _ranks() -> Mapping[str, int]:
    import yaml

    text = (resources.files("costweir.sources") / "ranks.yaml").read_text(encoding="utf-8")
    table = cast("dict[str, dict[str, int]]", yaml.safe_load(text))
    return {reader: entry["rank"] for reader, entry in table.items()}


def coarser(reader: str, than: str) -> bool:
    """True when `reader` tells less of a bill than the reader `than`; see `ranks.yaml` for the evidence."""
    ranks = _ranks()
    return ranks.get(reader, ranks["default"]) < ranks.get(than, ranks["default"])
