"""The operator's own mappings: what was set by hand and what stands in `mappings.yaml`, looked at before they count,
and applied to the lines that are stored already."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from costweir.app import remap
from costweir.control import Control
from costweir.control.audit import Change
from costweir.control.mappings import OwnMapping
from costweir.errors import Conflict, NotFound
from costweir.sources.classify import Classifier, Line
from costweir.sources.meaning.overrides import FILE_NAME, mapping_file
from costweir.store.warehouse import Remap

if TYPE_CHECKING:
    from costweir.app.desk import LocalDesk
    from costweir.config import Settings

Record = Mapping[str, object]

#: The clouds that have rules of their own; a line of anybody else is matched as `other`.
CLOUDS = ("aws", "gcp", "azure", "openai", "anthropic")
#: What a new mapping takes from the rules where it says nothing itself; the model comes from the operator.
_READ = (
    "token_type",
    "direction",
    "modality",
    "cache_action",
    "cache_ttl",
    "tier",
    "routing",
    "context_band",
)


class Mappings:
    """The mappings of one desk. Safe to use from several threads."""

    def __init__(self, desk: LocalDesk, settings: Settings) -> None:
        self._desk = desk
        self._settings = settings

    def listed(self) -> list[Record]:
        """Every mapping set by hand."""
        return [mapping.to_json() for mapping in self._desk.control.mappings.listed()]

    def complete(self, wish: Mapping[str, Any]) -> OwnMapping:
        """The mapping that a wish (`cloud, text, service, unit, meaning, evidence`) asks for.

        What the wish leaves open is taken as the rules read the line now, so that a mapping that only names the model
        keeps the token class and counts the same tokens. Raises ConfigError for a wrong slot, and Conflict for lines
        that the file maps.
        """
        given: dict[str, Any] = {
            name: value for name, value in wish["meaning"].items() if value not in (None, "")
        }
        cloud = wish["cloud"] if wish["cloud"] in CLOUDS else "other"
        service, unit = wish.get("service"), wish.get("unit")
        shipped = Classifier.load()
        read = shipped.classify(Line(cloud, service or "", wish["text"], unit or ""))
        slots = {name: getattr(read, name) for name in _READ if getattr(read, name)}
        if "token_type" in given and given["token_type"] != read.token_type:
            # the rest of the reading belongs to another class
            slots = {
                name: value for name, value in slots.items() if name in ("tier", "routing", "context_band")
            }
            slots |= _of_class(given["token_type"])
        if unit is not None and read.tokens_per_unit is not None:
            slots["tokens_per_unit"] = read.tokens_per_unit
        slots |= {"developer": shipped.developer_of(str(given.get("model", "")))} | given
        mapping = OwnMapping(
            cloud, wish["text"], service, unit, {name: value for name, value in slots.items() if value != ""},
            wish.get("evidence") or "",
        )  # fmt: skip
        Classifier.load(own=[mapping.rule()])
        self._refuse_written(mapping)
        return mapping

    def _refuse_written(self, mapping: OwnMapping) -> None:
        file = mapping_file(self._settings.data_dir)
        line = Line(mapping.cloud, mapping.service or "", mapping.text, mapping.unit or "")
        if file is not None and Classifier.load(file).classify(line).rule_id.startswith("override."):
            raise Conflict(
                f"{FILE_NAME} says already what these lines mean.",
                hint="Change it there, and re-map with `costweir mappings apply`.",
            )

    def preview(self, put: OwnMapping | None = None, drop: str = "") -> Record:
        """What is stored and would mean something else: with one mapping more, with one less, or as they stand.

        Raises NotFound for a mapping to drop that is not there.
        """
        kept = {mapping.id: mapping for mapping in self._desk.control.mappings.listed()}
        if drop and kept.pop(drop, None) is None:
            raise _missing(drop)
        if put is not None:
            kept[put.id] = put
        rows = remap.plan(
            self._desk.warehouse, self._classifier([mapping.rule() for mapping in kept.values()])
        )
        told = remap.summary(rows, _today())
        return {**told, **({"mapping": put.to_json()} if put else {})}

    def put(
        self, control: Control, mapping: OwnMapping, *, by: str
    ) -> tuple[Record | None, Record, Change | None]:
        """Keeps a mapping, inside a transaction of the caller: before, after, and the row for the audit chain, which
        is None when it was so already. Nothing stored moves until `apply`."""
        found = control.mappings.find(mapping.id)
        before = found.to_json() if found else None
        after = control.mappings.put(mapping, by=by).to_json()
        if before == after:
            return before, after, None
        return before, after, Change(by, "mapping.put", f"mapping:{mapping.id}", before, after)

    def drop(self, control: Control, name: str, *, by: str) -> tuple[Record, Change]:
        """Forgets a mapping, inside a transaction of the caller. Raises NotFound."""
        found = control.mappings.find(name)
        if found is None:
            raise _missing(name)
        control.mappings.drop(name)
        return found.to_json(), Change(by, "mapping.delete", f"mapping:{name}", found.to_json())

    def apply(self, *, by: str, expect: str = "") -> Record:
        """Gives every stored line the meaning that the mappings say now, slot by slot, each in one transaction.

        Done again it changes nothing, and after a crash it goes on where it stopped. `expect` is the digest of a
        preview: raises Conflict when there is something else to do by now.
        """
        with self._desk.changing():
            rows = remap.plan(self._desk.warehouse, self._classifier())
            told = remap.summary(rows, _today())
            if expect and told["digest"] != expect:
                raise Conflict(
                    "The stored lines changed since the preview, so nothing was re-mapped.",
                    hint="Look at it again.",
                )
            if not rows:
                return {**told, "run_id": ""}
            now = datetime.now(UTC)
            run = f"remap_{int(now.timestamp() * 1000):012x}{secrets.token_hex(5)}"
            # The chain comes first: whatever a crash leaves behind, no line moved without a row that says who moved it.
            about = {name: told[name] for name in ("lines", "slots", "closed_slots", "billed", "digest")}
            with self._desk.control.transaction():
                self._desk.control.audit.add(Change(by, "mappings.apply", f"run:{run}", None, about))
            for slot, members in remap.moves(rows).items():
                self._desk.warehouse.remap(Remap(run, slot, now, members))
        return {**told, "run_id": run}

    def _classifier(self, rules: Sequence[Mapping[str, Any]] | None = None) -> Classifier:
        own = [mapping.rule() for mapping in self._desk.control.mappings.listed()] if rules is None else rules
        return Classifier.load(mapping_file(self._settings.data_dir), own=own)


def _of_class(token_type: str) -> dict[str, str]:
    """What follows from a token class alone."""
    if token_type in ("input", "output"):
        return {"token_type": token_type, "direction": token_type, "modality": "text"}
    if token_type.startswith("cache_"):
        action = token_type.removeprefix("cache_")
        return {"token_type": token_type, "direction": token_type, "cache_action": action, "modality": "text"}
    known = {} if token_type not in ("image", "audio", "embedding") else {"modality": token_type}
    return {"token_type": token_type, **known}


def _missing(name: str) -> NotFound:
    return NotFound(f"There is no mapping {name!r}.", hint="`costweir mappings list` shows them.")


def _today() -> date:
    return datetime.now(UTC).date()
