"""Sets up a live source step by step: what it has to be allowed, its options, a try, and the lines for the file.

It uses the credentials of the server, so it is for admins, and it does not send them to an address that somebody types:
private endpoints and credential files are set up by the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.config.connections import DEFAULT_KEYS, PROVIDERS, SOURCE_OPTIONS, Connection
from costweir.errors import Error, NotFound, UsageError
from costweir.web.desk import Record
from costweir.web.pages.forms import Sent, may_change
from costweir.web.pages.shell import Frame, Kit

PATH = "/settings/sources/connect"
KINDS: Mapping[str, str] = {
    "aws-ce": "Cost Explorer",
    "aws-export": "the export in S3",
    "gcp-bigquery": "the billing export in BigQuery",
    "azure-query": "Cost Management queries",
    "azure-export": "the export in Blob storage",
    "openai": "OpenAI",
    "anthropic": "Anthropic",
}
#: Where a credential could be sent or read from by whoever may open this page.
_BY_COMMAND = frozenset({"base_url", "login_url", "credentials_env"})
_NUMBERS = frozenset({"max_pages", "maximum_bytes"})


@dataclass(frozen=True, slots=True)
class Option:
    """One field of the form."""

    name: str
    title: str
    help: str
    value: str
    required: bool
    choices: tuple[str, ...] = ()
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """The form as it was sent, and what came of it."""

    kind: str
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    found: Record | None = None
    error: Error | None = None


def routes(kit: Kit) -> list[BaseRoute]:
    """The form, and what it sends."""
    return [
        Route(PATH, kit.handler(build)),
        Route(PATH, kit.receiver(try_it, role="admin"), methods=["POST"]),
    ]


def links(kit: Kit, request: Request) -> Mapping[str, list[tuple[str, str]]]:
    """The kinds of each provider with their titles, for whoever may set one up here."""
    if kit.kept is None or not may_change(request, "admin"):
        return {}
    return {name: [(kind, KINDS[kind]) for kind in kinds] for name, kinds in PROVIDERS.items()}


def build(kit: Kit, request: Request) -> Response:
    """The empty form of a kind. Raises NotFound for a kind that does not exist."""
    return _page(kit, request, Draft(request.query_params.get("kind", "aws-ce")))


def try_it(kit: Kit, sent: Sent) -> Response:
    """Tries the source; `action=add` also adds it when nothing stands in the way."""
    kind = sent.get("kind")
    try:
        found = kit.office.connecting.check(
            _row(kind, sent.fields), add=sent.get("action") == "add", by=sent.actor
        )
    except Error as error:
        return _page(kit, sent.request, Draft(kind, sent.fields, error=error))
    return _page(kit, sent.request, Draft(kind, sent.fields, found=found))


def _row(kind: str, fields: Mapping[str, str]) -> dict[str, object]:
    """The row of `[[sources]]` that the form asks for."""
    row: dict[str, object] = {"id": fields.get("id", "").strip() or kind, "kind": kind}
    for name in (*_names(kind), "every"):
        text = fields.get(name, "").strip()
        if not text:
            continue
        if name in _NUMBERS and not (text.isascii() and text.isdigit()):
            raise UsageError(
                f"{_title(name)} is a whole number.", hint="Write digits only, or leave it empty."
            )
        row[name] = int(text) if name in _NUMBERS else text.split() if name == "tables" else text
    if fields.get("all_services"):
        row["all_services"] = True
    return row


def _names(kind: str) -> tuple[str, ...]:
    if kind not in SOURCE_OPTIONS:
        raise NotFound(
            f"There is no kind of source called {kind[:80]!r}.", hint=f"Kinds are {', '.join(KINDS)}."
        )
    required, optional = SOURCE_OPTIONS[kind]
    return tuple(name for name in (*required, *optional) if name not in _BY_COMMAND)


def _title(name: str) -> str:
    return name.removesuffix("_env").replace("_", " ").replace(" id", " ID").capitalize()


def _option(kind: str, name: str, value: str) -> Option:
    described = Connection.model_fields[name]
    texts = [
        text for part in get_args(described.annotation) for text in get_args(part) if isinstance(text, str)
    ]
    lines = name == "tables"
    return Option(
        name,
        f"{_title(name)}: name of the variable" if name.endswith("_env") else _title(name),
        f"{described.description}{' One a line.' if lines else ''}",
        value,
        name in SOURCE_OPTIONS[kind][0],
        tuple(texts) if name == "cost" else (),
        lines,
    )


def _page(kit: Kit, request: Request, draft: Draft) -> Response:
    options = [_option(draft.kind, name, draft.fields.get(name, "")) for name in _names(draft.kind)]
    office = kit.office
    try:
        policy = office.connecting.policy(_row(draft.kind, draft.fields))
    except Error:
        # What is wrong with the fields is said above the form.
        policy = office.connecting.policy({"id": draft.kind, "kind": draft.kind})
    failed = draft.error is not None or (draft.found is not None and not draft.found["ok"])
    context = {
        "draft": draft, "kinds": KINDS, "options": options, "policy": policy, "found": draft.found,
        "key": DEFAULT_KEYS.get(draft.kind, ""), "may_connect": may_change(request, "admin"), "failed": failed,
        "every": draft.fields.get("every", "6h"), "name": draft.fields.get("id", ""),
    }  # fmt: skip
    status = draft.error.http_status if draft.error is not None else 200
    crumbs = (("Settings", "/settings/health"), ("Sources", "/settings/sources"), ("Connect", ""))
    frame = Frame("connecting.html", "Connect a source", "settings", crumbs, status=status)
    return kit.page(request, frame, now=kit.now(), context=context)
