"""What people set and the system remembers: customers, plans, budgets, annotations, runs and saved views. What
people set is never lost: a load, a new configuration file or a crash leaves it as it was."""

from __future__ import annotations

from costweir.control.annotations import Annotation
from costweir.control.approvals import Approval
from costweir.control.control import Control
from costweir.control.directory import Budget, Customer, Plan
from costweir.control.runs import Outcome, Run
from costweir.control.views import SavedView

__all__ = ["Annotation", "Approval", "Budget", "Control", "Customer", "Outcome", "Plan", "Run", "SavedView"]
