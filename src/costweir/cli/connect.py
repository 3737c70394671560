"""`costweir connect`: the policy a live source needs, whether its credentials work, what it holds, and the lines to
add to the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import click

from costweir.cli.frame import Command, Group, flags
from costweir.cli.output import note, show_csv, show_json, write
from costweir.cli.session import overrides, settings
from costweir.errors import UsageError

if TYPE_CHECKING:
    from costweir.app.connecting import Candidate
    from costweir.sources.live.source import Checked, Source

_TITLES = {
    "aws": "AWS: Cost Explorer, or with --url or --export the export in S3",
    "gcp": "Google Cloud: the billing export in BigQuery",
    "azure": "Azure: Cost Management queries, or with --url the export in Blob storage",
    "openai": "OpenAI: the organisation's costs and usage",
    "anthropic": "Anthropic: the organisation's costs and usage",
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
    from costweir.app.connecting import Candidate, failed, failure, sketch

    wanted = sketch(row) if policy_only else row
    candidate = Candidate.open(wanted, path=flags().config, overrides=overrides())
    if policy_only:
        _show_policy(candidate.source)
        return
    checked = candidate.source.check()
    wrong = failed(checked)
    if add and not wrong:
        candidate.add()
    _Shown(candidate, checked, written=add and not wrong).print()
    if wrong:
        raise failure(wrong[0], candidate.source)
    if add:
        note(_next_step(candidate, checked))


class _Shown:
    """What the check found, in the form that was asked for."""

    def __init__(self, candidate: Candidate, checked: Checked, *, written: bool) -> None:
        self.candidate = candidate
        self.checked = checked
        self.written = written

    def print(self) -> None:
        """Prints one JSON object, the findings as CSV, or text."""
        from costweir.app.connecting import findings

        found = findings(self.checked)
        if flags().json:
            facts = self.candidate.facts(self.checked, written=self.written)
            show_json({"schema": "costweir.connect/1", **facts, "findings": found})
        elif flags().csv:
            show_csv(found, ["ok", "text", "hint", "code"])
        else:
            write(self.text())

    def text(self) -> str:
        """For reading."""
        from costweir.app.connecting import failed, hours

        candidate, checked = self.candidate, self.checked
        ready = not failed(checked)
        untold = "not told without a paid query" if ready else "not known"
        lines = ["What it has to be allowed:", "", *_indented(candidate.source.policy()), ""]
        for finding in checked.findings:
            lines.append(f"{'ok  ' if finding.ok else 'fail'}  {finding.text}")
            lines += [f"      {finding.hint}"] if finding.hint else []
        lines += [
            "",
            f"Rows        {untold if checked.rows is None else checked.rows}",
            f"Days        {checked.first_day or 'not known'} to {checked.last_day or 'not known'}",
            f"Usual lag   {hours(candidate.source.usual_lag)} hours",
            "",
            f"Added to {candidate.file}:"
            if self.written
            else f"Add this to {candidate.file}, or use --write:",
            "",
            *_indented(candidate.toml),
        ]
        return "\n".join(lines) + "\n"


def _show_policy(source: Source) -> None:
    if flags().json:
        show_json(
            {"schema": "costweir.connect/1", "id": source.id, "kind": source.kind, "policy": source.policy()}
        )
    else:
        write(source.policy().rstrip("\n") + "\n")


def _next_step(candidate: Candidate, checked: Checked) -> str:
    name = candidate.source.id
    since = f"{checked.first_day:%Y-%m}-01" if checked.first_day is not None else "DAY"
    return (
        f"`costweir up` pulls {name} every {candidate.every}; `costweir pull {name}` does it now.\n"
        f"Older months: costweir pull {name} --since {since}"
    )


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.strip("\n").split("\n")]
