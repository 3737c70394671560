"""A long list in pages: which part is shown, and the links to its neighbours. The number is in the address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from costweir.errors import UsageError

#: Rows of one page.
PER_PAGE = 25


@dataclass(frozen=True, slots=True)
class Span:
    """The rows `first` to `last` of `count`, counted from 1, and the addresses of the pages before and after."""

    number: int
    pages: int
    first: int
    last: int
    count: int
    before: str = ""
    after: str = ""

    @property
    def part(self) -> slice:
        """The same rows of a sequence."""
        return slice(self.first - 1, self.last)


def read_page(request: Request) -> int:
    """`?page=2`, by default the first. Raises UsageError."""
    text = request.query_params.get("page", "") or "1"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1_000_000):
        raise UsageError(f"page={text[:20]} is not a page.", hint="Leave it out for the first page.")
    return int(text)


def span(count: int, number: int, link: Callable[[int], str], *, size: int = PER_PAGE) -> Span:
    """The page `number` of a list of `count` rows; one behind the end is the last."""
    pages = max(-(-count // size), 1)
    number = min(number, pages)
    first = (number - 1) * size + 1
    return Span(
        number, pages, first, min(first + size - 1, count), count,
        link(number - 1) if number > 1 else "", link(number + 1) if number < pages else "",
    )  # fmt: skip
