"""The only module that knows grafana-foundation-sdk: it draws a board as the JSON that Grafana provisions from files.

The SDK is a preview, so what changes in it shows here and in the committed boards. It has no query of the data sources
for PostgreSQL, SQL Server, Redshift, ClickHouse and Infinity; they are the small classes below.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from costweir.telemetry.grafana.api import Column

with warnings.catch_warnings():
    # it would rather draw v2 resources, which are not provisioned from plain files
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        barchart,
        bargauge,
        gauge,
        histogram,
        logs,
        piechart,
        stat,
        statetimeline,
        table,
        timeseries,
    )
    from grafana_foundation_sdk.builders import common as parts
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.variants import Dataquery
    from grafana_foundation_sdk.models import (
        bigquery,
        common,
        dashboard,
        googlecloudmonitoring,
        loki,
        prometheus,
    )

Steps = Sequence[tuple[float | None, str]]
_CALCULATION = "lastNotNull"


@dataclass(frozen=True, slots=True)
class Variable:
    """A list above a board. `options` are fixed; without them `target` asks the data source for the members."""

    name: str
    label: str
    source: str = ""
    plugin: str = ""
    current: str = ""
    query: str | Mapping[str, object] = ""
    all_value: str = ""
    pattern: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """How one column is written."""

    name: str
    title: str
    unit: str = ""
    link: str = ""
    width: int = 0


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel that is ready to be drawn. `source` and `plugin` are its data source."""

    id: int
    title: str
    description: str
    kind: str
    place: tuple[int, int, int, int]
    """Left, top, width and height."""
    source: str
    plugin: str
    targets: Sequence[Dataquery]
    unit: str
    steps: Steps = ()
    fields: Sequence[Field] = ()
    links: Sequence[tuple[str, str]] = ()
    """Title and address."""
    since: str = ""
    over: tuple[str, float] | None = None
    named: str = ""
    """What a series is called; empty leaves it to Grafana."""
    matrix: tuple[str, str, str] | None = None
    words: Sequence[str] = ()
    """Numbers that are names, such as hours."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A row of a board."""

    id: int
    title: str
    top: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What happened when, drawn over every panel."""

    name: str
    source: str
    plugin: str
    target: Dataquery
    color: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A board that is ready to be drawn."""

    uid: str
    title: str
    description: str
    tags: Sequence[str]
    since: str
    refresh: str
    variables: Sequence[Variable]
    marks: Sequence[Mark]
    panels: Sequence[Drawn | Heading]
    links: Sequence[tuple[str, str]]


class RawQuery(Dataquery):
    """A query of a data source that the SDK does not know, with the fields that its plugin reads."""

    def __init__(self, **fields: object) -> None:
        self.fields = fields

    def to_json(self) -> dict[str, object]:
        """The fields as they are."""
        return dict(self.fields)


def sql_query(plugin: str, sql: str, *, series: bool) -> Dataquery:
    """A SELECT, as a table or as series over time."""
    if plugin == "grafana-bigquery-datasource":
        format_val = bigquery.QueryFormat.TIMESERIES if series else bigquery.QueryFormat.TABLE
        return bigquery.Dataquery(
            format_val=format_val,
            raw_query=True,
            raw_sql=sql,
            editor_mode=bigquery.EditorMode.CODE,
            ref_id="A",
        )
    if plugin == "grafana-clickhouse-datasource":
        kind = "timeseries" if series else "table"
        return RawQuery(
            refId="A",
            editorType="sql",
            queryType=kind,
            format=0 if series else 1,
            rawSql=sql,
            pluginVersion="4.20.0",
        )
    if plugin == "grafana-redshift-datasource":
        return RawQuery(refId="A", rawSQL=sql, format=0 if series else 1)
    kind = "time_series" if series else "table"
    return RawQuery(refId="A", rawQuery=True, rawSql=sql, format=kind, editorMode="code")


def api_query(address: str, columns: Sequence[Column], *, series: bool) -> Dataquery:
    """A question at Costweir's own API."""
    return RawQuery(
        refId="A", type="json", source="url", parser="backend", url=address, root_selector="rows",
        format="timeseries" if series else "table", url_options={"method": "GET", "data": ""},
        columns=[{"selector": item.selector, "text": item.text, "type": item.type} for item in columns],
        filters=[],
    )  # fmt: skip


def prometheus_query(expr: str, *, name: str, ref: str, now: bool) -> Dataquery:
    """PromQL, of this moment or over the time range, with exemplars where the metric has them."""
    return prometheus.Dataquery(
        expr=expr, legend_format=name or "__auto", ref_id=ref, instant=now, range_val=not now,
        exemplar="_bucket" in expr and not now, editor_mode=prometheus.QueryEditorMode.CODE,
        format_val=prometheus.PromQueryFormat.TIME_SERIES,
    )  # fmt: skip


def loki_query(expr: str, *, name: str, ref: str) -> Dataquery:
    """LogQL."""
    return loki.Dataquery(
        expr=expr,
        legend_format=name or None,
        ref_id=ref,
        query_type="range",
        editor_mode=loki.QueryEditorMode.CODE,
    )


def monitoring_query(expr: str, *, ref: str) -> Dataquery:
    """PromQL on Google Cloud Monitoring."""
    return googlecloudmonitoring.CloudMonitoringQuery(
        ref_id=ref, query_type="promQL",
        prom_ql_query=googlecloudmonitoring.PromQLQuery(project_name="${gcp_project}", expr=expr, step="10s"),
    )  # fmt: skip


def write(sheet: Sheet) -> str:
    """The JSON text of a board: sorted, with a newline at its end, and without what only Grafana knows."""
    drawn = dashboard.Dashboard(
        uid=sheet.uid,
        title=sheet.title,
        description=sheet.description,
        tags=list(sheet.tags),
        timezone="utc",
        editable=False,
        graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
        time=dashboard.DashboardDashboardTime(from_val=sheet.since, to="now"),
        week_start="monday",
        refresh=sheet.refresh,
        panels=[_heading(panel) if isinstance(panel, Heading) else _panel(panel) for panel in sheet.panels],
        templating=dashboard.DashboardDashboardTemplating([_variable(item) for item in sheet.variables]),
        annotations=dashboard.AnnotationContainer([_mark(item) for item in sheet.marks]),
        links=[_others(sheet.tags), *(_link(title, url) for title, url in sheet.links)],
        timepicker=dashboard.TimePickerConfig(refresh_intervals=["30s", "1m", "5m", "15m", "1h"]),
    )
    return json.dumps(_plain(drawn), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(text: str) -> str:
    """A board as the SDK reads and writes it again; the same text when its schema knows everything in it."""
    found = dashboard.Dashboard.from_json(json.loads(text))
    return json.dumps(_plain(found), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _plain(value: object) -> Any:
    return json.loads(JSONEncoder().encode(value))


def _variable(item: Variable) -> dashboard.VariableModel:
    chosen = dashboard.VariableOption(selected=True, text=item.current, value=item.current)
    hide = dashboard.VariableHide.HIDE_VARIABLE if item.hidden else dashboard.VariableHide.DONT_HIDE
    if item.plugin and not item.source:
        return dashboard.VariableModel(
            type_val=dashboard.VariableType.DATASOURCE, name=item.name, label=item.label, query=item.plugin,
            current=chosen, hide=hide, regex=item.pattern, refresh=dashboard.VariableRefresh.ON_DASHBOARD_LOAD,
        )  # fmt: skip
    if not item.source:
        return dashboard.VariableModel(
            type_val=dashboard.VariableType.TEXTBOX, name=item.name, label=item.label, query=item.current,
            current=chosen, hide=hide, options=[chosen],
        )  # fmt: skip
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    query = item.query if isinstance(item.query, str) else dict(item.query)
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY, name=item.name, label=item.label, query=query,
        datasource=common.DataSourceRef(item.plugin, f"${{{item.source}}}"), current=everything, multi=True,
        include_all=True, all_value=item.all_value, allow_custom_value=True,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED, sort=dashboard.VariableSort.DISABLED,
    )  # fmt: skip


def _mark(item: Mark) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery(
        name=item.name, datasource=common.DataSourceRef(item.plugin, f"${{{item.source}}}"), enable=True,
        icon_color=item.color, target=item.target,
    )  # fmt: skip


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(
        title=title, type_val=dashboard.DashboardLinkType.LINK, icon="external link", url=url, target_blank=True,
        tooltip=title,
    )  # fmt: skip


def _others(tags: Sequence[str]) -> dashboard.DashboardLink:
    """A list of the boards beside this one, which keeps the days and what is picked."""
    return dashboard.DashboardLink(
        title="Boards", type_val=dashboard.DashboardLinkType.DASHBOARDS, tags=list(tags), as_dropdown=True,
        include_vars=True, keep_time=True, tooltip="The boards beside this one",
    )  # fmt: skip


def _heading(row: Heading) -> dashboard.RowPanel:
    return dashboard.RowPanel(
        title=row.title, id_val=row.id, grid_pos=dashboard.GridPos(h=1, w=24, x=0, y=row.top), panels=[]
    )


def _panel(drawn: Drawn) -> dashboard.Panel:
    panel = _KINDS[drawn.kind](drawn)
    left, top, width, height = drawn.place
    panel.id_val = drawn.id
    panel.title = drawn.title
    panel.description = drawn.description
    panel.datasource = common.DataSourceRef(drawn.plugin, f"${{{drawn.source}}}")
    panel.targets = list(drawn.targets)
    panel.grid_pos = dashboard.GridPos(h=height, w=width, x=left, y=top)
    panel.links = [_link(title, url) for title, url in drawn.links]
    panel.time_from = drawn.since or None
    panel.transformations = list(_transformations(drawn)) or None
    config = panel.field_config or dashboard.FieldConfigSource()
    defaults = config.defaults or dashboard.FieldConfig()
    defaults.unit = drawn.unit or None
    defaults.no_value = "no data"
    defaults.display_name = drawn.named or None
    defaults.color = _color(drawn)
    steps = drawn.steps or ((None, "green"),)
    defaults.thresholds = dashboard.ThresholdsConfig(
        dashboard.ThresholdsMode.ABSOLUTE, [dashboard.Threshold(at, color) for at, color in steps]
    )
    config.defaults = defaults
    config.overrides = [_override(field) for field in drawn.fields]
    panel.field_config = config
    return panel


def _color(drawn: Drawn) -> dashboard.FieldColor:
    by_value = bool(drawn.steps) and drawn.kind in ("stat", "gauge", "ranking", "table", "states")
    if drawn.kind == "matrix":
        return dashboard.FieldColor(mode=dashboard.FieldColorModeId.CONTINUOUS_GR_YL_RD)
    return dashboard.FieldColor(
        mode=dashboard.FieldColorModeId.THRESHOLDS
        if by_value
        else dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME
    )


def _override(field: Field) -> dashboard.DashboardFieldConfigSourceOverrides:
    found = [dashboard.DynamicConfigValue("displayName", field.title)]
    if field.unit:
        found.append(dashboard.DynamicConfigValue("unit", field.unit))
    if field.link:
        link = {"title": f"{field.title} in Costweir", "url": field.link, "targetBlank": True}
        found.append(dashboard.DynamicConfigValue("links", [link]))
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig("byName", field.name), properties=found
    )


def _transformations(drawn: Drawn) -> Iterator[dashboard.DataTransformerConfig]:
    if drawn.over is not None:
        column, floor = drawn.over
        condition = {"fieldName": column, "config": {"id": "greater", "options": {"value": floor}}}
        yield dashboard.DataTransformerConfig(
            "filterByValue", options={"filters": [condition], "match": "all", "type": "include"}
        )
    if drawn.words:
        conversions = [{"targetField": name, "destinationType": "string"} for name in drawn.words]
        yield dashboard.DataTransformerConfig("convertFieldType", options={"conversions": conversions})
    if drawn.matrix is not None:
        row, column, value = drawn.matrix
        yield dashboard.DataTransformerConfig(
            "groupingToMatrix",
            options={"rowField": row, "columnField": column, "valueField": value, "emptyValue": "null"},
        )
    if drawn.kind == "sparklines":
        yield dashboard.DataTransformerConfig(
            "timeSeriesTable", options={"A": {"timeField": "time", "stat": "sum"}}
        )


def _legend(*, shown: bool) -> parts.VizLegendOptions:
    return (
        parts.VizLegendOptions()
        .show_legend(shown)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs([])
    )


def _tooltip() -> parts.VizTooltipOptions:
    return parts.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)


def _reduce(drawn: Drawn) -> parts.ReduceDataOptions:
    """One value a series, or one a row of a table."""
    rows = drawn.kind in ("pie", "ranking") and bool(drawn.fields)
    return parts.ReduceDataOptions().calcs([_CALCULATION]).values(rows)


def _stat(drawn: Drawn) -> dashboard.Panel:
    mode = common.BigValueColorMode.VALUE if drawn.steps else common.BigValueColorMode.NONE
    return (
        stat.Panel()
        .reduce_options(_reduce(drawn))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(mode)
        .build()
    )


def _line(drawn: Drawn) -> dashboard.Panel:
    return (
        timeseries.Panel()
        .legend(_legend(shown=True))
        .tooltip(_tooltip())
        .draw_style(common.GraphDrawStyle.LINE)
        .line_width(2)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .axis_soft_min(0)
        .build()
    )


def _bars(drawn: Drawn) -> dashboard.Panel:
    return (
        timeseries.Panel()
        .legend(_legend(shown=True))
        .tooltip(_tooltip())
        .draw_style(common.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .line_width(0)
        .stacking(parts.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .axis_soft_min(0)
        .build()
    )


def _pie(drawn: Drawn) -> dashboard.Panel:
    legend = (
        piechart.PieChartLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.RIGHT)
        .calcs([])
        .values([])
    )
    return piechart.Panel().reduce_options(_reduce(drawn)).legend(legend).tooltip(_tooltip()).build()


def _ranking(drawn: Drawn) -> dashboard.Panel:
    return (
        bargauge.Panel()
        .reduce_options(_reduce(drawn))
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .build()
    )


def _gauge(drawn: Drawn) -> dashboard.Panel:
    panel = gauge.Panel().reduce_options(_reduce(drawn)).build()
    config = panel.field_config or dashboard.FieldConfigSource()
    config.defaults = config.defaults or dashboard.FieldConfig()
    config.defaults.min_val, config.defaults.max_val = 0, 1.2
    panel.field_config = config
    return panel


def _table(drawn: Drawn) -> dashboard.Panel:
    return table.Panel().filterable(True).build()


def _matrix(drawn: Drawn) -> dashboard.Panel:
    cells = common.TableColoredBackgroundCellOptions(mode=common.TableCellBackgroundDisplayMode.BASIC)
    return table.Panel().cell_options(cells).build()


def _sparklines(drawn: Drawn) -> dashboard.Panel:
    return table.Panel().cell_options(common.TableSparklineCellOptions()).build()


def _histogram(drawn: Drawn) -> dashboard.Panel:
    return histogram.Panel().legend(_legend(shown=False)).tooltip(_tooltip()).build()


def _columns(drawn: Drawn) -> dashboard.Panel:
    return (
        barchart.Panel()
        .legend(_legend(shown=True))
        .tooltip(_tooltip())
        .orientation(common.VizOrientation.HORIZONTAL)
        .build()
    )


def _states(drawn: Drawn) -> dashboard.Panel:
    return statetimeline.Panel().legend(_legend(shown=True)).tooltip(_tooltip()).build()


def _logs(drawn: Drawn) -> dashboard.Panel:
    return logs.Panel().show_time(True).wrap_log_message(True).enable_log_details(True).build()


_KINDS: Mapping[str, Callable[[Drawn], dashboard.Panel]] = {
    "stat": _stat, "line": _line, "bars": _bars, "pie": _pie, "ranking": _ranking, "gauge": _gauge, "table": _table,
    "matrix": _matrix, "sparklines": _sparklines, "histogram": _histogram, "columns": _columns, "states": _states,
    "logs": _logs,
}  # fmt: skip


def target_fields(target: Dataquery) -> Mapping[str, object]:
    """The fields of a query as they are written."""
    return cast("Mapping[str, object]", _plain(target))
