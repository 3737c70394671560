"""Keys of the gateway: who may call, with what, and what each cost this month. A key's text is on the page once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.control.keys import ASSERTABLE, Key, KeyWish
from costweir.domain.money import decimal_text
from costweir.errors import Error, UsageError
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.pages import rows as cells
from costweir.web.pages.forms import Sent, may_change
from costweir.web.pages.shell import Frame, Kit, Now
from costweir.web.pages.table import Cell, Column, Row, Table

PATH = "/live/keys"
#: How long a key lives, as the form offers it.
LIVES = {"": "until it is revoked", "1": "1 day", "30": "30 days", "90": "90 days", "365": "a year"}
_CRUMBS = (("Live", "/live"), ("Keys", ""))


@dataclass(frozen=True, slots=True)
class Shown:
    """A key whose text is on this page and nowhere else."""

    key: Key
    text: str
    verb: str


def routes(kit: Kit) -> list[BaseRoute]:
    """`/live/keys` with CSV, and the forms that make, rotate and revoke one."""
    return [
        Route(PATH, kit.handler(listed)),
        Route(f"{PATH}.csv", kit.handler(listed)),
        Route(PATH, kit.receiver(create), methods=["POST"]),
        Route(f"{PATH}/{{key}}", kit.handler(one)),
        Route(f"{PATH}/{{key}}/rotate", kit.receiver(rotate), methods=["POST"]),
        Route(f"{PATH}/{{key}}/revoke", kit.receiver(revoke), methods=["POST"]),
    ]


def listed(kit: Kit, request: Request) -> Response:
    """Every key, those that work first."""
    now = kit.now()
    if request.url.path.endswith(".csv"):
        return kit.export(_table(kit, now), kind="csv", name="keys", now=now)
    return _page(kit, request, now)


def _page(
    kit: Kit, request: Request, now: Now, *, shown: Shown | None = None, error: Error | None = None,
    wish: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    table = _table(kit, now)
    context = {
        "table": table if table.rows else None, "shown": shown, "error": error, "wish": wish or {}, "lives": LIVES,
        "customers": [(entry.id, entry.name or entry.id) for entry in kit.office.control.customers()],
        "assertable": ASSERTABLE, "may_make": may_change(request, "admin"),
        "revoked": request.query_params.get("revoked", ""),
    }  # fmt: skip
    frame = Frame("weir_keys.html", "Keys", "live", _CRUMBS, status=error.http_status if error else 200)
    reply = kit.page(request, frame, now=now, context=context)
    if shown is not None:
        # The text of a key must not stay in any cache.
        reply.headers["Cache-Control"] = "no-store"
        del reply.headers["ETag"]
    return reply


def create(kit: Kit, sent: Sent) -> Response:
    """Makes a key; the answer is the only page that ever shows its text."""
    try:
        wish = _wish(sent)
        key, text = kit.office.edit(lambda control: control.keys.create(wish, by=sent.actor))
    except UsageError as error:
        return _page(kit, sent.request, kit.now(), error=error, wish=sent.fields)
    return _page(kit, sent.request, kit.now(), shown=Shown(key, text, "made"))


def one(kit: Kit, request: Request) -> Response:
    """A key with what can be done to it."""
    key = kit.office.control.keys.find(request.path_params["key"])
    return _one(kit, request, key)


def _one(kit: Kit, request: Request, key: Key, *, error: Error | None = None) -> Response:
    now = kit.now()
    context = {
        "key": key, "state": _state(key, datetime.now(UTC)), "error": error,
        "may_make": may_change(request, "admin"),
    }  # fmt: skip
    crumbs = (("Live", "/live"), ("Keys", PATH), (key.name or key.prefix, ""))
    status = error.http_status if error else 200
    return kit.page(
        request, Frame("weir_key.html", "Key", "live", crumbs, status=status), now=now, context=context
    )


def rotate(kit: Kit, sent: Sent) -> Response:
    """Gives a key a new text; the one before works for another day, or ends at once."""
    grace = timedelta(hours=24) if sent.get("grace") != "none" else timedelta()
    name = sent.request.path_params["key"]
    key, text = kit.office.edit(lambda control: control.keys.rotate(name, by=sent.actor, grace=grace))
    return _page(kit, sent.request, kit.now(), shown=Shown(key, text, "rotated"))


def revoke(kit: Kit, sent: Sent) -> Response:
    """Ends a key at once, when its prefix was typed."""
    key = kit.office.control.keys.find(sent.request.path_params["key"])
    if sent.get("typed") != key.prefix:
        error = UsageError(f"Type {key.prefix} to revoke this key.", hint="Nothing was changed.")
        return _one(kit, sent.request, key, error=error)
    kit.office.edit(lambda control: control.keys.revoke(key.id, by=sent.actor))
    return RedirectResponse(f"{PATH}?revoked={key.prefix}", 303)


def _wish(sent: Sent) -> KeyWish:
    """The key that a form asks for. Raises UsageError."""
    life = sent.get("expires")
    if life not in LIVES:
        raise UsageError(f"{life!r} is no time that a key can live.", hint="Choose one from the list.")
    return KeyWish(
        customer=sent.get("customer"),
        models=[name.strip() for name in sent.get("models").split(",") if name.strip()],
        may_assert=[kind for kind in ASSERTABLE if sent.get(f"assert_{kind}")],
        name=sent.get("name"),
        expires=timedelta(days=int(life)) if life else None,
    )


def _table(kit: Kit, now: Now) -> Table:
    columns = (
        Column("Key", "prefix", numeric=False), Column("Name", "name", numeric=False),
        Column("Customer", "customer", numeric=False), Column("Models", "models", numeric=False, wide=True),
        Column("May name", "may_assert", numeric=False, wide=True),
        Column("Ends", "expires_at", numeric=False, wide=True),
        Column("This month", "metered_cost"), Column("State", "state", numeric=False),
    )  # fmt: skip
    spent = _spent(kit, now)
    moment = datetime.now(UTC)
    keys = sorted(
        kit.office.control.keys.listed(), key=lambda key: (_state(key, moment)[1] != "ok", key.created_at)
    )
    return Table("Keys", columns, tuple(_row(key, spent, now, moment) for key in keys))


def _spent(kit: Kit, now: Now) -> Mapping[str, str]:
    """What the calls of each key cost this month; also where no bill is stored."""
    first = now.today.replace(day=1)
    answer = kit.desk.ask(Question("spend", by=("key",), since=first, basis="metered", limit=1_000))
    return {str(row["key"]): decimal_text(cells.number(row, "metered_cost")) for row in answer.rows}


def _row(key: Key, spent: Mapping[str, str], now: Now, moment: datetime) -> Row:
    word, tone = _state(key, moment)
    ends = key.revoked_at or key.expires_at
    return (
        Cell(key.prefix, key.prefix, href=f"{PATH}/{key.id}", mono=True),
        Cell(key.name or fmt.NOTHING, key.name),
        Cell(key.customer, key.customer, href=f"/customers/{key.customer}")
        if key.customer
        else Cell("named by the caller"),
        Cell(", ".join(key.models) or "every model", " ".join(key.models)),
        Cell(", ".join(key.may_assert) or fmt.NOTHING, " ".join(key.may_assert)),
        Cell(fmt.instant(ends, today=now.today), ends, tone="nowrap") if ends else Cell(fmt.NOTHING),
        cells.money(spent.get(key.id, "0.00"), "USD", places=None),
        Cell(word, word, badge=True, tone=tone),
    )


def _state(key: Key, now: datetime) -> tuple[str, str]:
    if key.revoked_at is not None:
        return "revoked", "neutral"
    if key.expires_at is not None and datetime.fromisoformat(key.expires_at) <= now:
        return "expired", "neutral"
    return "works", "ok"
