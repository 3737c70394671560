"""Finds SQL that not every engine reads the same: the catalogue is written in what is left.

sqlglot is imported inside, because only tests and other engines need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from costweir.domain.call import CALL_COLUMN_NAMES
from costweir.domain.charge import CHARGE_COLUMN_NAMES
from costweir.store.schema import MIRRORED, ROLLUP_GRAIN, ROLLUP_SUMS

if TYPE_CHECKING:
    from sqlglot import exp

#: Functions that every engine has, under this name and with this meaning.
PORTABLE_FUNCTIONS = frozenset({"SUM", "COUNT", "MIN", "MAX", "COALESCE"})

#: Every column of a stored table. An alias of that name is captured by later expressions on ClickHouse.
STORED_COLUMNS = frozenset(
    {*CHARGE_COLUMN_NAMES, *CALL_COLUMN_NAMES, *ROLLUP_GRAIN, *ROLLUP_SUMS}
    | {column for table in MIRRORED.values() for column in table}
)


def lint(sql: str, columns: Iterable[str] = STORED_COLUMNS) -> list[str]:
    """What is not portable about one statement, one sentence each; an empty list when it is fine."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        trees = [tree for tree in sqlglot.parse(sql, read="duckdb") if tree is not None]
    except SqlglotError as error:
        return [f"It cannot be read: {str(error).splitlines()[0]}"]
    if len(trees) != 1 or not isinstance(trees[0], exp.Select):
        return ["It is not one SELECT."]
    found = list(_faults(trees[0], frozenset(columns)))
    return list(dict.fromkeys(found))


def _faults(tree: exp.Select, columns: frozenset[str]) -> Iterator[str]:
    from sqlglot import exp

    for node in tree.walk():
        if isinstance(node, exp.Func) and not isinstance(node, exp.Case | exp.Cast | exp.If | exp.Connector):
            name = node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name()
            if name not in PORTABLE_FUNCTIONS and not isinstance(node, exp.Exists):
                yield f"{name} is no function that every engine has."
        elif isinstance(node, exp.Group):
            yield from _grouping(node)
        elif isinstance(node, exp.Alias) and node.alias in columns:
            yield f"The alias {node.alias} is the name of a stored column."
        elif isinstance(node, exp.Select):
            yield from _ordering(node)
        else:
            yield from _construct(node)


def _construct(node: exp.Expr) -> Iterator[str]:
    from sqlglot import exp

    sentences: dict[type[exp.Expr], str] = {
        exp.Filter: "FILTER is not portable; write CASE.",
        exp.Qualify: "QUALIFY is not portable; write a CTE.",
        exp.Window: "A window is not needed here; add up in a CTE.",
        exp.Div: "Division differs between engines; ratios are computed from exact sums.",
        exp.IntDiv: "Division differs between engines; ratios are computed from exact sums.",
        exp.Interval: "Dates are computed by the caller and bound as parameters.",
        exp.ILike: "ILIKE is not portable.",
        exp.Like: "LIKE needs escaping that drivers disagree on.",
        exp.Star: "A star hides which columns are read.",
        exp.Lateral: "LATERAL is not portable.",
        exp.Unnest: "UNNEST is not portable.",
    }
    for kind, sentence in sentences.items():
        if isinstance(node, kind) and not (kind is exp.Star and isinstance(node.parent, exp.Count)):
            yield sentence
    if isinstance(node, exp.Join) and node.args.get("using"):
        yield "USING is not portable; write ON."
    if isinstance(node, exp.In) and node.args.get("query") is not None and isinstance(node.parent, exp.Not):
        yield "NOT IN finds nothing beside a NULL; write NOT EXISTS."


def _grouping(group: exp.Group) -> Iterator[str]:
    from sqlglot import exp

    if group.args.get("all"):
        yield "GROUP BY ALL is not portable; name the columns."
    if any(isinstance(item, exp.Literal) for item in group.expressions):
        yield "GROUP BY by number is not portable; name the columns."


def _ordering(select: exp.Select) -> Iterator[str]:
    from sqlglot import exp

    order = select.args.get("order")
    outermost = select.parent is None
    if order is not None and not outermost:
        yield "ORDER BY inside a derived table means nothing."
    if order is not None:
        for item in order.expressions:
            if isinstance(item.this, exp.Literal) or item.this.sql().upper() == "ALL":
                yield "ORDER BY by number is not portable; name the columns."
    if (
        outermost
        and order is None
        and (select.args.get("group") is not None or select.args.get("limit") is not None)
    ):
        yield "Rows without a total order differ between engines; add ORDER BY."
    if select.args.get("distinct") is not None and select.args["distinct"].args.get("on") is not None:
        yield "DISTINCT ON is not portable."
