"""SQL for products and ratios of money that stay exact: DuckDB divides decimals as binary floats, which law
L10 forbids.

Both work on whole numbers inside a HUGEINT and round half away from zero, once, at the 18th place.
"""

from __future__ import annotations

#: A divisor keeps 15 places, as many as a rate that was a double can carry.
_RATE = "DECIMAL(38, 15)"
_RATE_LIMITS = "BETWEEN 0.000001 AND 100000000"
#: Prices and quantities of a product keep 12 places each.
_FACTOR = "DECIMAL(38, 12)"
_FACTOR_LIMIT = "1000000000000"


def ratio(amount: str, divisor: str) -> str:
    """SQL for `amount / divisor` as DECIMAL(38, 18).

    NULL when either is NULL or when the divisor is outside 0.000001 ... 100,000,000, which no currency rate
    or block of units is.
    """
    n, d = _whole(f"abs({amount})", "DECIMAL(38, 18)"), _whole(divisor, _RATE)
    scale = "1000000000000000::HUGEINT"
    scaled = f"(({n} // {d}) * {scale} + (2 * ({n} % {d}) * {scale} + {d}) // (2 * {d}))"
    return f"CASE WHEN {divisor} {_RATE_LIMITS} THEN {_money(scaled)} * sign({amount})::INTEGER END"


def product(price: str, quantity: str) -> str:
    """SQL for `price * quantity` as DECIMAL(38, 18); both are read with 12 places.

    NULL when either is NULL or not below one million million.
    """
    p, q = _whole(f"abs({price})", _FACTOR), _whole(f"abs({quantity})", _FACTOR)
    scale = "1000000000000::HUGEINT"
    scaled = f"({p} * ({q} // {scale}) * 1000000 + ({p} * ({q} % {scale}) + 500000) // 1000000)"
    small = f"abs({price}) < {_FACTOR_LIMIT} AND abs({quantity}) < {_FACTOR_LIMIT}"
    fits = f"{small} AND abs({price}::DOUBLE * {quantity}::DOUBLE) < 1e18"
    return f"CASE WHEN {fits} THEN {_money(scaled)} * (sign({price}) * sign({quantity}))::INTEGER END"


def _whole(sql: str, kind: str) -> str:
    """The digits of a decimal as a whole number; the text of a DECIMAL always shows all its places."""
    return f"replace(({sql})::{kind}::VARCHAR, '.', '')::HUGEINT"


def _money(scaled: str) -> str:
    """A whole number of 10^-18 as money."""
    return f"({scaled}::DECIMAL(38, 0) * 0.000000000000000001::DECIMAL(18, 18))"
