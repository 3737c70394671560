"""`costweir connect`: the policy a live source needs, whether its credentials work, what it holds, and the lines to
add to the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

import click

from costweir.cli.frame import Command, Group, flags
from costweir.cli.output import note, show_csv, show_json, write
from costweir.cli.session import overrides, settings
from costweir.errors import Error, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from costweir.config import Settings
    from costweir.sources.live.source import Checked, Finding, Source

_TITLES = {
    "aws": "AWS: Cost Explorer, or with --url or --export the export in S3",
    "gcp": "Google Cloud: the billing export in BigQuery",
    "azure": "Azure: Cost Management queries, or with --url the export in Blob storage",
    "openai": "OpenAI: the organisation's costs and usage",
    "anthropic": "Anthropic: the organisation's costs and usage",
}
#: What stands in a policy for what was not given.
_PLACEHOLDERS: Mapping[str, object] = {
    "tables": ("my-project.billing.gcp_billing_export_v1_XXXXXX_XXXXXX_XXXXXX",),
    "scope": "/subscriptions/00000000-0000-0000-0000-000000000000",
    "url": "az://account/container/folder",
}


class ConnectGroup(Group):
    """One command for each provider, made from the options that its sources take."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The providers."""
        return list(_TITLES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a provider."""
        return _command(cmd_name) if cmd_name in _TITLES else None


@click.group(cls=ConnectGroup)
def connect() -> None:
    """Set up a live source."""


def _command(provider: str) -> click.Command:
    from costweir.config.connections import PROVIDERS, SOURCE_OPTIONS, Connection

    kinds = PROVIDERS[provider]
    names = dict.fromkeys(name for kind in kinds for part in SOURCE_OPTIONS[kind] for name in part)
    options: list[click.Parameter] = [
        click.Option(["--id", "name"], metavar="NAME", help="Name of the source; the default is its kind.")
    ]
    if len(kinds) > 1:
        options.append(
            click.Option(
                ["--kind"], type=click.Choice(kinds), help="What is read; the options given decide it."
            )
        )
    options += [_option(name, Connection.model_fields[name]) for name in [*names, "every"]]
    options += [
        click.Option(["--all-services"], is_flag=True, help="Keep every service, not only AI."),
        click.Option(["--policy"], is_flag=True, help="Print the policy and do nothing else."),
        click.Option(
            ["--write"], is_flag=True, help="Add the source to the configuration file if all is well."
        ),
    ]

    def run(name: str | None, *, policy: bool, write: bool, kind: str | None = None, **given: Any) -> None:
        values = {key: value for key, value in given.items() if value not in (None, (), False)}
        row = _known(name) if name and not values else {}
        if row.get("kind") not in kinds:
            chosen = kind or _kind(kinds, values)
            row = {"id": name or chosen, "kind": chosen, **values}
        _connect(row, policy_only=policy, add=write)

    return Command(
        provider,
        callback=run,
        params=options,
        short_help=_TITLES[provider] + ".",
        help=f"{_TITLES[provider]}.\n\nPrints the least that it has to be allowed, tries the credentials, and says how"
        " many rows there are, from which day to which, and how late they usually are. Then it prints the lines"
        " for the configuration. A credential is given as the name of the variable that holds it.\n\nThe exit code is"
        " 1 when something is not allowed or missing, 2 for a wrong option or a library that is not installed, and 3"
        " when the provider does not answer.",
    )  # fmt: skip


def _known(name: str) -> dict[str, object]:
    """The row of this id as the configuration has it, so that a source can be checked again by its id alone."""
    found = [row for row in settings().sources if row.id == name]
    return found[0].model_dump(mode="json", exclude_unset=True) if found else {}


def _option(name: str, field: Any) -> click.Option:
    flag = "--" + name.replace("_", "-")
    arguments = [one for one in get_args(field.annotation) if one is not type(None)]
    text = str(field.description).split(". ")[0].rstrip(".") + "."
    if name == "tables":
        return click.Option(["--table", name], multiple=True, metavar="P.D.T", help=f"{text} Repeatable.")
    if int in arguments:
        return click.Option([flag], type=click.IntRange(min=1), metavar="N", help=text)
    choices = [choice for one in arguments for choice in get_args(one) if isinstance(choice, str)]
    if name == "cost":
        return click.Option([flag], type=click.Choice(choices), help=text)
    return click.Option([flag], metavar="VARIABLE" if name.endswith("_env") else "TEXT", help=text)


def _kind(kinds: Sequence[str], values: Mapping[str, object]) -> str:
    """The first kind that takes every option that was given."""
    from costweir.config.connections import SOURCE_OPTIONS

    for kind in kinds:
        known = {name for part in SOURCE_OPTIONS[kind] for name in part} | {"every", "all_services"}
        if values.keys() <= known:
            return kind
    given = ", ".join("--" + name.replace("_", "-") for name in values)
    raise UsageError(f"No kind of source takes all of {given}.", hint=f"Kinds are {', '.join(kinds)}.")


def _connect(row: Mapping[str, object], *, policy_only: bool, add: bool) -> None:
    from costweir.app.connections import find_connection, open_source
    from costweir.config import load
    from costweir.config.connections import SOURCE_OPTIONS

    filled = dict(row)
    if policy_only:
        required = SOURCE_OPTIONS[str(row["kind"])][0]
        filled |= {name: _PLACEHOLDERS[name] for name in required if name not in row}
    held = load(path=flags().config, overrides=overrides(), source=filled)
    source = open_source(find_connection(held, str(row["id"])), held)
    if policy_only:
        _show_policy(source)
        return
    from costweir.config.writing import append_row, toml_row

    checked = source.check()
    failed = [finding for finding in checked.findings if not finding.ok]
    file = held.file or held.data_dir / "costweir.toml"
    if add and not failed:
        append_row(file, "sources", row)
    shown = _Shown(source, checked, toml_row("sources", row), file, written=add and not failed)
    shown.print()
    if failed:
        raise _failure(failed[0], source)
    if add:
        note(_next_step(held, source, checked))


class _Shown:
    """What the check found, in the form that was asked for."""

    def __init__(self, source: Source, checked: Checked, toml: str, file: Path, *, written: bool) -> None:
        self.source = source
        self.checked = checked
        self.toml = toml
        self.file = file
        self.written = written

    def print(self) -> None:
        """Prints one JSON object, the findings as CSV, or text."""
        findings = [
            {"ok": finding.ok, "text": finding.text, "hint": finding.hint, "code": finding.code}
            for finding in self.checked.findings
        ]
        if flags().json:
            show_json({"schema": "costweir.connect/1", **self.facts(), "findings": findings})
        elif flags().csv:
            show_csv(findings, ["ok", "text", "hint", "code"])
        else:
            write(self.text())

    def facts(self) -> dict[str, object]:
        """Everything but the findings."""
        checked = self.checked
        return {
            "id": self.source.id, "kind": self.source.kind, "policy": self.source.policy(),
            "ok": all(finding.ok for finding in checked.findings), "account": checked.account, "rows": checked.rows,
            "first_day": checked.first_day, "last_day": checked.last_day,
            "usual_lag_hours": _hours(self.source.usual_lag), "toml": self.toml, "file": str(self.file),
            "written": self.written,
        }  # fmt: skip

    def text(self) -> str:
        """For reading."""
        checked = self.checked
        ready = all(finding.ok for finding in checked.findings)
        untold = "not told without a paid query" if ready else "not known"
        lines = ["What it has to be allowed:", "", *_indented(self.source.policy()), ""]
        for finding in checked.findings:
            lines.append(f"{'ok  ' if finding.ok else 'fail'}  {finding.text}")
            lines += [f"      {finding.hint}"] if finding.hint else []
        lines += [
            "",
            f"Rows        {untold if checked.rows is None else checked.rows}",
            f"Days        {checked.first_day or 'not known'} to {checked.last_day or 'not known'}",
            f"Usual lag   {_hours(self.source.usual_lag)} hours",
            "",
            f"Added to {self.file}:" if self.written else f"Add this to {self.file}, or use --write:",
            "",
            *_indented(self.toml),
        ]
        return "\n".join(lines) + "\n"


def _show_policy(source: Source) -> None:
    if flags().json:
        show_json(
            {"schema": "costweir.connect/1", "id": source.id, "kind": source.kind, "policy": source.policy()}
        )
    else:
        write(source.policy().rstrip("\n") + "\n")


def _failure(finding: Finding, source: Source) -> Error:
    from costweir import errors

    kinds = {
        kind.code: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.Error)
    }
    hint = finding.hint or "Nothing was written."
    return kinds.get(finding.code, Error)(f"{source.id} is not ready: {finding.text}", hint=hint)


def _next_step(held: Settings, source: Source, checked: Checked) -> str:
    every = next((row.every for row in held.sources if row.id == source.id), "6h")
    since = f"{checked.first_day:%Y-%m}-01" if checked.first_day is not None else "DAY"
    return (
        f"`costweir up` pulls {source.id} every {every}; `costweir pull {source.id}` does it now.\n"
        f"Older months: costweir pull {source.id} --since {since}"
    )


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.strip("\n").split("\n")]


def _hours(lag: timedelta) -> int:
    return int(lag.total_seconds() // 3600)
