"""What a rule is: the shape of a row of `rules.yaml`, the tables that rules may watch, and the fields of each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from costweir.config.alerting import PageLink, RuleName, Severity, Span, Values, Words, span_of
from costweir.config.fields import Amount, EnvironmentName, Section
from costweir.queries.question import find_question

Table = Literal[
    "question", "pace", "outlook", "usual", "fresh", "events", "balances", "budgets", "pulls", "sources",
    "quarantine", "machine", "silence", "looks", "heartbeat",
]  # fmt: skip

#: The fields of each table that is not a question of the catalogue.
FIELDS: Mapping[str, frozenset[str]] = {
    table: frozenset(names.split())
    for table, names in {
        "pace": "budget scope window limit_usd times long_usd short_usd empty_hours one",
        "outlook": "budget scope month limit_usd projected_usd projected_share spent_usd used_share days one",
        "usual": "cost_1h usual_usd times days against",
        "fresh": "model provider customer key feature project cost first_day last_day days_known history_days",
        "events": "kind who budget scope window threshold spent_usd limit_usd debt_usd request_id model one",
        "balances": "who budget scope window limit_usd spent_usd held_usd beyond_usd used_share mode one",
        "budgets": "budget scope scope_id window window_since window_until limit_usd left_usd used_share mode metered"
                   " billed_cost one",
        "pulls": "id status note advice missed silent_hours silence every",
        "sources": "source late sentence",
        "quarantine": "source lines more",
        "machine": "used_share free_gb",
        "silence": "minutes since",
        "looks": "minutes rules",
        "heartbeat": "",
    }.items()
}  # fmt: skip
#: What a link may name besides the fields of the row.
CONTEXT = frozenset({"since", "today"})
#: The options that each table takes.
_OPTIONS: Mapping[str, frozenset[str]] = {
    "question": frozenset({"question", "by", "where", "days", "basis", "limit"}),
    "pace": frozenset({"long", "short"}),
    "fresh": frozenset({"basis", "by"}),
    "events": frozenset({"kind"}),
}


class Test(Section):
    """One comparison of a field. A field that is missing or no number passes none of the first three."""

    field: str
    """Field of the row."""
    above: Amount | None = None
    """More than this."""
    at_least: Amount | None = None
    """This or more."""
    below: Amount | None = None
    """Less than this."""
    equal: str | bool | None = Field(default=None, alias="is")
    """Exactly this."""
    other: str | bool | None = Field(default=None, alias="is_not")
    """Anything but this."""

    @model_validator(mode="after")
    def _one_comparison(self) -> Test:
        given = (self.above, self.at_least, self.below, self.equal, self.other)
        if sum(value is not None for value in given) != 1:
            raise ValueError("a test has exactly one of above, at_least, below, is, is_not")
        return self

    @property
    def threshold(self) -> Decimal | None:
        """The number it compares with, or None for a test of words."""
        found = (value for value in (self.above, self.at_least, self.below) if value is not None)
        return next(found, None)

    def words(self) -> str:
        """`failed_share > 0.05`."""
        for sign, value in ((">", self.above), (">=", self.at_least), ("<", self.below), ("is", self.equal)):
            if value is not None:
                return f"{self.field} {sign} {plain(value)}"
        return f"{self.field} is not {plain(self.other)}"


class Floor(Section):
    """What a row has to be worth."""

    field: str
    """Field with an amount."""
    usd: Amount
    """USD that it has to reach."""


class Least(Section):
    """What there has to be before a row is judged."""

    field: str
    """Field with a number."""
    count: int = Field(ge=0)
    """How much."""


class Watch(Section):
    """The table that a rule watches."""

    table: Table
    """`question` is one of the catalogue; the others are the guard's, the sources' and our own state."""
    question: str = ""
    """Id of the question."""
    by: Values = ()
    """What the question is split by."""
    where: Mapping[str, Values] = Field(default_factory=dict[str, tuple[str, ...]])
    """What it is narrowed to."""
    days: int = Field(default=1, ge=1, le=400)
    """How many days back, today included."""
    basis: str = ""
    """Basis of the question."""
    limit: int | None = Field(default=None, ge=1)
    """Most rows that are looked at."""
    long: Span = "0"
    """Window over which it burns."""
    short: Span = "0"
    """Window over which it still burns; it ends the alert soon."""
    kind: str = ""
    """Kind of the ledger's events."""

    @model_validator(mode="after")
    def _options_fit_the_table(self) -> Watch:
        allowed = {"table", *_OPTIONS.get(self.table, frozenset())}
        foreign = sorted(self.model_fields_set - allowed)
        if foreign:
            raise ValueError(f"{foreign[0]} is no option of the table {self.table}")
        return self


class Rule(Section):
    """One rule. `event` is what it is called to channels, `team` who is to hear of it."""

    id: RuleName
    """Name."""
    title: Words
    """What it is called."""
    answers: tuple[str, ...] = ()
    """The requirements that it meets."""
    event: str = ""
    """Rules of one event about one key are one matter, of the highest severity; empty means the id."""
    severity: Severity
    """`critical`, `warning` or `info`."""
    milder: Severity | None = None
    """Severity of a row that is about one customer, session, user or key alone."""
    team: str
    """Who is to hear of it."""
    plane: Literal["native", "prometheus"] = "native"
    """Who evaluates it: Costweir itself, or the rendered Prometheus rules."""
    carried: tuple[str, ...] = ()
    """The rendered rules of Prometheus that are about the same."""
    enabled: bool = True
    """Whether it is watched."""
    watch: Watch | None = None
    """The table."""
    when: tuple[Test, ...] = ()
    """All of these have to hold; the first is the threshold."""
    floor: Floor | None = None
    """What a row has to be worth."""
    least: Least | None = None
    """What there has to be before it is judged."""
    key: Values = ()
    """The fields that tell one matter from another."""
    subject: str = ""
    """What it is about, with fields."""
    period: str = ""
    """The window that it is about, with fields; another window is another matter."""
    measured: str = ""
    """Field that is shown as the value; empty means that of the first test."""
    limit: str = ""
    """Field that is shown as the limit; empty means the threshold."""
    every: Span = "1m"
    """How often it is looked at."""
    lasting: Span = Field(default="0", alias="for")
    """How long it has to last."""
    keep: Span = "0"
    """How long it has to be gone."""
    most: int = Field(default=100, ge=1)
    """Matters at a time; what is beyond is told as one."""
    text: str = ""
    """What people are told, with fields."""
    hint: str = ""
    """What to do about it, with fields."""
    link: PageLink | Literal[""] = ""
    """The page that explains it, with fields."""
    url_env: EnvironmentName | None = None
    """Variable with the address of a dead man's switch."""
    origin: Literal["shipped", "changed", "added"] = "shipped"
    """Where it comes from."""

    @model_validator(mode="after")
    def _is_whole(self) -> Rule:
        if self.plane == "native" and (self.watch is None or not self.text):
            raise ValueError("a rule needs watch and text")
        if self.plane == "native" and not self.when and self.watch and self.watch.table != "heartbeat":
            raise ValueError("a rule needs a test in when")
        return self

    @property
    def name(self) -> str:
        """The event that channels know it by."""
        return self.event or self.id

    @property
    def interval(self) -> timedelta:
        """How often it is looked at."""
        return span_of(self.every)

    def to_json(self) -> dict[str, object]:
        """What `costweir alerts rules --json` prints of it."""
        return {
            "id": self.id, "title": self.title, "event": self.name, "severity": self.severity, "team": self.team,
            "plane": self.plane, "enabled": self.enabled, "watches": self._watched(),
            "when": " and ".join(test.words() for test in self.when),
            "floor_usd": format(self.floor.usd, "f") if self.floor else None,
            "least": f"{self.least.field} {self.least.count}" if self.least else None,
            "for": self.lasting, "keep": self.keep, "every": self.every, "hint": self.hint, "link": self.link,
            "prometheus": list(self.carried), "answers": list(self.answers), "origin": self.origin,
        }  # fmt: skip

    def _watched(self) -> str:
        if self.watch is None:
            return "prometheus"
        if self.watch.table == "question":
            return self.watch.question
        return self.watch.table


class Sheet(Section):
    """The file of rules."""

    rules: tuple[Rule, ...]
    """All of them."""


def fields_of(rule: Rule) -> frozenset[str]:
    """The fields that the rows of a rule's table have. Raises UsageError for a question that does not exist."""
    watch = rule.watch
    if watch is None:
        return frozenset()
    if watch.table != "question":
        return FIELDS[watch.table]
    question = find_question(watch.question)
    costs = {f"{basis}_cost" for basis in ((watch.basis,) if watch.basis else question.basis)}
    split = watch.by if "by" in watch.model_fields_set else question.by
    return frozenset({*split, *question.measures, *question.ratios, *costs, "cost"})


def plain(value: object) -> str:
    """A value as it stands in the file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)
