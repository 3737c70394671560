"""Draws a board for one kind of store: its variables, its queries, its places on the grid. Nothing here adds up: SQL is
the catalogue's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from costweir.queries.panels import PanelQuestion, members_sql, panel_sql
from costweir.telemetry.grafana import api, foundation
from costweir.telemetry.grafana.board import Board, Panel
from costweir.telemetry.grafana.marks import marks_of
from costweir.telemetry.grafana.sets import ALL, STORES, Store
from costweir.telemetry.grafana.words import described, heading, unit, unit_of

#: Variable of each data source beside the store's: plugin and uid.
SERVICES: Mapping[str, tuple[str, str, str]] = {
    "prometheus": ("prometheus", "prometheus", "costweir-prometheus"),
    "loki": ("loki", "loki", "costweir-loki"),
    "monitoring": ("monitoring", "stackdriver", "costweir-cloud-monitoring"),
    "api": ("api", STORES["api"].plugin, STORES["api"].uid),
}
#: What every address of our pages begins with.
HOME = "${costweir}"
_DAYS = "from=${__from:date:YYYY-MM-DD}&to=${__to:date:YYYY-MM-DD}"
_WIDTH = 24
_LINKED = {"customer": "/customers/${__value.raw}"}


def uid_of(board: Board, store: Store) -> str:
    """The uid of a board: of its slug, and of the store where it is not the usual one."""
    tail = "" if store.name == "postgres" else f"-{store.name}"
    return f"costweir-{board.slug}{tail}"


def panel_id(board: Board, key: str) -> int:
    """A number that stays while the key does; Grafana wants a positive one of 31 bits."""
    digest = hashlib.sha256(f"{board.slug}/{key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1 or 1


def draw(board: Board, store: Store, home: str) -> str:
    """The JSON text of one board. `home` is the address of our pages as browsers see it."""
    return foundation.write(sheet(board, store, home))


def sheet(board: Board, store: Store, home: str) -> foundation.Sheet:
    """The board, laid out and with every query written."""
    tail = "" if store.name == "postgres" else f" ({store.title})"
    return foundation.Sheet(
        uid=uid_of(board, store),
        title=f"{board.title}{tail}",
        description=f"{board.text} {' '.join(board.covers)}".strip(),
        tags=("costweir", store.name),
        since=board.since,
        refresh=board.refresh,
        variables=tuple(_variables(board, store, home)),
        marks=tuple(marks_of(store)) if any(panel.ask for panel in board.panels) else (),
        panels=tuple(_laid_out(board, store)),
        links=(("Costweir", HOME),),
    )


def source_of(panel: Panel, board: Board, store: Store) -> str:
    """The variable of the data source of a panel: `store`, or one of `SERVICES`."""
    if panel.service is not None:
        return panel.service
    return "store" if store.marks and panel.question(board.choices).one_query else "api"


def _laid_out(board: Board, store: Store) -> Iterator[foundation.Drawn | foundation.Heading]:
    top = 0
    for row in board.rows:
        yield foundation.Heading(panel_id(board, f"row {row.title}"), row.title, top)
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _WIDTH:
                top, left, tallest = top + tallest, 0, 0
            yield _drawn(panel, board, store, (left, top, panel.width, panel.height))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _drawn(panel: Panel, board: Board, store: Store, place: tuple[int, int, int, int]) -> foundation.Drawn:
    source = source_of(panel, board, store)
    plugin = store.plugin if source == "store" else SERVICES[source][1]
    question = panel.question(board.choices) if panel.ask else None
    fields = tuple(_fields(question)) if question and question.shape != "series" else ()
    named = question is not None and question.shape == "series" and len(question.by) > 1
    return foundation.Drawn(
        id=panel_id(board, panel.key),
        title=panel.title,
        description=described(panel, question),
        kind=panel.kind,
        place=place,
        source=source,
        plugin=plugin,
        targets=tuple(_targets(panel, question, store, source)),
        unit=panel.unit or (unit_of(question) if question else "short"),
        steps=tuple((step.at, step.color) for step in panel.steps),
        fields=fields,
        links=((f"{panel.title} in Costweir", f"{HOME}{_page(panel, question)}"),),
        since=panel.range,
        over=None if panel.over is None or question is None else (question.column("cost"), panel.over),
        named=_named(question, source) if named and question else "",
        matrix=_matrix(panel, question),
        words=_words(panel, question),
    )


def _targets(
    panel: Panel, question: PanelQuestion | None, store: Store, source: str
) -> Iterator[foundation.Dataquery]:
    if question is not None:
        series = question.shape == "series"
        if source == "store" and store.marks is not None:
            yield foundation.sql_query(store.plugin, panel_sql(question, store.marks), series=series)
        else:
            yield foundation.api_query(api.address(question), api.columns(question), series=series)
        return
    for number, expression in enumerate(panel.expressions):
        ref = chr(ord("A") + number)
        if panel.service == "loki":
            yield foundation.loki_query(expression.expr, name=expression.name, ref=ref)
        elif panel.service == "monitoring":
            yield foundation.monitoring_query(expression.expr, ref=ref)
        else:
            yield foundation.prometheus_query(expression.expr, name=expression.name, ref=ref, now=panel.now)


def _matrix(panel: Panel, question: PanelQuestion | None) -> tuple[str, str, str] | None:
    if panel.kind != "matrix" or question is None:
        return None
    row, column = question.by
    return row, column, question.column(question.columns[0])


def _named(question: PanelQuestion, source: str) -> str:
    """What a series of a name is called: SQL gives the name as `metric`, the API as it is."""
    return f"${{__field.labels.{'metric' if source == 'store' else question.by[-1]}}}"


def _words(panel: Panel, question: PanelQuestion | None) -> tuple[str, ...]:
    """The numbers that these kinds of panel draw as names."""
    if question is None or panel.kind not in ("columns", "matrix"):
        return ()
    kinds = question.kinds()
    return tuple(name for name in question.by if kinds[name] == "int")


def _fields(question: PanelQuestion) -> Iterator[foundation.Field]:
    for name, kind in question.kinds().items():
        link = f"{HOME}{_LINKED[name]}" if name in _LINKED else ""
        yield foundation.Field(name, heading(name), unit(name, str(kind)), link)


def _page(panel: Panel, question: PanelQuestion | None) -> str:
    """The page of ours that shows the same, for the same days."""
    if panel.link or question is None:
        return panel.link or "/"
    pairs = [f"question={question.question}", *(f"by={name}" for name in question.by)]
    pairs += [
        f"where={quote(f'{name}={value}')}" for name, values in question.where.items() for value in values
    ]
    pairs += [f"basis={question.basis}"] if question.basis else []
    return f"/explore?{'&'.join([*pairs, _DAYS])}"


def _variables(board: Board, store: Store, home: str) -> Iterator[foundation.Variable]:
    sources = {source_of(panel, board, store) for panel in board.panels}
    if "store" in sources or board.choices:
        yield foundation.Variable(
            "store", "Store", plugin=store.plugin, current=store.uid, pattern="/^Costweir/"
        )
    if board.live:
        sources.add("prometheus")
    for name in sorted(sources - {"store"}):
        variable, plugin, uid = SERVICES[name]
        yield foundation.Variable(variable, variable.capitalize(), plugin=plugin, current=uid)
    for choice in board.choices:
        yield _choice(choice, store)
    for label in board.live:
        yield foundation.Variable(
            f"live_{label}", f"{label.capitalize()} (live)", source="prometheus", plugin="prometheus",
            query={"query": f"label_values(llm_requests_total, {label})", "refId": "members"}, all_value=".*",
        )  # fmt: skip
    if "monitoring" in sources:
        yield foundation.Variable("gcp_project", "Google Cloud project", current="")
    if store.marks is not None and store.marks.schema and ("store" in sources or board.choices):
        yield foundation.Variable("dataset", "Dataset", current="costweir")
    yield foundation.Variable("costweir", "Costweir", current=home, hidden=True)


def _choice(name: str, store: Store) -> foundation.Variable:
    label = name.capitalize()
    if store.marks is None:
        question = PanelQuestion("spend", by=(name,))
        member = foundation.api_query(api.address(question), [api.Column(name, name, "string")], series=False)
        query = {
            "queryType": "infinity",
            "refId": "members",
            "infinityQuery": foundation.target_fields(member),
        }
        return foundation.Variable(name, label, "store", store.plugin, query=query, all_value=api.ALL)
    sql = members_sql("billed", name, store.marks)
    query = foundation.target_fields(foundation.sql_query(store.plugin, sql, series=False))
    usual = store.plugin in ("grafana-postgresql-datasource", "mssql")
    return foundation.Variable(
        name, label, "store", store.plugin, query=sql if usual else query, all_value=ALL
    )  # fmt: skip
