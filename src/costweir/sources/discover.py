"""Finds bill files behind paths, folders, globs and URLs. Manifests decide which run of a month counts, and
a content that lies there twice in one run is read once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from costweir.errors import SourceRejected, UsageError
from costweir.sources.formats.format import BillFile
from costweir.sources.manifests import Manifest, place_of, read_manifest, stamp_of
from costweir.sources.objects import fetch, is_url

#: Files that lie next to bills and are none. A file that is named by itself is always looked into.
_LITTER = re.compile(r"^[._]|\.(?:sql|yml|yaml|toml|md|txt|crc|md5|sha256|html|pdf|lock|py)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A file on this machine, and what it is called where it came from."""

    local: Path
    bill: BillFile

    @property
    def name(self) -> str:
        """The URL or path, for messages."""
        return self.bill.url or str(self.bill.path)


@dataclass(slots=True)
class Discovery:
    """The bill files, and those that must not be read, each with the reason."""

    files: list[Found] = field(default_factory=list[Found])
    refused: list[tuple[Found, SourceRejected]] = field(default_factory=list[tuple[Found, SourceRejected]])


def discover(
    paths: Sequence[str], *, work: Path, progress: Callable[[str, int], None] | None = None
) -> Discovery:
    """The bill files behind `paths`. URLs are fetched into `work`; `progress` gets each file and its bytes.

    Raises UsageError when a path leads nowhere, ConfigError when the `objects` extra is missing, and
    Unreachable, NotAllowed or NotFound for a URL that cannot be read.
    """
    every: list[Found] = []
    named: set[Path] = set()
    for text in paths:
        if is_url(text):
            every.extend(_fetched(text, work, progress))
            continue
        for local in _local(text):
            if local not in named:
                named.add(local)
                every.append(_found(local))
    manifests = {
        id(item): manifest for item in every if (manifest := read_manifest(item.local, item.bill.path))
    }
    every.extend(_listed(every, manifests, named))
    return _chosen(every, manifests)


def _listed(every: Sequence[Found], manifests: Mapping[int, Manifest], named: set[Path]) -> list[Found]:
    """The files that a manifest names and that lie beside it, when the manifest was all that was given."""
    more: list[Found] = []
    for item in every:
        manifest = manifests.get(id(item))
        if manifest is None or item.bill.url or item.local.parent.as_posix() != str(item.bill.path.parent):
            continue
        for name in manifest.names:
            beside = item.local.parent / PurePosixPath(name).name
            if beside.is_file() and beside not in named:
                named.add(beside)
                more.append(_found(beside))
    return more


def _chosen(every: Sequence[Found], manifests: Mapping[int, Manifest]) -> Discovery:
    result = Discovery()
    groups: dict[tuple[str, str], list[Found]] = {}
    by_group: dict[tuple[str, str], list[Manifest]] = {}
    for item in every:
        group = place_of(item.bill.path).group
        if id(item) in manifests:
            by_group.setdefault(group, []).append(manifests[id(item)])
        else:
            groups.setdefault(group, []).append(item)
    for group, files in groups.items():
        _choose(files, by_group.get(group, []), result, month=group[1])
    result.files = list(_once(result.files))
    return result


def _choose(files: list[Found], manifests: list[Manifest], result: Discovery, *, month: str) -> None:
    """Keeps the files of the run that counts. The manifest nearest to the month's own folder names it; where
    several runs are left, the slots they feed decide."""
    files = [_of_run(item, manifests) for item in files]
    binding = [manifest for manifest in manifests if manifest.kind == "aws"]
    if not binding:
        result.files.extend(_newest_folder(files) if month else files)
        return
    least = min(manifest.depth for manifest in binding)
    top = _newest_manifest([manifest for manifest in binding if manifest.depth == least])
    listed = [item for item in files if any(manifest.lists(item.bill.path) for manifest in top)]
    missing = [name for manifest in top for name in manifest.absent([item.bill.path for item in listed])]
    if missing and listed:
        name = PurePosixPath(missing[0]).name
        _refuse(listed, result, f"The manifest names {name}, which is not there: the bill is not complete.")
    elif not missing:
        result.files.extend(listed)
    if not month:
        result.files.extend(item for item in files if item not in listed)


def _newest_manifest(manifests: list[Manifest]) -> list[Manifest]:
    """Those of the newest run, where the folders of all runs are named by their time; else all."""
    times = [stamp_of(place_of(manifest.path).run) for manifest in manifests]
    newest = max((time for time in times if time is not None), default=None)
    if newest is None or None in times:
        return manifests
    return [manifest for manifest, time in zip(manifests, times, strict=True) if time == newest]


def _newest_folder(files: list[Found]) -> list[Found]:
    """The files of the newest run where AWS names the folders of all runs by their time; else all."""
    if any(item.bill.run_at or not place_of(item.bill.path).month[:1].isalpha() for item in files):
        return files
    times = [stamp_of(place_of(item.bill.path).run) for item in files]
    newest = max((time for time in times if time is not None), default=None)
    if newest is None or None in times:
        return files
    return [item for item, time in zip(files, times, strict=True) if time == newest]


def _refuse(files: Iterable[Found], result: Discovery, message: str) -> None:
    hint = "Give the top manifest with its files, or the files of one run only."
    result.refused.extend((item, SourceRejected(message, hint=hint)) for item in files)


def _of_run(item: Found, manifests: Sequence[Manifest]) -> Found:
    """The file with the run that its manifest states, if one lists it."""
    owner = next((manifest for manifest in manifests if manifest.lists(item.bill.path)), None)
    if owner is None:
        return item
    return replace(item, bill=replace(item.bill, run=owner.run, run_at=owner.run_at))


def _once(files: Iterable[Found]) -> Iterator[Found]:
    """Each content once in each run: what two runs share must not be missing from the newer one."""
    seen: set[tuple[object, ...]] = set()
    for item in files:
        place = place_of(item.bill.path)
        key = (*place.group, item.bill.run or place.tail[:-1]) if place.month else (item.bill.run,)
        if (*key, item.bill.content_hash) not in seen:
            seen.add((*key, item.bill.content_hash))
            yield item


def _fetched(url: str, work: Path, progress: Callable[[str, int], None] | None) -> Iterator[Found]:
    for item in fetch(url, work=work, progress=progress):
        name = PurePosixPath(item.path)
        if not _is_litter(name.parts[-1:]):
            bill = BillFile(name, item.url, item.size, content_hash(item.local), modified=item.modified)
            yield Found(item.local, bill)


def _found(local: Path) -> Found:
    state = local.stat()
    written = datetime.fromtimestamp(state.st_mtime, UTC)
    return Found(
        local,
        BillFile(PurePosixPath(local.as_posix()), "", state.st_size, content_hash(local), modified=written),
    )


def _local(text: str) -> Iterator[Path]:
    path = Path(text).expanduser()
    if path.is_dir():
        for item in sorted(path.rglob("*")):
            if item.is_file() and not _is_litter(item.relative_to(path).parts):
                yield item
    elif path.is_file():
        yield path
    elif any(sign in text for sign in "*?["):
        matches = sorted(item for item in _glob(path) if item.is_file())
        if not matches:
            raise UsageError(f"No file matches {text}.", hint="Check the pattern, or give a folder.")
        yield from matches
    else:
        raise UsageError(f"There is no file or folder {text}.", hint="Give files, folders, globs or URLs.")


def _glob(path: Path) -> Iterator[Path]:
    if path.anchor:
        yield from Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    else:
        yield from Path().glob(str(path))


def _is_litter(parts: Sequence[str]) -> bool:
    return any(_LITTER.search(part) for part in parts)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
