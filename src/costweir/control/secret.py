"""The keys of keyed hashes: random, one file each beside the database, so that a copy of the database alone is of no
use to anybody."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from costweir.errors import NotAllowed, Unreachable

_BYTES = 32


def read_secret(path: Path | None, *, of: str) -> bytes:
    """The key in a file, made at the first call (mode 0600). Without a file it lasts for this process.

    `of` says what it is for. Raises Unreachable for a file that holds no key, and NotAllowed for one that every user
    of the machine may read or change.
    """
    if path is None:
        return secrets.token_bytes(_BYTES)
    if not path.exists():
        _make(path)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"The key of the {of} in {path} cannot be read.",
            hint=f"Restore it from a copy, or make new {of}.",
        ) from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise NotAllowed(
            f"Every user of this machine may read or change the key of the {of} in {path}.",
            hint=f"Run `chmod 600 {path}`, and revoke the {of} when others could have read it.",
        )
    return key


def _make(path: Path) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(secrets.token_hex(_BYTES) + "\n")
    try:
        # A link fails when another process was first, and never shows half a key.
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()
