"""Lists and downloads blobs of one container by obstore. A file gets its name only when its last byte is there."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from costweir.errors import ConfigError, NotAllowed, NotFound, SourceRejected, Unreachable
from costweir.sources.live.azure_login import Principal
from costweir.sources.live.clock import wrong_clock

_AZ = re.compile(r"az://(?P<account>[^/]+)/(?P<container>[^/]+)/?(?P<prefix>.*)", re.IGNORECASE)
_ABFSS = re.compile(
    r"abfss?://(?P<container>[^/@]+)@(?P<account>[^/.]+)\.[^/]+/?(?P<prefix>.*)", re.IGNORECASE
)
_HTTPS = re.compile(r"https://(?P<account>[^/.]+)\.[^/]+/(?P<container>[^/]+)/?(?P<prefix>.*)", re.IGNORECASE)
#: Listing has no error class of its own for these.
_REFUSALS = ("403 Forbidden", "401 Unauthorized", "AADSTS", "invalid_client")
_CHUNK = 8 << 20
#: How patiently obstore asks again by itself.
RETRY: Any = {"max_retries": 10, "retry_timeout": timedelta(minutes=3)}
_LARGEST_TEXT = 16 << 20


@dataclass(frozen=True, slots=True)
class BlobUrl:
    """A container of an account, and what its blobs start with."""

    account: str
    container: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> BlobUrl:
        """Raises ConfigError for anything but az://account/container/prefix, abfss:// and https://."""
        found = _AZ.fullmatch(text) or _ABFSS.fullmatch(text) or _HTTPS.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"{text!r} is not a place in Azure storage.",
                hint="Write it as az://account/container/folder, or copy the URL of the folder.",
            )
        return cls(found["account"], found["container"], found["prefix"].strip("/"))

    def __str__(self) -> str:
        return f"az://{self.account}/{self.container}/{self.prefix}".rstrip("/")


@dataclass(slots=True)
class Blobs:
    """The blobs below a URL. `requests` counts what was asked for."""

    store: Any
    url: BlobUrl
    requests: int = 0

    @classmethod
    def open(
        cls, url: BlobUrl, principal: Principal, *, access_key: str, endpoint: str, authority: str
    ) -> Blobs:
        """Blobs of the real service, or of another `endpoint`. Raises ConfigError without the library."""
        with _told(url):
            from obstore.store import AzureStore

            config = {
                "account_name": url.account,
                "container_name": url.container,
                "account_key": access_key,
                "tenant_id": "" if access_key else principal.tenant_id,
                "client_id": "" if access_key else principal.client_id,
                "client_secret": "" if access_key else principal.client_secret,
                "authority_host": authority,
                "endpoint": endpoint,
            }
            given: Any = {name: value for name, value in config.items() if value}
            local = endpoint.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]"))
            return cls(
                AzureStore(config=given, client_options={"allow_http": local}, retry_config=RETRY), url
            )

    def list(self) -> list[Mapping[str, Any]]:
        """Every blob with a byte or more: its `path`, `size` and `last_modified`."""
        with _told(self.url):
            import obstore

            self.requests += 1
            pages: Any = obstore.list(self.store, prefix=self.url.prefix or None)  # pyright: ignore
            return [dict(meta) for page in pages for meta in page if meta["size"]]

    def text(self, path: str) -> str:
        """A small blob as text."""
        with _told(self.url):
            import obstore

            self.requests += 1
            found = obstore.get(self.store, path)
            if found.meta["size"] > _LARGEST_TEXT:
                raise SourceRejected(f"The manifest {path} is larger than 16 MB.", hint="It is no manifest.")
            return bytes(found.bytes()).decode("utf-8", errors="replace")

    def download(self, path: str, into: Path, *, expected: int) -> Path:
        """The blob as a file below `into`, at the same path. Raises Unreachable when it has not `expected` bytes."""
        parts = PurePosixPath(path).parts
        if not parts or any(part in ("..", "/") or "\\" in part for part in parts):
            raise SourceRejected(f"{path} is not a path that can be written.", hint="Rename the blob.")
        target = into.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        try:
            with _told(self.url), part.open("wb") as out:
                import obstore

                self.requests += 1
                for chunk in obstore.get(self.store, path).stream(min_chunk_size=_CHUNK):
                    out.write(chunk)
            if part.stat().st_size != expected:
                raise Unreachable(
                    f"{path} has {part.stat().st_size} bytes and was listed with {expected}.",
                    hint="Nothing was loaded; the export may just be written, so try again.",
                )
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target


@contextmanager
def _told(url: BlobUrl) -> Generator[None]:
    """The errors of the object store as ours."""
    try:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
    except ImportError as error:
        raise ConfigError(
            "Reading Azure storage needs the extra package obstore.",
            hint="Install it: pip install 'costweir[objects]'",
        ) from error
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"There is no {url}.", hint="Check account, container and folder.") from error
    except BaseError as error:
        whole = " ".join(str(error).split())
        said = whole[:300]
        if "ContainerNotFound" in whole:
            raise NotFound(f"There is no {url}.", hint="Check account and container.") from error
        if "Request date header too old" in whole:
            raise wrong_clock("Azure") from error
        refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
        if refused or any(word in whole for word in _REFUSALS):
            raise NotAllowed(
                f"The credentials may not read {url}.",
                hint=f"They need Storage Blob Data Reader on the container, and must not have expired. {said}",
            ) from error
        raise Unreachable(f"{url} does not answer.", hint=f"Check network and account. {said}") from error
