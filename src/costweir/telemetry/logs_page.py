"""The tables of `docs/logs.md`, made from `logs.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, cast


@cache
def schema() -> Mapping[str, Mapping[str, Any]]:
    """`fields` by name, each with `type` and `meaning`; `events` by name, each with `meaning` and `fields`."""
    import yaml

    text = (resources.files("costweir.telemetry") / "logs.yaml").read_text(encoding="utf-8")
    return cast("Mapping[str, Mapping[str, Any]]", yaml.safe_load(text))


def table() -> str:
    """The events, then the fields."""
    events = [
        f"| `{name}` | {row['meaning']} | {', '.join(f'`{field}`' for field in row['fields'])} |"
        for name, row in schema()["events"].items()
    ]
    fields = [f"| `{name}` | {row['type']} | {row['meaning']} |" for name, row in schema()["fields"].items()]
    return "\n".join(
        [
            "### Events", "", "| `event_type` | when | fields of its own |", "|---|---|---|", *events, "",
            "### Fields", "", "| field | type | meaning |", "|---|---|---|", *fields,
        ]
    )  # fmt: skip
