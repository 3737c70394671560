"""What a command works with: the settings and the desk, opened only when it asks for them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from costweir.cli.frame import flags

if TYPE_CHECKING:
    from costweir.app import LocalDesk, RemoteDesk
    from costweir.config import Settings


def overrides(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the flags of this call set, by dotted key."""
    given = {"data_dir": str(flags().data_dir)} if flags().data_dir else {}
    return given | dict(more or {})


def settings(more: Mapping[str, str] | None = None) -> Settings:
    """The settings of this call; `more` are dotted keys that the command's own flags set. Raises
    ConfigError."""
    from costweir.config import load

    return load(path=flags().config, overrides=overrides(more))


@contextmanager
def open_desk(*, read_only: bool = True) -> Generator[LocalDesk | RemoteDesk]:
    """The desk of the running server, or one of our own; closed at the end of the `with`."""
    from costweir import app

    with app.open_desk(settings(), read_only=read_only) as desk:
        yield desk
