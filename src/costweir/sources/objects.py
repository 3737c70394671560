"""Fetches bill files from S3, Azure Blob and Google Cloud Storage by one library, in chunks, onto the local
disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from costweir.errors import ConfigError, Error, NotAllowed, NotFound, Unreachable, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_URL = re.compile(r"(s3a?|az|azure|abfss?|adl|gs)://([^/]+)/?(.*)", re.IGNORECASE | re.DOTALL)
_GLOB = re.compile(r"[*?\[]")
_CHUNK = 8 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object that now lies at `local`; `path` is bucket and key."""

    local: Path
    path: str
    url: str
    size: int
    modified: datetime | None


def is_url(text: str) -> bool:
    """Whether `text` names an object store. Raises UsageError for other URLs."""
    if _URL.fullmatch(text):
        return True
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        raise UsageError(
            f"{text} is not a URL that can be read.",
            hint="Use s3://, az://, abfss:// or gs://, or a local path.",
        )
    return False


def fetch(url: str, *, work: Path, progress: Callable[[str, int], None] | None = None) -> Iterator[Fetched]:
    """Every object that `url` names (an object, a prefix or a glob), downloaded one after the other.

    Credentials come from the environment as the clouds' own tools read them. Raises ConfigError without the
    `objects` extra, and Unreachable, NotAllowed or NotFound.
    """
    try:
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise ConfigError(
            "Reading URLs needs the extra package obstore.",
            hint="Install it: pip install 'costweir[objects]'",
        ) from error
    match = _URL.fullmatch(url)
    if match is None:
        raise UsageError(f"{url} is not a URL that can be read.")
    base = f"{match[1]}://{match[2]}"
    folder = work / "objects"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        store = from_url(base)
        keys = list(_keys(obstore, store, match[3]))
        if not keys:
            raise NotFound(
                f"Nothing is stored under {url}.", hint="Check the bucket, the prefix and the region."
            )
        for number, meta in enumerate(keys):
            local = folder / f"{number:05d}-{PurePosixPath(meta['path']).name}"
            if progress is not None:
                progress(f"{base}/{meta['path']}", meta["size"])
            with local.open("wb") as out:
                for chunk in obstore.get(store, meta["path"]).stream(min_chunk_size=_CHUNK):
                    out.write(chunk)
            yield Fetched(
                local,
                f"{match[2]}/{meta['path']}",
                f"{base}/{meta['path']}",
                meta["size"],
                meta["last_modified"],
            )
    except FileNotFoundError as error:
        raise NotFound(f"There is no {url}.", hint="Check the bucket, the key and the region.") from error
    except BaseError as error:
        raise _told(error, url) from error


def _keys(obstore: Any, store: ObjectStore, key: str) -> Iterator[dict[str, Any]]:
    """The objects that are meant: the one with this key, all below it, or those that the glob fits."""
    glob = _GLOB.search(key)
    prefix = key[: glob.start()].rpartition("/")[0] if glob else key.rstrip("/")
    if not glob and prefix:
        try:
            found = obstore.head(store, prefix)
        except FileNotFoundError:
            found = None
        if found is not None:
            yield found
            return
    for page in obstore.list(store, prefix=prefix or None):
        for meta in page:
            if meta["size"] and (not glob or fnmatchcase(meta["path"], key)):
                yield meta


def _told(error: Exception, url: str) -> Error:
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    said = " ".join(str(error).split())[:200]
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return NotAllowed(
            f"The credentials may not read {url}.", hint=f"Check them and the bucket's policy. {said}"
        )
    return Unreachable(f"{url} does not answer.", hint=f"Check network, region and endpoint. {said}")
