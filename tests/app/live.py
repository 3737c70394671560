"""A live source that writes FOCUS rows as JSON lines, page by page, and may be told to fail or to hang."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from costweir.sources.live.source import Checked, Fetched, Finding, Report, Window

PER_DAY = Decimal("1.25")


def line(day: date, cost: str = "1.25", account: str = "1") -> dict[str, str]:
    """One FOCUS line of an AI service on `day`."""
    following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return {
        "BilledCost": cost, "EffectiveCost": cost, "BillingAccountId": account, "BillingCurrency": "USD",
        "BillingPeriodStart": f"{day.replace(day=1)}T00:00:00Z", "BillingPeriodEnd": f"{following}T00:00:00Z",
        "ChargePeriodStart": f"{day}T00:00:00Z", "ChargePeriodEnd": f"{day + timedelta(days=1)}T00:00:00Z",
        "ChargeCategory": "Usage", "ServiceName": "Anthropic API", "ProviderName": "Anthropic",
        "ChargeDescription": "claude-sonnet-4-5 input tokens", "PricingUnit": "1M tokens", "PricingQuantity": "0.5",
    }  # fmt: skip


@dataclass
class FakeSource:
    """`errors` are raised by the first fetches, one each; `after_page` is called once the first page is written."""

    id: str = "fake"
    kind: str = "anthropic"
    last_day: date = date(2026, 11, 19)
    cost: str = "1.25"
    total: Decimal | None = None
    errors: list[Exception] = field(default_factory=list[Exception])
    after_page: Callable[[], None] = lambda: None
    windows: list[Window] = field(default_factory=list[Window])

    @property
    def usual_lag(self) -> timedelta:
        return timedelta(hours=24)

    def policy(self) -> str:
        return "allow reading"

    def check(self) -> Checked:
        return Checked((Finding(ok=True, text="It answers."),), "1", 20, date(2026, 11, 1), self.last_day)

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        self.windows.append(window)
        assert list(into.iterdir()) == [], "a try finds an empty folder"
        files: list[Path] = []
        for month, days in by_month(window, self.last_day):
            path = into / f"{month}.jsonl"
            with path.open("w", encoding="utf-8") as out:
                for number, day in enumerate(days):
                    out.write(json.dumps(line(day, self.cost)) + "\n")
                    if number == 0:
                        out.flush()
                        self.after_page()
                        if self.errors:
                            raise self.errors.pop(0)
            files.append(path)
            report(month, len(files), 0)
        return Fetched(
            tuple(files), "focus", window, self.total, "USD", len(files), Decimal("0.01") * len(files)
        )


def by_month(window: Window, last: date) -> Sequence[tuple[str, list[date]]]:
    """The days of the window that the source has, month by month."""
    found: dict[str, list[date]] = {}
    day = window.since
    while day < window.until and day <= last:
        found.setdefault(f"{day:%Y-%m}", []).append(day)
        day += timedelta(days=1)
    return list(found.items())


def hang() -> None:
    """Says that the first page is there and waits to be killed."""
    print("page", flush=True)
    time.sleep(60)
