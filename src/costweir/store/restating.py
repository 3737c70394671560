"""The statements by which a replace or a remap keeps what it changed: sums before, sums after, and a row where they
differ.

They run inside the transaction of the change, so an adjustment is there exactly when its change is (laws L2, L6).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from costweir.store.schema import SLOT_FILTER, slot_params
from costweir.store.warehouse import Load, Parameter

_KEY = (
    "usage_date", "usage_month", "x_model", "x_token_class", "charge_category", "billing_currency", "x_has_usd",
)  # fmt: skip
_ZERO = "CAST(0 AS DECIMAL(38,18))"
_NONE = "CAST(0 AS DECIMAL(38,12))"
_OF_SLOT = SLOT_FILTER.replace("x_", "f.x_")
#: Where an earlier load stored nothing, every day is new.
_NEVER = date(1, 1, 1)

#: The run, the last day and the reader of what is stored for a slot.
EARLIER_LOAD = (
    f"SELECT l.x_run_id, l.last_day, l.x_source FROM loads AS l WHERE {SLOT_FILTER.replace('x_', 'l.x_')}"  # noqa: S608
)

_SUMS = (
    f"SELECT {', '.join(f'f.{name}' for name in _KEY)}, SUM(f.billed_cost) AS billed, "  # noqa: S608
    "COALESCE(SUM(f.x_billed_usd), 0) AS usd, COALESCE(SUM(f.x_tokens), 0) AS tokens "
    "FROM charges_daily AS f WHERE {where} "
    f"GROUP BY {', '.join(f'f.{name}' for name in _KEY)}"
)

#: Keeps the sums of the slot aside; the first has no parameters, because not every engine takes them there.
REMEMBER = (
    f"CREATE TEMP TABLE replaced AS {_SUMS.format(where='1 = 0')}",
    f"INSERT INTO replaced {_SUMS.format(where=_OF_SLOT)}",
)

#: Writes a row where the sums differ from those that were kept aside. Takes `parameters`.
RESTATE = (
    "INSERT INTO restatements (x_run_id, x_replaced_run_id, x_provider, x_source, x_account, x_period, "  # noqa: S608
    f"{', '.join(_KEY)}, x_change, billed_before, billed_after, usd_before, usd_after, "
    "tokens_before, tokens_after, restated_at, restated_on) "
    "SELECT $run, $replaced, $provider, $source, $account, $period, "
    f"{', '.join(f'd.{name}' for name in _KEY)}, "
    "CASE WHEN d.usage_date > $last THEN 'new day' ELSE $change END, "
    "SUM(d.billed_before), SUM(d.billed_after), SUM(d.usd_before), SUM(d.usd_after), "
    "SUM(d.tokens_before), SUM(d.tokens_after), $at, $on FROM ("
    f"SELECT {', '.join(f'r.{name}' for name in _KEY)}, r.billed AS billed_before, {_ZERO} AS billed_after, "
    f"r.usd AS usd_before, {_ZERO} AS usd_after, r.tokens AS tokens_before, {_NONE} AS tokens_after "
    "FROM replaced AS r UNION ALL "
    f"SELECT {', '.join(f'f.{name}' for name in _KEY)}, {_ZERO}, f.billed_cost, {_ZERO}, "
    f"COALESCE(f.x_billed_usd, 0), {_NONE}, COALESCE(f.x_tokens, 0) FROM charges_daily AS f WHERE {_OF_SLOT}) AS d "
    f"GROUP BY {', '.join(f'd.{name}' for name in _KEY)} "
    "HAVING SUM(d.billed_before) <> SUM(d.billed_after) OR SUM(d.usd_before) <> SUM(d.usd_after) "
    "OR ($change = 'remapped' AND SUM(d.tokens_before) <> SUM(d.tokens_after))"
)

FORGET = "DROP TABLE replaced"


def parameters(load: Load, earlier: Sequence[object]) -> dict[str, Parameter]:
    """The parameters of `RESTATE` for a load that replaces `earlier`, a row of `EARLIER_LOAD`."""
    run, last, _ = earlier
    at: datetime = (
        load.loaded_at.astimezone(UTC).replace(tzinfo=None) if load.loaded_at.tzinfo else load.loaded_at
    )
    return {
        **slot_params(load.slot), "run": load.run_id, "replaced": str(run), "source": load.source,
        "last": last if isinstance(last, date) else _NEVER, "change": "restated", "at": at, "on": at.date(),
    }  # fmt: skip
