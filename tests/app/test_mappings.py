"""The operator's own mappings: a line that is re-mapped equals one that is loaded again, and undoing it gives back what
was there, also when the process is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costweir.app.desk import LocalDesk
from costweir.app.mappings import Mappings
from costweir.config import Settings, load
from costweir.control import Control
from costweir.control.mappings import OwnMapping
from costweir.demo import write_world
from costweir.domain.charge import CHARGE_COLUMN_NAMES
from costweir.errors import ConfigError, Conflict, NotFound
from costweir.queries.request import Request

TODAY = date(2026, 11, 20)
#: Every column of a line but the run that loaded it.
COLUMNS = [name for name in CHARGE_COLUMN_NAMES if name != "x_run_id"]
#: A text on the Google bills of every month of the sample world.
SPREAD = "Gemini 3.0 Pro Text Input - Predictions"
Wish = Mapping[str, Any]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bills of three clouds in all their formats, few lines each."""
    return write_world(tmp_path_factory.mktemp("bills"), today=TODAY, scale=0.02).out


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[LocalDesk]:
    with opened(tmp_path / "data") as found:
        yield found


def opened(folder: Path) -> LocalDesk:
    return LocalDesk(settings_of(folder))


def settings_of(folder: Path) -> Settings:
    return load(path=None, environ={}, overrides={"data_dir": str(folder)})


def mappings(desk: LocalDesk, folder: Path) -> Mappings:
    return Mappings(desk, settings_of(folder))


def lines(desk: LocalDesk) -> list[str]:
    sql = f"SELECT {', '.join(COLUMNS)} FROM charges"
    return sorted(map(repr, desk.warehouse.query(sql).rows))


def daily(desk: LocalDesk) -> list[str]:
    return sorted(map(repr, desk.warehouse.query("SELECT * FROM charges_daily").rows))


def wishes(desk: LocalDesk) -> list[Wish]:
    """A mapping for lines of every source and kind, known and unknown, that counts tokens, other tokens, or none."""
    rows = desk.warehouse.query(
        "SELECT x_provider, x_line_service, x_line_text, x_line_unit, x_source FROM charges "
        "WHERE x_line_text IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).rows
    return [
        {
            "cloud": cloud, "service": service or "", "text": text, "unit": unit or "", "evidence": "a guess",
            "meaning": {
                "model": f"odd-{number}", "token_type": (None, "output", "image")[number % 3],
                "tokens_per_unit": (None, 1000, None, 7)[number % 4],
            },
        }
        for number, (cloud, service, text, unit, _) in enumerate(rows[::5])
    ]  # fmt: skip


def put(desk: LocalDesk, own: Mappings, *given: Wish) -> list[OwnMapping]:
    found = [own.complete(wish) for wish in given]
    for mapping in found:

        def change(control: Control, mapping: OwnMapping = mapping) -> None:
            *_, entry = own.put(control, mapping, by="ann")
            if entry is not None:
                control.audit.add(entry)

        desk.edit(change)
    return found


def meant(**meaning: Any) -> Wish:
    return {
        "cloud": "gcp", "service": "Vertex AI", "text": SPREAD, "unit": None,
        "meaning": {"model": "odd-1", **meaning}, "evidence": "the vendor's page",
    }  # fmt: skip


def test_a_line_that_is_mapped_later_equals_one_that_is_loaded_with_the_mapping(
    desk: LocalDesk, bills: Path, tmp_path: Path
) -> None:
    desk.pull_files([str(bills)])
    before, days = lines(desk), daily(desk)
    own = mappings(desk, tmp_path / "data")
    wanted = wishes(desk)
    assert len({wish["cloud"] for wish in wanted}) == 4
    put(desk, own, *wanted)
    assert lines(desk) == before, "a mapping alone moves nothing"
    told = own.apply(by="ann")
    moved, moved_days = lines(desk), daily(desk)
    assert moved != before
    assert own.apply(by="ann")["lines"] == 0, "done again it does nothing"
    with opened(tmp_path / "other") as twin:
        again = mappings(twin, tmp_path / "other")
        put(twin, again, *wanted)
        twin.pull_files([str(bills)])
        assert (lines(twin), daily(twin)) == (moved, moved_days)
        assert again.apply(by="ann")["lines"] == 0
        for mapping in again.listed():
            twin.edit(lambda control, mapping=mapping: again.drop(control, str(mapping["id"]), by="ann"))
        assert again.apply(by="ann")["lines"] == told["lines"]
        assert (lines(twin), daily(twin)) == (before, days), "undone after a load"
    for mapping in own.listed():
        desk.edit(lambda control, mapping=mapping: own.drop(control, str(mapping["id"]), by="ann"))
    own.apply(by="ann")
    assert (lines(desk), daily(desk)) == (before, days), "undone"
    history = desk.ask(Request("restatements", by=("model", "token_class"), where={"change": ("remapped",)}))
    assert Decimal(history.total) == 0
    assert desk.control.audit.verify().ok


def test_the_preview_names_every_slot_its_cost_and_both_meanings_and_changes_nothing(
    desk: LocalDesk, bills: Path, tmp_path: Path
) -> None:
    desk.pull_files([str(bills / "gcp")])
    own = mappings(desk, tmp_path / "data")
    before = lines(desk)
    mapping = own.complete(meant(token_type="output", tokens_per_unit=1000))
    told: Any = own.preview(mapping)
    spent = desk.ask(Request("spend", by=("invoice_month",), where={"usage_type": (SPREAD,)}))
    by_month: dict[str, Decimal] = {}
    for row in told["rows"]:
        by_month[row["period"]] = by_month.get(row["period"], Decimal(0)) + Decimal(row["billed_usd"])
        assert (row["provider"], row["text"], row["closed"]) == ("gcp", SPREAD, row["period"] < "2026-11")
        assert (row["before"]["model"], row["after"]["model"]) == ("gemini-3-pro", "odd-1")
        assert (row["before"]["token_type"], row["after"]["token_type"]) == ("input", "output")
    assert by_month == {str(row["invoice_month"]): Decimal(str(row["billed_cost"])) for row in spent.rows}
    assert (told["slots"], told["closed_slots"]) == (len(by_month), len(by_month) - 1)
    assert len(by_month) > 2
    assert told["lines"] == sum(row["lines"] for row in told["rows"]) > 0
    assert (lines(desk), own.listed()) == (before, [])
    put(desk, own, meant(token_type="output", tokens_per_unit=1000))
    tokens = desk.ask(Request("spend", by=("model",)))
    done: Any = own.apply(by="ann", expect=told["digest"])
    assert (done["digest"], done["rows"]) == (told["digest"], told["rows"])
    after = desk.ask(Request("spend", by=("model",)))
    gained = sum(Decimal(row["tokens_after"]) - Decimal(row["tokens_before"]) for row in told["rows"])
    assert _tokens(after.rows) - _tokens(tokens.rows) == gained > 0
    assert after.total == tokens.total


def _tokens(rows: Any) -> Decimal:
    return sum((Decimal(row["tokens"]) for row in rows), Decimal(0))


def test_what_is_applied_is_what_was_seen(desk: LocalDesk, bills: Path, tmp_path: Path) -> None:
    desk.pull_files([str(bills / "gcp")])
    own = mappings(desk, tmp_path / "data")
    seen = str(own.preview(own.complete(meant()))["digest"])
    put(desk, own, meant(token_type="image"))
    before = lines(desk)
    with pytest.raises(Conflict, match="changed since the preview"):
        own.apply(by="ann", expect=seen)
    assert lines(desk) == before


def test_who_set_what_and_when_it_was_applied_is_in_the_audit_chain(
    desk: LocalDesk, bills: Path, tmp_path: Path
) -> None:
    desk.pull_files([str(bills / "gcp")])
    own = mappings(desk, tmp_path / "data")
    (mapping,) = put(desk, own, meant())
    put(desk, own, meant())
    told = own.apply(by="bob")
    rows = [(row.action, row.actor, row.subject) for row in desk.control.audit.listed()]
    assert rows[:2] == [
        ("mappings.apply", "bob", f"run:{told['run_id']}"), ("mapping.put", "ann", f"mapping:{mapping.id}"),
    ]  # fmt: skip
    (kept,) = own.listed()
    assert (kept["set_by"], kept["evidence"]) == ("ann", "the vendor's page")
    runs = desk.ask(Request("restatements", by=("run",)))
    assert [row["run"] for row in runs.rows] == [told["run_id"]]


def test_a_mapping_that_names_only_the_model_keeps_what_the_rules_read(
    desk: LocalDesk, tmp_path: Path
) -> None:
    own = mappings(desk, tmp_path / "data")
    wish = {
        "cloud": "aws", "service": "Amazon Bedrock", "text": "USE1-Frobnicator9-input-tokens-batch",
        "unit": "1K tokens", "meaning": {"model": "claude-9-opus"},
    }  # fmt: skip
    assert own.complete(wish).slots == {
        "model": "claude-9-opus", "token_type": "input", "direction": "input", "modality": "text", "tier": "batch",
        "routing": "regional", "tokens_per_unit": 1000, "developer": "anthropic",
    }  # fmt: skip


def test_a_wrong_meaning_and_lines_that_the_file_maps_are_refused(desk: LocalDesk, tmp_path: Path) -> None:
    own = mappings(desk, tmp_path / "data")
    with pytest.raises(ConfigError, match="token_type 'words'"):
        own.complete(meant(token_type="words"))
    with pytest.raises(NotFound):
        own.preview(drop="map_none")
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "mappings.yaml").write_text(
        f"rules: [{{cloud: gcp, text: {SPREAD}, model: other-1}}]"
    )
    with pytest.raises(Conflict, match=r"mappings\.yaml says already"):
        own.complete(meant())


def test_a_mapping_of_the_file_is_applied_to_what_is_stored_too(
    desk: LocalDesk, bills: Path, tmp_path: Path
) -> None:
    desk.pull_files([str(bills / "gcp")])
    before = lines(desk)
    file = tmp_path / "data" / "mappings.yaml"
    file.write_text(f"rules: [{{cloud: gcp, text: {SPREAD}, model: other-1}}]")
    own = mappings(desk, tmp_path / "data")
    assert int(str(own.apply(by="ann")["lines"])) > 0
    assert "other-1" in {row["model"] for row in desk.ask(Request("spend", by=("model",))).rows}
    file.unlink()
    own.apply(by="ann")
    assert lines(desk) == before


WORKER = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_mappings import mappings, opened
from costweir.store.engines.duckdb import DuckDBWarehouse

data, after = Path(sys.argv[1]), int(sys.argv[2])
real, done = DuckDBWarehouse.remap, []

def remap(self, change):
    if len(done) == after:
        print("now", flush=True)
        time.sleep(60)
    real(self, change)
    done.append(change)

DuckDBWarehouse.remap = remap
with opened(data) as desk:
    mappings(desk, data).apply(by="ann")
"""


@pytest.mark.parametrize("slots", [0, 1, 2])
def test_killed_between_slots_and_run_again_it_ends_in_the_same_store(
    desk: LocalDesk, bills: Path, tmp_path: Path, slots: int
) -> None:
    desk.pull_files([str(bills / "gcp")])
    own = mappings(desk, tmp_path / "data")
    wish = meant(token_type="output", tokens_per_unit=1000)
    put(desk, own, wish)
    desk.close()
    code = WORKER.format(tests=str(Path(__file__).parent))
    worker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "data"), str(slots)], stdout=subprocess.PIPE
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"now\n"
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    with opened(tmp_path / "data") as again, opened(tmp_path / "twin") as twin:
        mappings(again, tmp_path / "data").apply(by="ann")
        put(twin, mappings(twin, tmp_path / "twin"), wish)
        twin.pull_files([str(bills / "gcp")])
        assert (lines(again), daily(again)) == (lines(twin), daily(twin))
        history = again.ask(Request("restatements", by=("invoice_month", "model", "change")))
        gained = [row for row in history.rows if row["model"] == "odd-1"]
        assert len(gained) == len({row["invoice_month"] for row in gained}) > 2, "each month once"
        assert again.control.audit.verify().ok
