"""Files in, slots out: every row is stored, skipped or set aside, and the totals are those of the file."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from costweir.domain.charge import CHARGE_COLUMNS
from costweir.errors import SourceRejected
from costweir.sources.attribution import AttributionRules, Rule
from costweir.sources.staging.rows import TYPES

Line = dict[str, str]
Csv = Callable[..., str]


def test_a_slot_holds_its_rows_its_counts_and_its_totals(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, claude: Line, server: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova, claude, server, server]))

    staged = stager(path)

    (slot,) = staged.slots
    load = slot.load
    assert (load.slot.provider, load.slot.account, load.slot.period) == ("aws", "111122223333", "2026-10")
    assert (load.rows_in, load.rows_stored, load.rows_skipped, load.rows_quarantined) == (4, 2, 2, 0)
    assert load.billed_total == Decimal("3.09")
    assert load.file_total == Decimal("17.59")
    assert load.currency == "USD"
    assert (load.first_day, load.last_day) == (date(2026, 10, 5), date(2026, 10, 5))
    assert load.run_id.startswith("run_")
    assert slot.quarantine is None
    assert slot.files == (str(path),)
    assert staged.rejected == ()


def test_the_parquet_has_exactly_the_charge_columns_in_order_and_type(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova]))

    (slot,) = stager(path).slots

    found = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{slot.charges}/*.parquet')").fetchall()
    assert [(row[0], row[1]) for row in found] == [(c.name, TYPES[c.kind]) for c in CHARGE_COLUMNS]


def test_no_required_column_is_empty(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, claude: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova, claude]))

    for row in stager.charges(stager(path)):
        assert [c.name for c in CHARGE_COLUMNS if c.required and row[c.name] is None] == []


def test_a_slot_without_ai_is_staged_empty_so_that_it_replaces_what_was_there(
    stager: Any, as_csv: Csv, tmp_path: Path, server: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([server]))

    staged = stager(path)

    (slot,) = staged.slots
    assert (slot.load.rows_stored, slot.load.rows_skipped) == (0, 1)
    assert slot.load.currency == "USD"
    assert stager.charges(staged) == []


def test_all_services_keeps_the_rest_and_says_that_it_is_no_ai(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, server: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova, server]))

    staged = stager(path, all_services=True)

    assert {row["service_name"]: row["x_is_ai"] for row in stager.charges(staged)} == {
        "Amazon Bedrock": True,
        "Amazon Elastic Compute Cloud": False,
    }
    assert staged.slots[0].load.rows_skipped == 0


def test_one_file_of_two_months_gives_two_slots(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, server: Line
) -> None:
    later = nova | {
        "bill/BillingPeriodStartDate": "2026-11-01T00:00:00Z",
        "lineItem/UsageStartDate": "2026-11-02T00:00:00Z",
        "lineItem/UnblendedCost": "0.5",
    }
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova, later, later, server]))

    staged = stager(path)

    found = {slot.load.slot.period: slot.load for slot in staged.slots}
    assert {period: load.rows_in for period, load in found.items()} == {"2026-10": 2, "2026-11": 2}
    assert found["2026-11"].billed_total == Decimal("1.0")
    runs = {row["x_period"]: row["x_run_id"] for row in stager.charges(staged)}
    assert runs == {period: load.run_id for period, load in found.items()}


def test_the_parts_of_one_bill_make_one_slot(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, claude: Line
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "part-1.csv").write_text(as_csv([nova]))
    (tmp_path / "b" / "part-2.csv.gz").write_bytes(gzip.compress(as_csv([claude]).encode()))

    staged = stager(tmp_path / "b")

    (slot,) = staged.slots
    assert slot.load.rows_stored == 2
    assert slot.load.billed_total == Decimal("3.09")
    assert {row["x_file"] for row in stager.charges(staged)} == {"part-1.csv", "part-2.csv.gz"}


def test_the_content_hash_depends_on_the_content_alone(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, claude: Line
) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text(as_csv([nova]))
    other.write_text(as_csv([nova]))

    first, second = stager(one).slots[0].load, stager(other).slots[0].load
    other.write_text(as_csv([nova, claude]))
    third = stager(other).slots[0].load

    assert first.content_hash == second.content_hash != third.content_hash
    assert first.rules_hash == second.rules_hash
    assert first.run_id != second.run_id


def test_other_attribution_rules_give_another_rules_hash(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova]))
    rules = AttributionRules(customer=(Rule("mine", "sub_account"),))

    staged = stager(path, attribution=rules)

    assert staged.slots[0].load.rules_hash != stager(path).slots[0].load.rules_hash
    (row,) = stager.charges(staged)
    assert (row["x_customer"], row["x_customer_rule"]) == ("444455556666", "mine")
    assert (row["x_project"], row["x_project_rule"]) == ("untagged", "")


def test_tokens_are_the_quantity_times_the_block(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, claude: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova, claude]))

    rows = {row["x_model"]: row for row in stager.charges(stager(path))}

    assert rows["nova-lite"]["x_tokens"] == 1_500_000
    assert rows["claude-sonnet-4-5"]["x_tokens"] == 500_000
    for row in rows.values():
        assert (row["consumed_quantity"], row["consumed_unit"]) == (row["x_tokens"], "Tokens")
    assert rows["nova-lite"]["pricing_quantity"] == 1500


def test_the_calendar_columns_are_those_of_the_utc_instant(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova | {"lineItem/UsageStartDate": "2026-10-05T01:30:00+02:00"}]))

    (row,) = stager.charges(stager(path))

    assert row["charge_period_start"] == datetime(2026, 10, 4, 23, 30)  # noqa: DTZ001
    assert (row["usage_date"], row["usage_hour"], row["iso_dow"], row["usage_month"]) == (
        date(2026, 10, 4), 23, 7, "2026-10",
    )  # fmt: skip


def test_tiny_and_negative_costs_stay_exact(stager: Any, as_csv: Csv, tmp_path: Path, nova: Line) -> None:
    costs = ["1e-12", "-4.000000000000000001", "0.1", "0.2"]
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova | {"lineItem/UnblendedCost": cost} for cost in costs]))

    staged = stager(path)

    assert sorted(row["billed_cost"] for row in stager.charges(staged)) == sorted(map(Decimal, costs))
    assert staged.slots[0].load.billed_total == sum(map(Decimal, costs))


def test_a_double_in_parquet_is_read_as_its_shortest_text(stager: Any, tmp_path: Path, nova: Line) -> None:
    path = tmp_path / "bill.parquet"
    columns = ", ".join(
        f'{123.456 if name == "lineItem/UnblendedCost" else repr(value)} AS "{name}"'
        for name, value in nova.items()
    ).replace("123.456 AS", "123.456::DOUBLE AS")
    duckdb.sql(f"COPY (SELECT {columns}) TO '{path}' (FORMAT parquet)")

    (row,) = stager.charges(stager(path))

    assert row["billed_cost"] == Decimal("123.456")


class TestCurrencies:
    def test_totals_of_two_currencies_are_not_added(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        path.write_text(as_csv([nova, nova | {"lineItem/CurrencyCode": "EUR"}]))

        staged = stager(path)

        load = staged.slots[0].load
        assert (load.currency, load.billed_total, load.file_total) == ("", 0, 0)
        found = {row["billing_currency"]: row["x_billed_usd"] for row in stager.charges(staged)}
        assert found == {"USD": Decimal("0.09"), "EUR": None}

    def test_with_a_rate_for_every_row_the_totals_are_in_us_dollars(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        path.write_text(as_csv([nova, nova | {"lineItem/CurrencyCode": "EUR"}]))

        staged = stager(path, rates={"EUR": Decimal("1.1")})

        load = staged.slots[0].load
        assert (load.currency, load.billed_total) == ("", Decimal("0.189"))
        found = {row["billing_currency"]: row["x_billed_usd"] for row in stager.charges(staged)}
        assert found["EUR"] == Decimal("0.099")

    def test_a_credit_has_its_us_dollars_at_the_rate_of_its_line(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        credit = {"lineItem/LineItemType": "Credit", "lineItem/UnblendedCost": "-0.04"}
        lines = [nova, nova | credit, nova | credit | {"lineItem/CurrencyCode": "EUR"}]
        path.write_text(as_csv(lines))

        staged = stager(path, rates={"EUR": Decimal("1.1")})

        found = {(row["billing_currency"], row["x_credit_usd"]) for row in stager.charges(staged)}
        assert found == {("EUR", Decimal("-0.044")), ("USD", Decimal("-0.04")), ("USD", None)}


class TestPacking:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_delimiter_is_found_in_the_header(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, delimiter: str
    ) -> None:
        path = tmp_path / "bill.txt"
        path.write_text(as_csv([nova], delimiter=delimiter))
        assert stager(path).slots[0].load.rows_stored == 1

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    def test_byte_order_marks_and_utf_16_are_read(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, encoding: str
    ) -> None:
        path = tmp_path / "bill.csv"
        path.write_bytes(as_csv([nova | {"resourceTags/user:customer_id": "müller"}]).encode(encoding))
        (row,) = stager.charges(stager(path))
        assert row["x_customer"] == "müller"

    def test_gzip_zip_and_parquet_are_known_by_their_bytes(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        text = as_csv([nova])
        (tmp_path / "a.bin").write_bytes(gzip.compress(text.encode()))
        with zipfile.ZipFile(tmp_path / "b.bin", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.csv", text)
        (tmp_path / "plain.csv").write_text(text)
        duckdb.sql(
            f"COPY (SELECT * FROM read_csv('{tmp_path}/plain.csv', all_varchar = true)) "
            f"TO '{tmp_path}/c.bin' (FORMAT parquet)"
        )
        for name in ("a.bin", "b.bin", "c.bin"):
            assert stager(tmp_path / name).slots[0].load.billed_total == Decimal("0.09"), name

    def test_zstd_is_known_by_its_bytes(self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line) -> None:
        (tmp_path / "plain.csv").write_text(as_csv([nova]))
        duckdb.sql(
            f"COPY (SELECT * FROM read_csv('{tmp_path}/plain.csv', all_varchar = true)) "
            f"TO '{tmp_path}/d.bin' (FORMAT csv, COMPRESSION zstd)"
        )
        assert stager(tmp_path / "d.bin").slots[0].load.billed_total == Decimal("0.09")


def test_more_columns_than_we_know_and_null_texts_do_no_harm(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(
        as_csv([nova | {"bill/InvoiceId": "NULL", "lineItem/ResourceId": "null", "new/Thing": "x"}])
    )

    (row,) = stager.charges(stager(path))

    assert (row["invoice_id"], row["resource_id"]) == (None, None)


def test_a_copy_of_a_file_is_read_once(stager: Any, as_csv: Csv, tmp_path: Path, nova: Line) -> None:
    for name in ("bill.csv", "copy of bill.csv"):
        (tmp_path / name).write_text(as_csv([nova]))

    staged = stager(tmp_path / "bill.csv", tmp_path / "copy of bill.csv", tmp_path)

    assert staged.slots[0].load.rows_in == 1


def test_progress_tells_the_phases_and_reaches_the_end(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(as_csv([nova]))

    stager(path)

    assert [step.phase for step in stager.progress] == ["find", "read", "read", "write", "write"]
    assert all(0 <= step.done <= step.total for step in stager.progress)
    assert stager.progress[-1].done == stager.progress[-1].total == 1


def test_one_bill_in_two_formats_is_not_counted_twice(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
) -> None:
    (tmp_path / "cur.csv").write_text(as_csv([nova]))
    focus = {
        "BilledCost": "0.09", "BillingAccountId": "111122223333", "BillingCurrency": "USD",
        "BillingPeriodStart": "2026-10-01", "BillingPeriodEnd": "2026-11-01", "ChargeCategory": "Usage",
        "ChargePeriodStart": "2026-10-05", "ServiceName": "Amazon Bedrock", "ProviderName": "AWS",
        "x_ServiceCode": "AmazonBedrock", "SkuMeter": "USE1-NovaLite-input-tokens", "EffectiveCost": "0.09",
    }  # fmt: skip
    (tmp_path / "focus.csv").write_text(as_csv([focus]))

    with pytest.raises(SourceRejected) as caught:
        stager(tmp_path / "cur.csv", tmp_path / "focus.csv")

    assert "aws 111122223333 2026-10 was given as aws-cur and as aws-focus" in caught.value.message
    assert "Give one" in caught.value.hint


class TestLooseEnds:
    """Ways of writing a CSV that real tools have."""

    @pytest.mark.parametrize("ending", ["\r\n", "\n\n", "\r\n\r\n"])
    def test_line_endings_and_blank_lines_are_no_rows(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, ending: str
    ) -> None:
        path = tmp_path / "bill.csv"
        path.write_bytes(as_csv([nova, nova]).replace("\n", ending).encode())
        load = stager(path).slots[0].load
        assert (load.rows_in, load.rows_stored, load.rows_quarantined) == (2, 2, 0)

    def test_a_field_may_have_lines_and_quotes(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        path.write_text(as_csv([nova | {"lineItem/LineItemDescription": 'two\nlines, "quoted"'}, nova]))
        rows = stager.charges(stager(path))
        assert {row["charge_description"] for row in rows} >= {'two\nlines, "quoted"'}

    def test_a_column_that_is_there_twice_is_read_once(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        head, line = as_csv([nova]).splitlines()
        path.write_text(f"{head},resourceTags/user:Customer_ID,product/region\n{line},other,x\n")
        (row,) = stager.charges(stager(path))
        assert (row["x_customer"], row["region_id"]) == ("acme", "us-east-1")

    def test_bytes_that_are_no_utf_8_set_their_line_aside(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        path.write_bytes(
            as_csv([nova, nova | {"resourceTags/user:customer_id": "müller"}, nova]).encode("cp1252")
        )
        staged = stager(path)
        load = staged.slots[0].load
        assert (load.rows_in, load.rows_stored, load.rows_quarantined) == (3, 2, 1)
        assert stager.quarantine(staged)[0]["reason"] == "the line is not UTF-8"

    def test_two_parts_may_have_other_columns(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, claude: Line
    ) -> None:
        folder = tmp_path / "b"
        folder.mkdir()
        (folder / "1.csv").write_text(as_csv([nova]))
        (folder / "2.csv").write_text(as_csv([dict(reversed(claude.items())) | {"product/new": "x"}]))
        assert stager(folder).slots[0].load.billed_total == Decimal("3.09")
