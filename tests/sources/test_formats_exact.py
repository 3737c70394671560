"""Products and ratios in SQL are what exact arithmetic says, to the last place."""

from __future__ import annotations

import random
from decimal import ROUND_HALF_UP, Context, Decimal

import duckdb
import pytest

from costweir.sources.formats.exact import product, ratio

EXACT = Context(prec=100, rounding=ROUND_HALF_UP)
PLACE = Decimal(1).scaleb(-18)


def computed(sql: str, **values: Decimal | None) -> Decimal | None:
    terms = ", ".join(
        f"CAST({'NULL' if v is None else repr(str(v))} AS DECIMAL(38, 18)) AS {k}" for k, v in values.items()
    )
    with duckdb.connect() as db:
        row = db.execute(f"SELECT {sql} FROM (SELECT {terms})").fetchone()
    assert row is not None
    return row[0]


def test_ratios_and_products_agree_with_exact_arithmetic() -> None:
    chance = random.Random(20261120)

    def drawn(digits: int, places: int) -> Decimal:
        return Decimal(chance.randrange(-(10 ** (digits + places)), 10 ** (digits + places))).scaleb(-places)

    rows = [
        (
            drawn(chance.randrange(10), chance.randrange(19)),
            abs(drawn(chance.randrange(1, 6), chance.randrange(16))) or Decimal(1),
            drawn(chance.randrange(5), chance.randrange(13)),
            drawn(chance.randrange(8), chance.randrange(13)),
        )
        for _ in range(1500)
    ]
    with duckdb.connect() as db:
        values = ", ".join(f"({', '.join(repr(str(value)) for value in row)})" for row in rows)
        typed = "a::DECIMAL(38, 18) a, d::DECIMAL(38, 18) d, p::DECIMAL(38, 18) p, q::DECIMAL(38, 12) q"
        found = db.execute(
            f"SELECT a, d, p, q, {ratio('a', 'd')}, {product('p', 'q')} "
            f"FROM (SELECT {typed} FROM (VALUES {values}) v(a, d, p, q))"
        ).fetchall()
    assert len(found) == len(rows)
    for a, d, p, q, divided, multiplied in found:
        if d >= Decimal("0.000001"):
            assert divided == EXACT.divide(a, d).quantize(PLACE, context=EXACT), (a, d)
        assert multiplied == EXACT.multiply(p, q).quantize(PLACE, context=EXACT), (p, q)


@pytest.mark.parametrize(
    ("amount", "rate", "quotient"),
    [
        ("1", "3", "0.333333333333333333"),
        ("2", "3", "0.666666666666666667"),
        ("-2", "3", "-0.666666666666666667"),
        ("0.000000000000000001", "2", "0.000000000000000001"),
        ("99999999999.99", "1", "99999999999.99"),
        ("1", "0", None),
        ("1", "-1", None),
        ("1", "1000000000", None),
        ("99999999999999999999", "0.00001", None),
        ("1", None, None),
        (None, "1", None),
    ],
)
def test_a_ratio_without_a_sensible_divisor_is_null(
    amount: str | None, rate: str | None, quotient: str | None
) -> None:
    a, d = (None if text is None else Decimal(text) for text in (amount, rate))
    assert computed(ratio("a", "d"), a=a, d=d) == (None if quotient is None else Decimal(quotient))


def test_a_product_beyond_any_bill_is_null() -> None:
    assert computed(product("p", "q"), p=Decimal(10**12), q=Decimal(1)) is None
    assert computed(product("p", "q"), p=Decimal(10**11), q=Decimal(10**11)) is None
    assert computed(product("p", "q"), p=None, q=Decimal(1)) is None
