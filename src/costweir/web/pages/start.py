"""The first steps: what a new installation needs before its figures say something, and which of it is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from costweir.web import format as fmt
from costweir.web.pages.limits import read_limits
from costweir.web.pages.shell import Frame, Kit, Now

PATH = "/settings/start"
_BUDGET = """\
[[budgets]]
id = "firm-month"
limit_usd = ""
mode = "observe"\
"""
_CHANNEL = """\
[[channels]]
id = "team"
kind = "slack"
url_env = "SLACK_WEBHOOK_URL"\
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is for, how far it is, and how to take it: a page to open, or a text to copy."""

    title: str
    why: str
    state: str
    done: bool
    href: str = ""
    link: str = ""
    code: str = ""
    label: str = ""


def routes(kit: Kit) -> list[BaseRoute]:
    """`/settings/start`."""
    return [Route(PATH, kit.handler(build))]


def build(kit: Kit, request: Request) -> Response:
    """Each step with its state; none is needed for the next."""
    now = kit.now()
    found = [_bills(now), _sources(kit), _plans(kit), _customers(kit), _budget(kit), _channel(kit)]
    done = sum(1 for step in found if step.done)
    context = {"steps": found, "done": done, "all": len(found)}
    crumbs = (("Settings", "/settings/health"), ("First steps", ""))
    return kit.page(request, Frame("start.html", "First steps", "settings", crumbs), now=now, context=context)


def _bills(now: Now) -> Step:
    sample = " of sample data" if now.sample else ""
    state = "no bill yet" if now.unbilled else f"{fmt.plural(len(now.months), 'month')}{sample} loaded"
    why = "Everything else is measured against what the clouds invoice. Or look around first: costweir demo."
    code = "costweir pull files PATH"
    return Step(
        "Load your bills", why, state, not now.unbilled and not now.sample, code=code, label="load-files"
    )


def _sources(kit: Kit) -> Step:
    count = len(kit.desk.connections())
    return Step(
        "Connect an account", "Costweir then pulls by itself, and says when a source is late.",
        f"{fmt.plural(count, 'account')} connected" if count else "none connected", count > 0,
        href="/settings/sources", link="How to connect each provider",
    )  # fmt: skip


def _plans(kit: Kit) -> Step:
    plans = kit.desk.plans()
    priced = sum(1 for plan in plans if Decimal(str(plan.get("price_usd") or 0)) > 0)
    state = f"{priced} of {fmt.plural(len(plans), 'plan')} with a price" if plans else "no plan yet"
    why = "Revenue less cost is the margin; a plan's budget is the limit of each customer on it."
    return Step("Say what your plans cost", why, state, priced > 0, href="/settings/plans", link="Plans")


def _customers(kit: Kit) -> Step:
    customers = kit.desk.customers()
    on = sum(1 for row in customers if row.get("plan"))
    state = f"{on} of {fmt.plural(len(customers), 'customer')} on a plan" if customers else "no customer yet"
    why = "The ids are those that your tags carry. A list can be imported as CSV."
    return Step(
        "Put customers on plans",
        why,
        state,
        0 < on == len(customers),
        href="/settings/customers",
        link="Customers",
    )


def _budget(kit: Kit) -> Step:
    firm = read_limits(kit.desk).firm
    state = "none set" if firm is None else f"{fmt.money_round(firm)} a month"
    why = "The overview then says whether the month will hold. Add this to costweir.toml, with your amount."
    return Step("Set a budget for everything", why, state, firm is not None, code=_BUDGET, label="budget")


def _channel(kit: Kit) -> Step:
    rows = cast("Sequence[Mapping[str, object]]", kit.office.settings()["rows"])
    held = next((row["value"] for row in rows if row["key"] == "channels"), None)
    count = len(cast("list[object]", held or []))
    state = fmt.plural(count, "channel") if count else "nobody is told"
    why = "A late source or a failed pull is told once when it begins and once when it is over."
    return Step("Be told", why, state, count > 0, code=_CHANNEL, label="alert-channel")
