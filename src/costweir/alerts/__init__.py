"""Alerts: rules that see what is wrong with the data, and channels that tell people once when it begins and once when
it ends."""

from __future__ import annotations

from costweir.alerts.delivery import deliver_due, send_test
from costweir.alerts.rules_tables import Watched
from costweir.alerts.watch import watch

__all__ = ["Watched", "deliver_due", "send_test", "watch"]
