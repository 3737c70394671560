"""The table of `docs/metrics.md`, made from `metrics.yaml`."""

from __future__ import annotations

from itertools import groupby

from costweir.telemetry.metrics import families

_PLANES = {
    "metered": "Metered at the gateway, as it happens",
    "billed": "Billed, as the stores have it",
    "operation": "Costweir itself",
}


def table() -> str:
    """A table for each plane, in the order of the data file."""
    rows = sorted(families().values(), key=lambda family: list(_PLANES).index(family.plane))
    parts: list[str] = []
    for plane, found in groupby(rows, key=lambda family: family.plane):
        lines = [
            f"| `{family.name}` | {family.type} | {', '.join(f'`{name}`' for name in family.labels)} | {family.help} |"
            for family in found
        ]
        head = ["| name | type | labels | what it says |", "|---|---|---|---|"]
        parts += [f"### {_PLANES[plane]}", "\n".join([*head, *lines])]
    return "\n\n".join(parts)
