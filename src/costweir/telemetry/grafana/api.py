"""Panels that ask Costweir's own API through the Infinity data source: every question, also those that are more than
one query, and what a token that is bound to a customer may see."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from costweir.queries.panels import PanelQuestion

#: What `All` stands for: the macro then leaves the parameter out.
ALL = "*"
_NUMBERS = frozenset({"money", "quantity", "ratio", "int"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table: the field of the row, its title, and `number`, `timestamp` or `string`."""

    selector: str
    text: str
    type: str


def address(panel: PanelQuestion) -> str:
    """The path and query; days and picked values are filled in by the data source."""
    pairs = [f"by={quote(name)}" for name in panel.by]
    pairs += [f"where={quote(f'{name}={value}')}" for name, values in panel.where.items() for value in values]
    pairs += ["since=${__timeFrom:date:YYYY-MM-DD}", "through=${__timeTo:date:YYYY-MM-DD}"]
    pairs += [f"basis={panel.basis}"] if panel.basis else []
    limit = panel.limit if panel.limit is not None else panel.top
    pairs += [f"limit={limit:d}"] if limit is not None and "day" not in panel.by else []
    # the macro writes its own separator, so that nothing is left of a filter on everything
    chosen = "".join(f"$__combineValues(&where={name}%3D,,,${{{name}:csv}})" for name in panel.open_choices())
    return f"/v1/answers/{panel.question}?{'&'.join(pairs)}{chosen}"


def columns(panel: PanelQuestion) -> tuple[Column, ...]:
    """The columns of the rows in order."""
    found: list[Column] = []
    for name, kind in panel.kinds().items():
        form = "number" if kind in _NUMBERS else "timestamp" if kind == "day" else "string"
        found.append(Column(name, "time" if panel.shape == "series" and kind == "day" else name, form))
    return tuple(found)
