"""Runs queries by Google's own client: what a query will read is known and capped before it is paid for, and every
failure is one sentence. The library is an extra and is loaded when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlsplit

from costweir.errors import (
    BudgetExceeded,
    ConfigError,
    Error,
    NotAllowed,
    NotFound,
    SourceRejected,
    Unreachable,
)
from costweir.sources.live.clock import wrong_clock
from costweir.sources.live.gcp_table import Query, TableName, facts

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_BUSY = frozenset(
    {"rateLimitExceeded", "jobRateLimitExceeded", "quotaExceeded", "backendError", "internalError"}
)
_SCOPES = (
    "https://www.googleapis.com/auth/bigquery",
    "https://www.googleapis.com/auth/cloud-platform.read-only",
)
_TIB = 1 << 40
_PAGE_ROWS = 5_000


@dataclass(slots=True)
class BigQuery:
    """Queries that one project runs and pays for. `billed` and `jobs` add up what was read.

    `credentials` is a credentials object of google.auth; without it `credentials_file` is read, and without that the
    application default. `patience` is how long a failing request is tried again.
    """

    project: str
    maximum_bytes: int
    location: str = ""
    credentials_file: str = ""
    credentials: Any = None
    base_url: str = ""
    patience: timedelta = timedelta(minutes=10)
    billed: int = 0
    jobs: int = 0
    _known: Any = field(default=None, init=False)

    @property
    def cost_usd(self) -> Decimal:
        """What the queries cost at most; the first TiB a month is free."""
        return price(self.billed)

    def table(self, name: TableName) -> Any:
        """The table's metadata, which is free."""
        with _told(str(name)):
            return self._client().get_table(str(name), retry=self._retry())

    def estimate(self, query: Query) -> int:
        """How many bytes the query will read, by a dry run, which is free."""
        with _told("the export"):
            job = self._client().query(
                query.sql, job_config=_config(query, dry_run=True), retry=self._retry(), job_retry=None
            )
            return int(job.total_bytes_processed or 0)

    def pages(self, query: Query, *, announce: Callable[[int], None]) -> Generator[list[dict[str, Any]]]:
        """The rows of a query, page by page. `announce` gets the bytes that it will read, before it runs.

        Raises BudgetExceeded when they are more than `maximum_bytes`, and what `table` and any query raise.
        """
        expected = self.estimate(query)
        announce(expected)
        if expected > self.maximum_bytes:
            raise _too_much(expected, self.maximum_bytes)
        with _told("the export"):
            job = self._client().query(
                query.sql,
                job_config=_config(query, maximum_bytes=self.maximum_bytes),
                retry=self._retry(),
                job_retry=None,
            )
            self.jobs += 1
            result = job.result(page_size=_PAGE_ROWS, retry=self._retry(), job_retry=None)
            self.billed += int(job.total_bytes_billed or 0)
            pages = iter(result.pages)
        while True:
            with _told("the export"):
                page = next(pages, None)
                rows = None if page is None else [dict(row.items()) for row in page]
            if rows is None:
                return
            yield rows

    def close(self) -> None:
        """Closes the connections; the next query opens new ones."""
        known, self._known = self._known, None
        if known is not None:
            known.close()

    def _retry(self) -> Any:
        from google.cloud.bigquery import DEFAULT_RETRY

        seconds = self.patience.total_seconds()
        return DEFAULT_RETRY.with_timeout(seconds).with_delay(initial=min(1.0, seconds / 20), maximum=60)

    def _client(self) -> Any:
        if self._known is None:
            self._known = self._connected()
        return self._known

    def _connected(self) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        parts = urlsplit(self.base_url)
        local = parts.hostname in _LOOPBACK
        if self.base_url and parts.scheme != "https" and not local:
            raise ConfigError(
                f"The address {self.base_url!r} does not start with https://.",
                hint="A token is never sent over an open line; http:// is only for this machine.",
            )
        credentials = self.credentials
        if credentials is None and self.credentials_file:
            credentials = _from_file(self.credentials_file)
        elif credentials is None and local:
            credentials = AnonymousCredentials()
        return bigquery.Client(
            project=self.project,
            credentials=credentials,
            location=self.location or None,
            client_options={"api_endpoint": self.base_url} if self.base_url else None,
        )


def price(read: int) -> Decimal:
    """US dollars for reading `read` bytes on demand, to the hundredth of a cent, rounded up."""
    exact = Decimal(str(facts()["usd_per_tib"])) * read / _TIB
    return exact.quantize(Decimal("0.0001"), rounding="ROUND_CEILING")


def size(read: int) -> str:
    """`12.3 GB`: how BigQuery's own pages show it."""
    number, unit = read, "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.3g} {unit}"


def _from_file(path: str) -> Any:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        credentials, _ = google.auth.load_credentials_from_file(path, scopes=_SCOPES)  # pyright: ignore
    except DefaultCredentialsError as error:
        raise ConfigError(
            f"The Google credentials file {path} cannot be read.", hint=" ".join(str(error).split())[:200]
        ) from error
    return credentials  # pyright: ignore[reportUnknownVariableType]


def _config(query: Query, *, dry_run: bool = False, maximum_bytes: int | None = None) -> Any:
    from google.cloud import bigquery

    config: Any = bigquery.QueryJobConfig(use_legacy_sql=False, use_query_cache=not dry_run, dry_run=dry_run)
    if maximum_bytes is not None:
        config.maximum_bytes_billed = maximum_bytes
    config.query_parameters = [
        bigquery.ArrayQueryParameter(name, kind, cast("list[object]", value))
        if isinstance(value, list)
        else bigquery.ScalarQueryParameter(name, kind, value)  # pyright: ignore
        for name, (kind, value) in query.parameters.items()
    ]
    return config


def _too_much(expected: int, most: int) -> BudgetExceeded:
    return BudgetExceeded(
        f"The query would read {size(expected)} of the export, and this source may read {size(most)} a query.",
        hint="Nothing was read or paid. Pull fewer months, or raise maximum_bytes; "
        f"it would cost {price(expected)} USD at most.",
    )


@contextmanager
def _told(what: str) -> Generator[None]:
    """Google's errors as ours."""
    try:
        import requests
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError, TransportError
    except ImportError as error:
        raise ConfigError(
            "Reading BigQuery needs the extra package google-cloud-bigquery.",
            hint="Install it: pip install 'costweir[gcp]'",
        ) from error
    try:
        yield
    except GoogleAPICallError as error:
        raise _refused(error, what) from error
    except (RetryError, TransportError, requests.RequestException, ConnectionError) as error:
        raise Unreachable(
            "BigQuery does not answer.",
            hint="Nothing was loaded or lost; the next run reads the same months again.",
        ) from error
    except GoogleAuthError as error:
        # What Google's token service says of a signature from another time.
        if "reasonable timeframe" in str(error):
            raise wrong_clock("Google") from error
        raise NotAllowed(
            "Google does not accept the credentials, or there are none.",
            hint=f"Renew them: credentials_env, or gcloud auth application-default login. {_line(error)}",
        ) from error


def _refused(error: Any, what: str) -> Error:
    reasons = {str(one.get("reason", "")) for one in error.errors or [] if isinstance(one, Mapping)}  # pyright: ignore
    said, code = _line(error.message), int(error.code or 0)
    if "bytesBilledLimitExceeded" in reasons:
        return BudgetExceeded(
            "The query would have read more than this source may read.",
            hint=f"Nothing was paid. Pull fewer months, or raise maximum_bytes. {said}",
        )
    if code in (408, 429) or code >= 500 or reasons & _BUSY:
        return Unreachable(
            "BigQuery is too busy or down.", hint=f"The next run reads the same months again. {said}"
        )
    if code == 401:
        return NotAllowed("Google does not accept the credentials.", hint=f"They may have expired. {said}")
    if code == 403:
        return NotAllowed(
            f"The credentials may not read {what}.",
            hint="They need roles/bigquery.jobUser on the project and roles/bigquery.dataViewer on the dataset. "
            + said,
        )
    if code == 404:
        return NotFound(f"There is no {what}.", hint=f"Check project, dataset, table and location. {said}")
    return SourceRejected("BigQuery refused the query.", hint=said)


def _line(text: object) -> str:
    return " ".join(str(text).split())[:300]
