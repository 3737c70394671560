"""Currency rates for bills that state none: those of the configuration file, and those of `rates.csv` in the data
directory, which another program may write every day."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from costweir.errors import ConfigError
from costweir.sources.staging.rates import key

if TYPE_CHECKING:
    from costweir.config import Settings

FILE_NAME = "rates.csv"
COLUMNS = ("date", "currency", "usd")
_CURRENCY = re.compile(r"[A-Z]{3}")
#: As many digits as a stored rate has.
_RATE = re.compile(r"\d{1,8}(\.\d{1,12})?")
_HINT = "Write lines such as 2026-10-01,EUR,1.0842 below the header date,currency,usd."


def rates(settings: Settings) -> dict[str, Decimal]:
    """Every rate by the key of `StageOptions.rates`; where both state one for a day, the configuration file wins.

    Raises ConfigError for a line of `rates.csv` that cannot be read.
    """
    found = {key(currency, since): usd for (currency, since), usd in read_rates(settings.data_dir).items()}
    return found | {key(rate.currency, rate.since): rate.usd for rate in settings.currency_rates}


def read_rates(folder: Path) -> dict[tuple[str, date], Decimal]:
    """US dollars for one unit, by currency and first day; nothing when there is no `rates.csv`."""
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", hint=_HINT) from error
    lines = _lines(text, path)
    header = next((tuple(cell.strip().lower() for cell in cells) for _, cells in lines), ())
    if header != COLUMNS:
        raise ConfigError(f"{path} line 1 is not the header {','.join(COLUMNS)}.", hint=_HINT)
    found: dict[tuple[str, date], Decimal] = {}
    for number, cells in lines:
        currency, since, usd = _line(cells, f"{path} line {number}")
        if (currency, since) in found:
            raise ConfigError(
                f"{path} line {number} has a second rate of {currency} for {since}.", hint="Keep one."
            )
        found[currency, since] = usd
    return found


def _lines(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines that hold something, each with its number."""
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        for cells in lines:
            if any(cell.strip() for cell in cells):
                yield lines.line_num, cells
    except csv.Error as error:
        raise ConfigError(f"{path} line {lines.line_num} is not CSV: {error}.", hint=_HINT) from error


def _line(cells: list[str], place: str) -> tuple[str, date, Decimal]:
    if len(cells) != len(COLUMNS):
        raise ConfigError(f"{place} has {len(cells)} values instead of {len(COLUMNS)}.", hint=_HINT)
    day, currency, usd = (cell.strip() for cell in cells)
    try:
        since = date.fromisoformat(day)
    except ValueError:
        since = None
    # fromisoformat also takes 20261001, which another program would not write here
    if since is None or since.isoformat() != day:
        raise ConfigError(f"{place}: {day!r} is not a day.", hint=_HINT)
    if not _CURRENCY.fullmatch(currency):
        raise ConfigError(f"{place}: {currency!r} is not a currency code.", hint=_HINT)
    if currency == "USD":
        raise ConfigError(f"{place}: a US dollar is always worth one.", hint="Take the line out.")
    if not _RATE.fullmatch(usd) or not Decimal(usd):
        raise ConfigError(f"{place}: {usd!r} is not a rate above zero.", hint=_HINT)
    return currency, since, Decimal(usd)
