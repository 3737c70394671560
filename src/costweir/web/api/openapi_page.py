"""Writes the OpenAPI document: `python -m costweir.web.api.openapi_page` prints what `docs/openapi.json` has to be."""

from __future__ import annotations

import json

from costweir.web.api import openapi_document


def page() -> str:
    """The text of `docs/openapi.json`."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
