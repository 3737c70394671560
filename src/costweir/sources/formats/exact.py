"""SQL for products and ratios of money that stay exact: DuckDB divides decimals as binary floats, which law
L10 forbids.

Both work on whole numbers inside a HUGEINT and round half away from zero, once, at the 18th place.
"""

from __future__ import annotations

from costweir.sources.formats.nested import bound

#: A divisor keeps 15 places, as many as a rate that was a double can carry.
_RATE = "DECIMAL(38, 15)"
_RATE_LIMITS = "BETWEEN 0.000001 AND 100000000"
#: Prices and quantities of a product keep 12 places each.
_FACTOR = "DECIMAL(38, 12)"
_FACTOR_LIMIT = "1000000000000"


def ratio(amount: str, divisor: str) -> str:
    """SQL for `amount / divisor` as DECIMAL(38, 18).

    NULL when either is NULL, when the result does not fit, or when the divisor is outside 0.000001 ...
    100,000,000, which no currency rate or block of units is.
    """
    scale = "1000000000000000::HUGEINT"
    scaled = f"((w.a // w.d) * {scale} + (2 * (w.a % w.d) * {scale} + w.d) // (2 * w.d))"
    digits = f"{{'a': {_whole('abs(r.a)', 'DECIMAL(38, 18)')}, 'd': {_whole('r.d', _RATE)}}}"
    whole = bound(digits, "w", _money(scaled))
    checked = f"CASE WHEN r.d {_RATE_LIMITS} THEN try({whole}) * sign(r.a)::INTEGER END"
    return bound(f"{{'a': {amount}, 'd': {divisor}}}", "r", checked)


def product(price: str, quantity: str) -> str:
    """SQL for `price * quantity` as DECIMAL(38, 18); both are read with 12 places.

    NULL when either is NULL or not below one million million.
    """
    scale = "1000000000000::HUGEINT"
    scaled = f"(w.p * (w.q // {scale}) * 1000000 + (w.p * (w.q % {scale}) + 500000) // 1000000)"
    digits = f"{{'p': {_whole('abs(f.p)', _FACTOR)}, 'q': {_whole('abs(f.q)', _FACTOR)}}}"
    whole = bound(digits, "w", _money(scaled))
    small = (
        f"abs(f.p) < {_FACTOR_LIMIT} AND abs(f.q) < {_FACTOR_LIMIT} AND abs(f.p::DOUBLE * f.q::DOUBLE) < 1e18"
    )
    checked = f"CASE WHEN {small} THEN {whole} * (sign(f.p) * sign(f.q))::INTEGER END"
    return bound(f"{{'p': {price}, 'q': {quantity}}}", "f", checked)


def _whole(sql: str, kind: str) -> str:
    """The digits of a decimal as a whole number; the text of a DECIMAL always shows all its places."""
    return f"replace(({sql})::{kind}::VARCHAR, '.', '')::HUGEINT"


def _money(scaled: str) -> str:
    """A whole number of 10^-18 as money."""
    return f"({scaled}::DECIMAL(38, 0) * 0.000000000000000001::DECIMAL(18, 18))"
