"""Models are put to lines without changing what the lines add up to."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from costweir.sources.live.aws_grid import GridLine, differing_models, tag_value, with_models

DAY = date(2026, 10, 2)


def line(first: str, second: str, cost: str, quantity: str = "1") -> GridLine:
    return GridLine(DAY, first, second, Decimal(cost), Decimal(cost), Decimal(quantity), "USD", "", False,
                    service=first)  # fmt: skip


def read(lines: list[GridLine]) -> list[tuple[str, str, Decimal]]:
    return [(item.service, item.model, item.unblended) for item in lines]


def test_one_model_of_a_usage_type_names_its_line() -> None:
    assert read(with_models([line("Amazon Bedrock", "in", "3")], [line("model$Nova Lite", "in", "3")])) == [
        ("Amazon Bedrock", "Nova Lite", Decimal(3))
    ]


def test_a_line_of_two_models_is_divided_and_the_rounding_goes_to_the_larger() -> None:
    lines = [line("Amazon Bedrock", "in", "3.0000000001", "2")]
    models = [line("model$A", "in", "1"), line("model$B", "in", "2")]

    assert read(with_models(lines, models)) == [
        ("Amazon Bedrock", "A", Decimal(1)), ("Amazon Bedrock", "B", Decimal("2.0000000001")),
    ]  # fmt: skip


def test_two_services_of_one_usage_type_are_told_apart_by_their_amounts() -> None:
    lines = [line("Sonnet", "MP:in", "3"), line("Haiku", "MP:in", "1")]
    models = [line("model$H", "MP:in", "1"), line("model$S", "MP:in", "3")]

    assert read(with_models(lines, models)) == [("Sonnet", "S", Decimal(3)), ("Haiku", "H", Decimal(1))]


def test_equal_amounts_are_not_guessed() -> None:
    lines = [line("Sonnet", "MP:in", "1"), line("Haiku", "MP:in", "1")]
    models = [line("model$H", "MP:in", "1"), line("model$S", "MP:in", "1")]

    assert {model for _, model, _ in read(with_models(lines, models))} == {""}


def test_a_line_of_another_service_keeps_its_usage_type_unnamed() -> None:
    lines = [line("Bedrock", "in", "3"), line("SageMaker", "in", "2")]

    assert read(with_models(lines, [line("model$A", "in", "4")])) == [
        ("Bedrock", "", Decimal(3)), ("SageMaker", "", Decimal(2)),
    ]  # fmt: skip


amounts = st.decimals("-1000", "1000", places=10)
grids = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), amounts), max_size=8, unique_by=lambda t: t[:2]
)


@given(grids, grids)
def test_no_grid_of_models_changes_the_total(
    lines: list[tuple[str, str, Decimal]], models: list[tuple[str, str, Decimal]]
) -> None:
    given_lines = [line(first, second, str(cost)) for first, second, cost in lines]

    named = with_models(
        given_lines, [line(f"model${first}", second, str(cost)) for first, second, cost in models]
    )

    assert sum(item.unblended for item in named) == sum(cost for _, _, cost in lines)


def test_a_tag_value_keeps_its_own_dollar_signs() -> None:
    assert [tag_value(key) for key in ("customer$a$b", "customer$", "customer")] == ["a$b", "", ""]


def test_models_whose_two_sums_differ_are_named() -> None:
    models = [line("model$A", "in", "1"), line("model$B", "in", "2")]
    kinds = [line("model$A", "inferenceType$Input", "1.001"), line("model$B", "inferenceType$Input", "1.98")]

    assert differing_models(models, kinds) == ("B",)
