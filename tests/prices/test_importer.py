"""The import only appends: the same data adds nothing, newer data adds rows, what was priced stays priced."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from costweir.domain.usage import Usage
from costweir.prices.book import Book
from costweir.prices.importer import DATA, import_all, import_provider, main, render
from costweir.prices.table import parse_list

FIRST, SECOND = date(2026, 1, 10), date(2026, 2, 10)
EMPTY: dict[str, Any] = {"provider": "", "sources": {}, "order": [], "models": [], "rates": []}


def _vendor(*models: ModelInfo) -> Provider:
    return Provider(
        id="v", name="V", api_pattern="v", pricing_urls=["https://v.example/prices"], models=list(models)
    )


def _model(prices: Any, name: str = "m", variants: list[PriceVariant] | None = None) -> ModelInfo:
    return ModelInfo(id=name, match=ClauseEquals(name), prices=prices, price_variants=variants)


def _flat(amount: str) -> ModelPrice:
    return ModelPrice(input_mtok=Decimal(amount))


def _dated(day: date, amount: str) -> ConditionalPrice:
    return ConditionalPrice(StartDateConstraint(day), prices=_flat(amount))


def _after(*snapshots: tuple[date, Provider]) -> dict[str, Any]:
    raw = EMPTY
    for day, vendor in snapshots:
        raw = import_provider(vendor, raw, known_from=day, source=f"test {day}")
    return raw


def _input(raw: dict[str, Any], on: date, known_on: date | None = None, **terms: Any) -> Decimal | None:
    book = Book([parse_list(raw)])
    return book.price(
        Usage(input=1_000_000), model="m", provider="v", on=on, known_on=known_on, **terms
    ).amount


def test_the_shipped_table_is_what_the_installed_release_says(tmp_path: Path) -> None:
    shutil.copytree(DATA, tmp_path / "data")
    before = {path.name: path.read_bytes() for path in DATA.iterdir()}
    assert import_all(providers, tmp_path / "data", known_from=date(2027, 1, 5), source="again") == {}
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()} == before


def test_importing_twice_on_one_day_writes_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--folder", str(tmp_path / "data"), "--known-from", "2026-11-20"]
    assert main(arguments) == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    assert main(arguments) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()} == first
    assert "0 new rows" in capsys.readouterr().out.splitlines()[-1]


def test_a_change_without_a_day_counts_from_the_day_it_was_seen() -> None:
    raw = _after((FIRST, _vendor(_model(_flat("3")))), (SECOND, _vendor(_model(_flat("2")))))
    assert _input(raw, date(2026, 2, 9)) == Decimal(3)
    assert _input(raw, SECOND) == Decimal(2)
    assert _input(raw, SECOND, known_on=date(2026, 2, 9)) == Decimal(3)


def test_a_dated_change_that_is_learned_late_counts_from_its_day() -> None:
    news = _model([ConditionalPrice(prices=_flat("3")), _dated(date(2026, 1, 20), "2")])
    raw = _after((FIRST, _vendor(_model(_flat("3")))), (SECOND, _vendor(news)))
    assert _input(raw, date(2026, 1, 19)) == Decimal(3)
    assert _input(raw, date(2026, 1, 20)) == Decimal(2)
    assert _input(raw, date(2026, 1, 20), known_on=date(2026, 2, 9)) == Decimal(3)


def test_a_price_for_the_future_waits_for_its_day() -> None:
    news = _model([ConditionalPrice(prices=_flat("2.5")), _dated(date(2027, 1, 1), "5")])
    raw = _after((FIRST, _vendor(_model(_flat("3")))), (SECOND, _vendor(news)))
    assert [_input(raw, day) for day in (date(2026, 2, 9), SECOND, date(2026, 12, 31), date(2027, 1, 1))] == [
        Decimal(3), Decimal("2.5"), Decimal("2.5"), Decimal(5),
    ]  # fmt: skip


def test_a_dated_price_that_the_source_takes_back_ends_on_the_day_it_was_seen() -> None:
    old = _model([ConditionalPrice(prices=_flat("3")), _dated(date(2026, 1, 5), "2")])
    raw = _after((FIRST, _vendor(old)), (SECOND, _vendor(_model(_flat("3")))))
    assert [_input(raw, day) for day in (date(2026, 1, 4), date(2026, 2, 9), SECOND)] == [
        Decimal(3),
        Decimal(2),
        Decimal(3),
    ]


def test_a_model_that_the_source_drops_has_no_price_from_then_on() -> None:
    raw = _after((FIRST, _vendor(_model(_flat("3")))), (SECOND, _vendor(_model(_flat("1"), "other"))))
    assert _input(raw, date(2026, 2, 9)) == Decimal(3)
    assert _input(raw, SECOND) is None
    assert _after((FIRST, _vendor()), (SECOND, _vendor()))["rates"] == []


def test_no_row_is_ever_edited_or_moved() -> None:
    first = _after((FIRST, _vendor(_model(_flat("3")))))
    second = import_provider(
        _vendor(_model(_flat("2")), _model(_flat("1"), "n")), first, known_from=SECOND, source="b"
    )
    assert second["rates"][: len(first["rates"])] == first["rates"]
    assert second["models"][: len(first["models"])] == first["models"]
    assert len(second["rates"]) == len(first["rates"]) + 2


def test_tiers_bands_and_hours_become_conditions() -> None:
    banded = ModelPrice(input_mtok=TieredPrices(base=Decimal(1), tiers=[Tier(start=100, price=Decimal(2))]))
    night = TimeOfDateConstraint(start_time=time(20, tzinfo=UTC), end_time=time(4, tzinfo=UTC))
    model = _model(
        [ConditionalPrice(prices=banded), ConditionalPrice(night, prices=_flat("0.5"))],
        variants=[
            PriceVariant({"service_tier": "default"}, ModelPrice()),
            PriceVariant({"processing": "batch"}, _flat("0.25"), StartDateConstraint(SECOND)),
        ],
    )
    rates = _after((FIRST, _vendor(model)))["rates"]
    assert [{name: row[name] for name in row if name not in ("source", "known_from")} for row in rates] == [
        {"model": "m", "rates": {"input": "1"}, "bands": [{"above": 100, "rates": {"input": "2"}}]},
        {"model": "m", "hours": "20:00-04:00", "rates": {"input": "0.5"}},
        {"model": "m", "effective": "2026-02-10", "tier": "batch", "rates": {"input": "0.25"}},
    ]


def test_a_unit_without_a_bucket_stops_the_import() -> None:
    with pytest.raises(ValueError, match="input_gpixels"):
        _after((FIRST, _vendor(_model(ModelPrice(input_gpixels=Decimal(1))))))


def test_every_row_is_one_line() -> None:
    text = render(_after((FIRST, _vendor(_model(_flat("3")), _model(_flat("1"), "n")))))
    assert sum('"rates":{' in line for line in text.splitlines()) == 2
    assert json.loads(text)["provider"] == ""
