"""Says what a bill line means: model, token type, tokens per unit and the other slots, from mapping data
alone.

The law kept here (L5): nothing is guessed. A line that no rule knows stays `unknown` and is counted, and a
model family is never read from a bare version.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TextIO

from costweir.domain.charge import UNKNOWN
from costweir.errors import UsageError
from costweir.sources.meaning import data
from costweir.sources.meaning.compose import Reading, compose
from costweir.sources.meaning.forms import load_forms
from costweir.sources.meaning.line import Line, Meaning
from costweir.sources.meaning.lines import LineRule, LineRules, ServiceRules
from costweir.sources.meaning.models import Hit, ModelFinder, ModelRule, better
from costweir.sources.meaning.overrides import Overrides, read_overrides
from costweir.sources.meaning.scope import AiScope
from costweir.sources.meaning.slots import SlotReader, Slots
from costweir.sources.meaning.units import Block, UnitReader
from costweir.sources.meaning.words import Cutter

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Classifier", "ClassifyCounts", "Line", "Meaning", "classify_csv"]

#: Columns that `classify_csv` needs, and those it uses when they are there.
REQUIRED_COLUMNS = ("cloud", "service", "sku_or_usage_type", "unit")
APPENDED_COLUMNS = (
    "model", "token_type", "tokens_per_unit", "direction", "modality", "cache_action", "cache_ttl", "tier",
    "routing", "rule_id", "confidence",
)  # fmt: skip

_SERVICES_KEPT = 4096


@dataclass(frozen=True, slots=True)
class _Service:
    """What the service alone says, worked out once per (cloud, service)."""

    lower: str
    hit: Hit | None
    products: list[ModelRule]
    rules: ServiceRules


class Classifier:
    """Reads bill lines. Load once, ask often; answers depend on nothing but the line and the mapping data."""

    def __init__(self, overrides: Overrides | None = None) -> None:
        self._overrides = overrides
        self._cutter = Cutter(data.document("words")["joins"])
        self._models = ModelFinder(data.families())
        self._forms = load_forms(data.document("forms"))
        entries = data.document("slots")["entries"]
        self._slots = {cloud: SlotReader(entries, cloud=cloud) for cloud in self._forms}
        self._lines = LineRules(data.document("lines")["rules"])
        self._units = UnitReader(data.document("units"))
        self._scope = AiScope(data.document("services"))
        self._services: dict[tuple[str, str], _Service] = {}
        own = overrides.digest if overrides else ""
        #: Digest of all mapping data: the same digest means that no meaning can have changed.
        self.rules_hash: str = hashlib.sha256(f"{data.digest()}:{own}".encode()).hexdigest()

    @classmethod
    def load(cls, overrides: Path | None = None, *, own: Sequence[Mapping[str, Any]] = ()) -> Classifier:
        """The classifier with the shipped mapping data and, on top, the operator's exact mappings: those of the file
        `overrides` and the rules `own`.

        Raises ConfigError when that file is missing or a mapping is wrong.
        """
        return cls(read_overrides(overrides, own))

    @property
    def mapped_texts(self) -> frozenset[str]:
        """The texts that the operator's exact mappings are about."""
        return self._overrides.texts if self._overrides else frozenset()

    def developer_of(self, model: str) -> str:
        """Who makes a model of this id, empty when no family has such names."""
        hit = self._models.find(self._cutter.cut(model), cloud="other", service="")
        return hit.family.developer if hit else ""

    def is_ai(self, cloud: str, service: str, text: str) -> bool:
        """Whether a line is of an AI service (`mappings/services.yaml`); for openai and anthropic always."""
        return self._scope.holds(cloud, service, text)

    def classify(self, line: Line) -> Meaning:
        """The meaning of one line. Never raises for any text; unknown stays unknown."""
        if self._overrides:
            own = self._overrides.get(line)
            if own:
                return own
        cloud = line.cloud if line.cloud in self._forms else "other"
        forms = self._forms[cloud]
        form = forms.form_of(line.text)
        service = self._service(cloud, line.service)
        words = self._cutter.cut(forms.strip(line.text))
        hit, rest = self._model(words, line.text, cloud, service)
        slots = self._slots[cloud].read(rest.split())
        bag = frozenset(words.split())
        rule = service.rules.first(words, bag)
        if not slots.routing and forms.routing_hint and forms.routing_hint.search(line.text):
            slots.routing = "regional"
        block = self._units.read(line.unit, cloud=cloud, form=form.id)
        family = hit.family.metered if hit and self._units.trusts_family(cloud) else ""
        tokens, doubt = self._tokens(line, block, slots, family, rule)
        return compose(Reading(form, hit, slots, rule, tokens, doubt))

    def _tokens(
        self, line: Line, block: Block | None, slots: Slots, metered: str, rule: LineRule | None
    ) -> tuple[int | None, str]:
        if block is None or (rule and rule.never_tokens):
            return None, ""
        implied = metered == "tokens" and not rule and not slots.counts_other
        said = slots.counts_tokens or (implied and bool(slots.direction or slots.cache))
        if block.only_if_text and not said:
            return None, ""
        if line.unit_price is not None:
            checked = self._units.check(block.tokens, line.unit_price, line.currency)
            if checked != block.tokens:
                return checked, "price"
        return block.tokens, "unit" if block.inferred else ""

    def _service(self, cloud: str, service: str) -> _Service:
        key = (cloud, service)
        known = self._services.get(key)
        if known is None:
            if len(self._services) >= _SERVICES_KEPT:
                self._services.clear()
            known = self._services[key] = self._read_service(cloud, service)
        return known

    def _read_service(self, cloud: str, service: str) -> _Service:
        lower = service.lower()
        names_model = self._forms[cloud].names_model
        hit = None
        if names_model is not None and names_model.search(lower):
            hit = self._models.find(self._cutter.cut(service), cloud=cloud, service=lower)
        return _Service(lower, hit, self._models.products_of(lower), self._lines.of(cloud, lower))

    def _model(self, words: str, text: str, cloud: str, service: _Service) -> tuple[Hit | None, str]:
        hit = self._models.find(words, cloud=cloud, service=service.lower)
        forms = self._forms[cloud]
        spelled = forms.vendor_id.search(text) if forms.vendor_id else None
        if spelled:
            named = words[hit.start : hit.end] if hit else ""
            hit = self._models.from_vendor_id(spelled["vendor"], spelled["id"].lower(), hit=hit, named=named)
            return hit, self._cutter.cut(text[spelled.end() :])
        hit = better(hit, self._models.find_bare(words, products=service.products))
        if hit is not None:
            return hit, f"{words[: hit.start]} | {words[hit.end :]}"
        return service.hit, words


@dataclass(frozen=True, slots=True)
class ClassifyCounts:
    """What `classify_csv` did: rows written, rows by confidence, and rows whose model stayed unknown."""

    rows: int
    high: int
    medium: int
    low: int
    none: int
    unknown_model: int


def classify_csv(source: TextIO, target: TextIO, *, classifier: Classifier) -> ClassifyCounts:
    """Copies a CSV and appends what each row means (contract section 2). Row order is kept.

    Reads `cloud,service,sku_or_usage_type,unit` and, if there, `region,unit_price,currency`; every other
    column is copied and never looked at, except that an input column with the name of an appended one is
    dropped, so that the answer stands once. The copy is faithful: cells that a spreadsheet would run as
    formulas are not altered here. Raises UsageError when the header or a required column is missing, or a row
    is longer than the header.
    """
    rows = csv.reader(source)
    header = [name.removeprefix("\ufeff") for name in next(rows, list[str]())]
    places = {name.strip().lower(): place for place, name in reversed(list(enumerate(header)))}
    missing = [name for name in REQUIRED_COLUMNS if name not in places]
    if missing:
        raise UsageError(
            f"The CSV has no column {', '.join(missing)}.",
            hint=f"It needs {', '.join(REQUIRED_COLUMNS)} in its header.",
        )
    kept = [place for place, name in enumerate(header) if name.strip().lower() not in APPENDED_COLUMNS]
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([*(header[place] for place in kept), *APPENDED_COLUMNS])
    by_confidence: dict[str, int] = {"high": 0, "medium": 0, "low": 0, "none": 0}
    unknown = 0
    for row in rows:
        if not row:
            continue
        if len(row) > len(header):
            raise UsageError(
                f"Line {rows.line_num} of the CSV has {len(row)} cells, its header has {len(header)}.",
                hint="Quote cells that contain commas.",
            )
        cells = [*row, *[""] * (len(header) - len(row))]
        meaning = classifier.classify(_line(cells, places))
        by_confidence[meaning.confidence] += 1
        unknown += meaning.model == UNKNOWN
        writer.writerow([*(cells[place] for place in kept), *_answer(meaning)])
    return ClassifyCounts(rows=sum(by_confidence.values()), **by_confidence, unknown_model=unknown)


def _line(row: list[str], places: dict[str, int]) -> Line:
    def cell(name: str) -> str:
        return row[places[name]] if name in places else ""

    try:
        price = Decimal(cell("unit_price").strip()) if cell("unit_price").strip() else None
    except InvalidOperation:
        price = None
    return Line(
        cloud=cell("cloud").strip().lower(),
        service=cell("service").strip(),
        text=cell("sku_or_usage_type").strip(),
        unit=cell("unit").strip(),
        region=cell("region").strip(),
        unit_price=price if price is not None and price.is_finite() else None,
        currency=cell("currency").strip(),
    )


def _answer(meaning: Meaning) -> list[str]:
    values = (getattr(meaning, name) for name in APPENDED_COLUMNS)
    return ["" if value is None else str(value) for value in values]
