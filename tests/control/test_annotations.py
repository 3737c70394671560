"""An annotation is kept as it was written, and found by the days it is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from costweir.control import Annotation, Control
from costweir.errors import Conflict, NotFound, UsageError


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with Control.open(tmp_path / "control.db") as opened:
        yield opened


def test_annotations_are_listed_by_day_and_range(control: Control) -> None:
    for day in ("2026-11-03", "2026-10-31", "2026-11-01"):
        control.edits.annotate(Annotation(day, f"about {day}", "Ada"), by="browser")
    assert [note.day for note in control.annotations.listed()] == ["2026-10-31", "2026-11-01", "2026-11-03"]
    inside = control.annotations.listed(since="2026-11-01", until="2026-11-03")
    assert [note.text for note in inside] == ["about 2026-11-01"]


def test_a_change_keeps_id_and_creation_and_is_audited(control: Control) -> None:
    made = control.edits.annotate(
        Annotation("2026-11-03", "Release 4", dimension="customer", member="acme"), by="ada"
    )
    seen = control.annotations.find(made.id)
    assert seen == made
    changed = control.edits.annotate(Annotation("2026-11-04", "Release 4.1", id=made.id), by="bob")
    assert (changed.id, changed.created_at) == (made.id, made.created_at)
    assert changed.to_json()["scope"] == {}
    assert control.edits.drop_annotation(made.id, by="bob") == changed
    assert control.annotations.listed() == []
    rows = [(row.actor, row.action) for row in reversed(control.audit.listed())]
    assert rows == [("ada", "annotation.put"), ("bob", "annotation.put"), ("bob", "annotation.delete")]
    assert control.audit.verify().ok


def test_an_annotation_that_somebody_else_changed_is_not_overwritten(control: Control) -> None:
    from costweir.control.edits import version_of

    made = control.edits.annotate(Annotation("2026-11-03", "Release 4"), by="ada")
    version = version_of(made.to_json())
    control.edits.annotate(Annotation("2026-11-03", "Release 5", id=made.id), by="bob", expected=version)
    with pytest.raises(Conflict, match="Somebody changed"):
        control.edits.annotate(Annotation("2026-11-03", "mine", id=made.id), by="ada", expected=version)
    with pytest.raises(Conflict, match="Somebody changed"):
        control.edits.drop_annotation(made.id, by="ada", expected=version)
    control.edits.drop_annotation(made.id, by="bob")
    with pytest.raises(Conflict, match="Somebody removed"):
        control.edits.annotate(Annotation("2026-11-03", "mine", id=made.id), by="ada", expected=version)
    with pytest.raises(NotFound):
        control.edits.drop_annotation(made.id, by="ada")
    assert control.annotations.listed() == []


@pytest.mark.parametrize(
    "draft",
    [
        Annotation("20261103", "x"),
        Annotation("2026-11-31", "x"),
        Annotation("2026-11-03", " "),
        Annotation("2026-11-03", "x" * 281),
        Annotation("2026-11-03", "two\nlines"),
        Annotation("2026-11-03", "x", "a\x00b"),
        Annotation("2026-11-03", "x", dimension="customer"),
        Annotation("2026-11-03", "x", member="acme"),
        Annotation("2026-11-03", "x", dimension="colour", member="green"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(control: Control, draft: Annotation) -> None:
    with pytest.raises(UsageError):
        control.edits.annotate(draft, by="ada")
    assert control.annotations.listed() == []
    assert control.audit.listed() == []
