"""Azure cost exports in Blob storage: of each month in the window the newest complete run, as files for the readers.

An export that does not overwrite leaves every run in place, and a run whose manifest is not there yet is still being
written; reading either would count a month twice or by half (law L7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from costweir.errors import ConfigError, Error
from costweir.sources.formats.azure_runs import newest_runs
from costweir.sources.formats.format import BillFile
from costweir.sources.live.azure_blobs import Blobs, BlobUrl
from costweir.sources.live.azure_login import Principal, facts
from costweir.sources.live.azure_manifest import RunManifest, days_of, root_of
from costweir.sources.live.calendar import utc_today, whole_months
from costweir.sources.live.source import Checked, Fetched, Finding, Report, Window

_DATA = (".csv", ".csv.gz", ".parquet", ".zip")
#: Exports that are no costs.
_OTHER = frozenset(
    {"pricesheet", "reservationrecommendations", "reservationtransactions", "reservationdetails"}
)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The files that count, and what was left out and why."""

    files: tuple[BillFile, ...]
    rows: int | None
    notes: tuple[str, ...]


@dataclass(slots=True)
class AzureExport:
    """One export, or the exports of one kind, below a container or a prefix.

    `url` is az://account/container/prefix, abfss:// or https:// as the portal shows it. Without `access_key` the
    `principal` reads: a service principal, or the machine's managed identity. `store` is any object store of obstore
    that is used instead.
    """

    id: str
    url: str
    principal: Principal = field(default_factory=Principal)
    access_key: str = field(default="", repr=False)
    endpoint: str = ""
    authority: str = ""
    store: Any = None
    today: Callable[[], date] = utc_today

    @property
    def kind(self) -> str:
        """`azure-export`."""
        return "azure-export"

    @property
    def usual_lag(self) -> timedelta:
        """How late its data usually is."""
        return timedelta(hours=facts()["export"]["usual_lag_hours"])

    def policy(self) -> str:
        """The command that gives a principal the one role it needs."""
        url = BlobUrl.parse(self.url)
        text = str(facts()["export"]["policy"])
        return text.replace("{account}", url.account or "<account>").replace("{container}", url.container)

    def check(self) -> Checked:
        """Lists the container and reads manifests, no bills."""
        try:
            blobs = self._blobs()
            choice = self._choose(blobs, None)
        except Error as error:
            return Checked((Finding.of(error),))
        days = [found for file in choice.files if (found := days_of(file.path)) is not None]
        text = f"{len(choice.files)} files of the newest runs lie under {self.url}."
        findings = [Finding(ok=True, text=text), *(Finding(ok=True, text=note) for note in choice.notes)]
        if not choice.files:
            findings = [
                Finding(
                    ok=False,
                    text=f"No cost export lies under {self.url}.",
                    hint="Check the prefix; a new export writes its first run within a day.",
                )
            ]
        first = min((since for since, _ in days), default=None)
        last = min(max(until for _, until in days), self.today()) if days else None
        return Checked(tuple(findings), BlobUrl.parse(self.url).account, choice.rows, first, last)

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        """Downloads the files of the newest run of each month. Raises what `Source.fetch` raises."""
        whole = whole_months(window, self.today())
        report("looking for runs", 0, 0)
        blobs = self._blobs()
        choice = self._choose(blobs, whole)
        every, done = sum(file.size for file in choice.files), 0
        files: list[Path] = []
        for file in choice.files:
            report(f"fetching {file.path.name}", done, every)
            files.append(blobs.download(str(file.path), into, expected=file.size))
            done += file.size
        report("fetched", done, every)
        return Fetched(
            files=tuple(files), reader="auto", window=whole, requests=blobs.requests, notes=choice.notes
        )

    def _blobs(self) -> Blobs:
        url = BlobUrl.parse(self.url)
        if self.store is not None:
            return Blobs(self.store, url)
        return Blobs.open(
            url, self.principal, access_key=self.access_key, endpoint=self.endpoint, authority=self.authority
        )

    def _choose(self, blobs: Blobs, window: Window | None) -> _Choice:
        """The files of the newest complete runs whose days meet `window`; None is every month."""
        found = [one for one in blobs.list() if _meets(PurePosixPath(one["path"]), window)]
        manifests = [
            manifest
            for one in found
            if PurePosixPath(one["path"]).name.lower() == "manifest.json"
            and (manifest := RunManifest.read(blobs.text(one["path"]), PurePosixPath(one["path"])))
            is not None
        ]
        data = [one for one in found if str(one["path"]).lower().endswith(_DATA)]
        sizes = {PurePosixPath(one["path"]): int(one["size"]) for one in data}
        complete = [one for one in manifests if one.kind.lower() not in _OTHER and one.is_complete(sizes)]
        bills, waiting = _bills(data, manifests, complete)
        chosen = tuple(newest_runs(bills))
        _of_one_kind(chosen, complete)
        notes = list[str]()
        if waiting:
            notes.append(f"{waiting} files belong to runs that are not complete and were not read.")
        kept = {file.run for file in chosen}
        counts = [one.rows for one in complete if one.run in kept]
        rows = sum(count for count in counts if count is not None)
        known = bool(counts) and None not in counts and all(file.run for file in chosen)
        if known:
            notes.append(f"The manifests count {rows} rows.")
        return _Choice(chosen, rows if known else None, tuple(notes))


def _meets(path: PurePosixPath, window: Window | None) -> bool:
    days = days_of(path)
    if days is None:
        return False
    return window is None or (days[0] < window.until and window.since <= days[1])


def _bills(
    data: Sequence[Mapping[str, Any]], manifests: Sequence[RunManifest], complete: Sequence[RunManifest]
) -> tuple[list[BillFile], int]:
    """The data files of complete runs, and of exports that write no manifests; and how many others there are."""
    with_manifests = {root_of(one.path) for one in manifests}
    bills: list[BillFile] = []
    waiting = 0
    for one in data:
        path = PurePosixPath(one["path"])
        owner = next((manifest for manifest in complete if manifest.lists(path)), None)
        if owner is None and root_of(path) in with_manifests:
            costs = not any(one.lists(path) and one.kind.lower() in _OTHER for one in manifests)
            waiting += costs
            continue
        modified: datetime | None = one["last_modified"]
        run, run_at = (owner.run, owner.run_at) if owner is not None else ("", None)
        bills.append(BillFile(path, "", int(one["size"]), "", run=run, run_at=run_at, modified=modified))
    return bills, waiting


def _of_one_kind(chosen: Sequence[BillFile], manifests: Sequence[RunManifest]) -> None:
    """Raises ConfigError when exports of two kinds, or two of one scope, would count the same costs twice."""
    roots = {root_of(file.path) for file in chosen}
    kinds = {root_of(one.path): (one.kind, one.scope) for one in manifests if root_of(one.path) in roots}
    named = [f"{root} ({kind})" for root, (kind, _) in sorted(kinds.items())]
    scopes = [scope.lower() for _, scope in kinds.values() if scope]
    if len({kind.lower() for kind, _ in kinds.values()}) > 1 or len(set(scopes)) < len(scopes):
        raise ConfigError(
            f"Several exports of the same costs lie there: {', '.join(named)}.",
            hint="End the url of this source with the folder of one of them.",
        )
