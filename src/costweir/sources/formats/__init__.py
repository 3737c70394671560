"""The formats that can be read, the special ones before the general FOCUS file, and which one a header
belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from costweir.errors import ConfigError, SourceRejected
from costweir.sources.formats.format import Format, Header


def registry() -> tuple[Format, ...]:
    """Every format, in the order in which they are asked whether a header is theirs."""
    from costweir.sources.formats import (
        anthropic_api,
        aws,
        aws_ce,
        azure,
        azure_query,
        focus,
        gcp,
        openai_api,
    )

    # The query before the export, which would take its rows for an export of few columns.
    return (
        aws.LEGACY, aws.CUR2, *aws_ce.FORMATS, *openai_api.FORMATS, *anthropic_api.FORMATS, *gcp.FORMATS,
        *azure_query.FORMATS, *azure.FORMATS, *focus.FORMATS,
    )  # fmt: skip


def recognise(header: Header, source: str, file: str) -> Format:
    """The format of a file with this header. `source` is `auto` or the only format that will do.

    Raises SourceRejected with the columns that are missing, and ConfigError for a source that does not exist.
    """
    formats = registry()
    wanted = tuple(item for item in formats if source in ("auto", item.source))
    if not wanted:
        names = ", ".join(["auto", *dict.fromkeys(item.source for item in formats)])
        raise ConfigError(f"There is no source {source!r}.", hint=f"Sources are {names}.")
    found = next((item for item in wanted if item.recognise(header)), None)
    if found is not None:
        return found
    other = next((item for item in formats if item.recognise(header)), None)
    if source != "auto" and other is not None:
        raise SourceRejected(
            f"{file} is not {source}: {_lacks(wanted, header)}; it looks like {other.source}.",
            hint=f"Use --source {other.source}, or --source auto.",
        )
    near = min(wanted, key=lambda item: _share_missing(item, header))
    if source == "auto" and _share_missing(near, header) > 0.5:
        raise SourceRejected(
            f"{file} is not a bill that Costweir knows: its columns are {_few(tuple(header))}.",
            hint="Known are AWS CUR and CUR 2.0, GCP billing exports, Azure cost exports and FOCUS files.",
        )
    raise SourceRejected(
        f"{file} looks like {near.source}, but {_lacks((near,), header)}.",
        hint="Export the file again with these columns; a renamed column counts as missing.",
    )


def _share_missing(item: Format, header: Header) -> float:
    return len(item.missing(header)) / len(item.needs) if item.needs else 1.0


def _lacks(formats: Sequence[Format], header: Header) -> str:
    near = min(formats, key=lambda item: _share_missing(item, header))
    missing = near.missing(header)
    if not missing:
        return "its columns are of another kind"
    return (
        f"the column {missing[0]} is missing"
        if len(missing) == 1
        else f"the columns {_few(missing)} are missing"
    )


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
