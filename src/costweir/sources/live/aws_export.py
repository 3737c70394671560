"""AWS Data Exports and Cost and Usage Reports as a live source: found from their definition, read from S3.

Of each month the newest complete execution is fetched, with the manifest that lists its files; a delivery that changes
meanwhile is refused, so that files of two executions never meet. Layout (AWS Data Exports and CUR guides): exports lie
at `<prefix>/<name>/data|metadata/BILLING_PERIOD=YYYY-MM/`, legacy reports at `<prefix>/<name>/YYYYMMDD-YYYYMMDD/`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, cast

from costweir.errors import ConfigError, Error, NotAllowed, NotFound, SourceRejected, Unreachable
from costweir.sources.live.aws_calls import Aws
from costweir.sources.live.calendar import by_month, next_month, utc_today, whole_months
from costweir.sources.live.http import unknown_shape
from costweir.sources.live.source import Checked, Fetched, Finding, Report, Window
from costweir.sources.manifests import Manifest, read_manifest

_CHUNK = 8 << 20
#: Tables of Data Exports that are bills; the others are recommendations and carbon.
_BILLS = re.compile(r"\bfrom\s+((?:COST_AND_USAGE_REPORT|FOCUS_\d+_\d+_AWS(?:_PREVIEW)?))\b", re.IGNORECASE)
_MONTH = re.compile(r"(?:BILLING_PERIOD=(\d{4})-(\d{2})|(\d{4})(\d{2})01-\d{8})/?$")


@dataclass(frozen=True, slots=True)
class Definition:
    """Where one export is delivered. `table` is what it selects from, or `legacy` for a Cost and Usage Report."""

    name: str
    table: str
    bucket: str
    prefix: str
    region: str

    @property
    def root(self) -> str:
        """The key prefix of everything of this export, with a slash at its end."""
        parts = [part for part in (*self.prefix.split("/"), self.name) if part]
        return "/".join(parts) + "/"

    def manifests(self, month: date) -> str:
        """The key prefix of the manifests of one month."""
        if self.table == "legacy":
            return f"{self.root}{month:%Y%m%d}-{next_month(month):%Y%m%d}/"
        return f"{self.root}metadata/BILLING_PERIOD={month:%Y-%m}/"

    def months(self) -> str:
        """The key prefix under which the months lie."""
        return self.root if self.table == "legacy" else f"{self.root}metadata/"


@dataclass(frozen=True, slots=True)
class S3Export:
    """One export of one payer account.

    `export` is its name; empty means the only one there is. `bucket` and `prefix` narrow the choice and the policy.
    """

    id: str
    aws: Aws = field(default_factory=Aws)
    export: str = ""
    bucket: str = ""
    prefix: str = ""
    today: Callable[[], date] = utc_today

    @property
    def kind(self) -> str:
        """`aws-export`."""
        return "aws-export"

    @property
    def usual_lag(self) -> timedelta:
        """Exports are refreshed at least once a day, and a day is complete a day later."""
        return timedelta(hours=48)

    def policy(self) -> str:
        """The IAM policy; `BUCKET` and `PREFIX` stand for what was not configured."""
        bucket, prefix = self.bucket or "BUCKET", self.prefix.strip("/") or "PREFIX"
        read = {
            "Sid": "CostweirReadsTheExport", "Effect": "Allow", "Action": ["s3:GetObject"],
            "Resource": f"arn:aws:s3:::{bucket}/{prefix}/*",
        }  # fmt: skip
        look = {
            "Sid": "CostweirListsTheExport", "Effect": "Allow", "Action": ["s3:ListBucket"],
            "Resource": f"arn:aws:s3:::{bucket}", "Condition": {"StringLike": {"s3:prefix": f"{prefix}/*"}},
        }  # fmt: skip
        find = {
            "Sid": "CostweirFindsTheExport", "Effect": "Allow", "Resource": "*",
            "Action": ["bcm-data-exports:ListExports", "bcm-data-exports:GetExport", "cur:DescribeReportDefinitions"],
        }  # fmt: skip
        return json.dumps({"Version": "2012-10-17", "Statement": [find, look, read]}, indent=2)

    def check(self) -> Checked:
        """Finds the definition, and the months that were delivered."""
        findings: list[Finding] = []
        try:
            found = self._definition()
            kind = "Cost and Usage Report" if found.table == "legacy" else f"export of {found.table}"
            findings.append(
                Finding(ok=True, text=f"{found.name} is an {kind} in s3://{found.bucket}/{found.root}")
            )
            months = sorted(self._delivered(found))
        except Error as error:
            return Checked((*findings, Finding.of(error)))
        if not months:
            hint = "The first delivery takes up to a day."
            return Checked((*findings, Finding(ok=False, text="Nothing has been delivered yet.", hint=hint)))
        last = min(next_month(months[-1]) - timedelta(days=1), self.today())
        findings.append(Finding(ok=True, text=f"{len(months)} months are there, from {months[0]:%Y-%m}."))
        return Checked(tuple(findings), first_day=months[0], last_day=last)

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        """See `Source.fetch`."""
        before = self.aws.requests
        whole = whole_months(window, self.today())
        found = self._definition()
        files: list[Path] = []
        notes: list[str] = []
        months = list(by_month(whole))
        for done, part in enumerate(months):
            report(f"{found.name}: {part.since:%Y-%m}", done, len(months))
            fetched = _Execution(self.aws, found, into).fetch(part.since, report)
            if not fetched:
                notes.append(f"{found.name} has no delivery for {part.since:%Y-%m}.")
            files += fetched
        return Fetched(tuple(files), "auto", whole, requests=self.aws.requests - before, notes=tuple(notes))

    def _definition(self) -> Definition:
        every: list[Definition] = []
        refused: list[Error] = []
        for read in (self._data_exports, self._reports):
            try:
                every += read()
            except (NotAllowed, SourceRejected) as error:
                refused.append(error)
        fits = [
            item for item in every
            if self.export in ("", item.name) and self.bucket in ("", item.bucket)
            and item.root.startswith(self.prefix.strip("/"))
        ]  # fmt: skip
        if len(fits) == 1:
            return fits[0]
        if not every and refused:
            raise refused[0]
        names = ", ".join(sorted(item.name for item in every)) or "none"
        wanted = f" called {self.export}" if self.export else ""
        if fits:
            raise ConfigError(f"There are {len(fits)} exports{wanted}.", hint=f"Name one of them: {names}.")
        raise NotFound(
            f"There is no export{wanted} that holds a bill.",
            hint=f"Known are: {names}. Create a FOCUS 1.2 or CUR 2.0 export in Billing, Data Exports.",
        )

    def _data_exports(self) -> list[Definition]:
        client = self.aws.client("bcm-data-exports", "us-east-1")
        found: list[Definition] = []
        for page in self._pages(client.list_exports):
            for item in page.get("Exports", []):
                export = self.aws.call(client.get_export, ExportArn=item["ExportArn"]).get("Export", {})
                table = _BILLS.search(str(export.get("DataQuery", {}).get("QueryStatement", "")))
                if table is None:
                    continue
                try:
                    target = export["DestinationConfigurations"]["S3Destination"]
                    found.append(
                        Definition(
                            export["Name"],
                            table[1].upper(),
                            target["S3Bucket"],
                            target["S3Prefix"],
                            target["S3Region"],
                        )
                    )
                except KeyError as error:
                    raise unknown_shape("AWS Data Exports", "GetExport", f"{error} is missing") from error
        return found

    def _reports(self) -> list[Definition]:
        client = self.aws.client("cur", "us-east-1")
        try:
            return [
                Definition(item["ReportName"], "legacy", item["S3Bucket"], item["S3Prefix"], item["S3Region"])
                for page in self._pages(client.describe_report_definitions)
                for item in page.get("ReportDefinitions", [])
            ]
        except KeyError as error:
            raise unknown_shape("AWS", "DescribeReportDefinitions", f"{error} is missing") from error

    def _pages(self, method: Callable[..., Any]) -> Iterator[Mapping[str, Any]]:
        token = ""
        while True:
            page = self.aws.call(method, **({"NextToken": token} if token else {}))
            yield page
            following = str(page.get("NextToken") or "")
            if not following or following == token:
                return
            token = following

    def _delivered(self, found: Definition) -> Iterator[date]:
        client = self.aws.client("s3", found.region)
        for page in listed(self.aws, client, found.bucket, found.months(), Delimiter="/"):
            for item in page.get("CommonPrefixes", []):
                if match := _MONTH.search(str(item["Prefix"])):
                    yield date(int(match[1] or match[3]), int(match[2] or match[4]), 1)


def listed(aws: Aws, client: Any, bucket: str, prefix: str, **more: object) -> Iterator[Mapping[str, Any]]:
    """The pages of a listing of S3."""
    token = ""
    while True:
        follow = {"ContinuationToken": token} if token else {}
        page = aws.call(client.list_objects_v2, Bucket=bucket, Prefix=prefix, **more, **follow)
        yield page
        token = str(page.get("NextContinuationToken") or "")
        if not page.get("IsTruncated") or not token:
            return


@dataclass(slots=True)
class _Execution:
    """The newest execution of a month, on its way to `into`."""

    aws: Aws
    found: Definition
    into: Path
    client: Any = None

    def fetch(self, month: date, report: Report) -> Sequence[Path]:
        """Its files and its manifest; none when the month was not delivered."""
        self.client = self.aws.client("s3", self.found.region)
        newest = self._newest(month)
        if newest is None:
            return ()
        key, etag = newest
        local = self._get(key, etag)
        manifest = read_manifest(local, PurePosixPath(key))
        if manifest is None or not manifest.names:
            local.unlink()
            raise unknown_shape("AWS", key, "it is no manifest with files")
        files: list[Path] = []
        for done, name in enumerate(manifest.names):
            report(f"{self.found.name}: {PurePosixPath(name).name}", done, len(manifest.names))
            files.append(self._data(self._key(name), manifest))
        if self._newest(month) != newest:
            for path in (local, *files):
                path.unlink(missing_ok=True)
            raise Unreachable(
                f"{self.found.name} was delivered anew while {month:%Y-%m} was fetched.",
                hint="Nothing was loaded; the next run fetches the new delivery.",
            )
        return (local, *files)

    def _newest(self, month: date) -> tuple[str, str] | None:
        """Key and ETag of the manifest that counts: in the month's own folder, else of the newest run."""
        prefix = self.found.manifests(month)
        manifests = [
            item
            for page in listed(self.aws, self.client, self.found.bucket, prefix)
            for item in page.get("Contents", [])
            if str(item["Key"]).lower().endswith("manifest.json")
        ]
        if not manifests:
            return None

        def rank(item: Mapping[str, Any]) -> tuple[int, datetime]:
            return -str(item["Key"]).count("/"), cast("datetime", item["LastModified"])

        best = max(manifests, key=rank)
        return str(best["Key"]), str(best["ETag"])

    def _key(self, name: str) -> str:
        """A file of a manifest as a key below the export. What points elsewhere is not followed."""
        scheme = f"s3://{self.found.bucket}/"
        key = name.removeprefix(scheme).lstrip("/")
        parts = key.split("/")
        if "://" in key or not key.startswith(self.found.root) or ".." in parts or "\0" in key or "\\" in key:
            raise SourceRejected(
                f"The manifest of {self.found.name} names a file outside the export.",
                hint=f"It names {name[:200]}; a delivery lies below s3://{self.found.bucket}/{self.found.root}.",
            )
        return key

    def _data(self, key: str, manifest: Manifest) -> Path:
        try:
            return self._get(key)
        except NotFound as error:
            raise Unreachable(
                f"{PurePosixPath(key).name} is in the manifest of run {manifest.run[:80]} and not in S3 yet.",
                hint="The delivery is not complete; nothing was loaded, and the next run tries again.",
            ) from error

    def _get(self, key: str, etag: str = "") -> Path:
        """The object below `into` under the tail of its key. It has its name only once it is whole."""
        target = self.into.joinpath(*key.removeprefix(self.found.root).split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        match = {"IfMatch": etag} if etag else {}
        self.aws.call(self._download, part=part, Bucket=self.found.bucket, Key=key, **match)
        part.replace(target)
        return target

    def _download(self, *, part: Path, **which: str) -> Mapping[str, int]:
        answer = self.client.get_object(**which)
        size = 0
        try:
            with part.open("wb") as out:
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    size += out.write(chunk)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise Error(
                f"{part.name} cannot be written: {error.strerror}.", hint="Make room in the data directory."
            ) from error
        return {"size": size}
