"""What boards say about themselves: measure, plane, currency and freshness of every panel, and names of columns."""

from __future__ import annotations

from costweir.queries.panels import PanelQuestion
from costweir.telemetry.grafana.board import Panel

_BASES = {
    "billed": "billed cost",
    "effective": "effective cost, commitments spread over what used them",
    "list": "cost at list price",
    "contracted": "cost at contracted price",
    "metered": "metered cost",
}
_PLANES = {
    "billed": "what providers invoiced, in US dollars, by whole UTC days; lines without a rate are left out. A bill is "
    "complete up to the day that the board Pipeline shows.",
    "metered": "what the gateway metered, in US dollars, by whole UTC days, some seconds behind; calls without a price "
    "are left out and counted on the board Pipeline.",
    "prometheus": "live estimate from counters of the running processes, as fresh as the last scrape; no bill.",
    "loki": "log lines of the running processes, as they are written.",
    "monitoring": "what Google Cloud Monitoring measured in the chosen project, some minutes behind.",
}
_TITLES = {
    "billed_cost": "Billed", "metered_cost": "Metered", "effective_cost": "Effective", "list_cost": "List",
    "contracted_cost": "Contracted", "remainder_cost": "Remainder", "cost_per_1k_tokens": "Per 1,000 tokens",
    "input_cost_per_1k_tokens": "Input per 1,000", "output_cost_per_1k_tokens": "Output per 1,000",
    "cost_per_active_day": "Per active day", "sku_text": "SKU text", "limit_usd": "Limit", "left_usd": "Left",
    "revenue_usd": "Revenue", "margin_usd": "Margin", "used_share": "Used",
}  # fmt: skip


def described(panel: Panel, question: PanelQuestion | None) -> str:
    """The description of a panel, in sentences."""
    parts = [panel.text]
    if question is not None:
        metered = question.on == "metered"
        parts.append(f"Measure: {_BASES[question.on]}.")
        parts.append(f"Plane: {_PLANES['metered' if metered else 'billed']}")
        parts.append(f"Question `{question.question}` of the catalogue. {question.asked.notes}".strip())
        if question.choices:
            narrowed = question.open_choices()
            parts.append(f"Follows the lists {', '.join(narrowed)}." if narrowed else "Follows no list.")
    else:
        parts.append(f"Plane: {_PLANES[str(panel.service)]}")
    if panel.range:
        parts.append(f"Time range of its own: {panel.range}.")
    if panel.waits:
        parts.append(f"Empty until there is {panel.waits}.")
    return " ".join(parts)


def heading(name: str) -> str:
    """The title of a column."""
    return _TITLES.get(name, name.replace("_", " ").capitalize())


def unit_of(question: PanelQuestion) -> str:
    """The unit of what a panel draws: of its first measure."""
    name = question.column(question.columns[0])
    return unit(name, str(question.kinds()[name])) or "short"


def unit(name: str, kind: str) -> str:
    """The unit of a column, empty for what is no number."""
    if kind == "ratio":
        return "percentunit" if name.endswith("share") else "currencyUSD" if "cost_per_" in name else "short"
    return {"money": "currencyUSD", "quantity": "short", "int": "short"}.get(kind, "")
