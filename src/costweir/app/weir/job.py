"""What the server tells the gateway's process when it starts it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import msgspec

from costweir.config import Settings, load


@dataclass(frozen=True, slots=True)
class Job:
    """One line of JSON on the process's standard input, so that the secret is in no list of processes.

    `listening` and `telling` are inherited file descriptors: the bound socket, and a pipe that gets `ready` once calls
    are served. `web` is the address of the pages. `public` says that other machines may call.
    """

    config: str
    data_dir: str
    listening: int
    telling: int
    secret: str
    web: str
    public: bool

    def line(self) -> bytes:
        """The line."""
        return msgspec.json.encode(asdict(self)) + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Job:
        """Reads what `line` wrote."""
        return msgspec.json.decode(line, type=cls)


def read_again(settings: Settings) -> Settings:
    """The settings as their file says now. Raises ConfigError."""
    return load(path=settings.file, overrides={"data_dir": str(settings.data_dir)})
