"""From a row of `[[sources]]` to a live source. The only place that names the modules of the providers; each is
imported when it is wanted, because its library is an extra."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from costweir.errors import NotFound

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.config.connections import Connection
    from costweir.sources.live.source import Source


def find_connection(settings: Settings, name: str) -> Connection:
    """The row of `[[sources]]` with this id. Raises NotFound with the ids that there are."""
    for row in settings.sources:
        if row.id == name:
            return row
    known = ", ".join(row.id for row in settings.sources)
    hint = f"Sources are {known}." if known else "`costweir connect` sets one up."
    raise NotFound(f"There is no source {name!r}.", hint=hint)


def open_source(row: Connection, settings: Settings) -> Source:
    """The live source of a row. Raises ConfigError when its library is missing or an option cannot be used."""
    return _KINDS[row.kind](row, settings)


def _given(**options: Any) -> dict[str, Any]:
    """The options that are set; the source has its own default for the others."""
    return {name: value for name, value in options.items() if value is not None}


def _aws(row: Connection, settings: Settings) -> Any:
    from costweir.sources.live.aws_calls import Aws

    region = row.region or settings.aws.region
    return Aws(**_given(profile=row.profile, region=region, endpoint_url=row.base_url))


def _aws_ce(row: Connection, settings: Settings) -> Source:
    from costweir.sources.live.aws_ce import CostExplorer

    # Cost Explorer has one endpoint, in the region that `Aws` takes by default.
    return CostExplorer(
        row.id,
        aws=_aws(row.model_copy(update={"region": row.region or "us-east-1"}), settings),
        all_services=row.all_services,
        **_given(customer_tag=row.customer_tag, max_pages=row.max_pages),
    )


def _aws_export(row: Connection, settings: Settings) -> Source:
    from costweir.sources.live.aws_export import S3Export

    where = urlsplit(row.url or "")
    return S3Export(
        row.id,
        aws=_aws(row, settings),
        bucket=where.netloc,
        prefix=where.path.strip("/"),
        **_given(export=row.export),
    )


def _gcp_bigquery(row: Connection, settings: Settings) -> Source:
    from costweir.sources.live.gcp_bigquery import GcpBigQuery
    from costweir.sources.live.gcp_client import BigQuery
    from costweir.sources.live.gcp_table import TableName, facts

    tables: tuple[str, ...] = row.tables or ()
    file = settings.secret(row.credentials_env) if row.credentials_env else None
    client = BigQuery(
        project=row.project or settings.gcp.project_id or TableName.parse(next(iter(tables), "")).project,
        maximum_bytes=row.maximum_bytes or facts()["maximum_bytes"],
        **_given(location=row.location, credentials_file=file, base_url=row.base_url),
    )
    return GcpBigQuery(row.id, tables, client)


def _principal(row: Connection, settings: Settings) -> Any:
    from costweir.sources.live.azure_login import Principal

    held = settings.azure.client_secret.get_secret_value() if settings.azure.client_secret else None
    secret = settings.secret(row.client_secret_env) if row.client_secret_env else held
    return Principal(
        **_given(
            tenant_id=row.tenant_id or settings.azure.tenant_id,
            client_id=row.client_id or settings.azure.client_id,
            client_secret=secret,
        )
    )


def _azure_query(row: Connection, settings: Settings) -> Source:
    from costweir.sources.live.azure_login import login
    from costweir.sources.live.azure_query import AzureQuery

    where = _given(endpoint=row.base_url)
    held: list[Callable[[], str]] = []

    def token() -> str:
        # The policy can be printed without the library; it is wanted with the first request.
        if not held:
            held.append(login(_principal(row, settings), **where, **_given(authority=row.login_url)))
        return held[0]()

    cost = {"actual": "ActualCost", "amortized": "AmortizedCost"}.get(row.cost or "")
    asked = _given(account=row.account, cost=cost, customer_tag=row.customer_tag, max_pages=row.max_pages)
    return AzureQuery(row.id, row.scope or "", token, **where, **asked)


def _azure_export(row: Connection, settings: Settings) -> Source:
    from costweir.sources.live.azure_export import AzureExport

    key = settings.secret(row.access_key_env) if row.access_key_env else None
    options = _given(access_key=key, endpoint=row.base_url, authority=row.login_url)
    return AzureExport(row.id, row.url or "", _principal(row, settings), **options)


def _openai(row: Connection, settings: Settings) -> Source:
    from costweir.sources.live.openai import OpenAI

    return OpenAI(row.id, settings.secret, **_keyed(row))


def _anthropic(row: Connection, settings: Settings) -> Source:
    from costweir.sources.live.anthropic import Anthropic

    return Anthropic(row.id, settings.secret, **_keyed(row))


def _keyed(row: Connection) -> dict[str, Any]:
    return _given(key_env=row.api_key_env, organization=row.organization, url=row.base_url)


_KINDS: Mapping[str, Callable[[Connection, Settings], Source]] = {
    "aws-ce": _aws_ce,
    "aws-export": _aws_export,
    "gcp-bigquery": _gcp_bigquery,
    "azure-query": _azure_query,
    "azure-export": _azure_export,
    "openai": _openai,
    "anthropic": _anthropic,
}
