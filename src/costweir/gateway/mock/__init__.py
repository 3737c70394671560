"""A provider for trying things out: it answers like OpenAI and Anthropic, costs nothing, and keeps its own bill.

The bill is written by the mock alone, from what it generated; comparing it with the ledger is what
`costweir budget test` does. Faults make it misbehave on purpose, repeatably.
"""

from costweir.gateway.mock.bill import Bill, Line, Rates
from costweir.gateway.mock.faults import FAULTS, Faults
from costweir.gateway.mock.server import MockProvider

__all__ = ["FAULTS", "Bill", "Faults", "Line", "MockProvider", "Rates"]
