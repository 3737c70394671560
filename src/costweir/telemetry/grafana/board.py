"""Boards as data: what each panel shows and where from. The files in `boards/` are read here and nowhere else."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from costweir.queries.panels import PanelQuestion

Kind = Literal[
    "stat", "line", "bars", "pie", "ranking", "gauge", "table", "histogram", "matrix", "sparklines", "columns",
    "states", "logs",
]  # fmt: skip
#: Dimensions that a reader may narrow, in the order of their lists.
Choice = Literal["provider", "model", "customer", "project"]
#: Services that a panel can ask besides the store.
Service = Literal["prometheus", "loki", "monitoring"]

_SLUG = r"^[a-z][a-z0-9-]{1,39}$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ask(_Part):
    """A question of the catalogue; see `PanelQuestion`."""

    question: str
    basis: str = ""
    by: tuple[str, ...] = ()
    show: tuple[str, ...] = ("cost",)
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict[str, tuple[str, ...]])
    limit: int | None = None
    top: int | None = None


class Expression(_Part):
    """One PromQL or LogQL expression and the name of its series."""

    expr: str
    name: str = ""


class Step(_Part):
    """From which value on a colour holds."""

    at: float | None = None
    color: str


class Panel(_Part):
    """One panel. `covers` are the requirements that it meets; `waits` names the source that has to come first."""

    key: str = Field(pattern=_SLUG)
    title: str
    text: str
    kind: Kind
    covers: tuple[str, ...] = ()
    width: int = Field(default=12, ge=3, le=24)
    height: int = Field(default=8, ge=3, le=20)
    ask: Ask | None = None
    service: Service | None = None
    expressions: tuple[Expression, ...] = ()
    now: bool = False
    """Only the value of this moment, not a series."""
    unit: str = ""
    range: str = ""
    """A time range of its own, such as `now/M`."""
    steps: tuple[Step, ...] = ()
    over: float | None = None
    """Only rows whose cost is above this."""
    link: str = ""
    """The page of Costweir that says more."""
    waits: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> Panel:
        if (self.ask is None) == (self.service is None):
            raise ValueError(f"panel {self.key} needs either ask or service")
        if (self.service is None) != (not self.expressions):
            raise ValueError(f"panel {self.key} needs expressions for its service")
        return self

    def question(self, choices: tuple[str, ...]) -> PanelQuestion:
        """The question, in the shape that this kind of panel draws."""
        ask = cast("Ask", self.ask)
        timed = self.kind in ("line", "bars", "sparklines")
        shape = "series" if timed else "table" if ask.by else "number"
        return PanelQuestion(
            ask.question, ask.basis, ask.by, ask.show, shape, ask.where, ask.limit, ask.top, choices
        )


class Row(_Part):
    """Panels below one heading."""

    title: str
    panels: tuple[Panel, ...]


class Board(_Part):
    """One dashboard."""

    slug: str = Field(pattern=_SLUG)
    title: str
    text: str
    covers: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    live: tuple[Literal["provider", "model"], ...] = ()
    """Labels of our metrics that a reader may narrow."""
    since: str = "now-30d"
    refresh: str = "5m"
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every panel, from the top."""
        return tuple(panel for row in self.rows for panel in row.panels)


@cache
def boards() -> tuple[Board, ...]:
    """Every board, in the order of the files."""
    import yaml

    folder = resources.files("costweir.telemetry.grafana") / "boards"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name
    )
    return tuple(Board.model_validate(yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files)
