"""What a request has to keep beyond its JSON Schema, put right in generated requests, so that the server has to take
every one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemathesis import Case

from costweir.queries.dimensions import DIMENSION_TABLE, Facts
from costweir.queries.question import Question, find_question


def days_in_order(case: Case) -> None:
    """`since` lies before `until` and not after `through`."""
    query = case.query
    if query and query.get("since") and query.get("until") and query["since"] >= query["until"]:
        query.pop("until")
    if query and query.get("since") and query.get("through") and query["since"] > query["through"]:
        query.pop("through")


def readable_filters(query: dict[str, Any], known: Callable[[str], bool]) -> None:
    """A filter names a dimension that is known there; a day, month or number among its values is one."""
    if "where" in query:
        texts = [text for text in query["where"] if known(name := text.partition("=")[0])
                 and DIMENSION_TABLE[name].kind == "text"]  # fmt: skip
        query["where"] = texts or [""]


def answer(case: Case) -> None:
    """A question has its own bases and dimensions, which the facts of the basis know."""
    days_in_order(case)
    question, query = find_question(case.path_parameters["id"]), case.query
    if query.get("basis") not in question.basis:
        query.pop("basis", None)
    facts = _facts(question, query.get("basis") or question.basis[0])
    if "by" in query:
        query["by"] = [name for name in query["by"] if _knows(question.dimensions, name, facts)] or [""]
    readable_filters(query, lambda name: _knows(question.filters, name, facts))


def _facts(question: Question, basis: str) -> Facts:
    if question.needs in ("restatements", "adjustments"):
        return "restatements" if question.needs == "restatements" else "adjustments"
    return "calls" if basis == "metered" else "charges"


def _knows(names: tuple[str, ...], name: str, facts: Facts) -> bool:
    return name in names and bool(DIMENSION_TABLE[name].sql(facts))


def charges(case: Case) -> None:
    """A cursor belongs to its filters, so that none can be made up."""
    days_in_order(case)
    case.query.pop("cursor", None)
    readable_filters(case.query, lambda name: bool(DIMENSION_TABLE[name].charges))


def customer(case: Case) -> None:
    """The plan exists."""
    if case.body.get("plan") is not None:
        case.body["plan"] = "tier_1"


def budget(case: Case) -> None:
    """One of several limits is there, the time zone exists, and thresholds are percentages in rising order."""
    body = case.body
    if "thresholds" in body:
        body["thresholds"] = [50, 80]
    if "timezone" in body:
        body["timezone"] = "Europe/Berlin"
    body["limit_usd"] = body.get("limit_usd") or "1"


def note(case: Case) -> None:
    """A note can be printed, and says something."""
    body = case.body
    body["text"] = _printable(body["text"])
    if body.get("author"):
        body["author"] = _printable(body["author"])
    if "scope" in body:
        body["scope"] = {name: _printable(text) for name, text in body["scope"].items()}


def _printable(text: str) -> str:
    return text if text.strip() and text.isprintable() else "A release"


def rerate(case: Case) -> None:
    """`since` lies before `until`."""
    body = case.body
    if body.get("since") and body.get("until") and body["since"] >= body["until"]:
        body["until"] = None


#: By the id of the operation.
CONFORM: dict[str, Callable[[Case], None]] = {
    "getAnswer": answer, "listCharges": charges, "putCustomer": customer, "putBudget": budget,
    "previewBudget": budget,
    "previewRerate": days_in_order, "applyRerate": rerate, "addAnnotation": note, "putAnnotation": note,
}  # fmt: skip
