"""A long list in pages: which part is shown, and the links to its neighbours. The number is in the address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from costweir.errors import UsageError

#: Rows of one page.
PER_PAGE = 25
MOST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Span:
    """The rows `first` to `last` of `count`, counted from 1, and the addresses of the pages before and after.

    `count` is None where nobody counted all rows.
    """

    number: int
    first: int
    last: int
    count: int | None
    before: str = ""
    after: str = ""

    @property
    def several(self) -> bool:
        """Whether there is more than this page."""
        return bool(self.before or self.after)

    @property
    def part(self) -> slice:
        """The same rows of a sequence."""
        return slice(self.first - 1, self.last)


def read_page(request: Request, name: str = "page") -> int:
    """`?page=2`, by default the first. Raises UsageError."""
    return page_number(request.query_params.get(name, ""), name)


def page_number(text: str, name: str = "page") -> int:
    """The number that the text says; nothing is the first page. Raises UsageError."""
    if not text:
        return 1
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text) >= 1):
        raise UsageError(f"{name}={text[:20]} is not a page.", hint="Leave it out for the first page.")
    return int(text)


def span(count: int, number: int, link: Callable[[int], str], *, size: int = PER_PAGE) -> Span:
    """The page `number` of a list of `count` rows; one behind the end is the last."""
    pages = max(-(-count // size), 1)
    number = min(number, pages)
    first = (number - 1) * size + 1
    return Span(
        number, first, min(first + size - 1, count), count,
        link(number - 1) if number > 1 else "", link(number + 1) if number < pages else "",
    )  # fmt: skip


def open_span(got: int, number: int, link: Callable[[int], str], *, size: int = PER_PAGE) -> Span:
    """The page `number` of a list that was asked for one row more than the page ends with; `got` is what came."""
    first = (number - 1) * size + 1
    last = min(first + size - 1, got)
    return Span(
        number, first, max(last, first - 1), None, link(number - 1) if number > 1 else "",
        link(number + 1) if got > first + size - 1 else "",
    )  # fmt: skip
