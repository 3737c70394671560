"""The list of live sources. A credential is never written into the file: `..._env` names the environment variable that
holds it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from costweir.config.fields import EnvironmentName, HttpUrl, Section

SourceKind = Literal[
    "aws-ce", "aws-export", "gcp-bigquery", "azure-query", "azure-export", "openai", "anthropic"
]

#: A name that can be part of a file name.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Every = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}[mhd]$")]
BucketUrl = Annotated[str, StringConstraints(pattern=r"^(s3|gs|az|abfss?|https?)://\S+$")]

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SHARED = frozenset({"id", "kind", "enabled", "every", "all_services"})

#: The options that each kind of source takes besides those of every source; the first ones are required.
SOURCE_OPTIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "aws-ce": ((), ("customer_tag", "max_pages", "region", "profile", "base_url")),
    "aws-export": ((), ("url", "export", "region", "profile", "base_url")),
    "gcp-bigquery": (("tables",), ("project", "location", "credentials_env", "maximum_bytes", "base_url")),
    "azure-query": (("scope",), ("account", "cost", "customer_tag", "max_pages", "tenant_id", "client_id",
                                 "client_secret_env", "base_url", "login_url")),
    "azure-export": (("url",), ("tenant_id", "client_id", "client_secret_env", "access_key_env", "base_url",
                                "login_url")),
    "openai": ((), ("organization", "api_key_env", "base_url")),
    "anthropic": ((), ("organization", "api_key_env", "base_url")),
}  # fmt: skip

#: The connections that `costweir connect PROVIDER` makes: the kind to start with, and the one of an export.
PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "aws": ("aws-ce", "aws-export"),
    "gcp": ("gcp-bigquery",),
    "azure": ("azure-query", "azure-export"),
    "openai": ("openai",),
    "anthropic": ("anthropic",),
}

#: The variables that hold a kind's key when the file names none.
DEFAULT_KEYS: Mapping[str, str] = {"openai": "OPENAI_ADMIN_KEY", "anthropic": "ANTHROPIC_ADMIN_KEY"}


class Connection(Section):
    """A live source: one account of one provider, from which bills are pulled."""

    id: Name
    """Name of the connection: small letters, digits, dots, dashes and underscores."""
    kind: SourceKind
    """What is read, and how."""
    enabled: bool = True
    """Whether `costweir up` pulls it by itself."""
    every: Every = "6h"
    """How often: a number and `m`, `h` or `d`."""
    all_services: bool = False
    """Keep every service, not only AI."""
    url: BucketUrl | None = None
    """Where an export is delivered: `az://account/container/path`, or `s3://bucket/prefix` where AWS has several."""
    export: str | None = None
    """Name of the AWS export, whose definition says where it is delivered; empty means the only one there is."""
    tables: tuple[str, ...] | None = None
    """BigQuery tables of the billing export, as `project.dataset.table`; one for each billing account."""
    project: str | None = None
    """Google Cloud project that runs, and pays for, the queries."""
    location: str | None = None
    """Location of the BigQuery dataset, such as `EU`."""
    scope: str | None = None
    """Azure scope, such as `/subscriptions/ID`."""
    account: str | None = None
    """Account that the months are stored under; give the one of an export of the same bill, so that they meet."""
    organization: str | None = None
    """Account that the months are stored under, and must not change; empty means the id."""
    customer_tag: str | None = None
    """Cost allocation tag that names the customer."""
    cost: Literal["actual", "amortized"] | None = None
    """Whether commitments count when they are bought or when they are used; empty means `actual`."""
    region: str | None = None
    """AWS region of the export's bucket or definition."""
    profile: str | None = None
    """AWS profile; empty means what the AWS tools find: environment, default profile, role of the machine."""
    access_key_env: EnvironmentName | None = None
    """Variable with the access key of the storage account, in place of a login."""
    credentials_env: EnvironmentName | None = None
    """Variable with the path of a Google credentials file; empty means the application default."""
    tenant_id: str | None = None
    """Azure tenant; empty means `azure.tenant_id`."""
    client_id: str | None = None
    """Azure application; empty means `azure.client_id`, and without one the managed identity."""
    client_secret_env: EnvironmentName | None = None
    """Variable with the application's secret; empty means `azure.client_secret`."""
    api_key_env: EnvironmentName | None = None
    """Variable with the admin key; empty means OPENAI_ADMIN_KEY or ANTHROPIC_ADMIN_KEY."""
    base_url: HttpUrl | None = None
    """Address of the API instead of the provider's public one."""
    login_url: HttpUrl | None = None
    """Address of the login service instead of the provider's public one."""
    max_pages: int | None = Field(default=None, gt=0)
    """Most requests that one pull may send; empty means the source's own limit."""
    maximum_bytes: int | None = Field(default=None, gt=0)
    """Most bytes that one BigQuery query may be billed for; empty means the source's own limit."""

    @property
    def interval(self) -> timedelta:
        """The time between two pulls."""
        return interval_of(self.every)

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The environment variables that this source reads."""
        given = (value for name, value in self if name.endswith("_env") and value)
        default = DEFAULT_KEYS.get(self.kind)
        return (*given, *([default] if default and not self.api_key_env else []))

    @model_validator(mode="after")
    def _options_fit_the_kind(self) -> Connection:
        if self.id in ("files", "all"):
            raise ValueError(f"id {self.id!r} is a word of `costweir pull`; take another")
        required, optional = SOURCE_OPTIONS[self.kind]
        check_options(self, self.kind, required=required, allowed={*required, *optional, *_SHARED})
        return self


def interval_of(text: str) -> timedelta:
    """The time that `6h`, `90m` or `1d` stands for. Raises ValueError for anything else."""
    if not re.fullmatch(r"[1-9]\d{0,3}[mhd]", text):
        raise ValueError(f"{text!r} is no interval")
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def check_options(row: Section, kind: str, *, required: tuple[str, ...], allowed: set[str]) -> None:
    """Raises ValueError for an option that is not one of the kind, and for one that is missing."""
    shown = {name: field.alias or name for name, field in type(row).model_fields.items()}
    foreign = sorted(shown[name] for name in row.model_fields_set if name not in allowed)
    if foreign:
        raise ValueError(f"{foreign[0]} is not an option of {kind}")
    missing = [shown[name] for name in required if not getattr(row, name)]
    if missing:
        raise ValueError(f"{kind} needs {missing[0]}")
