"""Nothing is counted twice: of several runs that feed one slot the newest counts, and copies are refused."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costweir.errors import SourceRejected
from costweir.sources.manifests import stamp_of

Line = dict[str, str]
Csv = Callable[..., str]

MONTH = "20261001-20261101"
EXPORT = "exp/data/BILLING_PERIOD=2026-10"


def costs(line: Line, *amounts: str, day: int = 5, account: str = "444455556666") -> list[Line]:
    """One line of the bill for each amount, an hour apart."""
    return [
        line
        | {
            "lineItem/UnblendedCost": amount,
            "lineItem/UsageStartDate": f"2026-10-{day:02}T{hour % 24:02}:00:00Z",
            "lineItem/UsageAccountId": account,
        }
        for hour, amount in enumerate(amounts)
    ]


@pytest.fixture
def put(tmp_path: Path, as_csv: Csv) -> Callable[..., Path]:
    """Writes lines as a bill below the folder of the test, as old as `at` says."""

    def write(name: str, lines: Sequence[Line], *, at: datetime | None = None) -> Path:
        path = tmp_path / "bills" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_csv(lines))
        if at is not None:
            os.utime(path, (at.timestamp(), at.timestamp()))
        return path

    return write


def totals(staged: Any) -> dict[str, Decimal]:
    return {slot.load.slot.period: slot.load.file_total for slot in staged.slots}


def test_of_two_runs_in_two_trees_the_newer_counts(stager: Any, put: Any, nova: Line, tmp_path: Path) -> None:
    put(f"aws/{EXPORT}/20261031T060000Z-aa/1.csv", costs(nova, "1", "2"))
    put(f"restated/aws/{EXPORT}/20261103T060000Z-bb/1.csv", costs(nova, "1", "5"))
    staged = stager(tmp_path / "bills")
    assert totals(staged) == {"2026-10": Decimal(6)}
    assert [Path(name).parent.name for name in staged.slots[0].files] == ["20261103T060000Z-bb"]
    assert staged.rejected == ()


def test_two_assemblies_without_manifests_go_by_their_files_times(
    stager: Any, put: Any, nova: Line, tmp_path: Path
) -> None:
    put(f"cur/{MONTH}/ffff/1.csv", costs(nova, "1", "2"), at=datetime(2026, 10, 6, tzinfo=UTC))
    put(f"cur/{MONTH}/0000/1.csv", costs(nova, "3", "4"), at=datetime(2026, 10, 7, tzinfo=UTC))
    assert totals(stager(tmp_path / "bills")) == {"2026-10": Decimal(7)}


def test_a_run_that_reaches_further_into_the_month_is_the_newer_one(
    stager: Any, put: Any, nova: Line, tmp_path: Path
) -> None:
    put(f"cur/{MONTH}/ffff/1.csv", costs(nova, "1", "2") + costs(nova, "4", day=9))
    put(f"cur/{MONTH}/0000/1.csv", costs(nova, "1", "2"))
    assert totals(stager(tmp_path / "bills")) == {"2026-10": Decimal(7)}


def test_a_later_copy_of_a_run_that_reaches_less_far_is_not_taken_for_the_newer_one(
    stager: Any, put: Any, nova: Line, tmp_path: Path
) -> None:
    put(f"cur/{MONTH}/aa/1.csv", costs(nova, "4", day=9), at=datetime(2026, 10, 10, tzinfo=UTC))
    put(f"cur/{MONTH}/bb/1.csv", costs(nova, "1", day=5), at=datetime(2026, 10, 12, tzinfo=UTC))
    with pytest.raises(SourceRejected, match="are two runs of one month"):
        stager(tmp_path / "bills")


def test_two_runs_of_which_nobody_says_which_is_newer_are_refused(
    stager: Any, put: Any, nova: Line, tmp_path: Path
) -> None:
    at = datetime(2026, 10, 7, tzinfo=UTC)
    for run, cost in (("aa", "1"), ("bb", "2")):
        put(f"cur/{MONTH}/{run}/1.csv", costs(nova, cost), at=at)
    with pytest.raises(SourceRejected) as caught:
        stager(tmp_path / "bills")
    assert f"cur/{MONTH}/aa and cur/{MONTH}/bb are two runs of one month" in caught.value.message
    assert "one run" in caught.value.hint


def test_a_part_that_two_runs_share_is_not_missing_from_the_newer_one(
    stager: Any, put: Any, nova: Line, tmp_path: Path
) -> None:
    shared = costs(nova, "10")
    for tree, run, second in (("a", "20261031T060000Z-aa", "1"), ("b", "20261103T060000Z-bb", "2")):
        put(f"{tree}/{EXPORT}/{run}/1.csv", shared)
        put(f"{tree}/{EXPORT}/{run}/2.csv", costs(nova, second, "7"))
    put("copy.csv", shared)
    assert totals(stager(tmp_path / "bills")) == {"2026-10": Decimal(19)}


def test_an_older_run_still_feeds_the_months_that_the_newer_one_does_not_hold(
    stager: Any, put: Any, nova: Line, tmp_path: Path
) -> None:
    november = [nova | {"bill/BillingPeriodStartDate": "2026-11-01T00:00:00Z", "lineItem/UnblendedCost": "9"}]
    unreadable = [nova | {"lineItem/UnblendedCost": "much"}]
    old = put(f"a/{EXPORT}/20261031T060000Z-aa/1.csv", costs(nova, "1", "2") + november + unreadable)
    put(f"b/{EXPORT}/20261103T060000Z-bb/1.csv", costs(nova, "4"))
    staged = stager(tmp_path / "bills")
    assert totals(staged) == {"2026-10": Decimal(4), "2026-11": Decimal(9)}
    assert sorted(row["billed_cost"] for row in stager.charges(staged)) == [Decimal(4), Decimal(9)]
    (november_slot,) = (slot for slot in staged.slots if slot.load.slot.period == "2026-11")
    assert november_slot.files == (str(old),)


def test_the_reports_of_two_linked_accounts_are_both_counted(
    stager: Any, put: Any, nova: Line, tmp_path: Path
) -> None:
    put(f"one/{MONTH}/aa/1.csv", costs(nova, "1", account="111111111111"))
    put(f"two/{MONTH}/bb/1.csv", costs(nova, "2", account="222222222222"))
    assert totals(stager(tmp_path / "bills")) == {"2026-10": Decimal(3)}


def azure(cost: str, *, day: int = 5, subscription: str = "s1") -> Line:
    return {
        "BillingAccountId": "b1", "SubscriptionId": subscription, "BillingPeriodStartDate": "10/01/2026",
        "BillingPeriodEndDate": "10/31/2026", "Date": f"10/{day:02}/2026", "MeterCategory": "Foundry Models",
        "MeterName": "gpt-4o-mini-0718-Outp-glbl Tokens", "Quantity": "2", "UnitOfMeasure": "1K",
        "CostInBillingCurrency": cost, "BillingCurrency": "USD", "ChargeType": "Usage", "ConsumedService": "x",
        "ProductName": "p", "ResourceGroup": "rg", "ResourceId": "r", "MeterSubCategory": "Azure OpenAI",
    }  # fmt: skip


AZURE_OLD = "daily/20261001-20261031/202610060500/aaa/part_0.csv"
AZURE_NEW = "closed/20261001-20261031/202611050500/bbb/part_0.csv"


class TestTwoAzureExports:
    def test_the_newer_counts_when_it_holds_the_days_of_the_older(
        self, stager: Any, put: Any, tmp_path: Path
    ) -> None:
        put(AZURE_OLD, [azure("1", day=5)])
        put(AZURE_NEW, [azure("2", day=5), azure("4", day=6)])
        assert totals(stager(tmp_path / "bills")) == {"2026-10": Decimal(6)}

    def test_the_slot_is_refused_when_each_holds_days_of_its_own(
        self, stager: Any, put: Any, tmp_path: Path
    ) -> None:
        put(AZURE_OLD, [azure("1", day=4), azure("1", day=5)])
        put(AZURE_NEW, [azure("2", day=5), azure("4", day=6)])
        with pytest.raises(
            SourceRejected, match="overlap, and the newer one does not hold all days"
        ) as caught:
            stager(tmp_path / "bills")
        assert caught.value.hint

    def test_both_count_when_they_share_no_day_of_a_subscription(
        self, stager: Any, put: Any, tmp_path: Path
    ) -> None:
        put(AZURE_OLD, [azure("1", day=5)])
        put(AZURE_NEW, [azure("2", day=5, subscription="s2"), azure("4", day=6)])
        assert totals(stager(tmp_path / "bills")) == {"2026-10": Decimal(7)}


class TestNearCopies:
    def test_two_files_of_the_same_rows_but_a_few_are_refused(
        self, stager: Any, put: Any, nova: Line, tmp_path: Path
    ) -> None:
        amounts = [f"0.{number:02}" for number in range(1, 21)]
        one = put("bill.csv", costs(nova, *amounts))
        two = put("bill-again.csv", costs(nova, *amounts[:-1], "7"))
        with pytest.raises(SourceRejected) as caught:
            stager(tmp_path / "bills")
        assert str(one) in caught.value.message
        assert str(two) in caught.value.message
        assert "nearly the same rows" in caught.value.message

    def test_a_month_to_date_file_inside_a_later_one_is_refused(
        self, stager: Any, put: Any, nova: Line, tmp_path: Path
    ) -> None:
        early = costs(nova, *(str(number) for number in range(150)))
        put("2026-10-06/bill.csv", early)
        put("2026-10-07/bill.csv", early + costs(nova, *("9",) * 90, day=6))
        with pytest.raises(SourceRejected, match="nearly the same rows"):
            stager(tmp_path / "bills")

    def test_parts_of_the_same_length_and_strings_are_both_counted(
        self, stager: Any, put: Any, nova: Line, tmp_path: Path
    ) -> None:
        put("part-1.csv", costs(nova, *(f"1.{number}" for number in range(120))))
        put("part-2.csv", costs(nova, *(f"2.{number}" for number in range(120))))
        assert stager(tmp_path / "bills").slots[0].load.rows_in == 240

    def test_another_slot_of_the_same_pull_is_loaded(
        self, stager: Any, put: Any, nova: Line, tmp_path: Path
    ) -> None:
        amounts = [f"0.{number:02}" for number in range(1, 21)]
        put("bill.csv", costs(nova, *amounts))
        put("bill-again.csv", costs(nova, *amounts[:-1], "7"))
        put("september.csv", [nova | {"bill/BillingPeriodStartDate": "2026-09-01T00:00:00Z"}])
        staged = stager(tmp_path / "bills")
        assert list(totals(staged)) == ["2026-09"]
        assert len(staged.rejected) == 2


def test_a_newer_run_without_its_manifest_is_still_under_way_and_does_not_count(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    month = tmp_path / "exp/data/BILLING_PERIOD=2026-10"
    for run, amount in (("20261101T060000Z-x", "100"), ("20261102T060000Z-y", "7")):
        (month / run).mkdir(parents=True)
        (month / run / "r-0.csv").write_text(as_csv(costs(nova, amount)))
    named = json.dumps(
        {
            "executionId": "x",
            "dataFiles": ["s3://b/exp/data/BILLING_PERIOD=2026-10/20261101T060000Z-x/r-0.csv"],
        }
    )
    (month / "20261101T060000Z-x" / "r-Manifest.json").write_text(named)

    assert totals(stager(tmp_path / "exp")) == {"2026-10": Decimal(100)}


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("20261003T060000Z-15a3be51", datetime(2026, 10, 3, 6, tzinfo=UTC)),
        ("2026-11-01T06:00:01.250Z-0f4d", datetime(2026, 11, 1, 6, 0, 1, tzinfo=UTC)),
        ("202610050500/aaa", datetime(2026, 10, 5, 5, tzinfo=UTC)),
        ("2026-10-20", datetime(2026, 10, 20, tzinfo=UTC)),
        ("20261399T000000Z-x", None),
        ("2e5b2a22fcdf895b977b24f15769fc0f", None),
        ("20261020a3be51", None),
        ("", None),
    ],
)
def test_a_folder_of_a_run_tells_its_time(name: str, at: datetime | None) -> None:
    assert stamp_of(name) == at


#: A run: how many parts, whether it is in a tree of its own, and has a copied part beside it. All runs have a manifest
#: or none has: a run without one beside runs that have it is a delivery that is still under way.
RUNS = st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), min_size=1, max_size=4)


@given(runs=RUNS, legacy=st.booleans(), manifest=st.booleans(), seed=st.integers(0, 9))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_any_mix_of_runs_parts_and_copies_in_any_order_gives_the_newest_run(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, runs: Any, legacy: bool, manifest: bool, seed: int
) -> None:
    root = tmp_path / f"mix{stager.runs}"
    shared = costs(nova, "100")
    files: list[Path] = []
    expected = Decimal(0)
    for number, (parts, apart, copied) in enumerate(runs):
        expected = Decimal(0)
        tree = f"tree{number}/" if apart else ""
        run = f"{number}f{number}0abcd" if legacy else f"2026110{number + 1}T060000Z-x"
        folder = (
            root
            / tree
            / ("cur" if legacy else "exp/data")
            / (MONTH if legacy else "BILLING_PERIOD=2026-10")
            / run
        )
        for part in range(parts):
            lines = shared if part == 0 else costs(nova, str(10 * number + part), "0.5", day=3 + number)
            expected += sum(Decimal(line["lineItem/UnblendedCost"]) for line in lines)
            files.append(folder / f"r-{part}.csv")
            if copied and part == 0:
                files.append(folder / "copy of r-0.csv")
            for path in files[-2:] if copied and part == 0 else files[-1:]:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(as_csv(lines))
                os.utime(path, (1_790_000_000 + 7200 * number,) * 2)
        if manifest and not legacy:
            own = [path for path in files if path.parent == folder and "copy" not in path.name]
            names = [f"s3://b/{path.relative_to(root)}" for path in own]
            files.append(folder / "r-Manifest.json")
            files[-1].write_text(json.dumps({"executionId": run, "dataFiles": names}))
    random.Random(seed).shuffle(files)

    staged = stager(*files)

    assert totals(staged) == {"2026-10": expected}
    assert sum((row["billed_cost"] for row in stager.charges(staged)), Decimal(0)) == expected
    assert staged.rejected == ()
