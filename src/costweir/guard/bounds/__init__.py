"""The worst case of a request: what a provider may bill for it at most, before it is sent (laws L1, L5, L10).

`read` takes a body apart once, `plan` bounds it for one model, `cost_of` prices what was used. What a field, a tool or
a part of a message can cost is data, in `data/`.
"""

from costweir.guard.bounds.bound import Bound, plan
from costweir.guard.bounds.exact import counted
from costweir.guard.bounds.pricing import Cost
from costweir.guard.bounds.reading import read
from costweir.guard.bounds.shape import Format, Shape
from costweir.guard.bounds.terms import ModelTerms, compile_terms, cost_of

__all__ = [
    "Bound",
    "Cost",
    "Format",
    "ModelTerms",
    "Shape",
    "compile_terms",
    "cost_of",
    "counted",
    "plan",
    "read",
]
