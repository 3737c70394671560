"""The ledger: decides, holds, settles and releases, so that no budget is overspent (laws L1, L2, L3, L8, L10)."""

from __future__ import annotations

from costweir.guard.ledgers.front import Start
from costweir.guard.opening import open_ledger

__all__ = ["Start", "open_ledger"]
