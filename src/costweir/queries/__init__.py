"""The catalogue: every question once, as SQL with typed parameters, answered the same for every face (law
L4)."""

from costweir.queries.question import catalogue

__all__ = ["catalogue"]
