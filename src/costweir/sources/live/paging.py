"""Follows the page cursors of an organisation API to the end, each page once."""

from __future__ import annotations

from collections.abc import Iterator

from costweir.sources.live.http import JsonApi, Params
from costweir.sources.live.shape import Shape


def pages(api: JsonApi, path: str, params: Params) -> Iterator[Shape]:
    """The answers to one question, page by page; every page is asked for with the same parameters.

    Raises SourceRejected for a cursor that is missing or comes again, which would lose or double rows.
    """
    cursor = ""
    seen: set[str] = set()
    while True:
        asked = [*params, ("page", cursor)] if cursor else params
        page = Shape(api.who, path, api.get(path, asked))
        yield page
        more = page.value("has_more")
        if not isinstance(more, bool):
            raise page.lost("has_more is not true or false")
        if not more:
            return
        cursor = page.text("next_page")
        if not cursor:
            raise page.lost("has_more is true and next_page is empty")
        if cursor in seen:
            raise page.lost("next_page leads back to a page that was read")
        seen.add(cursor)
