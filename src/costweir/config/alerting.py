"""What an operator changes about the alert rules, and the rules that are added: the list `[[alerts]]`. Which rules
there are, and what each watches, is known to the room `alerts`, which checks these rows when it loads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from costweir.config.fields import Amount, EnvironmentName, Section

Severity = Literal["critical", "warning", "info"]

#: The name of a rule, as it stands in `alerts/rules.yaml`.
RuleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Words = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,400}$")]
Span = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]\d{0,3}[smhd])$")]
PageLink = Annotated[str, StringConstraints(pattern=r"^/([^/\s\\][^\s\\]*)?$")]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Values = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Alert(Section):
    """An alert rule that is changed, switched off or added. What is left out stays as the rule has it."""

    id: RuleName
    """Name of the rule: one of `costweir alerts rules`, or a new one that names its `question`."""
    enabled: bool | None = None
    """Whether it is watched."""
    severity: Severity | None = None
    """`critical`, `warning` or `info`."""
    team: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """Who is to hear of it."""
    above: Amount | None = None
    """The rule fires when its value is above this; a share is written as `0.05`."""
    below: Amount | None = None
    """The rule fires when its value is below this."""
    floor_usd: Amount | None = None
    """USD under which nothing is worth a message."""
    least: int | None = Field(default=None, ge=0)
    """How much there has to be before it is judged, such as calls or days."""
    lasting: Span | None = Field(default=None, alias="for")
    """How long it has to last before somebody is told, such as `5m`; `0` tells at once."""
    keep: Span | None = None
    """How long it has to be gone before it counts as over."""
    question: str | None = None
    """The question of the catalogue that a new rule watches."""
    by: Values | None = None
    """What the question is split by; each row is a matter of its own."""
    where: Mapping[str, Values] | None = None
    """What the question is narrowed to."""
    days: int | None = Field(default=None, ge=1, le=400)
    """How many days back are asked for, today included."""
    basis: str | None = None
    """`billed`, `metered` or another basis of the question."""
    field: str | None = None
    """The field of the row that is compared, such as `cost` or a measure of the question."""
    title: Words | None = None
    """What it is called."""
    text: Words | None = None
    """What people are told; `{field}` stands for a field of the row."""
    hint: Words | None = None
    """What to do about it."""
    link: PageLink | None = None
    """The page that explains it."""
    url_env: EnvironmentName | None = None
    """Variable with the address that the rule `dead_man` calls after every look. Whoever knows it can call it."""

    @model_validator(mode="after")
    def _one_side(self) -> Alert:
        if self.above is not None and self.below is not None:
            raise ValueError("above and below are not given together")
        if self.url_env is not None and self.id != "dead_man":
            raise ValueError("url_env is for the rule dead_man only")
        return self


def span_of(text: str) -> timedelta:
    """The time that `90s`, `5m`, `6h`, `3d` or `0` stands for."""
    return timedelta(0) if text == "0" else timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
