"""The command line: one file per noun. Data goes to stdout, everything else to stderr, and nothing heavy is
imported before a command needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and ends the process with its exit code. `argv` is without the program's name."""
    import sys

    from costweir.cli.commands import root
    from costweir.cli.frame import run

    sys.exit(run(root, sys.argv[1:] if argv is None else argv))
