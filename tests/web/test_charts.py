"""Specs: colours belong to entities and exist in the theme, and what is not final is drawn hatched."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from costweir.web import charts
from costweir.web.charts import Frame, Series, over_time, tokens

STATIC = Path(charts.__file__).parent / "static"
FRAME = Frame("Spend", ("1 Nov", "2 Nov"))


def series(label: str, token: str, *values: str, late: frozenset[int] = frozenset()) -> Series:
    return Series(label, token, tuple(Decimal(value) for value in values), f"/{label}", late)


def test_providers_keep_their_colour() -> None:
    assert tokens("provider", ["gcp", "aws", "new"]).items() >= {"gcp": "gcp", "aws": "aws"}.items()


def test_a_model_wears_a_tint_of_its_maker() -> None:
    found = tokens("model", ["claude-sonnet-4-6", "gpt-4o", "gemini-2.5-pro", "nova-2-lite"])
    assert [token.split("-")[1] for token in found.values()] == ["anthropic", "gcp", "openai", "aws"]


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
def test_six_members_never_share_a_colour(members: list[str]) -> None:
    found = tokens("customer", members)
    assert len(set(found.values())) == len(members)


def test_a_member_keeps_its_colour_when_another_is_filtered_away() -> None:
    assert tokens("customer", ["kestrel"])["kestrel"] == tokens("customer", ["kestrel"])["kestrel"]
    assert tokens("provider", ["aws"])["aws"] == tokens("provider", ["aws", "gcp"])["aws"]


def test_what_is_not_final_is_drawn_a_second_time_with_the_hatch() -> None:
    final = over_time(FRAME, [series("aws", "aws", "1", "2")])
    late = over_time(FRAME, [series("aws", "aws", "1", "2", late=frozenset({1}))])
    assert "url(#hatch)" not in json.dumps(final)
    assert "url(#hatch)" in json.dumps(late)
    assert [row.get("q") for row in late["data"]["values"]] == [None, ["s0"]]  # type: ignore[index]


def test_a_line_ends_where_nothing_was_delivered_yet() -> None:
    spec = over_time(FRAME, [series("aws", "aws", "1", "0", late=frozenset({1}))], mark="lines")
    assert [row["s0"] for row in spec["data"]["values"]] == [1.0, None]  # type: ignore[index]


def test_the_domain_of_the_days_is_given() -> None:
    spec = over_time(FRAME, [series("aws", "aws", "1", "2")], before=[Decimal(1), Decimal(1)])
    domains = re.findall(r'"domain": (\["1 Nov", "2 Nov"\])', json.dumps(spec))
    assert len(domains) == len(spec["layer"])  # type: ignore[arg-type]


def test_dots_stand_over_their_bucket_and_keep_the_order_of_the_days() -> None:
    framed = Frame("Spend", ("1 Nov", "2 Nov"), dots=((1, 1),))
    spec = over_time(framed, [series("aws", "aws", "1", "2")])
    own = [layer for layer in spec["layer"] if "data" in layer]  # type: ignore[union-attr]
    assert [layer["data"]["values"] for layer in own] == [[{"d": "2 Nov", "n": "1"}]] * 3
    assert len(re.findall(r'"domain": (\["1 Nov", "2 Nov"\])', json.dumps(spec))) == len(spec["layer"])  # type: ignore[arg-type]


def test_every_colour_of_a_spec_is_in_both_themes() -> None:
    theme = json.loads((STATIC / "vega-theme.json").read_text())
    members = ["claude-a", "gpt-b", "gemini-c", "nova-d", "x", "other", "untagged"]
    spec = json.dumps(
        over_time(FRAME, [series(name, token, "1", "2") for name, token in tokens("model", members).items()])
    )
    used = set(re.findall(r'\{"expr": "(\w+)"\}', spec))
    for mode in ("light", "dark"):
        assert used <= {param["name"] for param in theme[mode]["params"]}


def test_each_colour_of_the_theme_equals_its_token() -> None:
    css = (STATIC / "tokens.css").read_text()
    theme = json.loads((STATIC / "vega-theme.json").read_text())
    pairs = dict(re.findall(r"--([\w-]+): light-dark\((#\w+, #\w+)\)", css))
    checked = 0
    for place, mode in enumerate(("light", "dark")):
        for param in theme[mode]["params"]:
            name = param["name"].replace("_", "-")
            if name in pairs:
                assert param["value"] == pairs[name].split(", ")[place], name
                checked += 1
    assert checked > 50


def test_static_files_keep_their_budget() -> None:
    assert len((STATIC / "app.js").read_bytes()) <= 12_000
    assert len((STATIC / "tokens.css").read_bytes()) <= 40_000
