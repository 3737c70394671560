"""What people change by hand: each change is one transaction with its row in the audit chain, and a change of what
somebody else has changed meanwhile is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from costweir.control.annotations import Annotation, Annotations
from costweir.control.audit import Audit, Change
from costweir.control.database import Database
from costweir.control.directory import Budget, Customer, Directory, Entity, Plan
from costweir.control.views import SavedViews
from costweir.errors import Conflict, NotFound, UsageError

Record = Mapping[str, Any]

#: The version of what is not there, for a change that must not find anything.
ABSENT = ""


@dataclass(frozen=True, slots=True)
class Written:
    """A change that was made: the records before and after it, None where there is none."""

    before: Record | None
    after: Record | None

    @property
    def changed(self) -> bool:
        """False when everything was so already, and nothing was written."""
        return self.before != self.after


def version_of(record: Record | None) -> str:
    """A text that differs whenever a record differs; `ABSENT` for none."""
    if record is None:
        return ABSENT
    canonical = json.dumps(dict(record), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:20]


def noun_of(kind: type[Entity]) -> str:
    """`customer`, `plan` or `budget`."""
    return kind.TABLE.removesuffix("s")


class Edits:
    """The audited changes of one control database. `by` names who makes one; `expected` is the version that they saw,
    and None takes any."""

    def __init__(self, database: Database, directory: Directory, audit: Audit) -> None:
        self._database = database
        self._directory = directory
        self._audit = audit
        self._views = SavedViews(database)
        self._notes = Annotations(database)

    def put(self, entry: Entity, *, by: str, expected: str | None = None) -> Written:
        """Adds or changes a customer, plan or budget by hand.

        Raises Conflict for one that the configuration file sets or that is not as `expected`, and UsageError for a
        customer on a plan that does not exist.
        """
        kind, after = type(entry), replace(entry, origin="user").to_json()
        with self._database.write():
            if isinstance(entry, Customer) and entry.plan:
                self._need_plan(entry.plan)
            before = self._checked(kind, entry.id, expected)
            if isinstance(entry, Budget) and entry.definition.get("expires"):
                entry = _followed(entry, before)
                after = replace(entry, origin="user").to_json()
            if before != after:
                self._directory.add(replace(entry, origin="user"))
            return self._written(by, f"{noun_of(kind)}.put", entry.id, (before, after))

    def remove(self, kind: type[Entity], name: str, *, by: str, expected: str | None = None) -> Written:
        """Removes a customer, plan or budget that was set by hand; one of the sample world below it shows again.

        Raises NotFound, and Conflict for one that the configuration file or the sample world sets, that is not as
        `expected`, or a plan that customers are on.
        """
        noun = noun_of(kind)
        with self._database.write():
            before = self._checked(kind, name, expected)
            if before is None:
                raise NotFound(f"There is no {noun} {name!r}.", hint=f"See the list of {noun}s.")
            if kind is Plan and any(row.plan == name for row in self._directory.listed(Customer)):
                raise Conflict(
                    f"Customers are on the plan {name!r}.", hint="Move them to another plan first."
                )
            if not self._directory.drop(kind, name):
                raise Conflict(
                    f"The {noun} {name!r} belongs to the sample world.", hint="It goes with the sample."
                )
            return self._written(by, f"{noun}.delete", name, (before, None))

    def save_view(self, name: str, link: str, *, by: str) -> Written:
        """Saves a view, or changes the one of that name. Raises UsageError for a link to another site."""
        with self._database.write():
            before = self._view(name)
            try:
                self._views.save(name, link)
            except ValueError:
                raise UsageError(
                    f"{link} is not a page of this site.",
                    hint="A link starts with one slash, as in /explore.",
                ) from None
            return self._written(by, "view.put", name, (before, self._view(name)))

    def drop_view(self, name: str, *, by: str) -> Written:
        """Forgets a view; without one of that name nothing is changed."""
        with self._database.write():
            before = self._view(name)
            self._views.drop(name)
            return self._written(by, "view.delete", name, (before, None))

    def annotate(self, draft: Annotation, *, by: str, expected: str | None = None) -> Annotation:
        """Adds an annotation, or changes the one of the draft's id. Raises UsageError, NotFound and Conflict."""
        with self._database.write():
            before = self._note(draft.id, expected) if draft.id else None
            kept = self._notes.put(replace(draft, created_at=before.created_at if before else ""))
            records = (before.to_json() if before else None, kept.to_json())
            self._written(by, "annotation.put", kept.id, records)
            return kept

    def drop_annotation(self, name: str, *, by: str, expected: str | None = None) -> Annotation:
        """Removes an annotation and gives it. Raises NotFound and Conflict."""
        with self._database.write():
            before = self._note(name, expected)
            self._notes.drop(name)
            self._written(by, "annotation.delete", name, (before.to_json(), None))
            return before

    def _written(
        self, by: str, action: str, name: str, records: tuple[Record | None, Record | None]
    ) -> Written:
        done = Written(*records)
        if done.changed:
            self._audit.add(Change(by, action, f"{action.partition('.')[0]}:{name}", done.before, done.after))
        return done

    def _checked(self, kind: type[Entity], name: str, expected: str | None) -> Record | None:
        """The record as it stands, when it may be changed by hand by somebody who saw `expected`."""
        noun = noun_of(kind)
        record = self._directory.record(kind, name)
        if record is not None and record["origin"] == "config":
            raise Conflict(
                f"The {noun} {name!r} is set in the configuration file.",
                hint="Change it there, and start again.",
            )
        _check_version(f"{noun} {name!r}", record, expected)
        return record

    def _need_plan(self, name: str) -> None:
        if self._directory.record(Plan, name) is None:
            raise UsageError(f"There is no plan {name!r}.", hint="Add the plan first, or choose another.")

    def _view(self, name: str) -> Record | None:
        return next((view.to_json() for view in self._views.listed() if view.name == name), None)

    def _note(self, name: str, expected: str | None) -> Annotation:
        found = self._notes.find(name)
        _check_version("annotation", found.to_json() if found else None, expected)
        if found is None:
            raise NotFound(f"There is no annotation {name!r}.", hint="See the list of annotations.")
        return found


def _followed(budget: Budget, before: Record | None) -> Budget:
    """A budget that expires, with the definition that follows: the one before it that does not expire itself."""
    then = before.get("then") if before is not None and before.get("expires") else before
    if then is None:
        return budget
    kept = {key: value for key, value in then.items() if key not in ("id", "origin")}
    return replace(budget, definition={**budget.definition, "then": kept})


def _check_version(what: str, record: Record | None, expected: str | None) -> None:
    if expected is None or expected == version_of(record):
        return
    if expected == ABSENT:
        raise Conflict(
            f"There is a {what} already, so nothing was saved.", hint="Change that one, or take another id."
        )
    did = "removed" if record is None else "changed"
    raise Conflict(
        f"Somebody {did} the {what} after you opened it, so nothing was saved.",
        hint="Open it again and repeat your change.",
    )
