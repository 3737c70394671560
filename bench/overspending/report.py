"""The page: what each gateway let the provider bill, beside what it was told to allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from overspending.scenarios import HEAVY, LIMIT, SCENARIOS, Scenario

NOTES = Path(__file__).with_name("notes.md")
ALL = (*SCENARIOS, *HEAVY)


def page(rows: Sequence[Mapping], facts: Mapping[str, object]) -> str:
    gateways = list(dict.fromkeys(row["gateway"] for row in rows))
    parts = [
        "# Can a budget be overspent?\n",
        f"`{facts['command']}` on {facts['when']}, commit {facts['commit']}, {facts['minutes']:.0f} minutes.",
        f"{facts['machine']}. {facts['versions']}.\n",
        "One budget of $1.00, 400 callers at once, 1,600 calls, and a provider that misbehaves and keeps its own bill.",
        "**What the provider billed beyond the limit:**\n",
        beyond(rows, gateways),
        "## Costweir in detail\n",
        detail([row for row in rows if row["gateway"] == "Costweir"]),
        "## LiteLLM in detail\n",
        others([row for row in rows if row["gateway"] != "Costweir"]),
        NOTES.read_text(encoding="utf-8"),
    ]
    return "\n".join(parts)


def beyond(rows: Sequence[Mapping], gateways: Sequence[str]) -> str:
    lines = ["| what happens | " + " | ".join(gateways) + " |", "|---|" + "--:|" * len(gateways)]
    for scenario in ALL:
        found = {row["gateway"]: row for row in rows if row["scenario"].name == scenario.name}
        if found:
            cells = [cell(found.get(gateway)) for gateway in gateways]
            lines.append(f"| {said(scenario)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def said(scenario: Scenario) -> str:
    return f"{scenario.says} *(breaks an assumption)*" if scenario.breaks else scenario.says


def cell(row: Mapping | None) -> str:
    if row is None:
        return "–"
    over = dollars(row["overspend"])
    if not row["overspend"]:
        return "$0.00"
    if row["debt"] and row["overspend"] <= row["debt"]:
        return f"${over}, all of it shown as debt"
    return f"**${over}**" + (", in its own books" if row["counted"] >= row["billed"] else "")


def detail(rows: Sequence[Mapping]) -> str:
    lines = [
        "| what happens | billed | settled + held | debt | uncertain | unused | least hold | calls | refused | holds |",
        "|---|" + "--:|" * 8 + "---|",
    ]
    for row in rows:
        cells = [
            dollars(row["billed"]), dollars(row["counted"] - row["debt"]), dollars(row["debt"]),
            f"{row['uncertain']:,}",
            dollars(row["unused"]), dollars(row["smallest"]) if row["smallest"] else "–", f"{row['calls']:,}",
            f"{row['blocked']:,}", "yes" if row["holds"] else "**no**",
        ]  # fmt: skip
        lines.append(f"| {row['scenario'].name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def others(rows: Sequence[Mapping]) -> str:
    lines = [
        "| gateway | what happens | billed | its own books | not in its books | unused | calls | not answered 200 |",
        "|---|---|" + "--:|" * 6,
    ]
    for row in rows:
        known = row["counted"] >= 0
        missing = max(0, row["billed"] - row["counted"]) if known else 0
        cells = [
            dollars(row["billed"]), dollars(row["counted"]) if known else "not refused",
            dollars(missing) if known else "–", dollars(row["unused"]), f"{row['calls']:,}", f"{row['blocked']:,}",
        ]  # fmt: skip
        lines.append(f"| {row['gateway']} | {row['scenario'].name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def dollars(nano: int) -> str:
    return f"{Decimal(nano).scaleb(-9):,.4f}" if nano % (LIMIT // 100) else f"{Decimal(nano).scaleb(-9):,.2f}"
