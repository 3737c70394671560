"""Of the runs that an Azure export leaves behind, the newest complete one of each month is read, and nothing twice."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from tests.sources.live.azure_exports import SAMPLES, Container, halves

from costweir.errors import ConfigError, SourceRejected, Unreachable
from costweir.sources.live.azure_blobs import Blobs, BlobUrl
from costweir.sources.live.azure_export import AzureExport
from costweir.sources.live.azure_login import Principal
from costweir.sources.live.source import Window

URL = "az://costs/billing/exports"
TODAY = date(2026, 11, 5)
OCTOBER = Window(date(2026, 10, 28), date(2026, 11, 1))


@pytest.fixture
def container() -> Container:
    return Container(MemoryStore())


def source(container: Container, url: str = URL) -> AzureExport:
    return AzureExport("azure-main", url, store=container.store, today=lambda: TODAY)


def quiet(_text: str, _done: int, _all: int) -> None:
    pass


def total(name: str = "ea_2026-10.csv") -> Decimal:
    """The oracle: the cost column of the sample, by the standard library alone."""
    rows = csv.DictReader(io.StringIO((SAMPLES / name).read_text("utf-8-sig")))
    return sum((Decimal(row["CostInBillingCurrency"]) for row in rows), Decimal(0))


def names(files: tuple[Path, ...], into: Path) -> list[str]:
    return sorted(file.relative_to(into).as_posix() for file in files)


def test_the_newest_run_of_a_month_is_the_bill(container: Container, tmp_path: Path, stager: Any) -> None:
    container.run({"part_0_0001.csv": b"old"}, at="2026-10-30T04:00:00")
    newest = container.run(halves(), at="2026-11-03T04:00:00")
    container.run({"part_0_0001.csv": b"older"}, at="2026-10-05T04:00:00")
    fetched = source(container).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert names(fetched.files, tmp_path) == [f"{newest}/part_0_0001.csv", f"{newest}/part_1_0001.csv"]
    assert fetched.window == Window(date(2026, 10, 1), date(2026, 11, 1))
    charges = stager.charges(stager(*fetched.files, source=fetched.reader, all_services=True))
    assert sum(row["billed_cost"] for row in charges) == total()


def test_only_months_of_the_window_are_fetched(container: Container, tmp_path: Path) -> None:
    for days in ("20260901-20260930", "20261001-20261031", "20261101-20261130"):
        container.run(halves(), days=days)
    fetched = source(container).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert {file.parts[-4] for file in fetched.files} == {"20261001-20261031"}
    assert (
        source(container).fetch(Window(date(2026, 7, 1), date(2026, 8, 1)), into=tmp_path, report=quiet).files
        == ()
    )


@pytest.mark.parametrize(
    "broken", [{"manifest": False}, {"lost": 1}], ids=["no manifest yet", "a part is missing"]
)
def test_a_run_that_is_still_written_waits_and_the_last_whole_one_counts(
    container: Container, tmp_path: Path, broken: dict[str, Any]
) -> None:
    whole = container.run(halves(), at="2026-11-02T04:00:00")
    container.run(halves(), at="2026-11-03T04:00:00", **broken)
    fetched = source(container).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert all(name.startswith(whole) for name in names(fetched.files, tmp_path))
    assert any("not complete" in note for note in fetched.notes)


def test_a_part_of_another_size_than_the_manifest_says_is_not_complete(
    container: Container, tmp_path: Path
) -> None:
    folder = container.run(halves())
    container.put(f"{folder}/part_1_0001.csv", b"cut off")
    fetched = source(container).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert fetched.files == ()


def test_exports_of_old_layouts_without_manifests_are_read(container: Container, tmp_path: Path) -> None:
    container.put("exports/daily/20261001-20261031/daily_11111111-0000-4000-8000-000000000000.csv", b"one")
    fetched = source(container).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert len(fetched.files) == 1


def test_two_kinds_of_one_cost_are_refused_with_their_folders(container: Container, tmp_path: Path) -> None:
    container.run(halves(), export="exports/actual")
    container.run(halves("focus_2026-10.csv"), export="exports/focus", kind="FocusCost")
    with pytest.raises(ConfigError, match=r"exports/actual \(ActualCost\), exports/focus \(FocusCost\)"):
        source(container).fetch(OCTOBER, into=tmp_path, report=quiet)
    fetched = source(container, f"{URL}/focus").fetch(OCTOBER, into=tmp_path, report=quiet)
    assert len(fetched.files) == 2


def test_two_exports_of_one_scope_are_refused_and_of_two_scopes_are_not(
    container: Container, tmp_path: Path
) -> None:
    container.run(halves(), export="exports/a", scope="/subscriptions/a")
    container.run(halves(), export="exports/b", scope="/subscriptions/b")
    assert len(source(container).fetch(OCTOBER, into=tmp_path, report=quiet).files) == 4
    container.run(halves(), export="exports/c", scope="/subscriptions/B")
    with pytest.raises(ConfigError, match="same costs"):
        source(container).fetch(OCTOBER, into=tmp_path, report=quiet)


def test_price_sheets_are_left_alone(container: Container, tmp_path: Path) -> None:
    container.run(halves(), export="exports/cost")
    container.run({"part_0_0001.csv": b"price"}, export="exports/prices", kind="PriceSheet")
    fetched = source(container).fetch(OCTOBER, into=tmp_path, report=quiet)
    assert len(fetched.files) == 2
    assert not any("not complete" in note for note in fetched.notes)


def test_a_blob_that_came_by_half_leaves_no_file(container: Container, tmp_path: Path) -> None:
    container.run(halves())
    blobs = Blobs(container.store, BlobUrl.parse(URL))
    path = next(name for name in container.written if name.endswith("part_1_0001.csv"))
    with pytest.raises(Unreachable, match="was listed with"):
        blobs.download(path, tmp_path, expected=10**9)
    assert not [one for one in tmp_path.rglob("*") if one.is_file()]


def test_a_blob_cannot_leave_the_folder(container: Container, tmp_path: Path) -> None:
    blobs = Blobs(container.store, BlobUrl.parse(URL))
    for path in ("../out.csv", "a/../../out.csv", "/etc/x.csv", "a\\..\\x.csv"):
        with pytest.raises(SourceRejected, match="not a path"):
            blobs.download(path, tmp_path, expected=1)


def test_check_counts_what_lies_there_without_reading_bills(container: Container) -> None:
    container.run(halves())
    container.run(halves(), days="20261101-20261130")
    asked = source(container)
    checked = asked.check()
    assert (checked.first_day, checked.last_day) == (date(2026, 10, 1), TODAY)
    assert checked.rows == 2 * sum(data.count(b"\n") - 1 for data in halves().values())
    assert all(finding.ok for finding in checked.findings)


def test_check_of_an_empty_container_says_so(container: Container) -> None:
    (finding,) = source(container).check().findings
    assert not finding.ok
    assert "No cost export" in finding.text


def test_places_are_read_in_every_spelling_of_the_portal() -> None:
    expected = BlobUrl("costs", "billing", "exports/daily")
    for text in (
        "az://costs/billing/exports/daily/",
        "abfss://billing@costs.dfs.core.windows.net/exports/daily",
        "https://costs.blob.core.windows.net/billing/exports/daily",
    ):
        assert BlobUrl.parse(text) == expected
    with pytest.raises(ConfigError, match="not a place"):
        BlobUrl.parse("s3://bucket/x")


def test_the_policy_names_the_container_and_one_role(container: Container) -> None:
    policy = source(container).policy()
    assert "storageAccounts/costs/" in policy
    assert "containers/billing" in policy
    assert policy.count("Storage Blob Data Reader") == 2
    assert source(container).usual_lag == timedelta(hours=48)


def test_secrets_do_not_stand_in_texts() -> None:
    assert "s3cret" not in repr(Principal("t", "c", "s3cret"))
    assert "s3cret" not in repr(AzureExport("a", URL, access_key="s3cret"))
