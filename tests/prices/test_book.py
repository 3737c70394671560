"""The price book: spot prices as rate times tokens, days, knowledge, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costweir.domain.usage import BUCKETS, Usage
from costweir.errors import NotFound, UsageError
from costweir.prices.book import Book
from costweir.prices.resolve import buckets
from costweir.prices.table import parse_list

DAY = date(2026, 11, 20)
MILLION = 1_000_000


@pytest.fixture(scope="module")
def book() -> Book:
    return Book.load()


# Expected amounts are written out from the vendors' published lists: rate per million x tokens.
SPOT: Sequence[tuple[str, str, Usage, dict[str, Any], str]] = [
    ("openai", "gpt-4o", Usage(input=1000, output=500), {}, "0.0075"),
    ("openai", "gpt-4o", Usage(input=1000, cache_read=3000, output=500), {}, "0.01125"),
    ("openai", "gpt-4o-2024-08-06", Usage(input=MILLION), {}, "2.5"),
    ("openai", "gpt-4o-2024-05-13", Usage(input=MILLION), {}, "5"),
    ("openai", "gpt-4o-mini", Usage(input=1, output=1), {}, "0.00000075"),
    ("openai", "gpt-4o-mini", Usage(input=MILLION, output=MILLION), {"tier": "batch"}, "0.375"),
    ("openai", "gpt-5", Usage(input=MILLION, reasoning=MILLION), {"tier": "flex"}, "5.625"),
    ("openai", "gpt-5", Usage(input=MILLION, output=MILLION), {"tier": "priority"}, "22.5"),
    ("openai", "gpt-5.4", Usage(input=272_000, output=1000), {}, "0.695"),
    ("openai", "gpt-5.4", Usage(input=272_001, output=1000), {}, "1.382505"),
    ("openai", "gpt-5.4", Usage(input=1, cache_read=272_000, output=1000), {}, "0.158505"),
    ("openai", "o3", Usage(input=MILLION, reasoning=500_000, output=500_000), {}, "10"),
    ("openai", "gpt-realtime", Usage(input_audio=1000, output_audio=1000), {}, "0.096"),
    ("openai", "gpt-realtime", Usage(cache_read_audio=1000), {}, "0.0004"),
    ("openai", "text-embedding-3-small", Usage(input=MILLION), {}, "0.02"),
    ("anthropic", "claude-sonnet-4-6", Usage(input=100, cache_write=1000, output=10), {}, "0.0042"),
    ("anthropic", "claude-sonnet-4-6", Usage(cache_write_1h=1000, cache_read=1000), {}, "0.0063"),
    ("anthropic", "claude-sonnet-4-6", Usage(cache_write_1h=MILLION), {"tier": "batch"}, "3"),
    ("anthropic", "claude-opus-4-8", Usage(input=MILLION, output=MILLION), {"tier": "fast"}, "60"),
    ("anthropic", "claude-sonnet-4-5-20250929", Usage(input=200_001), {}, "1.200006"),
    ("google", "gemini-2.5-flash", Usage(input=1000, input_audio=1000, output=100), {}, "0.00155"),
    ("gcp", "gemini-2.5-pro", Usage(input=150_000, input_image=60_000, output=1000), {}, "0.54"),
    ("gcp", "claude-sonnet-4-6", Usage(input=MILLION), {"routing": "regional"}, "3.3"),
    ("aws", "claude-sonnet-4-6", Usage(input=MILLION), {}, "3.3"),
    ("aws", "claude-sonnet-4-6", Usage(input=MILLION), {"routing": "global"}, "3"),
    ("aws", "us.anthropic.claude-sonnet-4-6-v1:0", Usage(output=MILLION), {}, "16.5"),
    ("aws", "nova-pro", Usage(input=MILLION, cache_read=MILLION, output=MILLION), {}, "4.2"),
    ("aws", "llama-3.3-70b", Usage(input=MILLION), {}, "0.72"),
    ("azure", "gpt-4o", Usage(input=MILLION), {}, "2.5"),
    ("azure", "gpt-4o", Usage(input=MILLION, cache_read=MILLION), {"routing": "datazone"}, "4.125"),
    ("azure", "gpt-6-sol", Usage(input=1), {"routing": "datazone-eu"}, "0.0000024"),
    ("perplexity", "sonar-pro", Usage(input=MILLION), {}, "3"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "model", "usage", "terms", "amount"), SPOT)
def test_spot_prices_are_rate_times_tokens(
    book: Book, provider: str, model: str, usage: Usage, terms: dict[str, Any], amount: str
) -> None:
    priced = book.price(usage, model=model, provider=provider, on=DAY, **terms)
    assert (priced.status, priced.amount) == ("priced", Decimal(amount))
    assert priced.price_version
    assert sum((line.amount for line in priced.lines), Decimal(0)) == priced.amount


def test_a_price_changes_on_the_day_it_takes_effect(book: Book) -> None:
    usage = Usage(input=MILLION)
    before = book.price(usage, model="o3", provider="openai", on=date(2025, 6, 9))
    after = book.price(usage, model="o3", provider="openai", on=date(2025, 6, 10))
    assert (before.amount, after.amount) == (Decimal(10), Decimal(2))
    assert before.price_version != after.price_version


def test_a_context_band_ends_with_the_price_that_had_it(book: Book) -> None:
    usage = Usage(input=300_000)
    assert book.price(
        usage, model="claude-opus-4-6", provider="anthropic", on=date(2026, 3, 12)
    ).amount == Decimal(3)
    assert book.price(
        usage, model="claude-opus-4-6", provider="anthropic", on=date(2026, 3, 13)
    ).amount == Decimal("1.5")


def test_time_of_day_prices_follow_the_clock_and_a_day_takes_the_maximum(book: Book) -> None:
    usage = Usage(input=MILLION)

    def amount(on: date) -> Decimal | None:
        return book.price(usage, model="deepseek-chat", provider="deepseek", on=on).amount

    assert amount(datetime(2026, 11, 20, 0, 30, tzinfo=UTC)) == Decimal("0.27")
    assert amount(datetime(2026, 11, 20, 16, 30, tzinfo=UTC)) == Decimal("0.135")
    assert amount(datetime(2026, 11, 20, 0, 29, tzinfo=UTC)) == Decimal("0.135")
    assert amount(DAY) == Decimal("0.27")


@pytest.mark.parametrize(
    ("model", "terms", "usage", "missing"),
    [
        ("no-such-model", {}, Usage(input=1), ("model",)),
        ("gpt-4o", {"tier": "flex"}, Usage(input=1), ("tier:flex",)),
        ("gpt-4o", {}, Usage(input=1, cache_write=1), ("cache_write",)),
        ("gpt-4o", {}, Usage(output_image=1), ("output_image",)),
        ("gpt-4o-2031-01-01", {}, Usage(input=1), ("model",)),
        ("gpt-5", {"tier": "batch", "on": date(2026, 10, 13)}, Usage(input=1), ("tier:batch",)),
    ],
)
def test_what_is_not_known_is_unpriced_and_says_what_is_missing(
    book: Book, model: str, terms: dict[str, Any], usage: Usage, missing: tuple[str, ...]
) -> None:
    priced = book.price(usage, model=model, provider="openai", **{"on": DAY, **terms})
    assert (priced.status, priced.amount, priced.missing) == ("unpriced", None, missing)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["gpt-4o", "claude-sonnet-4-6", "gemini-2.5-flash", "nova-pro", "whisper-1", "nothing"]),
    st.sampled_from(["", "openai", "anthropic", "google", "aws", "azure", "nobody"]),
    st.sampled_from(["standard", "batch", "priority", "provisioned"]),
    st.dictionaries(st.sampled_from(BUCKETS), st.integers(1, 10**7), min_size=1),
)
def test_used_buckets_are_priced_with_a_known_rate_or_the_whole_is_unpriced(
    model: str, provider: str, tier: str, used: dict[str, int]
) -> None:
    priced = _SHARED.price(Usage(**used), model=model, provider=provider, on=DAY, tier=tier)
    if priced.status == "unpriced":
        assert priced.amount is None
        assert priced.missing
    else:
        assert {line.bucket for line in priced.lines} >= used.keys() - {"request"}
        assert priced.amount is not None


_SHARED = Book.load()


def test_a_request_without_a_request_price_costs_nothing_extra(book: Book) -> None:
    usage = Usage(input=1000, request=1)
    assert book.price(usage, model="gpt-4o", provider="openai", on=DAY).amount == Decimal("0.0025")


def test_no_provider_finds_the_vendor_of_the_model(book: Book) -> None:
    found = {
        model: book.find(model, on=DAY)
        for model in ("gpt-4o", "claude-opus-4-8", "gemini-2.5-pro", "grok-4.6")
    }
    assert {model: rate.provider for model, rate in found.items() if rate} == {
        "gpt-4o": "openai", "claude-opus-4-8": "anthropic", "gemini-2.5-pro": "google", "grok-4.6": "x-ai",
    }  # fmt: skip


def test_a_compact_date_is_read_as_a_dashed_one(book: Book) -> None:
    rate = book.find("gpt-4o-20240513", provider="openai", on=DAY)
    assert rate is not None
    assert rate.model == "gpt-4o-2024-05-13"


def test_global_routing_is_not_guessed_from_a_regional_price(book: Book) -> None:
    assert book.find("claude-opus-4-1", provider="aws", on=DAY) is not None
    assert book.find("claude-opus-4-1", provider="aws", routing="global", on=DAY) is None


def _schedule(rows: Sequence[tuple[int, int, str]]) -> dict[str, Any]:
    start = date(2026, 1, 1)
    return {
        "provider": "",
        "models": [{"id": "m", "match": {"starts_with": "m"}}],
        "rates": [
            {
                "model": "m",
                "effective": (start + timedelta(days=effective)).isoformat(),
                "known_from": (start + timedelta(days=known)).isoformat(),
                "rates": {"input": rate},
            }
            for effective, known, rate in rows
        ],
    }


_ROWS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from(["1", "2", "3.5"])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(_ROWS, _ROWS, st.integers(0, 60), st.integers(0, 60), st.booleans())
def test_history_stands_still_when_something_is_learned_later(
    rows: list[tuple[int, int, str]], news: list[tuple[int, int, str]], on: int, known_on: int, renamed: bool
) -> None:
    day, knowledge = date(2026, 1, 1) + timedelta(days=on), date(2026, 1, 1) + timedelta(days=known_on)
    before = _schedule(rows)
    later = [(effective, known_on + 1 + known, rate) for effective, known, rate in news]
    after = _schedule(rows + later)
    if renamed:
        learned = (knowledge + timedelta(days=1)).isoformat()
        after["models"].append({"id": "mx", "known_from": learned, "match": {"equals": "mx"}})
        after["order"] = [{"known_from": learned, "ids": ["mx", "m"]}]
    for reference in ("m", "mx"):
        prices = [
            Book([parse_list(raw)]).price(
                Usage(input=7), model=reference, provider="p", on=day, known_on=knowledge
            )
            for raw in (before, after)
        ]  # fmt: skip
        assert prices[0] == prices[1]


def test_knowledge_travels_separately_from_the_day() -> None:
    book = Book([parse_list(_schedule([(0, 0, "1"), (10, 20, "2")]))])
    day = date(2026, 1, 16)

    def amount(known_on: date | None) -> Decimal | None:
        return book.price(Usage(input=MILLION), model="m", provider="p", on=day, known_on=known_on).amount

    assert amount(date(2026, 1, 20)) == Decimal(1)
    assert amount(date(2026, 1, 21)) == Decimal(2)
    assert amount(None) == Decimal(2)


_ANY_USAGE = st.builds(
    Usage,
    input=st.integers(0, 400_000), cache_read=st.integers(0, 400_000), output=st.integers(0, 100_000),
    reasoning=st.integers(0, 100_000), input_audio=st.integers(0, 1000), cache_write=st.integers(0, 1000),
    cache_write_1h=st.integers(0, 1000),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [
            ("openai", "gpt-5.4"), ("azure", "gpt-5.4"), ("azure", "gpt-6-sol"),
            ("anthropic", "claude-sonnet-4-5"),
            ("aws", "claude-sonnet-4-6"), ("gcp", "gemini-2.5-pro"), ("deepseek", "deepseek-v4-pro"),
            ("gcp", "claude-opus-4-8"),
        ]
    ),
    st.sampled_from(["standard", "batch", "flex", "priority", "fast"]),
    st.sampled_from(["", "global", "regional", "datazone", "datazone-eu"]),
    _ANY_USAGE,
)  # fmt: skip
def test_no_condition_costs_more_than_the_worst_rate(
    who: tuple[str, str], tier: str, routing: str, usage: Usage
) -> None:
    provider, model = who
    worst = _SHARED.worst(model, provider=provider, on=DAY)
    assert worst is not None
    priced = _SHARED.price(usage, model=model, provider=provider, on=DAY, tier=tier, routing=routing)
    for line in priced.lines:
        assert line.rate <= worst[line.bucket]


def test_the_worst_rate_holds_over_midnight() -> None:
    book = Book([parse_list(_schedule([(0, 0, "1"), (10, 0, "3.5")]))])
    worst = book.worst("m", provider="p", on=date(2026, 1, 10))
    assert worst is not None
    assert worst["input"] == Decimal("3.5")
    assert book.worst("m", provider="p", on=date(2026, 1, 9)) == worst | {
        bucket: Decimal(1) for bucket, rate in worst.items() if rate == Decimal("3.5")
    }


def test_the_worst_rate_of_a_bucket_that_one_list_leaves_out_is_its_stand_in() -> None:
    book = Book.load(overrides=[{"model": "gpt-4o", "input": "9", "output": "1"}])
    worst = book.worst("gpt-4o", provider="openai", on=DAY)
    assert worst is not None
    assert worst["cache_read"] == Decimal(9)
    assert worst["output"] == Decimal(17)


def test_a_model_without_a_price_has_no_worst_rate(book: Book) -> None:
    assert book.worst("no-such-model", provider="openai", on=DAY) is None


def test_list_filters_by_provider_and_part_of_the_name(book: Book) -> None:
    rates = book.list(provider="openai", match="gpt-4o-mini", on=DAY)
    assert {rate.provider for rate in rates} == {"openai"}
    assert {rate.tier for rate in rates if rate.model == "gpt-4o-mini"} == {
        "standard",
        "batch",
        "priority",
        "fast",
    }
    assert len(book.list(on=DAY)) > 2000
    with pytest.raises(NotFound, match="nobody"):
        book.list(provider="nobody", on=DAY)


def test_show_tells_every_row_of_a_model(book: Book) -> None:
    shown = book.show("o3", provider="openai")
    assert (shown["provider"], shown["model"]) == ("openai", "o3")
    with pytest.raises(NotFound, match="no-such-model"):
        book.show("no-such-model")


def test_diff_tells_new_changed_and_ended() -> None:
    raw = _schedule([(0, 0, "1"), (10, 5, "2")])
    raw["rates"] += [
        {"model": "n", "known_from": "2026-01-11", "effective": "2026-01-11", "rates": {"input": "4"}},
        {"model": "gone", "known_from": "2026-01-01", "rates": {"input": "5"}},
        {"model": "gone", "known_from": "2026-01-12", "effective": "2026-01-12", "ended": True},
    ]
    changes = Book([parse_list(raw)]).diff(date(2026, 1, 2), date(2026, 1, 31))
    ours = {
        (c.change, c.model, c.before.get("input"), c.after.get("input"))
        for c in changes
        if c.provider == "operator"
    }
    assert ours == {
        ("changed", "m", Decimal(1), Decimal(2)),
        ("new", "n", None, Decimal(4)),
        ("ended", "gone", Decimal(5), None),
    }


def test_diff_announces_a_price_that_is_learned_before_it_takes_effect() -> None:
    book = Book([parse_list(_schedule([(0, 0, "1"), (60, 10, "3.5")]))])
    changes = [c for c in book.diff(date(2026, 1, 5), date(2026, 1, 20)) if c.provider == "operator"]
    assert [(c.change, c.effective, c.after["input"]) for c in changes] == [
        ("changed", date(2026, 3, 2), Decimal("3.5"))
    ]


def test_diff_refuses_days_in_the_wrong_order(book: Book) -> None:
    with pytest.raises(UsageError):
        book.diff(DAY, DAY - timedelta(days=1))


def test_every_rate_of_the_shipped_book_is_for_a_known_bucket_and_names_its_evidence(book: Book) -> None:
    for rate in book.list(on=DAY):
        assert rate.rates.keys() <= buckets().keys()
        assert rate.source.startswith("genai-prices")
        assert rate.evidence.startswith("https://")
        assert all(value >= 0 for value in rate.rates.values())


def test_seconds_are_billed_per_hour(book: Book) -> None:
    rate = book.find("whisper-large-v3", provider="groq", on=DAY)
    assert rate is not None
    priced = book.price(Usage(audio_seconds=7200), model="whisper-large-v3", provider="groq", on=DAY)
    assert priced.amount == 2 * rate.rates["audio_seconds"]
