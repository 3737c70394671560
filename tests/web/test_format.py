"""Numbers, money, dates and deltas look as the design language says."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.web import format as f

TODAY = date(2026, 11, 18)


def d(text: str) -> Decimal:
    return Decimal(text)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (f.money(d("3842.17")), "$3,842.17"),
        (f.money(d("3842.165")), "$3,842.17"),
        (f.money(d("0.4479")), "$0.4479"),
        (f.money(d("0.44791"), places=2), "$0.45"),
        (f.money(d("0.00001")), "<$0.0001"),
        (f.money(d("0.004"), places=2), "<$0.01"),
        (f.money(d("-0.004"), places=2), "−<$0.01"),
        (f.money(d("0")), "$0.00"),
        (f.money(d("0"), places=4), "$0.00"),
        (f.money(d("-150")), "−$150.00"),
        (f.money(d("1204"), "EUR"), "EUR 1,204.00"),
        (f.money_round(d("6500")), "$6,500"),
        (f.money_round(d("6500.5")), "$6,500.50"),
        (f.money_range(d("6450.4"), d("6989.6")), "$6,450–6,990"),
        (f.money_range(d("6.4"), d("6.9")), "$6.40–6.90"),
        (f.signed(d("412.06")), "+$412.06"),
        (f.signed(d("-3.26")), "−$3.26"),
        (f.signed(d("0")), "$0.00"),
        (f.percent(d("119.11"), d("3842.17")), "3.1%"),
        (f.percent(d("1"), d("0")), "–"),
        (f.percent(d("1"), d("100000")), "<0.1%"),
        (f.ratio(d("0.99667"), places=2), "99.67%"),
        (f.change_percent(d("3842.17"), d("3430.11")), "+12.0%"),
        (f.change_percent(d("5"), d("0.5")), ""),
        (f.change_percent(d("98.3"), d("100")), "−1.7%"),
        (f.points(d("0.011")), "+1.1 pt"),
        (f.points(d("-0.011")), "−1.1 pt"),
        (f.count(d("136210")), "136,210"),
        (f.short_count(1_400_000), "1.4 M"),
        (f.short_count(136_210), "136 k"),
        (f.short_count(812), "812"),
        (f.short_count(2_500_000_000), "2.5 B"),
        (f.per_million(d("3")), "$3.00"),
        (f.per_million(d("0.075")), "$0.0750"),
        (f.per_thousand(d("0.003")), "$0.00300"),
        (f.per_thousand(d("0.000001")), "<$0.00001"),
        (f.day(date(2026, 11, 18), today=TODAY), "18 Nov"),
        (f.day(date(2025, 11, 18), today=TODAY), "18 Nov 2025"),
        (f.days(date(2026, 11, 1), date(2026, 11, 18), today=TODAY), "1–18 Nov"),
        (f.days(date(2026, 10, 28), date(2026, 11, 3), today=TODAY), "28 Oct–3 Nov"),
        (f.days(date(2025, 12, 1), date(2026, 1, 3), today=TODAY), "1 Dec 2025–3 Jan 2026"),
        (f.days(date(2025, 3, 1), date(2025, 4, 3), today=TODAY), "1 Mar–3 Apr 2025"),
        (f.days(date(2026, 11, 1), date(2026, 11, 1), today=TODAY), "1 Nov"),
        (f.month(date(2026, 11, 1)), "November 2026"),
        (f.instant("2026-11-18T09:52:41Z", today=TODAY), "18 Nov, 09:52 UTC"),
        (f.instant("2026-11-18T09:52:41+02:00", today=TODAY), "18 Nov, 07:52 UTC"),
        (f.instant("never", today=TODAY), "never"),
        (f.age(timedelta(seconds=399)), "6 min 39 s"),
        (f.age(timedelta(hours=2)), "2 h"),
        (f.age(timedelta(days=12)), "12 d"),
        (f.age(timedelta(0)), "0 s"),
        (f.plural(1, "customer"), "1 customer"),
        (f.plural(1204, "call"), "1,204 calls"),
        (f.plural(2, "entry", "entries"), "2 entries"),
    ],
)
def test_each_rule_of_the_number_table(shown: str, text: str) -> None:
    assert shown == text


def test_a_delta_names_its_amount_percent_and_base() -> None:
    up = f.delta(d("3842.17"), d("3430.11"), base="1–18 Oct")
    assert (up.text, up.arrow) == ("+$412.06 (+12.0%) vs 1–18 Oct", "▲")
    assert f.delta(d("5"), d("0.5"), base="1–18 Oct").text == "+$4.50 vs 1–18 Oct"
    assert f.delta(d("5"), d("5"), base="1–18 Oct").arrow == ""


def test_a_column_has_one_precision() -> None:
    assert f.money_places([d("0.2"), d("0.00004")]) == 4
    assert f.money_places([d("0.2"), d("-12")]) == 2
    assert f.money_places([]) == 2


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9))
def test_only_zero_looks_like_zero(amount: Decimal) -> None:
    for places in (None, 2, 4):
        text = f.money(amount, places=places)
        digits = text.strip("−<$").replace(",", "")
        assert (Decimal(digits) == 0) == (amount == 0)
