"""The rendered boards: what Grafana's own schema and linter would say, and that no requirement is left out."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import sqlglot
import yaml

from costweir.config import Settings, load
from costweir.telemetry import grafana
from costweir.telemetry.grafana import foundation, provisioning
from costweir.telemetry.grafana.board import Board, Panel, boards
from costweir.telemetry.grafana.drawing import SERVICES
from costweir.telemetry.grafana.sets import STORES
from costweir.telemetry.grafana.tenant import tenant_boards

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "dashboards.md"
REQUIRED = {f"DSH-{number:02d}" for number in range(1, 71)}
#: Metrics of other programs, by the one that exposes them. What is not here and not ours is a typing error.
FOREIGN = {
    "up", "ALERTS", "pg_stat_activity_count", "ClickHouseAsyncMetrics_DiskUsed_default", "redis_memory_used_bytes",
    "redis_memory_max_bytes", "node_network_receive_bytes_total", "node_network_transmit_bytes_total",
    "node_network_receive_errs_total", "node_network_transmit_errs_total", "container_last_seen",
    "container_memory_working_set_bytes", "prometheus_tsdb_head_series", "prometheus_tsdb_storage_blocks_bytes",
    "loki_distributor_bytes_received_total", "grafana_http_request_duration_seconds_count",
}  # fmt: skip
#: Variables that Grafana has of its own.
BUILT_IN = re.compile(r"__(from|to|timeFrom|timeTo|interval|rate_interval|range|value|data|field)\b")


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(path=None, environ={}, overrides={})


@pytest.fixture(scope="module")
def rendered(settings: Settings) -> Mapping[str, str]:
    return grafana.files(settings, "")


@pytest.fixture(scope="module")
def sheets(rendered: Mapping[str, str]) -> Mapping[str, Any]:
    return {path: json.loads(text) for path, text in rendered.items() if path.endswith(".json")}


def panels_of(sheet: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in sheet["panels"] if panel["type"] != "row")


def all_panels() -> list[tuple[Board, Panel]]:
    return [(board, panel) for board in boards() for panel in board.panels]


def test_the_same_settings_give_the_same_bytes(settings: Settings, rendered: Mapping[str, str]) -> None:
    assert grafana.files(settings, "") == rendered
    assert grafana.files(settings, "lite") == {}
    standard = grafana.files(settings, "standard")
    assert all(standard[path] == rendered[path] for path in standard)
    assert "grafana/provisioning/datasources/tempo.yaml" not in standard


def test_there_are_ten_boards_for_every_store(sheets: Mapping[str, Any]) -> None:
    counted = Counter(path.split("/")[1] for path in sheets)
    assert len(boards()) == 10
    assert {store.folder: 10 for store in STORES.values()}.items() <= counted.items()
    uids = [sheet["uid"] for sheet in sheets.values()]
    assert len(set(uids)) == len(uids)
    assert all(len(uid) <= 40 for uid in uids)


def test_the_schema_of_the_sdk_knows_everything_in_a_board(rendered: Mapping[str, str]) -> None:
    for path, text in rendered.items():
        if path.endswith(".json"):
            assert foundation.read(text) == text, path
            assert text.endswith("}\n")


def test_a_board_keeps_the_rules_of_dashboards_as_code(sheets: Mapping[str, Any]) -> None:
    for path, sheet in sheets.items():
        assert sheet["schemaVersion"] == 42, path
        assert sheet["editable"] is False
        assert not {"id", "version", "iteration"} & sheet.keys()
        assert sheet["timezone"] == "utc"
        assert sheet["weekStart"] == "monday"
        ids = [panel["id"] for panel in sheet["panels"]]
        assert len(set(ids)) == len(ids)
        assert all(0 < number < 2**31 for number in ids)


def test_every_panel_has_a_title_a_description_a_unit_a_target_and_a_link(sheets: Mapping[str, Any]) -> None:
    for path, sheet in sheets.items():
        for panel in panels_of(sheet):
            where = (path, panel["title"])
            assert panel["title"], where
            assert "Plane: " in panel["description"], where
            assert panel["targets"], where
            assert panel["fieldConfig"]["defaults"]["unit"], where
            assert panel["links"][0]["url"].startswith("${costweir}/"), where
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs), where
            if panel["datasource"]["type"] != "prometheus" and panel["type"] != "logs":
                assert "US dollars" in panel["description"] or "Monitoring" in panel["description"], where


def test_panels_lie_side_by_side_on_the_grid(sheets: Mapping[str, Any]) -> None:
    for path, sheet in sheets.items():
        taken: set[tuple[int, int]] = set()
        for panel in sheet["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24, path
            cells = {
                (place["x"] + column, place["y"] + row)
                for column in range(place["w"])
                for row in range(place["h"])
            }
            assert not cells & taken, (path, panel["title"])
            taken |= cells


def test_every_variable_is_defined_and_used(sheets: Mapping[str, Any]) -> None:
    for path, sheet in sheets.items():
        defined = {variable["name"] for variable in sheet["templating"]["list"]}
        text = json.dumps([sheet["panels"], sheet["annotations"], sheet["links"], sheet["templating"]])
        used = {name for name in re.findall(r"\$\{(\w+)[:}.]", text) if not BUILT_IN.match(name)}
        assert used <= defined, path
        assert defined - used <= {"store"}, path


def test_every_data_source_is_reached_by_a_variable_and_provisioned(sheets: Mapping[str, Any]) -> None:
    known = {source["uid"]: source["type"] for source in provisioning.sources()}
    for path, sheet in sheets.items():
        lists = {item["name"]: item for item in sheet["templating"]["list"]}
        asked = [panel["datasource"] for panel in panels_of(sheet)]
        asked += [mark["datasource"] for mark in sheet["annotations"]["list"]]
        asked += [item["datasource"] for item in lists.values() if item["type"] == "query"]
        for source in asked:
            name = re.fullmatch(r"\$\{(\w+)\}", source["uid"])
            assert name, (path, source)
            variable = lists[name[1]]
            assert variable["type"] == "datasource"
            assert variable["query"] == source["type"]
            assert known[variable["current"]["value"]] == source["type"], path


def test_nothing_is_named_that_only_one_installation_has(rendered: Mapping[str, str]) -> None:
    for path, text in rendered.items():
        if path.endswith(".json"):
            assert not re.search(r"now\(\)|current_date|interval '", text, re.IGNORECASE), path
            assert not re.search(r"\b\d{12}\b", text), path
            assert "latest" not in text, path


def test_a_fixed_time_range_is_said_in_the_title_or_in_the_description(sheets: Mapping[str, Any]) -> None:
    for path, sheet in sheets.items():
        for panel in panels_of(sheet):
            if panel.get("timeFrom"):
                assert f"Time range of its own: {panel['timeFrom']}." in panel["description"], path


def test_every_requirement_of_dashboards_is_met_or_waits_and_the_page_says_so() -> None:
    met: Counter[str] = Counter()
    waiting: set[str] = set()
    for board in boards():
        met.update(board.covers)
    for _, panel in all_panels():
        met.update(set(panel.covers))
        waiting |= set(panel.covers) if panel.waits else set()
    met.update(provisioning.covers())
    assert set(met) == REQUIRED
    page = DOC.read_text(encoding="utf-8")
    for number in sorted(REQUIRED):
        assert number in page, f"docs/dashboards.md does not name {number}"
    section = page.split("## What waits for its source")[1].split("\n## ")[0]
    for board, panel in all_panels():
        assert (f"`{board.slug}/{panel.key}`" in section) == bool(panel.waits), panel.key
    assert all(number in section for number in waiting)


def test_keys_of_panels_are_unique_within_their_board() -> None:
    for board in boards():
        keys = [panel.key for panel in board.panels]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", [store.name for store in STORES.values() if store.marks])
def test_every_select_can_be_read_in_its_dialect(sheets: Mapping[str, Any], name: str) -> None:
    store = STORES[name]
    assert store.marks is not None
    seen = 0
    for path, sheet in sheets.items():
        if not path.startswith(f"grafana/{store.folder}/"):
            continue
        found = [target for panel in panels_of(sheet) for target in panel["targets"]]
        found += [mark["target"] for mark in sheet["annotations"]["list"]]
        for sql in [target.get("rawSql") or target.get("rawSQL") for target in found]:
            if sql:
                plain = re.sub(
                    r"\$__\w+\(([\w.]+)\)", r"\1 IS NOT NULL", re.sub(r"\$\{[^}]*:sqlstring\}", "''", sql)
                )
                plain = re.sub(r"\$\{__(from|to):date:iso\}", "2026-01-01T00:00:00Z", plain)
                (tree,) = sqlglot.parse(plain.replace("${dataset}", "costweir"), read=store.marks.dialect)
                assert isinstance(tree, sqlglot.exp.Select)
                seen += 1
    assert seen > 60


def our_metrics() -> set[str]:
    table = yaml.safe_load((ROOT / "src/costweir/telemetry/metrics.yaml").read_text(encoding="utf-8"))
    found: set[str] = set()
    for name, family in table.items():
        histogram = family["type"] == "histogram"
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if histogram else {name}
    return found


def expressions(service: str) -> list[tuple[str, Panel, str]]:
    return [
        (board.slug, panel, item.expr)
        for board, panel in all_panels()
        if panel.service == service
        for item in panel.expressions
    ]


def plain_promql(expr: str) -> str:
    text = re.sub(r"\$\{\w+:regex\}", ".*", expr)
    return text.replace("$__rate_interval", "1m").replace("$__interval", "1m")


@pytest.mark.parametrize(
    ("board", "panel", "expr"), expressions("prometheus"), ids=lambda item: getattr(item, "key", None)
)
def test_promql_can_be_read_and_names_metrics_that_exist(board: str, panel: Panel, expr: str) -> None:
    promql_parser.parse(plain_promql(expr))
    # what is neither a function nor a label is a metric
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without)\s*\([^)]*\)', "", plain_promql(expr))
    names = set(re.findall(r"\b[a-zA-Z_]\w*\b(?!\s*\()", bare)) - {
        "by",
        "without",
        "sum",
        "max",
        "min",
        "e",
        "topk",
    }
    assert names, expr
    unknown = names - our_metrics() - FOREIGN
    assert not unknown or panel.waits, (expr, unknown)
    assert {"customer", "customer_id", "user", "session", "key"}.isdisjoint(re.findall(r"\w+", expr))


def test_a_counter_is_never_shown_as_it_stands() -> None:
    for _, panel, expr in expressions("prometheus"):
        for name in re.findall(r"\b\w+_(?:total|bucket)\b", expr):
            assert re.search(rf"(rate|increase)\({name}", expr), (panel.key, expr)


@pytest.mark.parametrize(
    ("board", "panel", "expr"), expressions("loki"), ids=lambda item: getattr(item, "key", None)
)
def test_logql_is_a_selector_with_known_stages(board: str, panel: Panel, expr: str) -> None:
    matched = re.fullmatch(r'\{(\w+)="([\w-]+)"\}((?: \| [^|]+| \| \w+=~"[^"]+")*)', expr)
    assert matched, expr
    assert matched[1] in ("service", "env", "level")
    for stage in re.findall(r' \| ((?:[^|"]|"[^"]*")+)', matched[3]):
        assert re.fullmatch(r'json|\w+\s*(=|!=|=~|!~)\s*"[^"]*"', stage.strip()), stage


@pytest.mark.parametrize(
    ("board", "panel", "expr"), expressions("monitoring"), ids=lambda item: getattr(item, "key", None)
)
def test_promql_of_google_can_be_read(board: str, panel: Panel, expr: str) -> None:
    promql_parser.parse(plain_promql(expr))
    assert panel.waits


def test_links_of_alerts_lead_to_boards_that_exist(rendered: Mapping[str, str]) -> None:
    rules = (ROOT / "src/costweir/telemetry/stack/data/rules.yaml").read_text(encoding="utf-8")
    uids = {
        json.loads(text)["uid"] for path, text in rendered.items() if path.startswith("grafana/dashboards/")
    }
    assert set(re.findall(r"board: (\S+)", rules)) <= uids


def test_tenants_see_no_panel_that_is_about_everybody() -> None:
    found = list(tenant_boards())
    assert {board.slug for board in found} >= {"cost-explorer", "models", "tenants"}
    for board in found:
        assert "customer" not in board.choices
        assert all(panel.ask and panel.service is None for panel in board.panels)


def test_the_services_of_panels_have_a_data_source() -> None:
    known = {source["uid"]: source["type"] for source in provisioning.sources()}
    for _, plugin, uid in SERVICES.values():
        assert known[uid] == plugin
    for store in STORES.values():
        assert known[store.uid] == store.plugin
