"""Tries a live source before it is in the configuration, and adds it once it stands. The command `connect` and the
pages both end here, so that they find and say the same."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from costweir.app.connections import find_connection, open_source
from costweir.config import load
from costweir.config.connections import SOURCE_OPTIONS
from costweir.config.writing import append_row, toml_row
from costweir.control.audit import Change
from costweir.errors import Conflict, Error

if TYPE_CHECKING:
    from pathlib import Path

    from costweir.app.desk import LocalDesk
    from costweir.config import Settings
    from costweir.sources.live.source import Checked, Finding, Source

#: What stands in a policy for what was not given.
_PLACEHOLDERS: Mapping[str, object] = {
    "tables": ("my-project.billing.gcp_billing_export_v1_XXXXXX_XXXXXX_XXXXXX",),
    "scope": "/subscriptions/00000000-0000-0000-0000-000000000000",
    "url": "az://account/container/folder",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of `[[sources]]` that need not be in the file, and the source that it makes."""

    row: Mapping[str, object]
    settings: Settings
    source: Source

    @classmethod
    def open(cls, row: Mapping[str, object], *, path: Path | None, overrides: Mapping[str, str]) -> Candidate:
        """Raises ConfigError for an option that is wrong or missing."""
        settings = load(path=path, overrides=overrides, source=row)
        return cls(row, settings, open_source(find_connection(settings, str(row["id"])), settings))

    @property
    def file(self) -> Path:
        """The configuration that it would be added to."""
        return self.settings.file or self.settings.data_dir / "costweir.toml"

    @property
    def toml(self) -> str:
        """The lines that it would be."""
        return toml_row("sources", self.row)

    @property
    def every(self) -> str:
        """How often a server pulls it."""
        return find_connection(self.settings, self.source.id).every

    def add(self) -> None:
        """Adds it to the file. Raises Conflict when the id is taken, ConfigError when the file cannot take a row."""
        append_row(self.file, "sources", self.row)

    def facts(self, checked: Checked, *, written: bool) -> dict[str, object]:
        """What is known of it after a check, but for the findings."""
        return {
            "id": self.source.id, "kind": self.source.kind, "policy": self.source.policy(),
            "ok": not failed(checked), "account": checked.account, "rows": checked.rows,
            "first_day": checked.first_day, "last_day": checked.last_day,
            "usual_lag_hours": hours(self.source.usual_lag), "toml": self.toml, "file": str(self.file),
            "written": written,
        }  # fmt: skip


def sketch(row: Mapping[str, object]) -> dict[str, object]:
    """The row with something in the place of what its kind needs and does not have, for a policy alone."""
    required = SOURCE_OPTIONS[str(row["kind"])][0]
    return dict(row) | {name: _PLACEHOLDERS[name] for name in required if name not in row}


def failed(checked: Checked) -> list[Finding]:
    """What stands in the way."""
    return [finding for finding in checked.findings if not finding.ok]


def findings(checked: Checked) -> list[dict[str, object]]:
    """The findings, ready for JSON."""
    return [
        {"ok": finding.ok, "text": finding.text, "hint": finding.hint, "code": finding.code}
        for finding in checked.findings
    ]


def failure(finding: Finding, source: Source) -> Error:
    """What stands in the way as the error that it came from."""
    from costweir import errors

    kinds = {
        kind.code: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.Error)
    }
    hint = finding.hint or "Nothing was written."
    return kinds.get(finding.code, Error)(f"{source.id} is not ready: {finding.text}", hint=hint)


def hours(lag: timedelta) -> int:
    """Whole hours."""
    return int(lag.total_seconds() // 3600)


class Connecting:
    """Implements `web.office.Connecting`: tries sources with the credentials of the server, one at a time."""

    def __init__(self, desk: LocalDesk, settings: Settings) -> None:
        self._desk = desk
        self._settings = settings
        self._busy = threading.Lock()

    def policy(self, row: Mapping[str, object]) -> str:
        """The least that the source has to be allowed."""
        return self._open(sketch(row)).source.policy()

    def check(self, row: Mapping[str, object], *, add: bool = False, by: str = "") -> dict[str, object]:
        """What `connect --json` says; with `add` the source is in the configuration when nothing stands in the way."""
        candidate = self._open(row)
        if not self._busy.acquire(blocking=False):
            raise Conflict("Another source is being tried now.", hint="Wait until it is done.")
        try:
            checked = candidate.source.check()
        finally:
            self._busy.release()
        written = add and not failed(checked)
        if written:
            candidate.add()
            change = Change(by, "source.add", f"source:{row['id']}", None, dict(row))
            self._desk.edit(lambda control: control.audit.add(change))
        known = candidate.facts(checked, written=written)
        return {**known, "findings": findings(checked), "every": candidate.every}

    def _open(self, row: Mapping[str, object]) -> Candidate:
        overrides = {"data_dir": str(self._settings.data_dir)}
        return Candidate.open(row, path=self._settings.file, overrides=overrides)
