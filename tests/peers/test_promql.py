"""Every PromQL of the boards, run on a real Prometheus that scraped `costweir up` under load."""

from __future__ import annotations

import re
import time

import pytest
from test_prometheus import SELDOM, Scraped, scraped  # noqa: F401

from costweir.telemetry.grafana.board import Panel, boards
from costweir.telemetry.metrics import families

#: Expressions that are empty unless something of others is scraped, something went wrong, or minutes have gone by.
CALM = re.compile(r"ALERTS|:5m\]|outcome=\"error\"|costweir_agent")
FOUND = [
    (f"{board.slug}/{panel.key}/{number}", panel, item.expr)
    for board in boards()
    for panel in board.panels
    if panel.service == "prometheus"
    for number, item in enumerate(panel.expressions)
]


def filled(expr: str, provider: str = ".*", model: str = ".*") -> str:
    """The expression as Grafana sends it with a scrape a second."""
    text = expr.replace("${live_provider:regex}", provider).replace("${live_model:regex}", model)
    return text.replace("$__rate_interval", "10s")


def ours(expr: str) -> bool:
    """Whether the load has to show in it: it is of metrics that every load brings."""
    ends = ("", "_bucket", "_sum", "_count")
    always = {
        family.name + end for family in families().values() for end in ends if family.name not in SELDOM
    }
    names = set(re.findall(r"\b(?:llm|costweir|process)_\w+", expr))
    return bool(names) and names <= always and not CALM.search(expr)


def ranged(scraped: Scraped, expr: str) -> list[dict[str, object]]:  # noqa: F811
    now = time.time()
    return scraped.by.api("query_range", query=expr, start=str(now - 60), end=str(now), step="1")["result"]


@pytest.mark.parametrize(("name", "panel", "expr"), FOUND, ids=[name for name, _, _ in FOUND])
def test_promql_of_a_panel_is_answered(scraped: Scraped, name: str, panel: Panel, expr: str) -> None:  # noqa: F811
    result = scraped.by.query(filled(expr)) if panel.now else ranged(scraped, filled(expr))
    if ours(expr):
        assert result, "nothing is shown although there was load"
    for series in result:
        assert "customer_id" not in series["metric"]


def test_lists_of_live_labels_narrow_what_is_shown(scraped: Scraped) -> None:  # noqa: F811
    expr = next(expr for name, _, expr in FOUND if name == "live-gateway/requests/0")
    providers = scraped.by.api("label/provider/values")
    models = scraped.by.api("label/model/values")
    assert {"local"} <= set(providers)
    assert len(models) > 1
    everything = ranged(scraped, filled(expr))
    for provider, model in (("local", ".*"), ("local", f"({'|'.join(models)})"), (".*", models[0])):
        assert ranged(scraped, filled(expr, provider, model))
    assert ranged(scraped, filled(expr, "nobody")) == []
    assert everything
