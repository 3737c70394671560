"""Every shape of a Google Cloud export gives the same charges, and its totals are those of the file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from costweir.domain.charge import CHARGE_COLUMN_NAMES
from costweir.sources.formats import gcp, gcp_focus
from costweir.sources.formats.format import LINE_INPUTS
from costweir.sources.stage import StageOptions, stage

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples" / "gcp"
STANDARD = SAMPLES / "standard_2026-10.jsonl"
DETAILED = SAMPLES / "detailed_2026-10.parquet"
FLATTENED = SAMPLES / "flattened_2026-10.csv"
EUR = SAMPLES / "standard_eur_2026-10.jsonl"
KOKU = SAMPLES / "standard_flat_2020-11.csv"
FOCUS_JSON = SAMPLES / "focus_2026-10.jsonl"
FOCUS_PARQUET = SAMPLES / "focus_2026-10.parquet"
FOCUS_NAMES = [names[0] for names in gcp_focus.FOCUS.needs if not names[0].startswith("x_")]

Row = Mapping[str, Any]


def utc(*parts: int) -> datetime:
    """An instant as the charge columns hold it: UTC, without a zone."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)


@pytest.fixture
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute((ROOT / "src/costweir/sources/staging/macros.sql").read_text())
    yield connection
    connection.close()


def relation(path: Path) -> str:
    if path.suffix == ".csv":
        return f"read_csv('{path}', all_varchar = true, header = true)"
    if path.suffix == ".parquet":
        return f"read_parquet('{path}')"
    keys = sorted({key for line in path.read_text().splitlines() for key in json.loads(line)})
    columns = ", ".join(f"'{key}': 'JSON'" for key in keys)
    return f"read_json('{path}', format = 'newline_delimited', columns = {{{columns}}})"


def charges(db: duckdb.DuckDBPyConnection, source: Path | str) -> list[Row]:
    """The rows of a file, or of any SQL relation, through the format's own expressions."""
    raw = relation(source) if isinstance(source, Path) else source
    header = {row[0]: row[1] for row in db.execute(f"DESCRIBE SELECT * FROM {raw}").fetchall()}
    assert gcp.EXPORT.recognise(header)
    columns = gcp.EXPORT.columns(header)
    assert set(columns) <= {*CHARGE_COLUMN_NAMES, *LINE_INPUTS}
    result = db.execute(
        "SELECT " + ", ".join(f"{sql} AS {name}" for name, sql in columns.items()) + f" FROM {raw}"
    )
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def lines_of(path: Path) -> list[Any]:
    return [
        json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in path.read_text().splitlines()
    ]


def net_of(line: Any) -> Decimal:
    """The oracle: cost with credits, by the standard library alone."""
    return Decimal(str(line["cost"])) + sum((Decimal(str(c["amount"])) for c in line["credits"]), Decimal())


def one_line(**fields: object) -> str:
    """A relation of one flattened line, every column text, with `fields` changed."""
    line = {
        "billing_account_id": "01AB2C",
        "service.id": "C7E2-9256-1C43",
        "service.description": "Vertex AI",
        "sku.description": "Gemini 2.5 Flash GA Text Input - Predictions",
        "usage_start_time": "2026-10-01 07:00:00 UTC",
        "cost": "1.5",
        "currency": "USD",
        **fields,
    }
    return "(SELECT " + ", ".join(f'{_sql(value)} AS "{key}"' for key, value in line.items()) + ")"


def _sql(value: object) -> str:
    return "NULL::VARCHAR" if value is None else "'" + str(value).replace("'", "''") + "'"


@pytest.mark.parametrize("path", [STANDARD, DETAILED, FLATTENED], ids=lambda p: p.stem)
def test_billed_is_cost_with_credits_and_no_row_is_multiplied(
    db: duckdb.DuckDBPyConnection, path: Path
) -> None:
    truth = lines_of(STANDARD)
    rows = charges(db, path)
    assert len(rows) == len(truth) == 14
    assert [row["billed_cost"] for row in rows] == [net_of(line) for line in truth]
    assert sum(row["x_credit_cost"] for row in rows) == Decimal("-3.62625")
    assert sum(row["billed_cost"] for row in rows) == sum(map(net_of, truth))


def test_the_three_shapes_of_one_bill_give_the_same_charges(db: duckdb.DuckDBPyConnection) -> None:
    standard, detailed, flat = (charges(db, path) for path in (STANDARD, DETAILED, FLATTENED))
    only_detailed = {"resource_id", "resource_name", "contracted_unit_price", "line_unit_price"}
    for name in set(standard[0]) - only_detailed - {"x_credits"}:
        assert [r[name] for r in standard] == [r[name] for r in detailed] == [r[name] for r in flat], name
    credits_of = [[json.loads(r["x_credits"] or "[]") for r in rows] for rows in (standard, detailed, flat)]
    assert credits_of[1] == credits_of[2]
    # `bq extract` leaves out the fields of a credit that are null.
    assert [len(given) for given in credits_of[0]] == [len(given) for given in credits_of[1]]


def test_a_list_that_bigquery_wrapped_for_parquet_reads_the_same(
    db: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    def wrap(name: str) -> str:
        return f"{{'list': list_transform({name}, lambda e: {{'element': e}})}} AS {name}"

    wrapped = tmp_path / "wrapped.parquet"
    db.execute(
        f"COPY (SELECT * REPLACE ({wrap('labels')}, {wrap('credits')}, {wrap('tags')}) "
        f"FROM read_parquet('{DETAILED}')) TO '{wrapped}' (FORMAT parquet)"
    )
    assert charges(db, wrapped) == charges(db, DETAILED)


def test_types_that_were_guessed_from_json_lines_read_the_same(db: duckdb.DuckDBPyConnection) -> None:
    guessed = charges(db, f"read_json_auto('{STANDARD}')")
    stated = charges(db, STANDARD)
    for name in ("billed_cost", "x_credit_cost", "line_quantity", "charge_period_start", "line_tags"):
        assert [row[name] for row in guessed] == [row[name] for row in stated], name


def test_a_real_flattened_export_adds_up_to_the_file(db: duckdb.DuckDBPyConnection) -> None:
    import ast

    with KOKU.open() as file:
        truth = list(csv.DictReader(file))
    net = [
        Decimal(line["cost"]) + sum(Decimal(str(c["amount"])) for c in ast.literal_eval(line["credits"]))
        for line in truth
    ]
    rows = charges(db, KOKU)
    assert [row["billed_cost"] for row in rows] == net
    assert len(rows) == 25
    assert {row["billing_period_start"] for row in rows} == {date(2020, 11, 1)}
    assert {"goog-resource-type": "bigquery_resource"} in [row["line_tags"] for row in rows]


def test_the_slot_is_the_billing_account_and_the_invoice_month(db: duckdb.DuckDBPyConnection) -> None:
    rows = charges(db, STANDARD)
    assert {row["billing_account_id"] for row in rows} == {"01AB2C-34D5E6-789F01"}
    assert rows[-1]["charge_period_start"] == utc(2026, 10, 31, 23)
    assert (rows[-1]["billing_period_start"], rows[-1]["billing_period_end"]) == (
        date(2026, 11, 1),
        date(2026, 12, 1),
    )
    assert rows[0]["billing_period_start"] == date(2026, 10, 1)


def test_a_line_without_an_invoice_month_belongs_to_its_month_of_use(db: duckdb.DuckDBPyConnection) -> None:
    (row,) = charges(db, one_line())
    assert row["billing_period_start"] == date(2026, 10, 1)
    (row,) = charges(db, one_line(**{"invoice.month": "2026-11"}))
    assert row["billing_period_start"] == date(2026, 11, 1)
    (row,) = charges(db, one_line(**{"invoice.month": "202613"}))
    assert row["billing_period_start"] is None


def test_cost_types_become_charge_categories(db: duckdb.DuckDBPyConnection) -> None:
    rows = charges(db, STANDARD)
    found = {(row["x_line_type"], row["charge_category"], row["charge_class"]) for row in rows}
    assert found == {
        ("regular", "Usage", None),
        ("tax", "Tax", None),
        ("adjustment", "Adjustment", "Correction"),
        ("rounding_error", "Adjustment", None),
    }


def test_tokens_are_counted_by_the_usage_unit_not_by_requests(db: duckdb.DuckDBPyConnection) -> None:
    row = charges(db, STANDARD)[3]
    assert (row["line_unit"], row["line_quantity"]) == ("count", Decimal(1500))
    assert row["pricing_unit"] == "requests"
    assert row["line_text"] == "Generate content input token count gemini 2.5 flash short input text"
    assert row["line_service"] == "Gemini API"


def test_the_unit_price_is_for_one_usage_unit(db: duckdb.DuckDBPyConnection) -> None:
    rows = charges(db, DETAILED)
    assert rows[0]["line_unit_price"] == Decimal("0.0000003")
    assert rows[0]["line_unit_price"] * rows[0]["line_quantity"] == Decimal("5.535")


def test_of_a_repeated_key_the_label_counts_before_the_tag_and_the_project(
    db: duckdb.DuckDBPyConnection,
) -> None:
    tags = [row["line_tags"] for row in charges(db, STANDARD)]
    assert tags[5] == {"customer_id": "from-tag", "team": "label-wins", "cost-center": "cc-12"}
    assert tags[2]["goog-vertex-model"] == "gemini-2.5-flash"
    assert tags[10] == {'odd "key"': "a, b; 'c' = é", "cost-center": "cc-12"}
    assert tags[11] is None


def test_a_key_that_occurs_twice_keeps_its_first_value(db: duckdb.DuckDBPyConnection) -> None:
    twice = json.dumps([{"key": "env", "value": "a"}, {"key": "env", "value": "b"}])
    (row,) = charges(db, one_line(labels=twice))
    assert row["line_tags"] == {"env": "a"}


def test_us_dollars_are_the_amount_divided_by_the_rate(db: duckdb.DuckDBPyConnection) -> None:
    rows = charges(db, EUR)
    assert {row["billing_currency"] for row in rows} == {"EUR"}
    assert [row["billed_cost"] for row in rows] == [Decimal("0.3312"), Decimal("0.00093"), Decimal("1e-12")]
    assert rows[0]["x_billed_usd"] == Decimal("0.36")
    for row, line in zip(rows, lines_of(EUR), strict=True):
        exact = row["billed_cost"] / Decimal(str(line["currency_conversion_rate"]))
        assert abs(row["x_billed_usd"] - exact) <= Decimal("5e-19")


def test_without_a_rate_only_us_dollar_accounts_have_us_dollars(db: duckdb.DuckDBPyConnection) -> None:
    assert charges(db, one_line())[0]["x_billed_usd"] == Decimal("1.5")
    assert charges(db, one_line(currency="EUR"))[0]["x_billed_usd"] is None
    assert charges(db, one_line(currency="EUR", currency_conversion_rate="0"))[0]["x_billed_usd"] is None


@pytest.mark.parametrize(
    ("cost", "credited", "billed"),
    [
        ("1e-12", None, "0.000000000001"),
        ("-4.20", "[]", "-4.2"),
        ("5", "NULL", "5"),
        ("5", "[{'amount': -5e-06, 'name': \"Bob's\", 'full_name': None}]", "4.999995"),
        ("5", '[{"amount": "-1.25"}, {"amount": null}, {}]', "3.75"),
        ("NULL", "[]", None),
        ("", "[]", None),
        ("12,50", "[]", None),
        ("5", "[{broken", None),
        ("5", '[{"amount": "lots"}]', None),
        ("5", "-1.5", None),
        ("9e19", '[{"amount": 9e19}]', None),
        ("9e19", '[{"amount": -9e19}]', "0"),
        ("1e25", "[]", None),
    ],
)
def test_money_that_cannot_be_read_is_null_and_never_zero(
    db: duckdb.DuckDBPyConnection, cost: str, credited: str | None, billed: str | None
) -> None:
    (row,) = charges(db, one_line(cost=cost, credits=credited))
    assert row["billed_cost"] == (None if billed is None else Decimal(billed))


@pytest.mark.parametrize(
    ("column", "name", "value"),
    [("1 AS credits", "billed_cost", None), ("1 AS labels", "sku_id", "A1B2-0001-0001"),
     ("NULL AS usage", "line_quantity", None), ("'Vertex AI' AS service", "service_name", None)],
)  # fmt: skip
def test_a_nested_column_of_another_type_is_unreadable_and_breaks_nothing(
    db: duckdb.DuckDBPyConnection, column: str, name: str, value: str | None
) -> None:
    rows = charges(db, f"(SELECT * REPLACE ({column}) FROM {relation(DETAILED)})")
    assert (len(rows), rows[0][name]) == (14, value)


def test_a_double_is_read_through_its_shortest_text(db: duckdb.DuckDBPyConnection) -> None:
    raw = one_line().replace("'1.5' AS", "(0.1::DOUBLE + 0.2::DOUBLE) AS")
    assert charges(db, raw)[0]["billed_cost"] == Decimal("0.30000000000000004")
    raw = one_line().replace("'1.5' AS", "0.1::DOUBLE AS")
    assert charges(db, raw)[0]["billed_cost"] == Decimal("0.1")


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-10-01 07:00:00 UTC", utc(2026, 10, 1, 7)),
        ("2026-10-01T07:00:00Z", utc(2026, 10, 1, 7)),
        ("2026-10-01 07:00:00.250000+00:00", utc(2026, 10, 1, 7, 0, 0, 250000)),
        ("2026-10-01 09:00:00+02", utc(2026, 10, 1, 7)),
        ("2026-10-01", utc(2026, 10, 1)),
        ("yesterday", None),
    ],
)
def test_instants_are_utc_however_they_are_written(
    db: duckdb.DuckDBPyConnection, written: str, instant: datetime | None
) -> None:
    (row,) = charges(db, one_line(usage_start_time=written, **{"invoice.month": "202610"}))
    assert row["charge_period_start"] == instant


def test_null_texts_and_missing_columns_are_null(db: duckdb.DuckDBPyConnection) -> None:
    (row,) = charges(db, one_line(**{"project.id": "NULL", "labels": "NULL", "usage.amount": ""}))
    assert (row["sub_account_id"], row["line_tags"], row["line_quantity"]) == (None, None, None)
    assert (row["resource_id"], row["x_credits"], row["x_credit_cost"]) == (None, None, Decimal(0))


def test_a_marketplace_seller_is_the_publisher(db: duckdb.DuckDBPyConnection) -> None:
    assert {row["publisher_name"] for row in charges(db, STANDARD)} == {"Google Cloud", "Anthropic, PBC"}


def test_other_tables_are_not_taken_for_a_billing_export() -> None:
    price_list = {"sku": "STRUCT(id VARCHAR)", "service": "STRUCT(id VARCHAR)", "list_price": "DOUBLE"}
    assert not gcp.EXPORT.recognise(price_list)
    assert gcp.EXPORT.missing(price_list)[:2] == ("billing_account_id", "usage_start_time")


def staged(path: Path, tmp_path: Path) -> dict[tuple[str, str, str], tuple[int, Decimal, list[Row]]]:
    """What the staging makes of a file: for each slot its stored rows, its total and its charges."""
    found = stage([str(path)], into=tmp_path / path.name, options=StageOptions(all_services=True))
    result: dict[tuple[str, str, str], tuple[int, Decimal, list[Row]]] = {}
    for slot in found.slots:
        load, key = slot.load, slot.load.slot
        assert (load.rows_in, load.billed_total) == (load.rows_stored, load.file_total)
        with duckdb.connect() as db:
            table = db.sql(f"SELECT * FROM read_parquet('{slot.charges}/*.parquet')")
            rows = [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]
        rows.sort(key=lambda row: (row["charge_period_start"], row["sku_id"], row["billed_cost"]))
        result[key.provider, key.account, key.period] = (load.rows_stored, load.billed_total, rows)
    return result


def test_every_shape_is_staged_as_the_same_bill(tmp_path: Path) -> None:
    truth = lines_of(STANDARD)
    first, *others = (
        staged(path, tmp_path) for path in (STANDARD, DETAILED, FLATTENED, FOCUS_JSON, FOCUS_PARQUET)
    )
    account = "01AB2C-34D5E6-789F01"
    october, november = first["gcp", account, "2026-10"], first["gcp", account, "2026-11"]
    assert october[:2] == (13, sum(net_of(line) for line in truth[:-1]))
    assert november[:2] == (1, net_of(truth[-1]))
    same = [
        *(
            "billed_cost",
            "x_billed_usd",
            "x_credit_cost",
            "x_tokens",
            "x_model",
            "x_token_class",
            "x_customer",
        ),
        *("x_feature", "sub_account_id", "charge_category", "charge_class", "publisher_name", "x_line_type"),
    ]
    for other in others:
        assert other.keys() == first.keys()
        for key, (count, total, rows) in other.items():
            assert (count, total) == first[key][:2]
            for name in same:
                assert [row[name] for row in rows] == [row[name] for row in first[key][2]], name


def test_tokens_models_and_customers_of_a_bill(tmp_path: Path) -> None:
    rows = staged(STANDARD, tmp_path)["gcp", "01AB2C-34D5E6-789F01", "2026-10"][2]
    usage = {
        (r["x_model"], r["x_token_class"], r["x_customer"]): r["x_tokens"] for r in rows if r["x_tokens"]
    }
    assert usage["gemini-2.5-flash", "cache_read", "globex"] == Decimal(99000123)
    assert usage["gemini-2.5-flash", "output", "acme"] == Decimal(2210500)
    assert usage["claude-sonnet-4-6", "output", "from-tag"] == Decimal(810000)


def test_a_focus_export_in_euros_has_us_dollars_by_its_own_rate(db: duckdb.DuckDBPyConnection) -> None:
    columns = gcp_focus.FOCUS.columns(
        {**dict.fromkeys(FOCUS_NAMES, "VARCHAR"), "x_CurrencyConversionRate": "DOUBLE"}
    )
    line = dict.fromkeys(FOCUS_NAMES, "") | {"BilledCost": "0.92", "BillingCurrency": "EUR"}
    raw = "(SELECT " + ", ".join(f'{_sql(text)} AS "{name}"' for name, text in line.items())
    raw += ', 0.92::DOUBLE AS "x_CurrencyConversionRate")'
    found = db.execute(f"SELECT {columns['x_billed_usd']}, {columns['x_credit_cost']} FROM {raw}").fetchone()
    assert found == (Decimal(1), Decimal(0))
