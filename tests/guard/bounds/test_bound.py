"""Law L1, bound: whatever a provider reports within the published assumptions costs at most the hold."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from costweir.config.tables import Model, Provider
from costweir.domain.usage import Usage
from costweir.guard.bounds import Bound, ModelTerms, Shape, compile_terms, cost_of, plan, read
from costweir.guard.ledger import NANO
from costweir.prices.book import Book

DAY = date(2026, 11, 21)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BIG = {
    "model": "big", "effective": "2026-01-01", "input": "3.00", "output": "15.00", "cache_read": "0.30",
    "cache_write": "3.75", "request": "0",
}  # fmt: skip


@cache
def book() -> Book:
    return Book.load(
        overrides=[
            BIG,
            {"model": "fee", "effective": "2026-01-01", "input": "1", "output": "2", "request": "0.01"},
            {"model": "fine", "effective": "2026-01-01", "input": "0.0000001", "output": "0.0000007"},
            {"model": "voice", "effective": "2026-01-01", "input": "1", "output": "2", "output_audio": "80"},
            {"model": "half", "effective": "2026-01-01", "input": "1"},
        ]
    )


def terms(name: str, kind: Any = "openai", *, url: str = "", **more: Any) -> ModelTerms:
    model = Model(id=name, provider="p", **more)
    provider = Provider(id="p", kind=kind, base_url=url or None)
    return compile_terms(model, provider, book(), stated={"big", "fee", "fine", "half", "voice"})


def chat(**more: Any) -> Shape:
    given_body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **more}
    return read("openai.chat", json.dumps(given_body).encode())


def message(*, betas: tuple[str, ...] = (), **more: Any) -> Shape:
    given_body = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}], **more}
    return read("anthropic.messages", json.dumps(given_body).encode(), betas=betas)


def hold(bound: Bound) -> int:
    return bound.fixed + bound.cap * bound.output_rate


OPENAI = (
    "gpt-4o-mini",
    "gpt-4o",
    "gpt-5",
    "gpt-5.4",
    "gpt-5.5",
    "gpt-5.6-luna",
    "gpt-6-sol",
    "gpt-6.1-terra",
    "o3",
)
CLAUDE = ("claude-sonnet-4-5", "claude-opus-4-6", "claude-haiku-5-5", "claude-opus-5", "claude-3-haiku")


@given(
    name=st.sampled_from(OPENAI), tier=st.sampled_from(["auto", "default", "flex", "priority", None]),
    size=st.integers(0, 400_000), cap=st.integers(1, 20_000), n=st.integers(1, 4), data=st.data(),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_no_usage_of_a_chat_within_its_bounds_costs_more_than_the_hold(
    name: str, tier: str | None, size: int, cap: int, n: int, data: st.DataObject
) -> None:
    shape = chat(messages=[{"role": "user", "content": "x" * size}], n=n, max_tokens=cap, service_tier=tier)
    model = terms(name)
    bound = plan(shape, model, on=DAY)
    assume(not bound.unpriced)
    tokens = data.draw(st.integers(0, min(shape.text, model.context or shape.text)), label="input")
    read_, written = data.draw(st.integers(0, tokens)), data.draw(st.integers(0, tokens))
    assume(read_ + written <= tokens)
    out = data.draw(st.integers(0, bound.cap * n), label="output")
    thought = data.draw(st.integers(0, out))
    usage = Usage(
        input=tokens - read_ - written, cache_read=read_, cache_write=written, output=out - thought, reasoning=thought,
        request=1,
    )  # fmt: skip
    answered = data.draw(st.sampled_from(sorted(shape.tiers | {"standard"})), label="tier")

    cost = cost_of(usage, model, on=NOW, tier=answered)

    assert cost is None or cost.nano <= hold(bound)


@given(
    name=st.sampled_from(CLAUDE), caching=st.sampled_from(["", "5m", "1h"]), size=st.integers(0, 400_000),
    cap=st.integers(1, 20_000), speed=st.sampled_from([None, "fast"]), searches=st.integers(0, 3), data=st.data(),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_no_usage_of_a_message_within_its_bounds_costs_more_than_the_hold(
    name: str, caching: str, size: int, cap: int, speed: str | None, searches: int, data: st.DataObject
) -> None:
    more: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": caching}} if caching else {}
    if searches:
        more["tools"] = [{"type": "web_search_20250305", "name": "web_search", "max_uses": searches}]
    shape = message(messages=[{"role": "user", "content": "x" * size}], max_tokens=cap, speed=speed, **more)
    model = terms(name, "anthropic")
    bound = plan(shape, model, on=DAY)
    assume(not bound.unpriced and not bound.problems)
    rounds = 1 + searches
    one_round = model.context if searches else min(shape.text, model.context)
    tokens = data.draw(st.integers(0, one_round * rounds), label="input")
    written = data.draw(st.integers(0, tokens)) if caching else 0
    long = data.draw(st.integers(0, written)) if caching == "1h" else 0
    usage = Usage(
        input=tokens - written, cache_write=written - long, cache_write_1h=long, request=1,
        output=data.draw(st.integers(0, bound.cap * rounds)), web_search=data.draw(st.integers(0, searches)),
    )  # fmt: skip
    routing = data.draw(st.sampled_from(["", "us"]))

    cost = cost_of(usage, model, on=NOW, tier=speed or "standard", routing=routing)

    assert cost is None or cost.nano <= hold(bound)


@given(
    name=st.sampled_from([*OPENAI, *CLAUDE, "big", "fee", "fine", "half", "nobody-knows"]),
    tier=st.sampled_from(["standard", "priority", "flex", "batch", "fast", "warp"]), hour=st.integers(0, 23),
    counts=st.dictionaries(
        st.sampled_from(["input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "request",
                         "web_search", "input_audio", "audio_seconds", "output_audio"]),
        st.integers(0, 3_000_000),
    ),
)  # fmt: skip
@example(name="fine", tier="standard", hour=0, counts={"input": 1})
@settings(max_examples=400, deadline=None)
def test_a_price_in_whole_numbers_is_that_of_the_book_rounded_up(
    name: str, tier: str, hour: int, counts: dict[str, int]
) -> None:
    model, usage, moment = terms(name, "mock"), Usage(**counts), NOW.replace(hour=hour)

    found = cost_of(usage, model, on=moment, tier=tier)
    exact = book().price(usage, model=name, provider=model.tariff.provider, on=moment, tier=tier)

    if exact.amount is None:
        assert found is None
    else:
        assert found is not None
        assert found.price_version == exact.price_version
        # An hour has no exact rate for a second; that is rounded up in the eighteenth place.
        slack = usage.audio_seconds
        assert exact.amount * NANO * NANO <= found.nano * NANO < exact.amount * NANO * NANO + NANO + slack


def test_a_plain_chat_is_priced_as_the_design_says() -> None:
    shape = chat(max_tokens=100, service_tier="default")
    bound = plan(shape, terms("big", context_tokens=128_000, max_output_tokens=4_096), on=DAY)

    # Every byte may be a token that is written to the cache, every token of the cap may be billed.
    assert bound.fixed == shape.text * 3_750
    assert (bound.output_rate, bound.cap) == (15_000, 100)
    assert bound.candidate().bounded
    assert bound.candidate().priced
    assert bound.why == ""


def test_a_cap_is_always_there_and_never_above_what_the_model_can() -> None:
    model = terms("big", max_output_tokens=4_096)

    assert plan(chat(), model).cap == 4_096
    assert plan(chat(max_tokens=9_000), model).cap == 4_096
    assert plan(chat(max_tokens=7), model).cap == 7
    assert plan(chat(), terms("big")).cap == 4_096
    assert plan(chat(max_tokens=9_000), terms("big")).cap == 9_000
    assert plan(chat(), terms("gpt-4o")).cap == 16_384
    assert (
        plan(
            message(betas=("output-128k-2025-02-19",), max_tokens=99_999),
            terms("claude-3-7-sonnet-latest", "anthropic"),
        ).cap
        == 99_999
    )


@pytest.mark.parametrize(
    ("kind", "url", "more", "fields"),
    [
        ("openai", "", {}, ("max_completion_tokens",)),
        ("openai", "", {"max_tokens": 5}, ("max_completion_tokens", "max_tokens")),
        ("openai", "https://api.mistral.ai/v1", {}, ("max_tokens",)),
        ("openai", "http://127.0.0.1:9100/v1", {}, ("max_completion_tokens", "max_tokens")),
        ("openai", "https://evil-openai.com/v1", {}, ("max_completion_tokens", "max_tokens")),
    ],
)
def test_the_cap_stands_in_every_field_that_the_server_may_read(
    kind: str, url: str, more: dict[str, Any], fields: tuple[str, ...]
) -> None:
    assert plan(chat(**more), terms("big", kind, url=url)).cap_fields == fields


def test_a_message_has_one_cap_field() -> None:
    assert plan(message(), terms("claude-opus-5", "anthropic")).cap_fields == ("max_tokens",)
    assert plan(message(), terms("big", "mock")).cap_fields == ("max_tokens",)


def test_a_model_that_searches_by_itself_has_no_bound() -> None:
    assert "searches the web by itself" in plan(chat(), terms("gpt-4o-search-preview")).why


def test_a_server_that_may_write_a_preamble_is_held_for_it() -> None:
    here, there = terms("big"), terms("big", url="http://127.0.0.1:9100/v1")

    assert plan(chat(), there, on=DAY).fixed == plan(chat(), here, on=DAY).fixed + 256 * 3_750


def test_choices_multiply_the_output() -> None:
    model = terms("big")

    assert plan(chat(n=5), model).output_rate == 5 * plan(chat(), model).output_rate


def test_a_prediction_may_be_billed_as_output() -> None:
    model, words = terms("gpt-4o"), {"type": "content", "content": "x" * 1_000}

    more = plan(chat(prediction=words), model, on=DAY)
    assert more.fixed >= plan(chat(), model, on=DAY).fixed + 1_000 * more.output_rate


def test_audio_in_the_answer_is_priced_as_audio() -> None:
    model = terms("voice")
    spoken, written = plan(chat(modalities=["text", "audio"]), model), plan(chat(), model)

    assert (spoken.output_rate, written.output_rate) == (80_000, 2_000)
    assert plan(chat(modalities=["audio"]), terms("big")).unpriced == ("output_audio",)


def test_an_image_is_bounded_by_its_tiles_or_by_the_context() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://x"}}
    shape = chat(messages=[{"role": "user", "content": [part]}], service_tier="default")

    assert plan(shape, terms("gpt-4o"), on=DAY).fixed < (2_000 + len(shape.raw)) * 2_500
    assert plan(shape, terms("gpt-6-sol"), on=DAY).fixed >= 1_050_000 * 2_000
    assert plan(shape, terms("big", context_tokens=1_000), on=DAY).fixed == 1_000 * 3_750
    assert "context window" in plan(shape, terms("big"), on=DAY).why
    own = plan(shape, terms("big", context_tokens=128_000, image_tokens=1_000), on=DAY)
    assert 1_000 * 3_750 < own.fixed < (2_000 + len(shape.raw)) * 3_750, (
        "the operator knows what an image costs"
    )


def test_what_is_longer_than_the_context_is_bounded_by_it() -> None:
    shape = chat(messages=[{"role": "user", "content": "x" * 500_000}])

    assert plan(shape, terms("big", context_tokens=1_000), on=DAY).fixed == 1_000 * 3_750


def test_a_long_context_is_priced_at_its_own_rate() -> None:
    short, long = (
        plan(
            message(messages=[{"role": "user", "content": "x" * size}]),
            terms("claude-sonnet-4-5", "anthropic"),
            on=DAY,
        )
        for size in (1_000, 150_000)
    )
    wide = plan(
        message(betas=("context-1m-2025-08-07",), messages=[{"role": "user", "content": "x" * 300_000}]),
        terms("claude-sonnet-4-5", "anthropic"), on=DAY,
    )  # fmt: skip

    assert (short.output_rate, long.output_rate) == (15_000, 15_000)
    assert wide.output_rate > 15_000


def test_a_tier_that_the_caller_rules_out_is_not_held_for() -> None:
    model = terms("gpt-5.4")
    assert (
        plan(chat(service_tier="default"), model, on=DAY).output_rate
        < plan(chat(), model, on=DAY).output_rate
    )


def test_cache_writes_that_have_no_price_are_unpriced_and_not_free() -> None:
    shape = message(cache_control={"type": "ephemeral", "ttl": "1h"})
    bound = plan(shape, terms("big", "anthropic"), on=DAY)

    assert bound.unpriced == ("cache_write_1h",)
    assert not bound.candidate().priced
    assert bound.candidate().why == "There is no price for cache_write_1h."


def test_a_write_that_openai_makes_unasked_costs_what_input_does_where_it_has_no_price() -> None:
    written, plain = (
        cost_of(usage, terms("gpt-4o"), on=NOW) for usage in (Usage(cache_write=1_000), Usage(input=1_000))
    )

    assert written is not None
    assert written == plain
    assert cost_of(Usage(cache_write=1_000), terms("half", "anthropic"), on=NOW) is None


def test_a_message_that_only_fills_the_cache_writes_nothing() -> None:
    bound = plan(
        message(max_tokens=0, cache_control={"type": "ephemeral"}),
        terms("claude-opus-5", "anthropic"),
        on=DAY,
    )

    assert (bound.cap, bound.floor, bound.cap_fields) == (0, 0, ("max_tokens",))
    assert bound.fixed > 0


def test_a_model_without_a_price_is_unpriced() -> None:
    bound = plan(chat(), terms("nobody-knows"), on=DAY)

    assert bound.unpriced == ("model",)
    assert bound.why == ""
    assert not bound.candidate().priced
    assert plan(chat(), terms("half"), on=DAY).unpriced == ("output",)


def test_thinking_stays_below_the_cap_and_above_the_floor() -> None:
    model = terms("claude-sonnet-4-5", "anthropic")
    fine = plan(
        message(max_tokens=9_000, thinking={"type": "enabled", "budget_tokens": 4_000}), model, on=DAY
    )
    wrong = plan(
        message(max_tokens=4_000, thinking={"type": "enabled", "budget_tokens": 4_000}), model, on=DAY
    )

    assert (fine.floor, fine.problems) == (4_256, ())
    assert "budget_tokens" in wrong.why


def test_a_cap_that_leaves_out_reasoning_reserves_the_whole_answer() -> None:
    model = terms("big", cap_includes_reasoning=False, max_output_tokens=4_096)
    bound = plan(chat(max_tokens=10), model, on=DAY)

    assert bound.output_rate == 0
    assert bound.fixed >= 4_096 * 15_000
    assert bound.floor == bound.cap == 10
    assert plan(chat(max_tokens=10), terms("big", cap_includes_reasoning=False), on=DAY).problems


def test_an_embedding_has_no_output() -> None:
    shape = read("openai.embeddings", b'{"model": "m", "input": ["one", "two"]}')
    bound = plan(shape, terms("text-embedding-3-small"), on=DAY)

    assert (bound.cap, bound.floor, bound.output_rate, bound.cap_fields) == (0, 0, 0, ())
    assert bound.fixed > 0


@given(ids=st.lists(st.integers(0, 200_000), min_size=1, max_size=50))
def test_token_ids_of_an_embedding_are_bounded_by_their_digits(ids: list[int]) -> None:
    shape = read(
        "openai.embeddings", json.dumps({"model": "m", "input": ids}, separators=(",", ":")).encode()
    )

    assert len(ids) <= shape.text


def test_a_fee_for_each_request_is_held_once() -> None:
    assert plan(chat(), terms("fee"), on=DAY).fixed == 10_000_000 + chat().text * 1_000


def test_a_bound_that_no_ledger_can_count_is_refused() -> None:
    dear = Book.load(
        overrides=[{"model": "dear", "effective": "2026-01-01", "input": "9" * 18, "output": "9" * 18}]
    )
    model = compile_terms(
        Model(id="dear", provider="p"), Provider(id="p", kind="openai"), dear, stated={"dear"}
    )

    assert plan(chat(), model, on=DAY).problems == ("its bound is more than a ledger can count",)


def test_the_price_of_tomorrow_counts_today() -> None:
    rising = Book.load(
        overrides=[
            {"model": "up", "effective": "2026-01-01", "input": "1", "output": "1"},
            {"model": "up", "effective": "2026-11-22", "input": "9", "output": "9"},
        ]
    )
    model = compile_terms(
        Model(id="up", provider="p"), Provider(id="p", kind="openai"), rising, stated={"up"}
    )

    assert plan(chat(), model, on=date(2026, 11, 20)).output_rate == 1_000
    assert plan(chat(), model, on=date(2026, 11, 21)).output_rate == 9_000


def test_an_address_for_one_region_costs_what_it_costs_there() -> None:
    usage = Usage(input=1_000_000)
    plain, european = (
        terms("gpt-5.4", url=url) for url in ("https://api.openai.com/v1", "https://eu.api.openai.com/v1")
    )
    prices = [cost_of(usage, model, on=NOW) for model in (plain, european)]

    assert prices[0] is not None
    assert prices[1] is not None
    assert prices[1].nano * 10 == prices[0].nano * 11
    assert "uplift" in prices[1].price_version
    rates = [plan(chat(), model, on=DAY).output_rate for model in (plain, european)]
    assert rates[1] * 10 == rates[0] * 11


def test_the_callers_name_goes_before_the_upstreams() -> None:
    provider = Provider(id="p", kind="openai")
    own = compile_terms(Model(id="big", provider="p", upstream="gpt-4o"), provider, book(), stated={"big"})
    other = compile_terms(Model(id="gpt-4o", provider="p", upstream="gpt-5.5"), provider, book())

    assert plan(chat(), own, on=DAY).output_rate == 15_000
    assert other.tariff.name == "gpt-5.5"
