"""A double of Data Exports, the Cost and Usage Report service and S3, as far as a reader of exports needs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from tests.sources.live.doubles_http import Asked, Reply

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class ExportDouble:
    """`objects` is the bucket; `exports` and `reports` are the definitions. `on_get` runs before an object is sent."""

    bucket = "acme-billing"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written: dict[str, int] = {}
        self.exports: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.page = 1000
        self.storm: list[Reply] = []
        self.denied: set[str] = set()
        self.on_get: Callable[[str], Reply | None] | None = None
        self.got: list[str] = []

    def put(self, key: str, content: bytes) -> None:
        self.objects[key] = content
        self.written[key] = len(self.written)

    def deliver(self, month: str, run: str, *files: tuple[str, bytes], name: str = "ai-costs") -> None:
        """An execution in its own folder, as CREATE_NEW_REPORT writes it; an empty run overwrites."""
        root, folder = f"exports/{name}/", f"BILLING_PERIOD={month}/" + (f"{run}/" if run else "")
        for file, content in files:
            self.put(f"{root}data/{folder}{file}", content)
        names = [f"s3://{self.bucket}/{root}data/{folder}{file}" for file, _ in files]
        manifest = {"executionId": run or "overwritten", "dataFiles": names}
        self.put(f"{root}metadata/{folder}{name}-Manifest.json", json.dumps(manifest).encode())

    def define(self, name: str, table: str, prefix: str = "exports") -> None:
        self.exports.append({
            "Name": name, "DataQuery": {"QueryStatement": f"SELECT a, b FROM {table}"},
            "DestinationConfigurations": {"S3Destination": {
                "S3Bucket": self.bucket, "S3Prefix": prefix, "S3Region": "eu-west-1",
                "S3OutputConfigurations": {"OutputType": "CUSTOM", "Format": "TEXT_OR_CSV", "Compression": "GZIP",
                                           "Overwrite": "OVERWRITE_REPORT"}}},
            "RefreshCadence": {"Frequency": "SYNCHRONOUS"},
        })  # fmt: skip

    def answer(self, asked: Asked) -> Reply:
        if self.storm:
            return self.storm.pop(0)
        target = asked.headers.get("x-amz-target", "")
        if target:
            operation = target.rpartition(".")[2]
            if operation in self.denied:
                return Reply(json.dumps({"__type": "AccessDeniedException", "message": "no"}).encode(), 400)
            return Reply(json.dumps(getattr(self, operation)(json.loads(asked.body))).encode())
        assert asked.method == "GET"
        bucket, _, key = unquote(asked.path).lstrip("/").partition("/")
        assert bucket == self.bucket
        return self.get(key, asked) if key else self.list(parse_qs(asked.query))

    def ListExports(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        at = int(params.get("NextToken", 0))
        page = self.exports[at : at + 1]
        body: dict[str, Any] = {
            "Exports": [
                {"ExportArn": f"arn:aws:bcm-data-exports:us-east-1:1:export/{item['Name']}", "ExportName": item["Name"],
                 "ExportStatus": {"StatusCode": "HEALTHY"}}
                for item in page
            ]
        }  # fmt: skip
        return body | ({"NextToken": str(at + 1)} if at + 1 < len(self.exports) else {})

    def GetExport(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = params["ExportArn"].rpartition("/")[2]
        return {"Export": next(item for item in self.exports if item["Name"] == name)}

    def DescribeReportDefinitions(self, _params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"ReportDefinitions": self.reports}

    def list(self, query: dict[str, list[str]]) -> Reply:
        assert query["list-type"] == ["2"]
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        at = int(query.get("continuation-token", ["0"])[0])
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        folders = sorted(
            {prefix + key[len(prefix) :].split("/")[0] + "/" for key in keys if "/" in key[len(prefix) :]}
        )
        shown = folders if delimiter else keys
        items = "".join(
            f"<CommonPrefixes><Prefix>{escape(item)}</Prefix></CommonPrefixes>"
            if delimiter
            else self.entry(item)
            for item in shown[at : at + self.page]
        )
        more = at + self.page < len(shown)
        token = f"<NextContinuationToken>{at + self.page}</NextContinuationToken>" if more else ""
        cut = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        text = f"<ListBucketResult {NAMESPACE}>{cut}{token}{items}</ListBucketResult>"
        return Reply(text.encode(), headers={"content-type": "application/xml"})

    def entry(self, key: str) -> str:
        when = f"2026-10-20T00:{self.written[key] // 60:02}:{self.written[key] % 60:02}.000Z"
        return (
            f"<Contents><Key>{escape(key)}</Key><LastModified>{when}</LastModified><ETag>{self.etag(key)}</ETag>"
            f"<Size>{len(self.objects[key])}</Size></Contents>"
        )

    def etag(self, key: str) -> str:
        return f'"{hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()}"'

    def get(self, key: str, asked: Asked) -> Reply:
        self.got.append(key)
        if self.on_get is not None and (special := self.on_get(key)):
            return special
        if key not in self.objects:
            return Reply(f"<Error><Code>NoSuchKey</Code><Key>{key}</Key></Error>".encode(), 404)
        if asked.headers.get("if-match", self.etag(key)) != self.etag(key):
            return Reply(b"<Error><Code>PreconditionFailed</Code></Error>", 412)
        return Reply(self.objects[key], headers={"etag": self.etag(key)})
