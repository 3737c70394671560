"""How a failure looks: one sentence and a hint on stderr, or the error object of the contract with
`--json`."""

from __future__ import annotations

import errno
import json
import sys
from contextlib import suppress

import click

from costweir.errors import Error, Unreachable, UsageError


class Interrupted(Error):
    """The user pressed Ctrl-C."""

    code = "interrupted"
    exit_code = 130


class Defect(Error):
    """Something that should not happen: a fault of the program, not of its user."""

    code = "defect"


INTERRUPTED = Interrupted("Interrupted.")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def as_error(error: Exception) -> Error:
    """The error of our own tree that stands for any exception."""
    if isinstance(error, Error):
        return error
    if isinstance(error, click.exceptions.Abort):
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, MemoryError):
        return Error("There is not enough memory.", hint="Close other programs, or load fewer files at once.")
    return Defect(
        f"This is a fault in Costweir: {type(error).__name__}: {_one_line(str(error))}",
        hint="Set COSTWEIR_DEBUG=1 to see where, and report it with the command you ran.",
    )


def report(error: Error, *, as_json: bool) -> None:
    """Writes the failure to stderr."""
    if as_json:
        text = json.dumps({"error": error.to_json()}, ensure_ascii=False)
    else:
        text = error.message + (f"\nhint: {error.hint}" if error.hint else "")
    with suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def _usage(error: click.ClickException) -> Error:
    message = error.format_message()
    near: list[str] = getattr(error, "possibilities", None) or []
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "costweir"
    hint = f"`{command} --help` shows how it is used."
    if isinstance(error, click.NoSuchOption | click.NoSuchCommand):
        message = error.message
        if near:
            hint = f"Did you mean {near[0]}?"
    elif isinstance(error, click.exceptions.NoArgsIsHelpError) and context is not None:
        group = context.command
        names = ", ".join(group.list_commands(context)) if isinstance(group, click.Group) else ""
        message = f"`{command}` needs a command{': ' + names if names else ''}."
    return UsageError(_sentence(message), hint=hint)


def _system(error: OSError) -> Error:
    name = f" {error.filename}" if error.filename else ""
    if error.errno in _FULL:
        return Error(
            f"The disk is full{': ' + name.strip() if name else ''}.",
            hint="Free some space and run it again.",
        )
    if isinstance(error, FileNotFoundError):
        return Error(f"There is no file{name}.", hint="Check the path.")
    if isinstance(error, PermissionError):
        return Error(
            f"No permission for{name or ' a file'}.", hint="Check who owns it, or use another --data-dir."
        )
    if isinstance(error, ConnectionError | TimeoutError):
        return Unreachable(f"The connection failed: {error.strerror or error}.", hint="Try again.")
    return Error(
        f"The system refused{name}: {error.strerror or error}.", hint="Set COSTWEIR_DEBUG=1 to see where."
    )


def _sentence(text: str) -> str:
    text = _one_line(text)
    return text if text.endswith((".", "?")) else f"{text}."


def _one_line(text: str) -> str:
    return " ".join(text.split())
