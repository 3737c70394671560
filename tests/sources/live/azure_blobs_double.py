"""A double of Azure's Blob service: a container that is listed page by page and read, for whoever signs with its key.

Shared Key as the REST reference has it (version 2015-02-21 and later): the signature covers the method, the standard
headers, every `x-ms-` header and the query.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from tests.sources.live.doubles_http import Asked, Reply

ACCOUNT = "billingaccount"
KEY = base64.b64encode(b"the key of the double's account").decode()
_SIGNED = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip


@dataclass
class BlobsDouble:
    """`blobs` is the container; `page` is blobs a page. `storm` is answered first."""

    container: str = "billing"
    blobs: dict[str, bytes] = field(default_factory=dict)
    page: int = 2
    storm: list[Reply] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def put(self, path: str, data: bytes) -> None:
        self.blobs[path] = data

    def answer(self, asked: Asked) -> Reply:
        """A listing, a blob or a refusal."""
        self.asked.append(f"{asked.path}?{asked.query}")
        if self.storm:
            return self.storm.pop(0)
        if not signed(asked):
            return refused(403, "AuthenticationFailed")
        start = f"/{ACCOUNT}/{self.container}"
        path, query = unquote(asked.path), dict(parse_qsl(asked.query, keep_blank_values=True))
        if asked.method == "GET" and path == start and query.get("comp") == "list":
            return self.listed(query)
        name = path.removeprefix(f"{start}/")
        if asked.method != "GET" or name not in self.blobs:
            return refused(404, "BlobNotFound" if path.startswith(start) else "ContainerNotFound")
        return Reply(self.blobs[name], 200, properties(self.blobs[name]))

    def listed(self, query: Mapping[str, str]) -> Reply:
        """One page of names."""
        names = sorted(name for name in self.blobs if name.startswith(query.get("prefix", "")))
        at = int(query.get("marker") or 0)
        more = at + self.page if at + self.page < len(names) else ""
        blobs = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties>{tags(self.blobs[name])}</Properties></Blob>"
            for name in names[at : at + self.page]
        )
        inside = f"<Blobs>{blobs}</Blobs><NextMarker>{more}</NextMarker>"
        text = f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults>{inside}</EnumerationResults>'
        return Reply(text.encode(), 200, {"content-type": "application/xml"})


def properties(data: bytes) -> dict[str, str]:
    written = format_datetime(datetime(2026, 1, 1, tzinfo=UTC), usegmt=True)
    digest = hashlib.sha256(data).hexdigest()[:16]
    return {"last-modified": written, "etag": f'"{digest}"', "content-type": "application/octet-stream"}


def tags(data: bytes) -> str:
    named = {
        "Content-Length": str(len(data)),
        **{name.title(): text for name, text in properties(data).items()},
    }
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in named.items())


def refused(status: int, code: str) -> Reply:
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    )
    return Reply(text.encode(), status, {"content-type": "application/xml", "x-ms-error-code": code})


def signed(asked: Asked) -> bool:
    """Whether the request carries the right Shared Key signature."""
    own = sorted(
        (name, " ".join(text.split())) for name, text in asked.headers.items() if name.startswith("x-ms-")
    )
    query = sorted((name.lower(), text) for name, text in parse_qsl(asked.query, keep_blank_values=True))
    standard = [asked.headers.get(name, "") for name in _SIGNED]
    standard[2] = "" if standard[2] == "0" else standard[2]
    lines = [asked.method, *standard, *(f"{name}:{text}" for name, text in own), f"/{ACCOUNT}{asked.path}"]
    lines += [f"{name}:{text}" for name, text in query]
    mac = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
    return asked.headers.get("authorization", "") == f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}"
