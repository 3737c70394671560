"""What a bill format is: how to recognise it by its header, and which SQL over its columns gives each charge
column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

#: Header of a bill: column name as it stands in the file, to DuckDB type (VARCHAR for everything in a CSV).
Header = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BillFile:
    """One file that was found: where it is, what it is, and what its surroundings say about it.

    `run` is the provider's own run or assembly id where a manifest or folder names one, `run_at` when that
    run started. `modified` is when the file was last written, where the store tells. `header` is empty until
    the file was looked into.
    """

    path: PurePosixPath
    url: str
    size: int
    content_hash: str
    header: Header = field(default_factory=dict[str, str])
    run: str = ""
    run_at: datetime | None = None
    modified: datetime | None = None


def keep_all(files: Sequence[BillFile]) -> Sequence[BillFile]:
    """The default for formats that have no superseded runs."""
    return files


@dataclass(frozen=True, slots=True)
class Format:
    """One way a bill is written.

    `columns` maps names of `CHARGE_COLUMNS` to DuckDB SQL expressions over the raw relation; a name that is
    absent becomes NULL. It may also give these inputs, which are not stored:

    - `line_service, line_text, line_unit, line_region, line_unit_price`: what the classifier sees;
    - `line_quantity`: how many of `line_unit` were used, where that is not `pricing_quantity`;
    - `line_usd_rate`: US dollars for one unit of the billing currency, where the bill states its own rate;
    - `line_tags`: the tags as a MAP of texts, instead of `tags`, which is then written from it;
    - `line_facts`: a JSON object with `ModelId, ModelDeveloper, TokenDirection, TokenCacheAction,
      ServiceCategory, ServiceSubcategory`, where the bill itself says so.

    `x_provider`, `x_account` and `x_period` default to `provider`, the billing account and the billing month.
    Expressions may use the macros of `staging/macros.sql`: `txt(x)` (trimmed, NULL texts are null),
    `amount(x)` (money), `qty(x)`, `instant(x)` and `bill_day(x)`, which give NULL for what cannot be read.
    Columns have to be written as quoted identifiers, because only columns that are named there are read.
    `keep` drops the files of runs that a newer run supersedes. `needs` lists the columns without which the
    format cannot be read, each with its other spellings; it is what an error message names.
    """

    source: str
    provider: str
    recognise: Callable[[Header], bool]
    columns: Callable[[Header], Mapping[str, str]]
    keep: Callable[[Sequence[BillFile]], Sequence[BillFile]] = keep_all
    needs: Sequence[tuple[str, ...]] = ()

    def missing(self, header: Header) -> tuple[str, ...]:
        """The needed columns that `header` has in no spelling; letter case, blanks and signs do not count."""
        there = {plain(name) for name in header}
        return tuple(names[0] for names in self.needs if not any(plain(name) in there for name in names))


#: What the classifier and the staging see of a line besides the charge columns.
LINE_INPUTS = (
    "line_service", "line_text", "line_unit", "line_region", "line_unit_price", "line_quantity", "line_usd_rate",
    "line_facts", "line_tags",
)  # fmt: skip


def plain(name: str) -> str:
    """A column name without letter case, blanks and signs: `lineItem/UsageType` and `line_item_usage_type`
    agree."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"
