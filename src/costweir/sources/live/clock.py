"""The one sentence for a signature that a provider refuses because of the time in it."""

from __future__ import annotations

from datetime import UTC, datetime

from costweir.errors import NotAllowed


def wrong_clock(who: str) -> NotAllowed:
    """What `who` refuses is not the credentials, so that nobody renews them for nothing."""
    return NotAllowed(
        f"The clock of this machine is wrong, and {who} refuses what it signs.",
        hint=f"It says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Set it by NTP; the credentials may be fine.",
    )
