"""The page about the catalogue, written from the headers of its files so that it cannot say something else."""

from __future__ import annotations

from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.question import Question, catalogue

_INTRO = """# Questions

Written from `src/costweir/queries/catalogue`; do not edit. `python -m costweir.queries.page > docs/questions.md`
writes it again.

Ask with `costweir ask ID [--by DIM]... [--where DIM=VALUE]... [--since D] [--until D] [--limit N]` or
`GET /v1/answers/ID`. Every row has the dimensions asked for and `<basis>_cost`, a decimal string; over that field
the rows and `other` add up to `total`, to the last digit. The first basis is the default.

`as_of` and `complete_to` are per source, and name the sources that still deliver. Once another reader brings the
newer months of a provider and account, the earlier reader is history there: it is not waited for and never late.
"""


def page() -> str:
    """The Markdown text of `docs/questions.md`."""
    parts = [_INTRO, "## All\n", "| id | title | default split | answers |", "|---|---|---|---|"]
    parts += [
        f"| [{item.id}](#{item.id}) | {item.title} | {', '.join(item.by) or 'none'} | {', '.join(item.answers)} |"
        for item in catalogue()
    ]
    parts += [_section(item) for item in catalogue()]
    parts += ["\n## Dimensions\n", "| dimension | meaning | billed | metered |", "|---|---|---|---|"]
    for name, item in DIMENSION_TABLE.items():
        billed = (
            "roll-up"
            if item.rollup
            else "lines"
            if item.charges
            else "restatements"
            if item.restated
            else "no"
        )
        parts.append(f"| {name} | {item.meaning} | {billed} | {'calls' if item.calls else 'no'} |")
    return "\n".join(parts) + "\n"


def _section(question: Question) -> str:
    rows = [f"\n## {question.id}\n", f"{question.title}. {question.notes}".rstrip(), ""]
    rows.append(f"- Basis: {', '.join(question.basis)}")
    rows.append(f"- Split by: {_names(question.dimensions)}")
    if question.filters != question.dimensions:
        rows.append(f"- Filtered by: {_names(question.filters)}")
    rows.append(f"- Measures: {', '.join(f'`{name}` ({kind})' for name, kind in question.measures.items())}")
    for name, ratio in question.ratios.items():
        times = f" × {ratio.times:,}" if ratio.times != 1 else ""
        floor = f", empty below {ratio.at_least:,} {ratio.per}" if ratio.at_least else ""
        rows.append(f"- `{name}` = {ratio.of} / {ratio.per}{times}{floor}")
    if question.limit is not None:
        rows.append(f"- At most {question.limit} rows unless a limit is given")
    return "\n".join(rows)


def _names(names: tuple[str, ...]) -> str:
    if set(names) == {name for name, item in DIMENSION_TABLE.items() if item.charges or item.calls}:
        return "every dimension"
    if set(names) == {name for name, item in DIMENSION_TABLE.items() if item.charges}:
        return "every dimension of bills"
    if set(names) == {name for name, item in DIMENSION_TABLE.items() if item.calls}:
        return "every dimension of calls"
    return ", ".join(names) or "nothing"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
