"""What can be set, in one frozen object with every default."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, model_validator

from costweir.config.alerting import Alert
from costweir.config.channels import Channel, Routing
from costweir.config.connections import Connection
from costweir.config.fields import EnvironmentName, HttpUrl, LedgerUrl, Port, Section, StoreUrl
from costweir.config.oidc import Oidc, client_secret
from costweir.config.tables import (
    ApprovedModels,
    Attribution,
    Budget,
    CurrencyRate,
    Customer,
    GatewayKey,
    Model,
    Plan,
    Price,
    Provider,
    SharedCost,
)
from costweir.errors import ConfigError

_Key = TypeVar("_Key", bound=Hashable)
#: Characters that a gateway key of the file has at least; 32 random ones cannot be guessed.
SHORTEST_KEY = 32


def _log_level(value: object) -> object:
    names = {"trace": "debug", "notice": "info", "warn": "warning", "fatal": "critical"}
    return names.get(value.lower(), value.lower()) if isinstance(value, str) else value


LogLevel = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_log_level)]


class Ledger(Section):
    """Where holds and settlements are kept."""

    url: LedgerUrl = "sqlite:ledger.db"
    """`sqlite:` with a file, `postgresql://`, `redis://` or `memory:`."""
    durability: Literal["fsync", "process"] = "fsync"
    """`fsync` survives a power loss, `process` survives a killed process."""


class Store(Section):
    """Where charges and calls are kept."""

    url: StoreUrl = "duckdb:facts.duckdb"
    """`duckdb:` with a file, or `postgresql://HOST/NAME`; `postgresql://` alone is the server of `database`."""
    password_env: EnvironmentName | None = None
    """Variable with the password of a database server, where `PGPASSWORD` and `~/.pgpass` do not say it."""
    password_file: str | None = Field(default=None, min_length=1)
    """File with that password, in place of a variable."""
    reader_role: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_$-]{0,62}$")
    """Role of the database that may read every table, for Grafana and others; it has to be there already."""
    charge_months: int | None = Field(default=None, ge=25, le=1200)
    """How many whole months of bill lines are kept before the open one. Sums by day stay; empty keeps every line."""
    call_months: int | None = Field(default=None, ge=1, le=1200)
    """How many whole months of calls are kept before the open one. Sums by day stay; empty keeps every call."""

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_env and self.password_file:
            raise ValueError("the password is in password_env or in password_file, not in both")
        return self


class Web(Section):
    """The pages and the read API."""

    port: Port = 8080
    """Port; 0 takes any free one."""
    allowed_hosts: tuple[str, ...] = ()
    """Names a browser may ask for besides the ones of this machine."""


class Gateway(Section):
    """The gateway before the providers."""

    port: Port = 4000
    """Port; 0 takes any free one."""
    allowed_hosts: tuple[str, ...] = ()
    """Names a caller may ask for besides the ones of this machine. On any other address, none means every name."""
    max_body_bytes: int = Field(default=32 << 20, ge=1024, le=1 << 30)
    """Largest request."""
    max_header_bytes: int = Field(default=64 << 10, ge=1024, le=1 << 20)
    """Largest head of a request."""
    client_seconds: int = Field(default=120, ge=1, le=3600)
    """How long a caller may take to send a request or to read a piece of its answer."""
    abandoned_seconds: int = Field(default=60, ge=0, le=3600)
    """How long an answer that nobody waits for any more is still read, so that it is charged as it was used."""
    queue_seconds: int = Field(default=2, ge=0, le=60)
    """How long a call waits for room in a limit of tokens or requests a minute, or of calls at once; 0 is never."""
    sessions_per_hour: int = Field(default=1000, ge=1, le=1_000_000)
    """How many new sessions one key may begin in an hour."""


class Mcp(Section):
    """The tools for agents."""

    port: Port = 8090
    """Port; 0 takes any free one."""


class Otlp(Section):
    """The receiver of traces."""

    port: Port = 4318
    """Port; 0 takes any free one."""


class Database(Section):
    """A database server that the environment names. Used only by a `store.url` or `ledger.url` that points
    to it."""

    url: SecretStr | None = None
    """Whole address."""
    host: str | None = None
    """Host name."""
    name: str | None = None
    """Database name."""
    user: str | None = None
    """User."""
    password: SecretStr | None = None
    """Password."""


class Metrics(Section):
    """What `/metrics` says."""

    customers: int = Field(default=0, ge=0, le=200)
    """How many customers `llm_requests_total` and `llm_cost_usd_total` name in the label `customer_id`, the first that
    call; the others are `other`. 0 leaves the label out."""
    budgets: int = Field(default=50, ge=0, le=500)
    """How many budgets have gauges of their own, the ones that are used most."""


class Prometheus(Section):
    """The Prometheus beside Costweir."""

    url: HttpUrl | None = None
    """Its address."""
    port: Port | None = None
    """Its port in the rendered deployment."""
    retention: str | None = Field(default=None, pattern=r"^\d+(ms|[smhdwy])$")
    """How long it keeps samples, such as `90d`."""


class Grafana(Section):
    """The Grafana beside Costweir."""

    root_url: str | None = None
    """Its address as browsers see it."""
    anonymous: bool | None = None
    """Whether visitors may look without a login."""
    admin_password: SecretStr | None = None
    """Password of its administrator."""


class Gcp(Section):
    """The Google Cloud account."""

    project_id: str | None = None
    """Project."""


class Aws(Section):
    """The AWS account."""

    region: str | None = None
    """Region."""


class Azure(Section):
    """The Azure account."""

    subscription_id: str | None = None
    """Subscription."""
    tenant_id: str | None = None
    """Tenant."""
    client_id: str | None = None
    """Application that signs in."""
    client_secret: SecretStr | None = None
    """Its secret."""


class Redshift(Section):
    """The Redshift cluster. Used only by a `store.url` that points to it."""

    host: str | None = None
    """Host name."""
    user: str | None = None
    """User."""
    password: SecretStr | None = None
    """Password."""


class Settings(Section):
    """Everything that can be set. Made by `load`, never changed."""

    name: str = Field(default="Costweir", min_length=1, max_length=80)
    """The name that the pages show: your firm or team."""
    environment: str = Field(default="local", pattern=r"^[^\x00-\x1f]{1,64}$")
    """Where this runs, such as production."""
    log_level: LogLevel = "info"
    """`debug`, `info`, `warning`, `error` or `critical`."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """`json` is one object per line, `text` is for people; `auto` is text on a terminal and JSON anywhere else."""
    data_dir: Path
    """Directory of the stores. A relative one is relative to the configuration file."""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Address that the server listens on."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes of the gateway."""
    ledger: Ledger = Ledger()
    store: Store = Store()
    web: Web = Web()
    oidc: Oidc = Oidc()
    gateway: Gateway = Gateway()
    mcp: Mcp = Mcp()
    otlp: Otlp = Otlp()
    attribution: Attribution = Attribution()
    providers: tuple[Provider, ...] = ()
    """Where calls are forwarded to."""
    models: tuple[Model, ...] = ()
    """Models as callers name them."""
    prices: tuple[Price, ...] = ()
    """Your own prices, in USD per 1,000,000 tokens."""
    plans: tuple[Plan, ...] = ()
    """Plans that customers pay for."""
    customers: tuple[Customer, ...] = ()
    """Who the spend is for."""
    budgets: tuple[Budget, ...] = ()
    """Limits."""
    keys: tuple[GatewayKey, ...] = ()
    """Keys of the gateway that are there from the start."""
    currency_rates: tuple[CurrencyRate, ...] = ()
    """Rates for bills that state none. The file `rates.csv` in the data directory adds to them."""
    approved_models: tuple[ApprovedModels, ...] = ()
    """Models that customers may use."""
    shared_costs: tuple[SharedCost, ...] = ()
    """Costs that customers carry together, for `costweir chargeback`."""
    sources: tuple[Connection, ...] = ()
    """Live sources that `costweir up` pulls by itself."""
    channels: tuple[Channel, ...] = ()
    """Where alerts go."""
    routing: Routing = Routing()
    alerts: tuple[Alert, ...] = ()
    """Alert rules that are changed, switched off or added; `costweir alerts rules` lists them all."""
    database: Database = Database()
    metrics: Metrics = Metrics()
    prometheus: Prometheus = Prometheus()
    grafana: Grafana = Grafana()
    gcp: Gcp = Gcp()
    aws: Aws = Aws()
    azure: Azure = Azure()
    redshift: Redshift = Redshift()

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict[str, str])
    _secrets: Mapping[str, SecretStr] = PrivateAttr(default_factory=dict[str, SecretStr])
    _file: Path | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path | None:
        """The configuration file that was read, or None."""
        return self._file

    @property
    def store_path(self) -> Path | None:
        """The file of a `duckdb:` store, or None for any other kind."""
        return self._path(self.store.url, "duckdb:")

    @property
    def ledger_path(self) -> Path | None:
        """The file of a `sqlite:` ledger, or None for any other kind."""
        return self._path(self.ledger.url, "sqlite:")

    @property
    def control_path(self) -> Path:
        """The file of the control database."""
        return self.data_dir / "control.db"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed and probably not meant, a sentence each."""
        models = {row.id for row in self.models}
        undeclared = [
            f"models: {model.id!r} degrades to {target!r}, which is not declared, so it never will."
            for model in self.models
            for target in model.degrade_to
            if target not in models
        ]
        undeclared += [
            f"models: {model.id!r} falls back to {target!r}, which is not declared, so it never will."
            for model in self.models
            for target in model.fallback
            if target not in models
        ]
        missing = [
            f"providers: {row.id!r} takes its key from {row.api_key_env}, which is not set."
            for row in self.providers
            if row.api_key_env and self.secret(row.api_key_env) is None
        ]
        unset = [
            f"{kind}: {row.id!r} reads {name}, which is not set."
            for kind, rows in (("sources", self.sources), ("channels", self.channels))
            for row in rows
            for name in row.secret_names
            if self.secret(name) is None
        ]
        unset += [
            f"alerts: {row.id!r} reads {row.url_env}, which is not set."
            for row in self.alerts
            if row.url_env and self.secret(row.url_env) is None
        ]
        if self.oidc.client_secret_env and self.secret(self.oidc.client_secret_env) is None:
            unset.append(f"oidc: the secret is read from {self.oidc.client_secret_env}, which is not set.")
        return (*undeclared, *missing, *unset)

    def secret(self, name: str) -> str | None:
        """The value of an environment variable that an `..._env` setting names, or None while it is not set."""
        held = self._secrets.get(name)
        return None if held is None else held.get_secret_value()

    def oidc_secret(self) -> str:
        """The secret of the login at a provider, empty without one. Raises ConfigError for one that is not there."""
        return client_secret(self.oidc, named=self.secret, folder=self.file.parent if self.file else Path())

    def store_password(self) -> str | None:
        """The password of the database server that `store.url` names, or None where its own variables say it.

        Raises ConfigError for a variable that is not set, or a file that cannot be read.
        """
        if self.store.password_env is None and self.store.password_file is None:
            return None
        return self._held("The password of the store", self.store.password_env, self.store.password_file)

    def provider_key(self, provider: Provider) -> str:
        """The API key of a provider, from its variable or its file; empty when it needs none.

        Raises ConfigError for a variable that is not set, or a file that cannot be read.
        """
        if provider.api_key_env is None and provider.api_key_file is None:
            return ""
        return self._held(f"The key of provider {provider.id!r}", provider.api_key_env, provider.api_key_file)

    def gateway_key(self, key: GatewayKey) -> str:
        """The text of a gateway key, from its variable or its file. Raises ConfigError for one that is not there, or
        that could be guessed."""
        text = self._held(f"The gateway key {key.id!r}", key.key_env, key.key_file)
        if len(text) < SHORTEST_KEY:
            raise ConfigError(
                f"Gateway key {key.id!r} has fewer than {SHORTEST_KEY} characters.",
                hint="Make one with `openssl rand -hex 32`.",
            )
        return text

    def _held(self, what: str, variable: str | None, file: str | None) -> str:
        """A key from a variable or a file."""
        where, held = variable or "", self.secret(variable) if variable else None
        if file is not None:
            path = (self.file.parent if self.file else Path()) / file
            where = str(path)
            try:
                held = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                held = None
        if not held or not held.isascii() or not held.isprintable() or " " in held:
            raise ConfigError(
                f"{what} is to be in {where}, where there is none.",
                hint="Put the key there, on one line without anything else.",
            )
        return held

    def _path(self, url: str, scheme: str) -> Path | None:
        return self.data_dir / url.removeprefix(scheme) if url.startswith(scheme) else None

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        for name in (
            "providers",
            "models",
            "plans",
            "customers",
            "budgets",
            "keys",
            "sources",
            "channels",
            "alerts",
        ):
            _unique(
                (row.id for row in getattr(self, name)),
                lambda found, name=name: f"{name}: {found!r} is there twice",
            )
        _unique(
            (
                (price.model, price.provider, price.tier, price.routing, price.effective)
                for price in self.prices
            ),
            lambda found: f"prices: {found[0]!r} has two prices from {found[4]}",
        )
        _unique(
            ((rate.currency, rate.since) for rate in self.currency_rates),
            lambda found: f"currency_rates: {found[0]} has two rates from {found[1]}",
        )
        _unique(
            (row.customer for row in self.approved_models),
            lambda found: f"approved_models: {found!r} has two lists",
        )
        _unique(
            (row.name for row in self.shared_costs), lambda found: f"shared_costs: {found!r} is there twice"
        )
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        providers = {row.id for row in self.providers}
        plans = {row.id for row in self.plans}
        for model in self.models:
            _exists(model.provider, providers, f"models: {model.id!r} names the provider")
            for target in model.degrade_to:
                if target == model.id:
                    raise ValueError(f"models: {model.id!r} degrades to itself")
            if model.id in model.fallback:
                raise ValueError(f"models: {model.id!r} falls back to itself")
        for customer in self.customers:
            if customer.plan is not None:
                _exists(customer.plan, plans, f"customers: {customer.id!r} is on the plan")
        channels = {row.id for row in self.channels}
        for name in self.routing.named:
            _exists(name, channels, "routing: a route or the default names the channel")
        return self


def _unique(keys: Iterable[_Key], say: Callable[[_Key], str]) -> None:
    seen: set[_Key] = set()
    for key in keys:
        if key in seen:
            raise ValueError(say(key))
        seen.add(key)


def _exists(wanted: str, known: set[str], sentence: str) -> None:
    if wanted not in known:
        from difflib import get_close_matches

        near = get_close_matches(wanted, sorted(known), n=1)
        raise ValueError(
            f"{sentence} {wanted!r}, which is not declared" + (f"; did you mean {near[0]!r}?" if near else "")
        )
