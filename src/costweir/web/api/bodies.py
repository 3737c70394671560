"""What a write takes: the same models as the configuration file, without the id, which stands in the path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import Field, StringConstraints, ValidationError

from costweir.config.fields import AMOUNT_PATTERN, Identifier, Section
from costweir.config.tables import Budget, Customer, Plan
from costweir.control.tokens import Scope
from costweir.web.problems import Invalid

Model = TypeVar("Model", bound=Section)

#: `domain.charge.TOKEN_CLASSES`.
TokenClass = Literal["input", "output", "cache_read", "cache_write", "image", "audio", "embedding", "other"]
#: What an annotation may be about: `control.annotations.SCOPES`.
Scoped = Literal["provider", "model", "customer", "project", "feature", "plan"]
#: Something to read, on one line.
_LINE = r"^[^\x00-\x1f\x7f]{0,%d}$"
#: The longest text that has no limit of its own.
LONGEST = 1_000
LARGEST = 2**53 - 1
#: At most 90 days.
_NAP = r"^([1-9][0-9]{0,3}m|[1-9][0-9]{0,2}h|([1-9]|[1-8][0-9]|90)d)$"
#: The pattern of `costweir.config.fields.Identifier`.
IDENTIFIER_PATTERN = str(Customer.model_json_schema()["properties"]["id"]["pattern"])
EXPIRES = r"^[1-9][0-9]{0,4}[mhd]$"


class TokenWish(Section):
    """The token to make."""

    scope: Scope = "read"
    """What it may do."""
    customer: Identifier | None = None
    """The only customer it sees; empty means all."""
    name: str = Field(default="", max_length=LONGEST)
    """What it is for."""
    expires: str | None = Field(default=None, pattern=EXPIRES)
    """How long it lives: a number with `m`, `h` or `d`; empty means until it is revoked."""


class StopWish(Section):
    """The session to stop."""

    customer: Identifier | None = None
    """Whose session it is; empty where calls name no customer."""
    reason: str = Field(default="", max_length=200)
    """Why, for whoever looks at it."""


#: One id; a star would stop nobody.
_Stopped = Annotated[str, StringConstraints(pattern=r"^[^*\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,199}$")]


class FreezeScope(Section):
    """Whose calls are stopped. Several kinds have to match together."""

    tenant: _Stopped | None = None
    """A tenant's id."""
    customer: _Stopped | None = None
    """A customer's id."""
    plan: _Stopped | None = None
    """A plan's id: every customer of the plan."""
    key: _Stopped | None = None
    """A gateway key's id."""
    user: _Stopped | None = None
    """A user's id."""
    session: _Stopped | None = None
    """A session's id."""
    feature: _Stopped | None = None
    """A feature."""
    project: _Stopped | None = None
    """A project."""
    model: _Stopped | None = None
    """A model's id."""
    provider: _Stopped | None = None
    """A provider's id."""
    environment: _Stopped | None = None
    """An environment such as production."""


class FreezeWish(Section):
    """Calls to stop."""

    scope: FreezeScope
    """Whose calls; `{}` stops every call."""
    reason: str = Field(min_length=1, max_length=200)
    """Why, for whoever is refused."""


#: A slot of a meaning: a word, or nothing.
_WORD = r"^[a-z0-9][a-z0-9_.-]{0,39}$"
Word = Annotated[str, StringConstraints(pattern=_WORD)]
#: A string of a bill, verbatim.
Verbatim = Annotated[str, StringConstraints(max_length=LONGEST)]


class MeaningWish(Section):
    """What lines mean. What is left open is taken as the rules read the line."""

    model: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._:/@+-]{0,199}$")]
    """The vendor's API id in lower case, or `unknown`."""
    token_type: TokenClass | None = None
    """What is counted."""
    tokens_per_unit: int | None = Field(default=None, ge=1, le=1_000_000_000_000)
    """How many tokens one unit is; empty as the unit says."""
    direction: Literal["input", "output", "cache_read", "cache_write"] | None = None
    """Which way the tokens go."""
    modality: Word | None = None
    """`text`, `image`, `audio`, `video`, `embedding` ..."""
    cache_action: Literal["read", "write"] | None = None
    """What is done with a cache."""
    cache_ttl: Word | None = None
    """How long a cache lives, such as `5m` or `1h`."""
    tier: Word | None = None
    """`standard`, `batch`, `flex`, `priority`, `provisioned` ..."""
    routing: Word | None = None
    """`global`, `datazone`, `regional`, `geo`."""
    context_band: Literal["short", "long"] | None = None
    """Which context length has this price."""
    developer: Word | None = None
    """Who makes the model; empty as its name says."""


class MappingWish(Section):
    """Which lines mean what: those of a cloud with this text, and with this service and unit where they are given."""

    cloud: Literal["aws", "gcp", "azure", "openai", "anthropic", "other"]
    """Whose bill; `other` is everybody else's."""
    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
    """The usage type, SKU text or meter name, verbatim (`x_line_text` of a charge)."""
    service: Verbatim | None = None
    """Only lines of this service (`x_line_service`)."""
    unit: Verbatim | None = None
    """Only lines in this unit (`x_line_unit`)."""
    meaning: MeaningWish
    """What they mean."""
    evidence: Verbatim = ""
    """Where that is known from, for whoever reads it later."""


class PreviewWish(Section):
    """What to look at: the mappings as they stand, or with a change."""

    mapping: MappingWish | None = None
    """With this mapping besides."""
    without: Identifier | None = None
    """Without the mapping of this id."""


class Apply(Section):
    """What to apply."""

    expect: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = None
    """The `digest` of the preview that was looked at; 409 when there is something else to do by now."""


class Approved(Section):
    """The models that a customer may use."""

    models: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]],
        Field(min_length=1, max_length=1000),
    ]
    """Model ids in lower case; `gpt-5*` stands for all that begin so."""


class Rerate(Section):
    """Which calls."""

    since: date | None = None
    """First day, UTC."""
    until: date | None = None
    """First day after, UTC."""
    models: Annotated[tuple[Verbatim, ...], Field(max_length=1000)] = ()
    """Only these; empty means all."""


class AnnotationWish(Section):
    """A note about a day."""

    day: date
    """The UTC day."""
    text: Annotated[str, StringConstraints(pattern=_LINE % 280)]
    """What happened, on one line."""
    author: Annotated[str, StringConstraints(pattern=_LINE % 200)] | None = None
    """Whose note it is."""
    scope: Annotated[
        dict[Scoped, Annotated[str, StringConstraints(pattern=_LINE % 200)]], Field(max_length=1)
    ] = Field(default_factory=dict[Scoped, str])
    """What it is about; empty means all spend."""


class AckWish(Section):
    """That somebody looks after an incident."""

    owner: Annotated[str, StringConstraints(pattern=_LINE % 200)] | None = None
    """Who does; without one, its owner stays."""


class SnoozeWish(Section):
    """How long an incident sleeps; it wakes sooner when it gets worse."""

    time: Annotated[str, StringConstraints(pattern=_NAP)] = "2h"
    """A number with `m`, `h` or `d`, such as `2h`; at most `90d`."""


class OwnerWish(Section):
    """Who an incident belongs to."""

    owner: Annotated[str, StringConstraints(pattern=_LINE % 200)] | None = None
    """The name; without one it belongs to nobody."""


class CommentWish(Section):
    """A note beside an incident, which goes into its threads too."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST, pattern=r"\S")]
    """The note."""


BODIES: Mapping[str, type[Section]] = {
    "Customer": Customer,
    "Plan": Plan,
    "Budget": Budget,
    "TokenWish": TokenWish,
    "StopWish": StopWish,
    "FreezeWish": FreezeWish,
    "MappingWish": MappingWish,
    "PreviewWish": PreviewWish,
    "Apply": Apply,
    "Approved": Approved,
    "Rerate": Rerate,
    "AnnotationWish": AnnotationWish,
    "AckWish": AckWish,
    "SnoozeWish": SnoozeWish,
    "OwnerWish": OwnerWish,
    "CommentWish": CommentWish,
}


def body_schemas() -> dict[str, Any]:
    """JSON Schemas of every body, by name."""
    found: dict[str, Any] = {}
    for name, model in BODIES.items():
        schema = model.model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
        schema["properties"].pop("id", None)
        required = [field for field in schema.pop("required", []) if field != "id"]
        for inner, part in schema.pop("$defs", {}).items():
            found[f"{name}.{inner}"] = _bounded(part)
        found[name] = _bounded({**schema, **({"required": required} if required else {})})
    return found


def read_body(kind: type[Model], body: Mapping[str, Any], name: str | None = None) -> Model:
    """The body as a model; `name` is the id in the path. Raises Invalid that points to every fault."""
    given = dict(body)
    if name is not None:
        if given.get("id", name) != name:
            raise _invalid([{"pointer": "/id", "detail": "is not the id in the path"}])
        given["id"] = name
    faults = list(_limits(given, ""))
    if faults:
        raise _invalid(faults)
    try:
        return kind.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        raise _invalid(
            [
                {"pointer": "".join(f"/{part}" for part in fault["loc"]), "detail": fault["msg"]}
                for fault in error.errors(include_url=False, include_context=False, include_input=False)
            ]
        ) from None


def _invalid(faults: list[dict[str, str]]) -> Invalid:
    first = faults[0]
    return Invalid(
        f"The body is not valid: {first['pointer'] or 'it'}: {first['detail']}.", errors=faults,
        hint="GET /v1/openapi.json describes every body.",
    )  # fmt: skip


def _limits(value: Mapping[str, Any], pointer: str) -> Iterator[dict[str, str]]:
    """What the schema says beyond the model: amounts are texts, and texts have an end."""
    for name, inner in value.items():
        place = f"{pointer}/{name}"
        if name.endswith("_usd") and not isinstance(inner, str | None):
            yield {"pointer": place, "detail": 'an amount is a decimal string such as "3.00"'}
        elif isinstance(inner, str) and len(inner) > LONGEST:
            yield {"pointer": place, "detail": f"is longer than {LONGEST} characters"}
        elif isinstance(inner, Mapping):
            yield from _limits(cast("Mapping[str, Any]", inner), place)


def _bounded(schema: Any) -> Any:
    """Says the limits that hold for every body: texts and whole numbers have an end."""
    if isinstance(schema, list):
        return [_bounded(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {key: _bounded(value) for key, value in cast("dict[str, Any]", schema).items()}
    kind = found.get("type")
    if kind == "integer":
        found.setdefault("maximum", LARGEST)
    if kind == "string" and not {"pattern", "enum", "format", "const"} & found.keys():
        found.setdefault("maxLength", LONGEST)
    if found.get("pattern") == AMOUNT_PATTERN:
        found["description"] = "USD, a decimal string."
    return found
