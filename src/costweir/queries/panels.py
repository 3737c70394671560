"""Renders a question of the catalogue as one SELECT for a panel of another system, in the SQL of its engine.

The answer is the catalogue's: same template, same columns, in US dollars. What the reader of the panel picks (days,
members of a dimension) stays open as marks that the other system fills in. sqlglot is imported inside, because only
`render` and tests need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from costweir.queries.ask import SPECIAL, facts_of
from costweir.queries.dimensions import Dimension, Facts, find_dimension
from costweir.queries.question import MeasureKind, Question, Ratio, find_question, part
from costweir.queries.render import COST_COLUMNS, Filter, Selection, fill, replace_basis
from costweir.queries.result import TIME_DIMENSIONS
from costweir.store.warehouse import Parameter

if TYPE_CHECKING:
    from sqlglot import exp

Shape = Literal["number", "table", "series"]

#: The name of the members beyond the largest.
REST = "all others"
#: Special questions that are one SELECT all the same.
_JOINED = frozenset({"reconcile"})
#: Functions that stand for what the other system fills in, until the SQL is written.
_DAYS, _CHOSEN = "costweir_days", "costweir_chosen"


@dataclass(frozen=True, slots=True)
class Marks:
    """How another system writes what its reader picks.

    `days` is a condition on the days asked for, with `{column}` for the column; `values` a list of texts, with
    `{name}` for the dimension, which is one empty text when nothing is picked. `schema` stands before every table.
    """

    dialect: str
    days: str
    values: str
    schema: str = ""


@dataclass(frozen=True, slots=True)
class PanelQuestion:
    """A question as a panel shows it.

    `columns` are measures and ratios, `cost` is the cost of the basis. A `series` is by day (and one name), a `number`
    is one row. `top` keeps the largest names and adds up the others as one. `choices` are the dimensions that the
    reader may narrow; those that the question cannot be filtered by are left out.
    """

    question: str
    basis: str = ""
    by: tuple[str, ...] = ()
    columns: tuple[str, ...] = ("cost",)
    shape: Shape = "table"
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    limit: int | None = None
    top: int | None = None
    choices: tuple[str, ...] = ()
    days: str = "usage_date"
    """The column that the days asked for are about."""

    @property
    def asked(self) -> Question:
        """The question of the catalogue."""
        return find_question(self.question)

    @property
    def on(self) -> str:
        """The basis, given or the question's first."""
        return self.basis or self.asked.basis[0]

    @property
    def one_query(self) -> bool:
        """Whether the answer is one SELECT; others can only be asked at the API."""
        return self.question not in SPECIAL or self.question in _JOINED

    def open_choices(self) -> tuple[str, ...]:
        """The dimensions that the reader narrows here: those of `choices` that are known and not fixed already."""
        facts: Facts = "calls" if self.on == "metered" else "charges"
        return tuple(
            name
            for name in self.choices
            if name in self.asked.filters
            and name not in self.where
            and find_dimension(name, (name,)).sql(facts)
        )

    def column(self, name: str) -> str:
        """The column of a row that shows this measure or ratio; `cost` has the name of its basis."""
        return f"{self.on}_cost" if name == "cost" else name

    def kinds(self) -> dict[str, MeasureKind | str]:
        """Every column of the rows in order, with `money`, `quantity`, `ratio` ..., or the dimension's kind."""
        question = self.asked
        found: dict[str, MeasureKind | str] = {
            name: find_dimension(name, question.dimensions).kind for name in self.by
        }
        for name in self.columns:
            kind = "ratio" if name in question.ratios else question.measures.get(name, "money")
            found[self.column(name)] = kind
        return found


@dataclass(frozen=True, slots=True)
class _Open(Filter):
    """A filter whose days and values are filled in later."""

    choices: tuple[Dimension, ...] = ()
    days: str = "usage_date"

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions that are filtered on."""
        return (*(dimension for dimension, _ in self.values.values()), *self.choices)

    def sql(self, facts: Facts, only: str) -> tuple[str, dict[str, Parameter]]:
        """The condition; it has no parameters."""
        parts = [f"({only})"] if only else []
        parts.append(f"{_DAYS}(f.{self.days})")
        for dimension, values in self.values.values():
            texts = ", ".join("'" + str(value).replace("'", "''") + "'" for value in values)
            parts.append(f"{dimension.sql(facts)} IN ({texts})")
        for dimension in self.choices:
            chosen = f"{_CHOSEN}('{dimension.name}')"
            parts.append(f"('' IN ({chosen}) OR {dimension.sql(facts)} IN ({chosen}))")
        return " AND ".join(parts), {}


def panel_sql(panel: PanelQuestion, marks: Marks) -> str:
    """The SELECT of a panel. Its columns are those of `kinds()`; of a series `time` and the measures, or where it has a
    name besides the day `time`, `metric` and `value`.

    Raises ValueError for a question whose answer is more than one query, and UsageError as `ask` does.
    """
    if not panel.one_query:
        raise ValueError(f"{panel.question} is more than one query")
    inner = _inner(panel)
    if panel.shape == "series":
        text = _series(panel)
    elif panel.top is not None:
        text = _largest(panel)
    else:
        text = _rows(panel)
    return _written(text, inner, marks)


def members_sql(basis: str, dimension: str, marks: Marks) -> str:
    """The members of a dimension in the days asked for, the largest first: what a reader picks from."""
    panel = PanelQuestion("spend", basis, (dimension,))
    name = f"q.d_{dimension}"
    text = f'SELECT {name} AS "member" FROM question AS q ORDER BY q.m_cost DESC, {name}'  # noqa: S608
    return _written(text, _inner(panel), marks)


def events_sql(panel: PanelQuestion, marks: Marks) -> str:
    """What was changed by the first dimension, which was on the day of the second: `time`, `text` and `tags`."""
    name, day = panel.by
    text = f"""
        SELECT CAST(q.d_{day} AS TIMESTAMP) AS "time", q.d_{name} AS "text", '{panel.question}' AS "tags"
        FROM question AS q ORDER BY q.d_{day}, q.d_{name}"""  # noqa: S608
    return _written(text, _inner(panel), marks)


def loads_sql(marks: Marks) -> str:
    """Which bills were loaded when: `time`, `text` and `tags`."""
    text = f"""
        SELECT e.e_at AS "time", e.e_provider AS "text", e.e_source AS "tags" FROM (
          SELECT q.l_at AS e_at, CAST(q.l_at AS DATE) AS e_day, q.l_provider AS e_provider, q.l_source AS e_source
          FROM question AS q
        ) AS e WHERE {_DAYS}(e.e_day) ORDER BY e.e_at, e.e_provider, e.e_source"""  # noqa: S608
    return _written(text, part("loads"), marks)


def _selection(panel: PanelQuestion, basis: str) -> Selection:
    question = panel.asked
    by = tuple(find_dimension(name, question.dimensions) for name in panel.by)
    where = {
        name: (find_dimension(name, question.filters), cast("tuple[Parameter, ...]", values))
        for name, values in panel.where.items()
    }
    choices = tuple(find_dimension(name, question.filters) for name in panel.open_choices())
    open_filter = _Open(where, choices=choices, days=panel.days)
    facts = facts_of(question, basis, (*by, *open_filter.dimensions))
    return Selection(
        facts, basis, by, open_filter, question.only, cost=COST_COLUMNS[basis][1], currency="USD"
    )


def _inner(panel: PanelQuestion) -> str:
    """The question over all rows, in the dialect that the catalogue is written in."""
    question, selection = panel.asked, _selection(panel, panel.on)
    sql = fill(question.sql, selection)[0]
    if panel.question not in _JOINED:
        return sql
    calls = replace_basis(selection, "metered").on("calls")
    metered = fill(
        question.sql, Selection(calls.facts, "metered", calls.by, calls.filter, cost="x_metered_usd")
    )[0]
    names = [f"d_{item.name}" for item in selection.by]
    dims = "".join(f"j.{name} AS {name}, " for name in names)
    group = f"GROUP BY {', '.join(f'j.{name}' for name in names)}" if names else ""
    plain = "".join(f"{name}, " for name in names)
    return f"""
        SELECT {dims}SUM(j.j_billed) AS m_cost, SUM(j.j_metered) AS m_metered_cost,
          SUM(j.j_billed) - SUM(j.j_metered) AS m_remainder_cost,
          CASE WHEN SUM(j.j_billed) = SUM(j.j_metered) THEN 'none'
            WHEN SUM(j.j_metered) = 0 THEN 'off-gateway'
            WHEN SUM(j.j_billed) = 0 THEN 'not-invoiced' ELSE 'difference' END AS m_cause
        FROM (
          SELECT {plain}m_cost AS j_billed, m_cost - m_cost AS j_metered FROM ({_unordered(sql)}) AS b
          UNION ALL
          SELECT {plain}m_cost - m_cost AS j_billed, m_cost AS j_metered FROM ({_unordered(metered)}) AS m
        ) AS j {group}"""  # noqa: S608


def _unordered(sql: str) -> str:
    return sql[: sql.rindex("ORDER BY")]


def _value(panel: PanelQuestion, name: str) -> str:
    """A measure or ratio of the row `q`."""
    question = panel.asked
    if name == "cost":
        return "q.m_cost"
    if name in question.ratios:
        return _ratio(question.ratios[name])
    if name not in question.measures:
        raise ValueError(f"{question.id} has no measure {name!r}")
    return f"q.m_{name}"


def _addable(panel: PanelQuestion, name: str) -> str:
    if name in panel.asked.ratios:
        raise ValueError(f"{name} of {panel.question} cannot be added up to one name for the others")
    return _value(panel, name)


def _ratio(ratio: Ratio) -> str:
    def term(name: str) -> str:
        if name == "total":
            return "SUM(q.m_cost) OVER ()"
        return f"q.m_{name}"

    # no money: shares and unit prices, which the other system shows with a few digits
    quotient = (
        f"CAST({term(ratio.of)} AS DOUBLE) * {ratio.times} / NULLIF(CAST({term(ratio.per)} AS DOUBLE), 0)"
    )
    return (
        f"CASE WHEN {term(ratio.per)} >= {ratio.at_least} THEN {quotient} END" if ratio.at_least else quotient
    )


def _rows(panel: PanelQuestion) -> str:
    dims = [f'q.d_{name} AS "{name}"' for name in panel.by]
    values = [f'{_value(panel, name)} AS "{panel.column(name)}"' for name in panel.columns]
    names = [name for name in panel.by if name not in TIME_DIMENSIONS]
    times = [name for name in panel.by if name in TIME_DIMENSIONS]
    limit = panel.limit if panel.limit is not None else panel.asked.limit
    if times and limit is not None and panel.question != "charges":
        raise ValueError(f"{panel.question} by {', '.join(times)} cannot be cut to the largest in one order")
    if limit is not None:
        order = ["q.m_cost DESC", *(f"q.d_{name}" for name in panel.by)]
    else:
        order = [*(f"q.d_{name}" for name in times), "q.m_cost DESC", *(f"q.d_{name}" for name in names)]
    tail = f" ORDER BY {', '.join(order)}" if panel.shape == "table" else ""
    tail += f" LIMIT {limit:d}" if limit is not None and panel.shape == "table" else ""
    return f"SELECT {', '.join([*dims, *values])} FROM question AS q{tail}"  # noqa: S608


def _series(panel: PanelQuestion) -> str:
    time, *names = panel.by
    stamp = f"CAST(q.d_{time} AS TIMESTAMP)"
    if not names:
        values = [f'{_value(panel, name)} AS "{panel.column(name)}"' for name in panel.columns]
        return f'SELECT {stamp} AS "time", {", ".join(values)} FROM question AS q ORDER BY q.d_{time}'  # noqa: S608
    ((name,), (column,)) = names, panel.columns
    value = _value(panel, column)
    if panel.top is None:
        return (
            f'SELECT {stamp} AS "time", q.d_{name} AS "metric", {value} AS "value" '  # noqa: S608
            f"FROM question AS q ORDER BY q.d_{time}, q.d_{name}"
        )
    value = _addable(panel, column)
    return f"""
        SELECT r.r_time AS "time", r.r_name AS "metric", SUM(r.r_value) AS "value" FROM (
          SELECT s.s_time AS r_time, s.s_value AS r_value, CASE
            WHEN DENSE_RANK() OVER (ORDER BY s.s_whole DESC, s.s_name) <= {panel.top:d} THEN s.s_name ELSE '{REST}'
          END AS r_name FROM (
            SELECT {stamp} AS s_time, q.d_{name} AS s_name, {value} AS s_value,
              SUM({value}) OVER (PARTITION BY q.d_{name}) AS s_whole FROM question AS q
          ) AS s
        ) AS r GROUP BY r.r_time, r.r_name ORDER BY r.r_time, r.r_name"""  # noqa: S608


def _largest(panel: PanelQuestion) -> str:
    ((name,), (column,)) = panel.by, panel.columns
    value = _addable(panel, column)
    return f"""
        SELECT r.r_name AS "{name}", SUM(r.r_value) AS "{panel.column(column)}" FROM (
          SELECT {value} AS r_value, CASE
            WHEN ROW_NUMBER() OVER (ORDER BY {value} DESC, q.d_{name}) <= {panel.top:d} THEN q.d_{name} ELSE '{REST}'
          END AS r_name FROM question AS q
        ) AS r GROUP BY r.r_name
        ORDER BY CASE WHEN r.r_name = '{REST}' THEN 1 ELSE 0 END, SUM(r.r_value) DESC, r.r_name"""  # noqa: S608


def _written(outer: str, inner: str, marks: Marks) -> str:
    import sqlglot
    from sqlglot import exp

    shown = sqlglot.parse_one(outer, read="duckdb", into=exp.Select)
    asked = sqlglot.parse_one(inner, read="duckdb", into=exp.Select)
    # the engines disagree on WITH inside of FROM and on ORDER BY there
    asked.set("order", None)
    steps = asked.args.get("with_")
    asked.set("with_", None)
    for table in shown.find_all(exp.Table):
        if table.name == "question":
            table.replace(asked.subquery(table.alias))
    if steps is not None:
        shown.set("with_", steps)
    for function in list(shown.find_all(exp.Anonymous)):
        function.replace(exp.Var(this=_marked(function, marks)))
    for order in shown.find_all(exp.Ordered):
        # no column that rows are ordered by is ever empty, so each engine's own way will do
        order.set("nulls_first", _nulls_first(marks.dialect, descending=bool(order.args.get("desc"))))
    if marks.schema:
        _qualify(shown, marks.schema)
    if marks.dialect == "tsql":
        _without_truth(shown)
    return shown.sql(dialect=marks.dialect, pretty=True, normalize_functions=False, comments=False)


def _marked(function: exp.Anonymous, marks: Marks) -> str:
    (argument,) = function.expressions
    if function.this == _DAYS:
        return marks.days.format(column=argument.sql(dialect=marks.dialect))
    if function.this == _CHOSEN:
        return marks.values.format(name=argument.name)
    raise ValueError(f"{function.this} is no function that every engine has")


def _nulls_first(dialect: str, *, descending: bool) -> bool:
    from sqlglot.dialects.dialect import Dialect

    ordering = str(Dialect.get_or_raise(dialect).NULL_ORDERING)
    return ordering != "nulls_are_last" and descending == (ordering == "nulls_are_large")


def _qualify(tree: exp.Select, schema: str) -> None:
    from sqlglot import exp

    steps = {step.alias for step in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.name not in steps:
            table.set("db", exp.Var(this=schema))


def _without_truth(tree: exp.Select) -> None:
    """Writes conditions that stand as columns as 1 and 0: Transact-SQL has no truth values."""
    from sqlglot import exp

    for select in tree.find_all(exp.Select):
        for column in select.expressions:
            if isinstance(column, exp.Alias) and isinstance(column.this, exp.Predicate):
                chosen = exp.case().when(column.this.copy(), "1").else_("0")
                column.set("this", chosen)
