"""A second look at a call whose bytes did not fit into a budget: its texts are counted, beside the loop, and only where
that can change the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from costweir.gateway.roster import Served
from costweir.guard.bounds import Bound, Shape, counted, plan
from costweir.guard.ledger import Refusal

#: No text of some length has fewer tokens than its bytes through this; a call that does not fit even so is not counted.
BYTES_OF_TOKEN_AT_MOST = 8


async def tighter(
    shape: Shape, models: Sequence[Served], bounds: Sequence[Bound], refusal: Refusal
) -> list[Bound]:
    """The bounds of a call, each with its texts counted where the model's tokenizer is known."""
    if not _may_fit(shape, bounds[0], refusal):
        return list(bounds)
    names = {model.terms.tokenizer for model in models} - {""}
    shapes = {name: await asyncio.to_thread(counted, shape, name) for name in names}
    return [
        plan(shapes[model.terms.tokenizer], model.terms) if model.terms.tokenizer else bound
        for model, bound in zip(models, bounds, strict=True)
    ]


def _may_fit(shape: Shape, bound: Bound, refusal: Refusal) -> bool:
    """Whether the smallest answer to the fewest tokens that the text may have would fit."""
    if refusal.limit is None:
        return False
    room = refusal.limit - refusal.settled - refusal.held
    least = bound.fixed * (shape.estimate * 4 // BYTES_OF_TOKEN_AT_MOST) // max(1, shape.text)
    return least + bound.floor * bound.output_rate <= room
