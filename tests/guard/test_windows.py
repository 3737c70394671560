"""Windows tile time: each instant lies in one, none overlap, whatever the clocks of a zone do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.guard.clock import CORRECTION, Clock
from costweir.guard.windows import DAY, SECOND, PerSession, Rolling, Total, instant, nanoseconds, parse

#: Zones with midnight changes, quarter hours, skipped days and none of it.
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe",
    "Pacific/Apia", "America/Havana", "Asia/Beirut", "Africa/Cairo", "America/Asuncion", "Pacific/Chatham",
)  # fmt: skip
INSTANTS = st.integers(
    nanoseconds(datetime(1995, 1, 1, tzinfo=UTC)), nanoseconds(datetime(2040, 1, 1, tzinfo=UTC))
)


def at(text: str, zone: str = "UTC") -> int:
    return nanoseconds(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


@given(now=INSTANTS, zone=st.sampled_from(ZONES), kind=st.sampled_from(["day", "week", "month"]))
def test_calendar_windows_tile_time(now: int, zone: str, kind: str) -> None:
    span = parse(kind, zone)
    window = span.at(now)
    assert window.end is not None

    assert window.start <= now < window.end
    assert span.at(window.start) == span.at(window.end - 1) == window
    following = span.at(window.end)
    assert following.start == window.end
    assert following.id != window.id
    assert span.at(window.start - 1).end == window.start
    # Attempts are counted by quarters of an hour when a limit is new.
    assert window.start % (900 * SECOND) == 0


@pytest.mark.parametrize(
    ("text", "zone", "now", "name", "start", "hours"),
    [
        ("day", "Europe/Berlin", "2026-03-29T12:00", "day:2026-03-29", "2026-03-28T23:00+00:00", 23),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "day:2026-10-25", "2026-10-24T22:00+00:00", 25),
        ("day", "Asia/Tokyo", "2026-11-21T08:59", "day:2026-11-21", "2026-11-20T15:00+00:00", 24),
        ("week", "UTC", "2027-01-02T00:00", "week:2026-W53", "2026-12-28T00:00+00:00", 168),
        ("month", "UTC", "2028-02-29T23:59", "month:2028-02", "2028-02-01T00:00+00:00", 29 * 24),
        ("month", "UTC", "2026-12-31T23:59", "month:2026-12", "2026-12-01T00:00+00:00", 31 * 24),
    ],
)
def test_windows_begin_where_people_expect(
    text: str, zone: str, now: str, name: str, start: str, hours: int
) -> None:
    window = parse(text, zone).at(at(now, zone))
    assert window.end is not None

    assert window.id == name
    assert instant(window.start) == datetime.fromisoformat(start)
    assert instant(window.end) - instant(window.start) == timedelta(hours=hours)


@given(now=INSTANTS, length=st.integers(1, 500), unit=st.sampled_from("mhd"))
def test_the_parts_of_a_rolling_window_never_count_too_little(now: int, length: int, unit: str) -> None:
    span = parse(f"rolling:{length}{unit}")
    assert isinstance(span, Rolling)
    part = span.at(now)
    assert part.end is not None

    assert part.start <= now < part.end == part.start + span.width
    assert span.at(part.end).start == part.end
    # What happened now counts for the whole length, and for at most one part more.
    assert now + span.length < span.expires(part.start) <= now + span.length + span.width
    # And the oldest part that is looked for is the oldest that counts.
    assert span.expires(span.since(now)) > now
    assert span.expires(span.since(now) - span.width) <= now
    assert span.width >= SECOND


def test_sessions_and_totals_have_no_end() -> None:
    session, total = parse("session"), parse("total")
    assert isinstance(session, PerSession)
    assert isinstance(total, Total)

    assert (session.at(5).end, total.at(5).end) == (None, None)
    window = session.unnamed(at("2026-11-21T12:00"))
    assert (window.id, window.end) == ("session:2026-11-21", window.start + DAY)


@pytest.mark.parametrize("text", ["", "year", "rolling:0h", "rolling:5", "rolling:-5m", "Day", "rolling:5w"])
def test_what_is_no_window_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="window"):
        parse(text)


@given(moment=st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_instants_keep_their_microseconds(moment: datetime) -> None:
    assert instant(nanoseconds(moment)) == moment


@given(st.lists(st.tuples(st.integers(-(10**14), 10**14), st.integers(0, 10**13)), max_size=30))
def test_a_clock_never_goes_back_and_never_runs_ahead(moves: list[tuple[int, int]]) -> None:
    wall, passed, followed = [10**18], [0], [0]
    clock = Clock(wall=lambda: wall[0], passed=lambda: passed[0])
    last = clock.now()
    for step, slept in moves:
        wall[0] += step + slept
        passed[0] += slept
        now = clock.now()
        assert now >= last
        # Only what really passed, and ordinary corrections.
        followed[0] += slept + CORRECTION
        assert now <= 10**18 + followed[0]
        last = now


def test_a_clock_goes_on_from_what_was_seen_before() -> None:
    clock = Clock(wall=lambda: 100, passed=lambda: 0, since=500)

    assert clock.now() == 500
    clock.not_before(700)
    assert clock.now() == 700
    clock.confirm()
    assert clock.now() == 100
