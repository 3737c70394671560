"""The kinds of value that a setting may have. Money is a decimal string, so that no float ever touches it
(law L10)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

AMOUNT_PATTERN = r"^\d{1,18}(\.\d{1,18})?$"
WINDOW_PATTERN = r"^(day|week|month|session|total|rolling:[1-9]\d{0,5}[mhd])$"
_LEDGER_SCHEMES = ("sqlite:", "postgresql://", "redis://", "memory:")
_STORE_SCHEMES = ("duckdb:", "postgresql://", "clickhouse://", "bigquery://", "redshift://", "mssql://")


class Section(BaseModel):
    """Base of every part of the settings: frozen, and unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


def _amount(value: object) -> object:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, float):
        raise ValueError('an amount is written in quotes, such as "3.00", because a bare 3.00 is not exact')
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError('an amount is a decimal string such as "3.00"')
    if not re.fullmatch(AMOUNT_PATTERN, str(value)):
        raise ValueError(f'{str(value)!r} is not an amount; write a plain decimal string such as "3.00"')
    return Decimal(value)


def _timezone(value: str) -> str:
    # A machine without time zone data has UTC all the same.
    if value == "UTC":
        return value
    # ZoneInfo opens a file by this name; it refuses absolute names and dots itself.
    try:
        ZoneInfo(value)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        raise ValueError(f"{value!r} is not a time zone; use an IANA name such as Europe/Berlin") from None
    return value


def _thresholds(value: tuple[int, ...]) -> tuple[int, ...]:
    if any(not 1 <= step <= 100 for step in value) or list(value) != sorted(set(value)):
        raise ValueError("thresholds are whole percentages from 1 to 100, each once, in rising order")
    return value


def _one_of(schemes: tuple[str, ...], what: str):
    def check(value: str) -> str:
        if not value.startswith(schemes):
            raise ValueError(f"{what} starts with one of {', '.join(schemes)}")
        return value

    return check


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("a rate is above zero")
    return value


def _text(value: Decimal) -> str:
    return format(value, "f")


#: A non-negative exact amount: a decimal string with at most 18 places.
Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    PlainSerializer(_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": AMOUNT_PATTERN, "examples": ["3.00"]}),
]
#: An amount above zero.
Rate = Annotated[Amount, AfterValidator(_positive)]
#: The id of a customer, model, provider, plan or budget: no blanks at its ends, no control characters.
Identifier = Annotated[
    str, StringConstraints(pattern=r"^[^\s\x00-\x1f]([^\x00-\x1f]{0,198}[^\s\x00-\x1f])?$")
]
#: The name of an environment variable.
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
#: A TCP port; 0 lets the system choose a free one.
Port = Annotated[int, Field(ge=0, le=65535)]
Window = Annotated[str, StringConstraints(pattern=WINDOW_PATTERN)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Thresholds = Annotated[tuple[int, ...], AfterValidator(_thresholds)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/\S*)?$")]
LedgerUrl = Annotated[str, AfterValidator(_one_of(_LEDGER_SCHEMES, "the ledger's url"))]
StoreUrl = Annotated[str, AfterValidator(_one_of(_STORE_SCHEMES, "the store's url"))]
