"""What the readers staged, as JSON: the note that a command hands to the server which owns the store."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from costweir.errors import ConfigError, NotAllowed
from costweir.sources.stage import Staged, StagedSlot


def write_job(staged: Staged, *, dry_run: bool) -> dict[str, object]:
    """The JSON form of everything that can be loaded, and of the files that were refused."""
    return {
        "dry_run": dry_run,
        "slots": [slot.to_json() for slot in staged.slots],
        "refused": [file.to_json() for file in staged.rejected],
    }


def read_job(job: Mapping[str, Any], *, inside: Path) -> list[StagedSlot]:
    """Reads the JSON form. Raises NotAllowed for a file outside the data directory's staging folder."""
    slots = [StagedSlot.from_json(slot) for slot in job["slots"]]
    for slot in slots:
        for path in filter(None, (slot.charges, slot.quarantine)):
            if not path.resolve().is_relative_to(inside.resolve()):
                raise NotAllowed(
                    f"{path} is not a staged file of this data directory.",
                    hint="Load bills with costweir pull files.",
                )
    return slots


def export_job(out: Path, since: date | None, until: date | None, provider: str) -> dict[str, object]:
    """What `LocalDesk.export` takes, as JSON."""
    suffix = "".join(out.suffixes[-2:]) if out.suffix == ".gz" else out.suffix
    return {
        "since": since and since.isoformat(), "until": until and until.isoformat(), "provider": provider,
        "suffix": suffix,
    }  # fmt: skip


def move_export(written: str, out: Path) -> Path:
    """Moves the written file to where it was asked for. Raises ConfigError when it cannot lie there."""
    try:
        return Path(shutil.move(written, out))
    except OSError as error:
        Path(written).unlink(missing_ok=True)
        raise ConfigError(
            f"{out} cannot be written: {error.strerror}.", hint="Choose another --out."
        ) from None
