"""The forms a cloud writes its lines in: which one a text has, and the text without its region prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a line: its id, its sign in the text, and its routing when none is said."""

    id: str
    has: str
    routing: str


@dataclass(frozen=True, slots=True)
class CloudForms:
    """The forms of one cloud, in the order they are tried."""

    forms: tuple[Form, ...]
    prefix: re.Pattern[str] | None
    region_inside: re.Pattern[str] | None
    routing_hint: re.Pattern[str] | None
    names_model: re.Pattern[str] | None
    vendor_id: re.Pattern[str] | None

    def form_of(self, text: str) -> Form:
        """The first form whose sign stands in `text`; the last one has no sign and takes the rest."""
        return next(form for form in self.forms if form.has in text)

    def strip(self, text: str) -> str:
        """`text` without its region codes, which never change the meaning."""
        if self.prefix:
            text = self.prefix.sub("", text, count=1)
        if self.region_inside:
            text = self.region_inside.sub("", text)
        return text


def load_forms(data: dict[str, Any]) -> dict[str, CloudForms]:
    """The forms by cloud."""
    return {cloud: _cloud(content) for cloud, content in data["clouds"].items()}


def _cloud(content: dict[str, Any]) -> CloudForms:
    return CloudForms(
        forms=tuple(Form(each["id"], each["has"], each.get("routing", "")) for each in content["forms"]),
        prefix=_compiled(content.get("prefix")),
        region_inside=_compiled(content.get("region_inside")),
        routing_hint=_compiled(content.get("regional_if")),
        names_model=_compiled(content.get("service_names_model")),
        vendor_id=_compiled(content.get("vendor_id")),
    )


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    return None if pattern is None else re.compile(pattern)
