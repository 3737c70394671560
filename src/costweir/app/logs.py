"""Begins the log of a process of the server, with everything masked that the settings know to be secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from costweir.errors import Error
from costweir.telemetry.logs import Log, Style

if TYPE_CHECKING:
    from costweir.config import Settings


def begin_log(settings: Settings, process: str, *, hidden: Iterable[str] = ()) -> Log:
    """The log as the settings want it. Use it in `with`."""
    return Log(
        Style(
            process, settings.log_level, settings.log_format, settings.gcp.project_id or "",
            (*hidden, *_secrets(settings)),
        )
    )  # fmt: skip


def _secrets(settings: Settings) -> Iterator[str]:
    """The texts that the settings name by a variable or a file. What is not there cannot be told."""
    for provider in settings.providers:
        try:
            yield settings.provider_key(provider)
        except Error:
            continue
    for row in (*settings.sources, *settings.channels):
        for name in row.secret_names:
            yield settings.secret(name) or ""
    try:
        yield settings.oidc_secret()
    except Error:
        return
