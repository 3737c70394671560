"""The lists of the configuration file: providers, models, prices, plans, customers, budgets, rates, approved models,
shared costs and attribution."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from costweir.config.fields import (
    Amount,
    Currency,
    EnvironmentName,
    HttpUrl,
    Identifier,
    Rate,
    Section,
    Thresholds,
    Timezone,
    Window,
)

ProviderKind = Literal["openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "mock"]
BudgetMode = Literal["strict", "debt", "observe"]


class Provider(Section):
    """Where calls are forwarded to."""

    id: Identifier
    """Name that models refer to."""
    kind: ProviderKind
    """Wire format and kind of authentication."""
    base_url: HttpUrl | None = None
    """Address of the API; empty means the provider's public one."""
    api_key_env: EnvironmentName | None = None
    """Environment variable that holds the API key. The key itself is never written here."""
    api_key_file: str | None = Field(default=None, min_length=1)
    """File that holds the API key and nothing else, such as a mounted secret."""
    allow_private: bool = False
    """Allow an address in a private network or on this machine."""
    connect_seconds: int = Field(default=5, ge=1, le=60)
    """How long it may take to accept a connection."""
    first_byte_seconds: int = Field(default=300, ge=1, le=3600)
    """How long it may take to begin an answer."""
    idle_seconds: int = Field(default=120, ge=1, le=3600)
    """How long it may fall silent within an answer."""
    total_seconds: int = Field(default=900, ge=1, le=7200)
    """How long an answer may take altogether."""
    max_connections: int = Field(default=1024, ge=1, le=65_536)
    """Most connections to it at the same time."""
    retries: int = Field(default=1, ge=0, le=5)
    """How often a call is tried again on it after a failure that may pass; each try holds its own money."""
    breaker_failures: int = Field(default=5, ge=1, le=1000)
    """After this many failures in a row it is left alone for a while."""
    breaker_seconds: int = Field(default=15, ge=1, le=3600)
    """How long it is then left alone before one call tries it again."""

    @model_validator(mode="after")
    def _has_one_key(self) -> Provider:
        if self.api_key_env is not None and self.api_key_file is not None:
            raise ValueError("a provider's key is in api_key_env or in api_key_file, not in both")
        return self


class Model(Section):
    """A model as callers name it."""

    id: Identifier
    """Name that callers use."""
    provider: Identifier
    """Id of the provider that serves it."""
    upstream: Identifier | None = None
    """The provider's own name for it; empty means the same as `id`."""
    context_tokens: int | None = Field(default=None, gt=0)
    """Largest number of tokens in one request, input and output together."""
    max_output_tokens: int | None = Field(default=None, gt=0)
    """Largest number of output tokens."""
    image_tokens: int | None = Field(default=None, gt=0)
    """Most tokens that one image costs; empty means what is known of the model, else its whole context."""
    cap_includes_reasoning: bool = True
    """Whether the provider counts the tokens a model thinks with against the output cap."""
    degrade_to: tuple[Identifier, ...] = ()
    """Cheaper models that may stand in when a budget is nearly spent, best first."""
    fallback: tuple[Identifier, ...] = ()
    """Models that answer when the provider fails, in order."""
    lacks: tuple[Literal["tools", "images", "audio", "files", "schema", "thinking"], ...] = ()
    """What it cannot do; it then stands in for no call that needs it."""


class Price(Section):
    """An operator's own price of a model, in USD per 1,000,000 tokens. It goes before the price book."""

    model: Identifier
    """The model's id."""
    provider: Identifier | None = None
    """Only when billed by this provider; empty means any."""
    effective: date
    """First day on which the price holds."""
    known_from: date | None = None
    """Day on which the price was learned; empty means the day it took effect."""
    tier: str | None = None
    """`batch`, `flex`, `priority` ...; empty means standard."""
    routing: str | None = None
    """`global`, `regional`, `datazone` ...; empty means any."""
    input: Amount | None = None
    """Uncached input tokens."""
    output: Amount | None = None
    """Output tokens."""
    cache_read: Amount | None = None
    """Input tokens read from the cache."""
    cache_write: Amount | None = None
    """Input tokens written to the cache for five minutes."""
    cache_write_1h: Amount | None = None
    """Input tokens written to the cache for an hour."""
    reasoning: Amount | None = None
    """Reasoning tokens; empty means as output."""
    input_audio: Amount | None = None
    """Audio input tokens."""
    cache_read_audio: Amount | None = None
    """Audio input tokens read from the cache."""
    input_image: Amount | None = None
    """Image input tokens."""
    cache_read_image: Amount | None = None
    """Image input tokens read from the cache."""
    input_video: Amount | None = None
    """Video input tokens."""
    output_audio: Amount | None = None
    """Audio output tokens."""
    output_image: Amount | None = None
    """Image output tokens."""
    output_video: Amount | None = None
    """Video output tokens."""
    output_citation: Amount | None = None
    """Citation tokens."""
    request: Amount | None = None
    """USD for each request, whatever its size."""
    image: Amount | None = None
    """USD for each image."""
    web_search: Amount | None = None
    """USD for each web search."""

    @model_validator(mode="after")
    def _has_a_rate(self) -> Price:
        if not any(isinstance(value, Decimal) for value in self.__dict__.values()):
            raise ValueError("a price needs at least one rate, such as input")
        return self


class Plan(Section):
    """A plan that customers pay for."""

    id: Identifier
    """Name that customers refer to."""
    name: str = ""
    """Display name; empty means the id."""
    price_usd: Amount
    """What a customer pays for a month."""
    budget_usd: Amount | None = None
    """What a customer may cost in a month."""
    session_usd: Amount | None = None
    """What one session may cost."""
    session_calls: int | None = Field(default=None, gt=0)
    """How many calls one session may make."""
    tokens_per_minute: int | None = Field(default=None, gt=0)
    """How many tokens a customer may use in a minute."""


class GatewayKey(Section):
    """A key that callers of the gateway show. Most are made by `costweir key create`; one in the file is there before
    the first command."""

    id: Identifier
    """Name of the key."""
    key_env: EnvironmentName | None = None
    """Environment variable that holds the key, at least 32 characters. The key itself is never written here."""
    key_file: str | None = Field(default=None, min_length=1)
    """File that holds the key and nothing else, such as a mounted secret."""
    customer: Identifier | None = None
    """Whom its calls are for."""
    models: tuple[Identifier, ...] = ()
    """The models it may use; empty means every one."""
    may_assert: tuple[Literal["customer", "session", "user"], ...] = ()
    """What a call may say in headers."""

    @model_validator(mode="after")
    def _is_whole(self) -> GatewayKey:
        if (self.key_env is None) == (self.key_file is None):
            raise ValueError("a key is in key_env or in key_file")
        if self.customer is None and "customer" not in self.may_assert:
            raise ValueError("a key needs a customer, or may_assert with customer in it")
        return self


class Customer(Section):
    """Somebody who the AI spend is for."""

    id: Identifier
    """The id that tags and headers carry."""
    name: str = ""
    """Display name; empty means the id."""
    plan: Identifier | None = None
    """Id of the plan."""
    since: date | None = None
    """First day as a customer."""


class Scope(Section):
    """What a budget is about. Empty means everything; several keys have to match together, and `*` gives each one the
    limit for itself."""

    tenant: str | None = None
    """A tenant's id."""
    customer: str | None = None
    """A customer's id."""
    plan: str | None = None
    """A plan's id: every customer of the plan has the limit."""
    key: str | None = None
    """A gateway key's id."""
    user: str | None = None
    """A user's id."""
    session: str | None = None
    """A session's id."""
    feature: str | None = None
    """A feature."""
    project: str | None = None
    """A project."""
    model: str | None = None
    """A model's id."""
    provider: str | None = None
    """A provider's id."""
    environment: str | None = None
    """An environment such as production."""


class Budget(Section):
    """A limit, and what happens near it."""

    id: Identifier
    """Name of the budget."""
    scope: Scope = Scope()
    """What it is about."""
    limit_usd: Amount | None = None
    """USD that may be spent in one window."""
    window: Window = "month"
    """`day`, `week`, `month`, `session`, `total` or `rolling:` with a number and `m`, `h` or `d`."""
    timezone: Timezone = "UTC"
    """Where a day, week or month begins."""
    mode: BudgetMode = "strict"
    """`strict` blocks before the money is spent, `debt` lets the last call finish, `observe` only reports."""
    thresholds: Thresholds = (50, 80, 95, 100)
    """Percentages at which something happens."""
    tokens_per_minute: int | None = Field(default=None, gt=0)
    """Tokens in a minute."""
    requests_per_minute: int | None = Field(default=None, gt=0)
    """Requests in a minute."""
    calls: int | None = Field(default=None, gt=0)
    """Calls in one window."""
    parallel: int | None = Field(default=None, gt=0)
    """Calls at the same moment."""
    expires: AwareDatetime | None = None
    """When it ends, with a time zone; a budget that was changed by hand is then as it was before."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> Budget:
        limits = (self.limit_usd, self.tokens_per_minute, self.requests_per_minute, self.calls, self.parallel)
        if all(limit is None for limit in limits):
            raise ValueError(
                "a budget needs limit_usd, tokens_per_minute, requests_per_minute, calls or parallel"
            )
        return self


class CurrencyRate(Section):
    """What one unit of a currency is worth, for bills that state no rate themselves."""

    currency: Currency
    """ISO 4217 code."""
    usd: Rate
    """USD for one unit."""
    since: date
    """First day on which the rate holds."""


class ApprovedModels(Section):
    """Which models a customer may use. A customer without a list may use every model."""

    customer: Identifier
    """The customer's id."""
    models: tuple[Identifier, ...] = Field(min_length=1)
    """Model ids; `*` stands for any text and `?` for one character, such as `gpt-5*`."""


class SharedMatch(Section):
    """Which cost is shared. Several keys have to match together."""

    customer: str | None = None
    """Customer that the cost is booked on; `untagged` is cost that names nobody."""
    service: str | None = None
    """Service as billed."""
    project: str | None = None
    """Project; `untagged` is cost that names none."""

    @model_validator(mode="after")
    def _matches_something(self) -> SharedMatch:
        if self.customer is None and self.service is None and self.project is None:
            raise ValueError("a match needs customer, service or project")
        return self


class SharedCost(Section):
    """Cost that several customers carry together, and how it is divided."""

    name: Identifier
    """Name of the rule; it heads the column of the chargeback."""
    match: SharedMatch
    """Which cost it is. A line belongs to the first rule that matches."""
    by: Literal["spend", "tokens", "equal"] | Mapping[Identifier, Rate]
    """`spend`, `tokens` or `equal` over the customers of the month, or a table of customers with their shares."""


class Rule(Section):
    """One attribution rule: its name, and exactly one way to find the member."""

    name: str | None = None
    """Name that is stored with every row the rule hit; empty means the way's own name."""
    tag: tuple[str, ...] | None = None
    """Tag or label keys, in order; the value is the member."""
    principal: str | None = None
    """Regular expression over the IAM principal and the resource; its first group is the member."""
    resource_group: str | None = None
    """Pattern over the Azure resource group, such as `rg-customer-{id}-{env}`."""
    account_map: Mapping[str, str] | None = None
    """Linked account, project or subscription, and the member it stands for."""
    project_map: Mapping[str, str] | None = None
    """The same, for projects."""
    sub_account: Literal[True] | None = None
    """The linked account, project or subscription is the member itself."""

    @model_validator(mode="after")
    def _finds_one_way(self) -> Rule:
        maps = (self.account_map, self.project_map, self.sub_account)
        ways = (self.tag, self.principal, self.resource_group, *maps)
        if sum(way is not None for way in ways) != 1:
            raise ValueError(
                "a rule has exactly one of tag, principal, resource_group, account_map, project_map"
                " and sub_account"
            )
        if self.principal is not None:
            _check_pattern(self.principal)
        if self.resource_group is not None and "{id}" not in self.resource_group:
            raise ValueError(f"{self.resource_group!r} needs {{id}} where the member stands")
        return self


def _check_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    if not groups:
        raise ValueError(f"{pattern!r} needs round brackets around the member")


class Attribution(Section):
    """Who a bill line is for. A list that is given replaces the built-in rules of that kind."""

    customer: tuple[Rule, ...] | None = None
    """Rules that find the customer, in order."""
    project: tuple[Rule, ...] | None = None
    """Rules that find the project, in order."""
    feature: tuple[Rule, ...] | None = None
    """Rules that find the feature, in order."""
