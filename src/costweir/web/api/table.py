"""What an operation of the API is: its path, its typed parameters, who may call it and what it gives back. Routes and
the OpenAPI document are both made from these, so they cannot differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, NoReturn

from costweir.errors import Unreachable, UsageError
from costweir.web.access import Caller, Role
from costweir.web.desk import Desk
from costweir.web.office import Office

Schema = Mapping[str, Any]
#: What a token that is bound to a customer gets: its own part, everything (it names no customer), or a refusal.
Bound = Literal["own", "all", "refused"]

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. `schema` is its JSON Schema, of one value where it may be repeated; `checked` is false where the
    operation reads the value itself."""

    name: str
    schema: Schema
    meaning: str
    repeated: bool = False
    checked: bool = True
    place: Literal["query", "path"] = "query"

    def read(self, text: str) -> Any:
        """The value. Raises UsageError that names the parameter."""
        if "\x00" in text:
            self._refuse(text, "a text without control characters")
        if not self.checked:
            return text
        kind = self.schema["type"]
        if kind == "integer":
            return self._whole(text)
        if self.schema.get("format") == "date":
            return self._day(text)
        if "enum" in self.schema and text not in self.schema["enum"]:
            self._refuse(text, f"one of {', '.join(self.schema['enum'])}")
        if len(text) > self.schema.get("maxLength", len(text)):
            self._refuse(text[:20] + "...", f"at most {self.schema['maxLength']} characters")
        if "pattern" in self.schema and not re.search(self.schema["pattern"], text):
            self._refuse(text, f"a text like {self.schema['examples'][0]}")
        return text

    def _whole(self, text: str) -> int:
        low, high = self.schema["minimum"], self.schema["maximum"]
        if not re.fullmatch(r"[0-9]{1,16}", text) or not low <= int(text) <= high:
            self._refuse(text[:20], f"a whole number from {low} to {high}")
        return int(text)

    def _day(self, text: str) -> date:
        try:
            # fromisoformat also takes 20261101 and 2026-W44-1, which nobody means here.
            found = date.fromisoformat(text) if DAY.fullmatch(text) else None
        except ValueError:
            found = None
        return found or self._refuse(text, "a day like 2026-11-01")

    def _refuse(self, text: str, wanted: str) -> NoReturn:
        raise UsageError(f"{self.name}={text!r} cannot be used.", hint=f"{self.name} is {wanted}.")


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way: who asks, the parameters by name, and the body as JSON for a write."""

    desk: Desk
    desk_office: Office | None
    caller: Caller
    values: Mapping[str, Any]
    query: Sequence[tuple[str, str]] = ()
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    key: str = ""
    digest: str = ""

    @property
    def office(self) -> Office:
        """What people set. Raises Unreachable when this server has none."""
        if self.desk_office is None:
            raise Unreachable("This server keeps no customers, plans or prices.", hint="Ask the main server.")
        return self.desk_office


@dataclass(frozen=True, slots=True)
class Reply:
    """A status other than 200, or headers of its own."""

    body: Mapping[str, object]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Handler = Callable[[Call], Mapping[str, object] | Reply]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `reply` and `body` name schemas; an empty `reply` leaves the operation out of the document, for
    what only our own commands call. `statuses` are the other successes than 200, and `failures` those that do not
    follow from its shape."""

    method: str
    path: str
    id: str
    summary: str
    handle: Handler
    reply: str = ""
    params: tuple[Param, ...] = ()
    role: Role = "read"
    bound: Bound = "refused"
    body: str = ""
    statuses: tuple[int, ...] = ()
    failures: tuple[int, ...] = ()
    repeatable: bool = False

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"


def read_params(
    operation: Operation, path: Mapping[str, str], query: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """The parameters by name; a repeated one is a list, one that is absent or empty is left out.

    Raises UsageError for an unknown parameter, one that is given twice, or a value that cannot be read.
    """
    known = {param.name: param for param in operation.params}
    values: dict[str, Any] = {}
    for name, text in (*path.items(), *query):
        param = known.get(name)
        if param is None:
            names = ", ".join(item.name for item in operation.params if item.place == "query")
            raise UsageError(f"Unknown parameter {name!r}.", hint=f"Known are {names or 'none'}.")
        if text == "" and param.place == "query":
            continue
        value = param.read(text)
        if param.repeated:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise UsageError(f"{name} is given twice.", hint="Give it once.")
        else:
            values[name] = value
    return values
