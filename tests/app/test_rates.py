"""Currency rates from a file: read exactly, used for the month they hold in, and refused by line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.conftest import NOVA

from costweir import app, config
from costweir.app.rates import rates, read_rates
from costweir.errors import ConfigError

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        (tmp_path / "rates.csv").write_text(text, encoding="utf-8")
        return tmp_path

    return put


def settings_of(folder: Path, text: str = "") -> config.Settings:
    (folder / "costweir.toml").write_text(text, encoding="utf-8")
    return config.load(path=folder / "costweir.toml", environ={}, overrides={"data_dir": str(folder)})


def test_a_file_is_read_to_the_last_digit(write: Write) -> None:
    folder = write(
        "\ufeffDate,Currency,USD\r\n2026-10-01,EUR,1.084200000001\r\n\r\n2026-10-01, JPY ,0.0066\r\n"
    )

    assert read_rates(folder) == {
        ("EUR", date(2026, 10, 1)): Decimal("1.084200000001"),
        ("JPY", date(2026, 10, 1)): Decimal("0.0066"),
    }


def test_without_a_file_there_are_the_rates_of_the_configuration(tmp_path: Path) -> None:
    chosen = settings_of(
        tmp_path, 'currency_rates = [ { currency = "EUR", usd = "1.1", since = "2026-01-01" } ]'
    )

    assert rates(chosen) == {"EUR@2026-01-01": Decimal("1.1")}


def test_the_configuration_wins_over_the_file(write: Write) -> None:
    folder = write("date,currency,usd\n2026-01-01,EUR,1.2\n2026-02-01,EUR,1.3\n")
    chosen = settings_of(
        folder, 'currency_rates = [ { currency = "EUR", usd = "1.1", since = "2026-01-01" } ]'
    )

    assert rates(chosen) == {"EUR@2026-01-01": Decimal("1.1"), "EUR@2026-02-01": Decimal("1.3")}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1 is not the header"),
        ("day,currency,usd\n", "line 1 is not the header"),
        ("date,currency,usd\n\n2026-10-01,EUR\n", "line 3 has 2 values"),
        ("date,currency,usd\n2026-13-01,EUR,1.1\n", "line 2: '2026-13-01' is not a day"),
        ("date,currency,usd\n20261001,EUR,1.1\n", "line 2: '20261001' is not a day"),
        ("date,currency,usd\n2026-10-01,eur,1.1\n", "line 2: 'eur' is not a currency"),
        ("date,currency,usd\n2026-10-01,USD,1\n", "line 2: a US dollar"),
        ("date,currency,usd\n2026-10-01,EUR,0\n", "line 2: '0' is not a rate"),
        ("date,currency,usd\n2026-10-01,EUR,1e3\n", "line 2: '1e3' is not a rate"),
        ('date,currency,usd\n2026-10-01,EUR,"1,1"\n', "line 2: '1,1' is not a rate"),
        ("date,currency,usd\n2026-10-01,EUR,1.1\n2026-10-01,EUR,1.2\n", "line 3 has a second rate of EUR"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(write: Write, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_rates(write(text))
    assert "rates.csv" in caught.value.message


def bill(folder: Path, month: str, **given: str) -> Path:
    line = NOVA | {
        "lineItem/CurrencyCode": "EUR", "lineItem/UnblendedCost": "10.00",
        "bill/BillingPeriodStartDate": f"{month}-01T00:00:00Z", "lineItem/UsageStartDate": f"{month}-05T14:00:00Z",
        "lineItem/UsageEndDate": f"{month}-05T15:00:00Z", **given,
    }  # fmt: skip
    path = folder / f"bill-{month}.csv"
    header = ",".join(line)
    path.write_text(f"{header}\n{','.join(line.values())}\n".replace("Amazon Web Services, Inc.", "AWS"))
    return path


def pulled(folder: Path, *paths: Path) -> tuple[list[str], dict[str, str]]:
    """The status of each load, and the US dollars of each month."""
    from costweir.queries.request import Request

    with app.open_desk(settings_of(folder)) as desk:
        loads: list[Any] = list(desk.pull_files([str(path) for path in paths]))
        answer = desk.ask(Request("spend", by=("month",), currency="USD"))
    return [row["status"] for row in loads], {
        str(row["month"]): str(row["billed_cost"]) for row in answer.rows
    }


def test_a_bill_takes_the_newest_rate_of_its_month_and_one_before_all_rates_takes_none(write: Write) -> None:
    folder = write("date,currency,usd\n2026-08-15,EUR,1.1\n2026-09-30,EUR,1.2\n2026-10-01,EUR,1.3\n")
    months = [bill(folder, month) for month in ("2026-07", "2026-08", "2026-09", "2026-10")]

    statuses, dollars = pulled(folder, *months)

    assert statuses == ["loaded"] * 4
    assert dollars == {"2026-08": "11.00", "2026-09": "12.00", "2026-10": "13.00"}


def test_a_corrected_rate_loads_its_month_again_and_no_other(write: Write) -> None:
    folder = write("date,currency,usd\n2026-09-01,EUR,1.1\n")
    months = [bill(folder, month) for month in ("2026-09", "2026-10")]
    assert pulled(folder, *months)[0] == ["loaded", "loaded"]
    assert pulled(folder, *months)[0] == ["unchanged", "unchanged"]

    write("date,currency,usd\n2026-09-01,EUR,1.1\n2026-10-01,EUR,1.3\n")

    assert pulled(folder, *months) == (["unchanged", "loaded"], {"2026-09": "11.00", "2026-10": "13.00"})
