"""The page about the catalogue is current, and the catalogue answers what it was built for."""

from __future__ import annotations

import re
from pathlib import Path

from costweir.queries.dimensions import DIMENSION_TABLE
from costweir.queries.page import page
from costweir.queries.question import PARAMS, catalogue

DOCS = Path(__file__).parents[2] / "docs"
#: Boards of the request plane, names of boards, stack internals and forecasts are answered elsewhere.
BILLED_PANELS = {
    f"DSH-{number:02d}" for number in (*range(2, 7), *range(9, 20), *range(20, 25), *range(26, 35))
} - {"DSH-25"}


def test_the_page_is_written_from_the_catalogue() -> None:
    assert (DOCS / "questions.md").read_text(encoding="utf-8") == page(), (
        "run python -m costweir.queries.page"
    )


def test_the_questions_of_the_contract_exist() -> None:
    names = {question.id for question in catalogue()}
    assert names >= {
        "spend", "tokens", "unit_cost", "customers", "sessions", "budgets", "margin", "reconcile", "data_health",
    }  # fmt: skip


def test_every_billed_panel_has_a_question() -> None:
    answered = {name for question in catalogue() for name in question.answers}
    assert answered >= BILLED_PANELS, BILLED_PANELS - answered
    assert {"RPT-01", "RPT-03", "RPT-06", "RPT-07", "RPT-08", "RPT-09", "RPT-10", "RPT-13"} <= answered


def test_every_question_says_what_it_takes_and_gives() -> None:
    for question in catalogue():
        assert set(question.by) <= set(question.dimensions) <= set(DIMENSION_TABLE)
        assert set(question.filters) <= set(DIMENSION_TABLE)
        assert question.params == PARAMS
        assert question.title
        assert question.needs in {"rollup", "charges", "calls", "restatements", "adjustments"}
        terms = {term for ratio in question.ratios.values() for term in (ratio.of, ratio.per)}
        assert terms <= {"cost", "total", *question.measures}
        told = {"id", "title", "dimensions", "params"}
        assert told <= set(question.to_json())


#: What a question reads only to work out its measures.
WORKED_WITH = {"cache_savings": {"input_tokens", "input_cost"}}


def test_every_measure_comes_out_of_the_sql_of_a_plain_question() -> None:
    for question in catalogue():
        named = set(re.findall(r"AS m_(\w+)", question.sql)) - {"cost"}
        assert named - WORKED_WITH.get(question.id, set()) <= set(question.measures), question.id
