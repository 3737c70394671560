"""The frame of every command: global flags before or after the noun, lazy loading, and one way to fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from costweir.cli.failures import INTERRUPTED, as_error, report

_FLAGS = "costweir.flags"
PROGRAM = "costweir"


@dataclass(frozen=True, slots=True)
class Flags:
    """What the global flags say."""

    config: Path | None = None
    data_dir: Path | None = None
    json: bool = False
    csv: bool = False
    quiet: bool = False


def flags() -> Flags:
    """The global flags of the running command. Raises click.UsageError for `--json` together with `--csv`."""
    given = Flags(**click.get_current_context().meta.get(_FLAGS, {}))
    if given.json and given.csv:
        raise click.UsageError("--json and --csv exclude each other.")
    return given


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and value is not False:
        context.meta.setdefault(_FLAGS, {})[parameter.name] = value


def _option(*names: str, help: str, **settings: Any) -> click.Option:  # noqa: A002 - the library's name
    return click.Option(names, expose_value=False, callback=_keep, help=help, **settings)


def _global_options() -> list[click.Parameter]:
    file = click.Path(path_type=Path, dir_okay=False)
    folder = click.Path(path_type=Path, file_okay=False)
    return [
        _option("--config", type=file, metavar="FILE", help="Configuration file (COSTWEIR_CONFIG)."),
        _option(
            "--data-dir", type=folder, metavar="DIR", help="Directory of the stores (COSTWEIR_DATA_DIR)."
        ),
        _option("--json", is_flag=True, help="Print one JSON object."),
        _option("--csv", is_flag=True, help="Print CSV."),
        _option("--quiet", is_flag=True, help="Print data and errors only."),
    ]


class Command(click.Command):
    """A command that takes the global flags after its name as well."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _global_options()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Puts the global flags under their own heading."""
        _write_options(self, ctx, formatter)


class Group(click.Group):
    """A group whose commands take the global flags; so does the group."""

    command_class = Command

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _global_options()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Puts the global flags under their own heading, and the commands last."""
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


class LazyGroup(Group):
    """A group that imports a noun's file only when it is used. `nouns` maps a name to `module:attribute`."""

    def __init__(self, *args: Any, nouns: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._nouns = nouns

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The nouns in the order a new user meets them."""
        return list(self._nouns)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the noun's file."""
        where = self._nouns.get(cmd_name)
        if where is None:
            return None
        module, _, attribute = where.partition(":")
        return getattr(import_module(f"costweir.cli.{module}"), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but names the nearest noun without importing them all."""
        if args[0] not in self._nouns and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.NoSuchCommand(args[0], possibilities=self._nouns, ctx=ctx)
        return super().resolve_command(ctx, args)


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    own: list[tuple[str, str]] = []
    everywhere: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            (own if getattr(parameter, "callback", None) is not _keep else everywhere).append(record)
    for title, records in (("Options", own), ("Options of every command", everywhere)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def run(root: click.Command, argv: Sequence[str]) -> int:
    """Runs `root` and returns the exit code. Nothing that a user can cause ends in a traceback."""
    if os.environ.get("_COSTWEIR_COMPLETE"):
        root.main(list(argv), prog_name=PROGRAM)
    as_json = _wants_json(argv)
    _soften_encoding()
    try:
        code = _invoke(root, argv)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except KeyboardInterrupt:
        report(INTERRUPTED, as_json=as_json)
        return 130
    except Exception as error:
        if os.environ.get("COSTWEIR_DEBUG"):
            raise
        known = as_error(error)
        report(known, as_json=as_json)
        return known.exit_code
    return code


def _invoke(root: click.Command, argv: Sequence[str]) -> int:
    try:
        with root.make_context(PROGRAM, list(argv)) as context:
            flags()
            result: object = root.invoke(context)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        if error.ctx.parent is None:
            click.echo(error.ctx.get_help())
            return 0
        raise
    return result if isinstance(result, int) else 0


def _wants_json(argv: Sequence[str]) -> bool:
    words = list(argv)
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def _soften_encoding() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="backslashreplace")


def _drop_stdout() -> None:
    """Points stdout to nowhere, so that the interpreter's own flush at exit does not complain again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
    finally:
        os.close(nowhere)
