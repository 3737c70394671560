"""Who owns a data directory: one server holds `server.lock`, and `server.json` says where it answers."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from costweir.errors import Conflict, NotAllowed

SERVER_FILE = "server.json"
#: Where a running gateway tells the addresses of its built-in providers.
MOCKS_FILE = "mocks.json"
LOCK_FILE = "server.lock"
TOKEN_FILE = "admin-token"  # noqa: S105 - a file name


@dataclass(slots=True)
class ServerLock:
    """Held for the life of a server; the kernel drops it with the process, so a crash leaves nothing behind."""

    handle: IO[str]

    @classmethod
    def take(cls, data_dir: Path) -> ServerLock:
        """Takes the lock, or raises Conflict when a server runs on this data directory."""
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = (data_dir / LOCK_FILE).open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            raise Conflict(
                f"A server already runs on {data_dir}.",
                hint="Stop it, or give this one its own directory with --data-dir.",
            ) from None
        return cls(handle)

    def release(self) -> None:
        """Gives the directory free."""
        self.handle.close()


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where a running server answers, and the token that lets this user's commands in."""

    url: str
    token: str
    pid: int


def running_server(data_dir: Path) -> RunningServer | None:
    """The server that holds `data_dir` now, or None. A file left by a crashed server counts as none."""
    lock_path = data_dir / LOCK_FILE
    if not lock_path.exists():
        return None
    with lock_path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            return None
    try:
        described: dict[str, Any] = json.loads((data_dir / SERVER_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    token_file = Path(described["admin_token_file"])
    try:
        token = token_file.read_text(encoding="ascii").strip()
    except PermissionError:
        raise NotAllowed(
            f"The server on {data_dir} belongs to another user.", hint="Run the command as that user."
        ) from None
    return RunningServer(url=described["web"], token=token, pid=described["pid"])


def admin_token(data_dir: Path) -> tuple[Path, str]:
    """The admin token of this data directory and its file (mode 0600); made at the first call."""
    path = data_dir / TOKEN_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path, path.read_text(encoding="ascii").strip()
    token = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(token + "\n")
    return path, token


def write_server_file(data_dir: Path, described: dict[str, object]) -> None:
    """Writes `server.json` in one step, so that a reader never sees half of it."""
    path = data_dir / SERVER_FILE
    part = path.with_suffix(".part")
    part.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
