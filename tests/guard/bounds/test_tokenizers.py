"""The bound on text against real tokenizers, offline: byte-level BPE never makes more tokens than bytes, SentencePiece
with compatibility forms never more than bytes and growth."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from costweir.config.tables import Model, Provider
from costweir.guard.bounds import compile_terms, counted, read
from costweir.guard.bounds.growth import growth_of
from costweir.prices.book import Book

ENCODINGS = ("o200k_base", "cl100k_base", "voyage3_base")
#: Where tokenizers are worst: rare scripts, joined emoji, compatibility letters, hex, JSON, marks without a base.
HARD = (
    "ᚠᛇᚻ᛫ᛒᛦᚦ", "𒀀𒁀𒂀", "👩‍👩‍👧‍👦🏳️‍🌈", "ﷺﷻ﷽", "㌀㌁㌂㍿", "½⅓ﬀﬃ", "deadbeef" * 8, '{"a":[{"b":"\\"c\\""}]}',
    "\u0301" * 12,
    "\ufdfa" * 9, "a\u200db", "\x00\x01\x7f", "中文字符測試", "ཨོཾམཎིཔདྨེཧཱུྃ", "  \n\t ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "ｆｕｌｌ ｗｉｄｔｈ",
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=80) | st.lists(
    st.sampled_from(HARD), max_size=4
).map("".join)


@cache
def bpe(name: str) -> Callable[[str], int]:
    with warnings.catch_warnings():
        # Python 3.11 calls the way it reads its own data old; 3.13 took that back.
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai

    encoding = bpe_openai.get_encoding(name)
    return lambda text: len(encoding.encode_ordinary(text))


@cache
def pieces(rule: str) -> Callable[[str], int]:
    """A small SentencePiece model with byte fallback, trained here, that normalises by `rule` as T5 or Mistral do."""
    model = io.BytesIO()
    lines = [
        f"the quick brown fox number {number} jumps over {number * 7} lazy dogs" for number in range(400)
    ]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=400, byte_fallback=True, hard_vocab_limit=False,
        normalization_rule_name=rule, minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return lambda text: len(processor.encode(text))


def body(messages: list[dict[str, Any]], *, ascii_only: bool, tight: bool) -> bytes:
    separators = (",", ":") if tight else (", ", ": ")
    text = json.dumps({"model": "m", "messages": messages}, ensure_ascii=ascii_only, separators=separators)
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", ENCODINGS)
@given(text=texts)
@settings(max_examples=150, deadline=None)
def test_byte_level_bpe_makes_no_more_tokens_than_bytes(name: str, text: str) -> None:
    assert bpe(name)(text) <= len(text.encode())


@given(
    messages=st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": texts}),
        min_size=1, max_size=6,
    ),
    ascii_only=st.booleans(), tight=st.booleans(),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_a_chat_as_a_provider_counts_it_is_within_the_bound(
    messages: list[dict[str, Any]], ascii_only: bool, tight: bool
) -> None:
    count = bpe("o200k_base")
    counted = 3 + sum(4 + count(row["role"]) + count(row["content"]) for row in messages)

    shape = read("openai.chat", body(messages, ascii_only=ascii_only, tight=tight))

    assert counted <= shape.text


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc", "nfkc_cf", "identity"])
@given(text=texts, ascii_only=st.booleans())
@settings(max_examples=150, deadline=None)
def test_sentencepiece_stays_within_the_bound_and_the_growth(rule: str, text: str, ascii_only: bool) -> None:
    shape = read("openai.chat", body([{"role": "user", "content": text}], ascii_only=ascii_only, tight=True))

    assert pieces(rule)(text) <= shape.text + growth_of(shape.raw)


def test_without_the_growth_a_rewriting_tokenizer_would_exceed_the_bytes() -> None:
    """The reason for `growth`: one letter of three bytes becomes eighteen letters."""
    assert pieces("nmt_nfkc")("ﷺ" * 20) > len(("ﷺ" * 20).encode())


@given(text=texts)
@settings(max_examples=300, deadline=None)
def test_growth_bounds_both_compatibility_forms(text: str) -> None:
    for form in ("NFKC", "NFKD"):
        assert len(unicodedata.normalize(form, text).encode()) <= len(text.encode()) + growth_of(
            json.dumps(text).encode()
        )


def test_growth_bounds_every_letter_there_is() -> None:
    letters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    short = [
        letter
        for letter in letters
        if len(unicodedata.normalize("NFKC", letter).encode()) > len(letter.encode())
        and growth_of(json.dumps(letter).encode())
        < len(unicodedata.normalize("NFKC", letter).encode()) - len(letter.encode())
    ]

    assert short == []


def test_plain_english_does_not_grow() -> None:
    assert growth_of(b'"The quick brown fox."') == 0


@given(tool=st.recursive(texts, lambda inner: st.dictionaries(texts, inner, max_size=3), max_leaves=8))
@settings(max_examples=100, deadline=None)
def test_tools_rendered_with_every_value_on_its_own_line_stay_within_the_bound(tool: Any) -> None:
    """A provider writes tools in a form of its own; here as an indented text with a comment sign at every line."""
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"x": tool}}}]
    rendered = "\n".join(f"// {line}" for line in json.dumps(tools, ensure_ascii=False).splitlines())
    raw = json.dumps({"model": "m", "messages": [], "tools": tools}).encode()

    assert bpe("o200k_base")(rendered) + 12 <= read("openai.chat", raw).text


@given(contents=st.lists(texts, min_size=1, max_size=4), name=st.sampled_from(("o200k_base", "cl100k_base")))
@settings(max_examples=60, deadline=None)
def test_counted_texts_are_never_below_what_the_provider_counts_nor_above_their_bytes(
    contents: list[str], name: str
) -> None:
    messages = [{"role": "user", "content": content} for content in contents]
    shape = read("openai.chat", json.dumps({"model": "m", "messages": messages}).encode())
    exact = counted(shape, name)
    # As the provider's own notebook counts a chat: three or four tokens a message and three for the answer.
    theirs = sum(bpe(name)(content) + bpe(name)("user") + 4 for content in contents) + 3

    assert theirs <= exact.text <= shape.text


def test_what_is_no_single_text_keeps_its_bytes() -> None:
    parts = [{"type": "text", "text": "a b c " * 50}, {"type": "text", "text": "d e f " * 50}]
    tools = [{"type": "function", "function": {"name": "f", "description": "g h i " * 50}}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}], "tools": tools}
    shape = read("openai.chat", json.dumps(body).encode())

    assert counted(shape, "o200k_base") == shape


def test_a_tokenizer_is_taken_only_where_it_is_known() -> None:
    def name_of(model: str, **provider: Any) -> str:
        found = Provider.model_validate({"id": "p", "kind": "openai", **provider})
        return compile_terms(Model(id=model, provider="p"), found, Book.load()).tokenizer

    assert name_of("gpt-4o-mini") == name_of("o3") == "o200k_base"
    assert name_of("gpt-4") == "cl100k_base"
    assert name_of("gpt-6-sol") == name_of("claude-sonnet-4-5") == ""
    assert name_of("gpt-4o", base_url="https://llm.example.com/v1") == "", (
        "whatever runs there under that name"
    )
