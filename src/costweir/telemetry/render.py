"""`costweir render`: collects what each renderer makes, and keeps a folder equal to it without losing anything of
somebody else. `rendered.sha256` in the folder says which files are ours and what was in them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from costweir.errors import CheckFailed, Conflict, UsageError

if TYPE_CHECKING:
    from costweir.config import Settings

#: The list of what was rendered, as `sha256sum --check` reads it.
LIST = "rendered.sha256"
#: Folders whose every file is loaded by a server, so that a file too many is no harmless leftover.
_LOADED = ("prometheus/rules", "prometheus/tests", "grafana/dashboards", "grafana/provisioning")
_NAMED = 5

Renderer = Callable[["Settings", str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """How a folder differs from what is rendered now. `foreign` are files in the way that are not as we left them."""

    stale: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def none(self) -> bool:
        """Whether the folder is up to date."""
        return not (self.stale or self.missing or self.extra)


def rendered(settings: Settings, profile: str = "") -> Mapping[str, str]:
    """Path below the folder to text, for one profile or for all of them; sorted, the same for the same settings.

    Raises UsageError for a path that two renderers make, or that leaves the folder.
    """
    made: dict[str, str] = {}
    for renderer in _renderers():
        for path, text in renderer(settings, profile).items():
            if path in made or path == LIST or not _inside(path):
                raise UsageError(f"Two renderers make {path!r}, or it leaves the folder.")
            made[path] = text
    return dict(sorted(made.items()))


def compare(out: Path, made: Mapping[str, str]) -> Difference:
    """What of `out` is stale, missing or too much. Reads only."""
    before = _listed(out)
    held = {path: _read(out / path) for path in {*made, *before}}
    stale = [path for path, text in made.items() if held[path] not in (None, text.encode())]
    gone = [path for path in before if path not in made and held[path] is not None]
    loaded = (path for folder in _LOADED for path in _files_of(out, folder))
    too_many = [path for path in loaded if path not in made and path not in gone]
    foreign = [path for path in (*stale, *gone) if _digest(held[path] or b"") != before.get(path)]
    return Difference(
        stale=tuple(sorted(stale)),
        missing=tuple(sorted(path for path in made if held[path] is None)),
        extra=tuple(sorted([*gone, *too_many])),
        foreign=tuple(sorted(foreign)),
    )


def check(out: Path, made: Mapping[str, str]) -> None:
    """Raises CheckFailed, naming files, unless `out` is what is rendered now."""
    found = compare(out, made)
    if found.none:
        return
    told = "; ".join(
        f"{what}: {_some(paths)}"
        for what, paths in (("stale", found.stale), ("missing", found.missing), ("extra", found.extra))
        if paths
    )
    raise CheckFailed(
        f"{out} is not what would be rendered now: {told}.",
        hint="Run `costweir render` with the same settings and the same --profile.",
    )


def write(out: Path, made: Mapping[str, str], *, force: bool = False) -> Difference:
    """Makes `out` equal to `made`, each file in one step, and says what was different. A file that others wrote or
    changed is never replaced unless `force` is given; then nothing is written at all.

    Raises Conflict for such files, and UsageError when `out` cannot be written.
    """
    found = compare(out, made)
    if found.foreign and not force:
        raise Conflict(
            f"{out} has files that `costweir render` did not leave like this: {_some(found.foreign)}.",
            hint="Move them away, choose another --out, or replace them with --force.",
        )
    ours = _listed(out)
    try:
        for path, text in made.items():
            if path in found.stale or path in found.missing:
                _replace(out / path, text)
        for path in found.extra:
            if path in ours:
                (out / path).unlink()
        listing = "".join(f"{_digest(text.encode())}  {path}\n" for path, text in made.items())
        if _read(out / LIST) != listing.encode():
            _replace(out / LIST, listing)
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be written: {error.strerror}.", hint="Choose another folder with --out."
        ) from None
    return found


def _renderers() -> Iterable[Renderer]:
    from costweir.telemetry import stack

    yield stack.files
    from costweir.telemetry import grafana

    if hasattr(grafana, "files"):
        yield grafana.files
    from costweir.telemetry import queries

    yield queries.files


def _listed(out: Path) -> Mapping[str, str]:
    """What was rendered last: path to digest."""
    lines = (_read(out / LIST) or b"").decode(errors="replace").splitlines()
    pairs = (line.partition("  ") for line in lines)
    return {path: digest for digest, _, path in pairs if path and _inside(path)}


def _inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


def _files_of(out: Path, folder: str) -> Iterable[str]:
    return (found.relative_to(out).as_posix() for found in (out / folder).rglob("*") if found.is_file())


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", hint="Choose another folder with --out."
        ) from None


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(text.encode())
    part.chmod(0o755 if text.startswith("#!") else 0o644)
    os.replace(part, path)  # noqa: PTH105 - one step, also where the target exists


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _some(paths: tuple[str, ...]) -> str:
    more = len(paths) - _NAMED
    return ", ".join(paths[:_NAMED]) + (f" and {more} more" if more > 0 else "")
