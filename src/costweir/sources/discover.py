"""Finds bill files behind paths, folders, globs and URLs, reads their manifests, and never takes one content twice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from costweir.errors import UsageError
from costweir.sources.formats.format import BillFile

_URL = re.compile(r"(s3|az|azure|abfss?|adl|gs|gcs)://", re.IGNORECASE)
_LITTER = re.compile(r"^[._]|\.(?:sql|yml|yaml|md|txt|crc|md5|sha256|html|pdf|lock|py)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A file on this machine, and what it is called where it came from. `group` is the folder it was found in."""

    local: Path
    bill: BillFile
    group: str


def discover(paths: Sequence[str], *, work: Path) -> list[Found]:
    """The bill files behind `paths`, in the order of their names. Raises UsageError when a path leads nowhere."""
    found: list[Found] = []
    seen: set[str] = set()
    for text in paths:
        for path in _local(text):
            digest = content_hash(path)
            if digest in seen:
                continue
            seen.add(digest)
            bill = BillFile(PurePosixPath(path.as_posix()), "", path.stat().st_size, digest)
            found.append(Found(path, bill, str(path.parent)))
    return found


def _local(text: str) -> Iterator[Path]:
    path = Path(text).expanduser()
    if path.is_dir():
        yield from sorted(item for item in path.rglob("*") if item.is_file() and not _is_litter(item, path))
    elif path.is_file():
        yield path
    elif any(sign in text for sign in "*?["):
        matches = sorted(item for item in _glob(path) if item.is_file())
        if not matches:
            raise UsageError(f"No file matches {text}.", hint="Quote the pattern, or give a folder.")
        yield from matches
    else:
        raise UsageError(f"There is no file or folder {text}.", hint="Give files, folders, globs or URLs.")


def _glob(path: Path) -> Iterator[Path]:
    anchor = Path(path.anchor) if path.anchor else Path()
    yield from anchor.glob(str(path.relative_to(anchor)) if path.anchor else str(path))


def _is_litter(path: Path, root: Path) -> bool:
    return any(_LITTER.search(part) for part in path.relative_to(root).parts)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
