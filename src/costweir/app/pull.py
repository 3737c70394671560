"""One pull of bill files: read in a child process, loaded by whoever owns the store, and nothing staged is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from costweir.app.rates import rates
from costweir.app.staged import write_job
from costweir.control.kept_rules import kept_rules
from costweir.sources.attribution import AttributionRules
from costweir.sources.meaning.overrides import mapping_file
from costweir.sources.stage import Progress, StageOptions, stage

if TYPE_CHECKING:
    from costweir.config import Settings

Record = Mapping[str, object]
Report = Callable[[str, int, int], None]
Load = Callable[[Mapping[str, object]], Sequence[Record]]

PHASES = {"find": "looking", "fetch": "fetching", "read": "reading", "write": "writing"}


@dataclass(frozen=True, slots=True)
class Pull:
    """What to read, and how; the fields are the flags of `costweir pull files`."""

    paths: tuple[str, ...]
    source: str = "auto"
    all_services: bool = False
    dry_run: bool = False
    sample: bool = False


def pull_files(
    settings: Settings, wanted: Pull, *, load: Load, progress: Report | None = None
) -> Sequence[Record]:
    """Reads and loads; one row for each account and month, and one for each file that could not be read.

    Raises SourceRejected when nothing at all could be read.
    """
    room = settings.data_dir / "staging"
    room.mkdir(parents=True, exist_ok=True)
    staged = stage(wanted.paths, into=room, options=options(settings, wanted), progress=_relay(progress))
    try:
        return list(load(write_job(staged, dry_run=wanted.dry_run)))
    finally:
        shutil.rmtree(staged.directory, ignore_errors=True)


def options(settings: Settings, wanted: Pull) -> StageOptions:
    """The reader's options: the flags, and from the settings attribution, rates and mapping overrides."""
    return StageOptions(
        source=wanted.source, all_services=wanted.all_services, sample=wanted.sample, attribution=attribution(settings),
        rates=rates(settings), mapping_overrides=mapping_file(settings.data_dir),
        own_mappings=kept_rules(settings.control_path),
    )  # fmt: skip


def attribution(settings: Settings) -> AttributionRules:
    """The built-in rules, each list replaced by the one in the settings where there is one."""
    rules = AttributionRules.load().to_json()
    for name, given in settings.attribution.model_dump(mode="json", exclude_none=True).items():
        rules[name] = [{"name": rule.get("name") or next(iter(rule)), **rule} for rule in given]
    return AttributionRules.from_json(rules)


def _relay(progress: Report | None) -> Callable[[Progress], None] | None:
    if progress is None:
        return None
    report = progress

    def relay(event: Progress) -> None:
        report(f"{PHASES.get(event.phase, event.phase)} {event.file}".strip(), event.done, event.total)

    return relay
