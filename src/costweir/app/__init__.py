"""The composition root: settings in, running parts out. The only room that names an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costweir.app.desk import LocalDesk, open_desk
    from costweir.app.remote import RemoteDesk

__all__ = ["LocalDesk", "RemoteDesk", "open_desk"]


def __getattr__(name: str) -> object:
    """The gateway's process lives in this room as well and has no use for a desk, so nobody gets one unasked."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from costweir.app import desk, remote

    return getattr(remote if name == "RemoteDesk" else desk, name)
