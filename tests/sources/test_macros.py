"""What the column expressions make of a bill's own texts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.sources.staging import rows


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute(rows.macros())
        yield database


zones = st.sampled_from(
    ["", "Z", *(f"{hours:+03d}{rest}" for hours in (-11, -7, 0, 2, 14) for rest in ("", ":00", ":30"))]
)


@given(
    st.datetimes(datetime(2015, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"]),
    zones,
    st.sampled_from(["", " "]),
)
def test_an_instant_is_the_same_however_its_zone_is_written(
    connection: duckdb.DuckDBPyConnection, at: datetime, form: str, zone: str, blank: str
) -> None:
    at = at.replace(microsecond=0, second=at.second if form.endswith("S") else 0)
    hours, minutes = int(zone[:3] or 0) if zone not in ("", "Z") else 0, int(zone[4:] or 0)
    offset = timezone(timedelta(hours=hours, minutes=minutes if hours >= 0 else -minutes))
    text = f"{blank}{at.strftime(form)}{zone}{blank}"

    (found,) = connection.execute("SELECT instant(?)", [text]).fetchone() or (None,)

    assert found == at.replace(tzinfo=offset).astimezone(UTC).replace(tzinfo=None), text
