"""`costweir why`: explains one request by the ledger's own numbers, whether a server runs or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from costweir.cli.frame import Command, flags
from costweir.cli.output import columns, show_json, show_rows, show_table, write
from costweir.cli.rows import readable_rows
from costweir.cli.session import settings

if TYPE_CHECKING:
    from costweir.guard.why import Why

_ATTEMPTS = columns(
    ("attempt_id", "attempt"), "state", "model", ("held_usd", "held USD"), ("hold", "made of"),
    ("settled_usd", "settled USD"),
    ("debt_usd", "debt USD"), "usage", ("error_type", "error"), ("created_at", "created"),
)  # fmt: skip
_CANDIDATES = columns(
    "model", ("output_tokens", "output tokens"), ("needed_usd", "needed USD"), ("least_usd", "least USD"),
    ("fitting_output_tokens", "tokens that fit"), "reason",
)  # fmt: skip
_HOLDERS = columns(("request_id", "held by"), ("held_usd", "held USD"), ("expires_at", "until"))
_BUDGETS = columns(
    ("budget_id", "budget"), "scope", ("limit_usd", "limit USD"), ("settled_usd", "settled USD"),
    ("held_usd", "held USD"), ("debt_usd", "debt USD"), ("remaining_usd", "left now USD"), ("resets_at", "resets"),
)  # fmt: skip


@click.command(cls=Command)
@click.argument("request_id")
def why(*, request_id: str) -> None:
    """Explain a call or a refusal: what was held and settled, which budget said no, and what would have fitted.

    The id stands in every reply, in the header x-costweir-request-id.
    """
    found = _explained(request_id)
    record: Any = found.to_json()
    if flags().json:
        show_json({"schema": "costweir.why/1", **record})
    elif flags().csv:
        show_rows("why", readable_rows(record["attempts"]), _ATTEMPTS)
    else:
        write(f"{found.summary}\n")
        refusal: Any = record["refusal"]
        parts = [(record["attempts"], _ATTEMPTS)]
        if refusal is not None:
            parts += [(refusal["holders"], _HOLDERS), (refusal["candidates"], _CANDIDATES)]
        for rows, shown in [*parts, (record["budgets"], _BUDGETS)]:
            if rows:
                write("\n")
                show_table(readable_rows(rows), shown)


def _explained(request_id: str) -> Why:
    from costweir.app.budgets import ledger_file
    from costweir.guard.ledgers.reader import LedgerReader
    from costweir.guard.why import explain

    with LedgerReader(ledger_file(settings())) as reader:
        return explain(reader, request_id)
