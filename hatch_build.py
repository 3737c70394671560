"""Build step: writes the browser's chart bundle from the vl-convert wheel, so that it is never committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VEGA_LITE = "6.4"


class ChartBundle(BuildHookInterface[Any]):
    """Writes `web/static/vega.js` (Vega, Vega-Lite and Vega-Embed in one file) when it is missing."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs before each wheel and editable install; the file is the same bytes every time."""
        target = Path(self.root) / "src/costweir/web/static/vega.js"
        if target.exists():
            return
        import vl_convert

        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(vl_convert.javascript_bundle(vl_version=VEGA_LITE), encoding="utf-8")
