"""The port of a live source. It fetches into files and nothing else: meaning, counting and loading are those of a bill
that was given as a file, so a pull can be killed anywhere and run again (laws L2, L7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from costweir.errors import Error

#: Says what is being done, how much of it is done, and how much there is (0 while unknown).
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Window:
    """UTC days from `since` (inclusive) to `until` (exclusive)."""

    since: date
    until: date


@dataclass(frozen=True, slots=True)
class Finding:
    """What `check` found out about a connection: a sentence, and whether it stands in the way.

    `code` is that of the error behind it (`unreachable`, `not_allowed`, `config` ...), empty where there is none.
    """

    ok: bool
    text: str
    hint: str = ""
    code: str = ""

    @classmethod
    def of(cls, error: Error) -> Finding:
        """An error that stands in the way."""
        return cls(ok=False, text=error.message, hint=error.hint, code=error.code)


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of `connect`: findings in order, and what the source holds, as far as it can say.

    `rows`, `first_day` and `last_day` are None where the API does not tell without a paid query.
    """

    findings: tuple[Finding, ...]
    account: str = ""
    rows: int | None = None
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """Files for the readers, the reader that has to read them, and the provider's own total where it gives one.

    Whole invoice months are fetched, because a month is replaced as a whole; `window` says which days they cover.
    `requests` and `request_cost_usd` are what the fetch itself cost.
    """

    files: tuple[Path, ...]
    reader: str
    window: Window
    provider_total: Decimal | None = None
    currency: str = ""
    requests: int = 0
    request_cost_usd: Decimal = Decimal(0)
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """One connected account of one provider."""

    @property
    def id(self) -> str:
        """The name the operator gave it, such as `aws-main`."""
        ...

    @property
    def kind(self) -> str:
        """`aws-ce`, `aws-export`, `gcp-bigquery`, `azure-query`, `azure-export`, `openai`, `anthropic`."""
        ...

    @property
    def usual_lag(self) -> timedelta:
        """How late its data usually is."""
        ...

    def policy(self) -> str:
        """The least-privilege policy or role this source needs, ready to paste."""
        ...

    def check(self) -> Checked:
        """Tries the credentials and reads as little as possible. Never raises for a finding."""
        ...

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        """Writes the rows of `window` into files below `into`, page by page.

        Raises Unreachable (transient) for throttling that outlasts the retries and for outages, NotAllowed for
        credentials that are wrong or expired, SourceRejected for an answer of an unknown shape, and ConfigError with
        the install line when the provider's library is missing.
        """
        ...
