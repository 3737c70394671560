"""A file in which nothing can be kept, of a month that was loaded: the load stays, and the lines are shown (law L7)."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from tests.sources.conftest import NOVA, SERVER

from costweir import app, config
from costweir.app import LocalDesk, RemoteDesk
from costweir.queries.request import Request

Line = dict[str, str]


def put(folder: Path, *lines: Line) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(NOVA))
    writer.writeheader()
    writer.writerows(lines)
    (folder / "bill.csv").write_text(text.getvalue(), encoding="utf-8")
    return folder / "bill.csv"


def pulled(desk: LocalDesk | RemoteDesk, path: Path) -> Any:
    (row,) = desk.pull_files([str(path)])
    return row


def spend(desk: LocalDesk | RemoteDesk) -> list[Any]:
    return list(desk.ask(Request("spend", by=("month",), currency="USD")).rows)


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    (tmp_path / "costweir.toml").write_text("", encoding="utf-8")
    return config.load(
        path=tmp_path / "costweir.toml", environ={}, overrides={"data_dir": str(tmp_path / "data")}
    )


def test_unreadable_lines_are_kept_beside_the_load_that_stays(
    settings: config.Settings, tmp_path: Path
) -> None:
    broken = [NOVA | {"lineItem/UnblendedCost": text} for text in ("much", "more")]
    with app.open_desk(settings) as desk:
        assert pulled(desk, put(tmp_path, NOVA, SERVER))["status"] == "loaded"
        before = spend(desk)

        for _ in range(2):
            row = pulled(desk, put(tmp_path, SERVER, *broken))
            assert (row["status"], row["rows_in"], row["rows_skipped"]) == ("quarantined", 3, 1)
            assert row["note"].endswith("what was loaded before stays.")

        assert spend(desk) == before
        lines: list[Any] = list(desk.quarantine())
        assert [(line["run_id"], line["row_number"]) for line in lines] == [
            (row["run_id"], 2),
            (row["run_id"], 3),
        ]
        assert [json.loads(line["raw"])["lineItem/UnblendedCost"] for line in lines] == ["much", "more"]

        assert pulled(desk, put(tmp_path, NOVA, NOVA))["status"] == "loaded"
        assert list(desk.quarantine()) == []
