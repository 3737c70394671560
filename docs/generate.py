"""Writes the pages that are made from the code: `cli.md`, `configuration.md`, `questions.md`,
`costweir.schema.json` and `openapi.json`, and the tables in `metrics.md` and `logs.md`.

`make docs` runs it; a test compares what it would write with what is there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import click

from costweir import config
from costweir.cli.commands import root
from costweir.cli.failures import INTERRUPTED
from costweir.errors import Error
from costweir.queries import page as questions
from costweir.telemetry import logs_page, metrics_page
from costweir.web.api import openapi_page

DOCS = Path(__file__).parent
MADE = "<!-- Made by `make docs` from the code. Change the code, not this page. -->"
PROGRAM = "costweir"

EXIT_CODES = {
    0: "done",
    1: "understood, and failed",
    2: "wrong usage or configuration",
    3: "a store, source or provider could not be reached; trying again may help",
    4: "answered, but a source is late, or rows are quarantined or unpriced",
    5: "a check failed",
    130: "interrupted with Ctrl-C",
}

CLI_INTRODUCTION = """\
Data goes to stdout, everything else to stderr. `--json` prints exactly one object with `schema`; a list is
under `rows`. A day is `YYYY-MM-DD` in UTC; `--since` is the first day and `--until` the first day after.

A command works while a server runs on the same data directory, by going through it, and when none runs."""

CLI_FAILURES = """\
Without `--json` a failure is one sentence and a `hint:` line on stderr. With `--json` it is
`{"error": {"code", "message", "hint", "transient"}}`. `COSTWEIR_DEBUG=1` shows the traceback instead."""

CONFIGURATION_INTRODUCTION = """\
Costweir needs no configuration. Where there is one, it is a TOML file, found in this order: `--config FILE`,
`COSTWEIR_CONFIG`, `costweir.toml` in the data directory, `$XDG_CONFIG_HOME/costweir/costweir.toml`.

A flag goes before a `COSTWEIR_` variable, that before the variable of another tool, that before the file,
and the file before the default. `costweir config show --origin` shows every value and where it comes from;
`costweir config validate` names everything that is wrong. An unknown key is refused. In the environment a
list or table is written as JSON.

Amounts are decimal strings in quotes, because a bare `3.00` is not exact in TOML. An API key is never written
into the file: `api_key_env` names the variable that holds it.

`costweir config schema` prints the JSON Schema of the file (`costweir.schema.json` beside this page), for
editors that check while you type."""


def pages() -> dict[str, str]:
    """Every generated file: its name below `docs` and its text."""
    return {
        "cli.md": cli_page(),
        "configuration.md": configuration_page(),
        "questions.md": questions.page(),
        "openapi.json": openapi_page.page(),
        "metrics.md": _with_table("metrics.md", metrics_page.table()),
        "logs.md": _with_table("logs.md", logs_page.table()),
        "costweir.schema.json": json.dumps(config.schema(), indent=2, ensure_ascii=False) + "\n",
    }


def _with_table(name: str, table: str) -> str:
    """A page that is written by hand, with the table between its two marks made anew."""
    before, _, rest = (DOCS / name).read_text(encoding="utf-8").partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- /table -->")
    return f"{before}<!-- table -->\n{table}\n<!-- /table -->{after}"


def cli_page() -> str:
    """Every command with its arguments and options, in the order of `costweir --help`."""
    context = click.Context(root, info_name=PROGRAM)
    parts = [
        "# The command line",
        MADE,
        CLI_INTRODUCTION,
        "## Flags of every command",
        "They may stand before or after the command.",
        _options(root, context, shared=True),
        "## Exit codes",
        _exit_codes(),
        CLI_FAILURES,
        "## Commands",
    ]
    for command, inner in _commands(root, context):
        parts += [f"### `{inner.command_path}`", *_command(command, inner)]
    return "\n\n".join(parts) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        else:
            yield command, inner


def _command(command: click.Command, context: click.Context) -> list[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = (command.help or "").replace("\b\n", "").strip()
    lines = ["\n".join(line.strip() for line in part.split("\n")) for part in text.split("\n\n")]
    options = _options(command, context, shared=False)
    return [*lines, f"```\n{usage}\n```", *([options] if options else [])]


def _options(command: click.Command, context: click.Context, *, shared: bool) -> str:
    rows: list[str] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        is_shared = getattr(parameter.callback, "__name__", "") == "_keep"
        if not isinstance(parameter, click.Option) or record is None:
            continue
        if is_shared == shared and not {"--help", "--version"} & set(parameter.opts):
            rows.append(
                f"| `{record[0].replace('|', chr(92) + '|')}` | {record[1].replace('|', chr(92) + '|')} |"
            )
    return "\n".join(["| option | meaning |", "|---|---|", *rows]) if rows else ""


def _exit_codes() -> str:
    used = {0, INTERRUPTED.exit_code, *(kind.exit_code for kind in (Error, *_below(Error)))}
    rows = [f"| {code} | {EXIT_CODES[code]} |" for code in sorted(used)]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def _below(kind: type[Error]) -> Iterator[type[Error]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _below(inner)


def configuration_page() -> str:
    """Every setting with its type, default and environment variables."""
    example = f"```toml\n{(DOCS / 'costweir.example.toml').read_text(encoding='utf-8')}```"
    parts = ["# Configuration", MADE, CONFIGURATION_INTRODUCTION, example]
    for heading, settings in groupby(config.settings_list(), key=lambda setting: _heading(setting.key)):
        rows = [
            f"| `{setting.key}` | {setting.type} | {_code(setting.default)} | {_variables(setting)}"
            f" | {setting.meaning} |"
            for setting in settings
        ]
        parts += [
            f"## {heading}",
            "\n".join(["| key | type | default | environment | meaning |", "|---|---|---|---|---|", *rows]),
        ]
    return "\n\n".join(parts) + "\n"


def _heading(key: str) -> str:
    first, dot, _ = key.partition(".")
    return f"`{first.removesuffix('[]')}`" if dot or "[]" in key or first in _LISTS else "General"


_LISTS = {setting.key.partition("[]")[0] for setting in config.settings_list() if "[]." in setting.key}


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _variables(setting: config.Setting) -> str:
    return ", ".join(f"`{name}`" for name in setting.variables)


def main() -> None:
    """Writes every page."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        sys.stderr.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()
