"""The composition root: settings in, running parts out. The only room that names an engine."""

from __future__ import annotations

from costweir.app.desk import LocalDesk, open_desk
from costweir.app.remote import RemoteDesk

__all__ = ["LocalDesk", "RemoteDesk", "open_desk"]
