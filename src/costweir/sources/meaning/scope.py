"""Which services are AI services: ids and patterns per cloud, with text patterns for services that mix."""

from __future__ import annotations

import re
from typing import Any


class AiScope:
    """The AI services of each cloud, from `mappings/services.yaml`."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._rules = {cloud: _Cloud(content) for cloud, content in data["clouds"].items()}

    def holds(self, cloud: str, service: str, text: str) -> bool:
        """Whether a line belongs to an AI service; case does not matter."""
        rules = self._rules.get(cloud) or self._rules["other"]
        return rules.holds(service.strip().lower(), text.strip().lower())


class _Cloud:
    def __init__(self, content: dict[str, Any]) -> None:
        self._all = bool(content.get("all"))
        self._ids = frozenset(each.lower() for each in content.get("ids", ()))
        self._services = _any_of(content.get("services", ()))
        self._texts = _any_of(content.get("texts", ()))
        self._mixed = _any_of(content.get("mixed", ()))
        self._not = _any_of(content.get("not", ()))

    def holds(self, service: str, text: str) -> bool:
        if self._all:
            return True
        if self._not and self._not.search(service):
            return False
        if service in self._ids or (self._services and self._services.search(service)):
            return True
        mixed = not service or bool(self._mixed and self._mixed.search(service))
        return mixed and bool(self._texts and self._texts.search(text))


def _any_of(patterns: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(patterns)) if patterns else None
