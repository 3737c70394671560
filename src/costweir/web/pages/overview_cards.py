"""The smaller cards of the overview: what changed, who spends it, how complete it is, and what needs you."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote

from costweir.domain.answer import Answer
from costweir.domain.charge import UNTAGGED
from costweir.insights.breakdown import cost, cost_field, excluded_rows
from costweir.insights.changes import Line, explain, movers
from costweir.insights.forecast import Forecast
from costweir.web import format as fmt
from costweir.web.pages.limits import WARN, gauge
from costweir.web.pages.month import MonthToDate
from costweir.web.pages.table import Gauge
from costweir.web.pages.view import explore_link

#: Models that moved and have a line of their own; the others are one.
_MOVERS = 5
_WORDS = {
    "volume": ("Volume", "more tokens", "fewer tokens"),
    "mix": ("Mix", "dearer models and token classes", "cheaper models and token classes"),
    "price": ("Price", "the same tokens cost more", "the same tokens cost less"),
    "new": ("New", "models without spend before", "credits without any before"),
    "gone": ("Gone", "credits that stopped", "models that stopped"),
    "uncounted": ("Not in tokens", "fees, images, capacity, credits", "fees, images, capacity, credits"),
}


@dataclass(frozen=True, slots=True)
class Driver:
    """One driver with its bar: start, width and zero in percent, for pixels."""

    name: str
    what: str
    amount: str
    up: bool
    start: str
    width: str


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of the change, before it is drawn."""

    name: str
    what: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Changed:
    """The drivers and the sum that they reach, and the customer that moved most."""

    base: str
    change: str
    drivers: tuple[Driver, ...]
    zero: str
    mover: str
    mover_href: str
    mover_amount: str
    href: str


def changed(data: MonthToDate) -> Changed | None:
    """None while there is nothing before to compare with, or no day is complete."""
    if data.compared is None:
        return None
    before, after = data.found.need("lines_before"), data.found.need("lines")
    if not before.rows:
        return None
    now = "customers" if data.compared == data.days else "customers_compared"
    parts = _models(before, after) if data.metered else _drivers(before, after)
    down = max((-part.amount for part in parts if part.amount < 0), default=Decimal(0))
    up = max((part.amount for part in parts if part.amount > 0), default=Decimal(0))
    span = (down + up) or Decimal(1)
    zero = down / span * 96 + 2
    top = next(iter(movers(_customers(data, "customers_before"), _customers(data, now))), None)
    return Changed(
        base=f"{data.compared_text} against {data.base}" if data.compared_text else f"Against {data.base}",
        change=fmt.signed(Decimal(after.total) - Decimal(before.total), data.currency),
        drivers=tuple(_driver(part, data, zero=zero, span=span) for part in parts),
        zero=f"{zero:.1f}%",
        mover=_name(top.member[0], data) if top else "",
        mover_href=explore_link(data.compared, by="model", where={"customer": top.member[0]}) if top else "",
        mover_amount=fmt.signed(top.change, data.currency) if top else "",
        href=explore_link(data.compared, by="model"),
    )


def _drivers(before: Answer, after: Answer) -> list[_Part]:
    """Volume, mix and price, which lines of bills tell apart."""
    found: list[_Part] = []
    for name, amount in explain(_lines(before), _lines(after)).drivers:
        title, more, less = _WORDS[name]
        found.append(_Part(title, more if amount > 0 else less, amount))
    return found


def _models(before: Answer, after: Answer) -> list[_Part]:
    """The models that moved most, and the others as one; a call is priced whole, so that nothing else is known."""
    moved = [mover for mover in movers(_by_model(before), _by_model(after)) if mover.change]
    found = [_Part(mover.member[1], mover.member[0], mover.change) for mover in moved[:_MOVERS]]
    rest = moved[_MOVERS:]
    if rest:
        words = fmt.plural(len(rest), "other model")
        found.append(_Part(words, "together", sum((mover.change for mover in rest), Decimal(0))))
    return found


def _by_model(answer: Answer) -> list[Line]:
    field = cost_field(answer)
    keys = [(str(row["provider"]), str(row["model"])) for row in answer.rows]
    return [Line(key, key, cost(row, field)) for key, row in zip(keys, answer.rows, strict=True)]


def _lines(answer: Answer) -> list[Line]:
    field = cost_field(answer)
    found: list[Line] = []
    for row in answer.rows:
        key = (str(row["provider"]), str(row["model"]), str(row["token_class"]))
        found.append(Line(key, key[:2], cost(row, field), Decimal(str(row.get("tokens") or 0))))
    return found


def _customers(data: MonthToDate, name: str) -> list[Line]:
    answer = data.found.need(name)
    field = cost_field(answer)
    return [Line((str(row["customer"]),), (str(row["customer"]),), cost(row, field)) for row in answer.rows]


def _driver(part: _Part, data: MonthToDate, *, zero: Decimal, span: Decimal) -> Driver:
    amount = part.amount
    width = abs(amount) / span * 96
    start = zero if amount > 0 else zero - width
    return Driver(
        part.name,
        part.what,
        fmt.signed(amount, data.currency, places=2),
        amount > 0,
        f"{start:.1f}%",
        f"{width:.1f}%",
    )


def _name(customer: str, data: MonthToDate) -> str:
    return data.names.get(customer, customer)


@dataclass(frozen=True, slots=True)
class Spender:
    """One line of who spends it; `gauge` where a limit is set."""

    name: str
    href: str
    amount: str
    of: str = ""
    gauge: Gauge | None = None
    untagged: bool = False


def spenders(data: MonthToDate) -> tuple[Spender, ...]:
    """The five largest customers, the others, untagged; they add up to the tile."""
    found: list[Spender] = []
    for customer, amount in data.customers.named:
        limit = data.limits.of(customer)
        name = _name(customer, data)
        found.append(
            Spender(
                name,
                f"/customers/{quote(customer, safe='')}",
                _money(amount, data),
                f"of {fmt.money_round(limit, data.currency)}" if limit else "",
                gauge(name, amount, limit, currency=data.currency) if limit else None,
            )
        )
    if data.customers.others != 0:
        many = (
            "Other customers"
            if data.customers.others is None
            else fmt.plural(data.customers.others, "other customer")
        )
        found.append(Spender(many, "", _money(data.customers.other, data)))
    if data.customers.untagged is not None:
        href = explore_link(data.days, by="service", where={"customer": UNTAGGED})
        found.append(Spender(UNTAGGED, href, _money(data.customers.untagged, data), untagged=True))
    return tuple(found)


def _money(amount: Decimal, data: MonthToDate) -> str:
    return fmt.money(amount, data.currency, places=2)


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of how complete it is."""

    name: str
    what: str
    value: str
    share: str = ""
    href: str = ""


def completeness(data: MonthToDate) -> tuple[Fact, ...]:
    """Each gap with its size; a gap of nothing is said as well."""
    untagged = data.customers.untagged or Decimal(0)
    nobody = "no customer on the call" if data.metered else "no customer on the line"
    known = data.sources
    late = [source.name for source in known if source.late]
    quarantined = excluded_rows(data.spend, "quarantined")
    facts = [
        Fact("Untagged", nobody, _money(untagged, data), fmt.percent(untagged, data.total),
             explore_link(data.days, by="service", where={"customer": UNTAGGED})),
    ]  # fmt: skip
    if data.metered:
        return (*facts, *_calls_known(data), *_left_out(data))
    share = fmt.percent(data.unknown, data.total)
    said = "counted, model not recognised"
    facts.append(Fact("Unknown SKU", said, _money(data.unknown, data), share, "/settings/unknown"))
    fresh = f"{len(known) - len(late)} of {len(known)}"
    said = f"{', '.join(late)} behind" if late else "all delivered alike"
    facts.append(Fact("Sources up to date", said, fresh, href="/settings/health"))
    facts.append(
        Fact(
            "Quarantined",
            "unreadable lines, kept aside",
            f"{quarantined:,}",
            href="/settings/health#quarantine",
        )
    )
    return (*facts, *_left_out(data))


def _left_out(data: MonthToDate) -> list[Fact]:
    """What has no amount that could be added."""
    kept = [item for item in data.spend.excluded if item.reason != "quarantined"]
    return [Fact("Left out", item.text, f"{item.amount} {item.currency}".strip()) for item in kept]


def _calls_known(data: MonthToDate) -> list[Fact]:
    """How far the calls reach that are in the store, and what they cannot say."""
    newest = fmt.instant(data.spend.as_of.get("calls", ""), today=data.now.today)
    return [
        Fact("Newest call", "in these numbers", newest or fmt.NOTHING, href="/live/calls"),
        Fact("Calls past the gateway", "only a bill knows them", fmt.NOTHING, href="/settings/start"),
    ]


@dataclass(frozen=True, slots=True)
class Need:
    """Something that waits for a person: what, why, where to act. `rank` orders worst first."""

    rank: int
    title: str
    why: str
    href: str
    tone: str = "warn"
    icon: str = "warn"


def needs(data: MonthToDate) -> tuple[Need, ...]:
    """At most five, worst first: limits passed or near, late sources, quarantine, untagged spend."""
    found = [*_budget_needs(data), *_customer_needs(data), *_data_needs(data)]
    return tuple(sorted(found, key=lambda need: need.rank)[:5])


def _budget_needs(data: MonthToDate) -> list[Need]:
    limit, guess = data.limits.firm, data.forecast
    if limit is None:
        return []
    if data.total > limit:
        why = f"{_money(data.total, data)} spent of {fmt.money_round(limit, data.currency)}"
        return [Need(0, "The month is over its budget", why, explore_link(data.days, by="customer"), "bad")]
    if isinstance(guess, Forecast) and not data.is_over and guess.expected > limit:
        ends = fmt.money_range(guess.low, guess.high, data.currency)
        why = f"Forecast {ends} of {fmt.money_round(limit, data.currency)}"
        return [Need(2, "The month will likely pass its budget", why, explore_link(data.days, by="customer"))]
    return []


def _customer_needs(data: MonthToDate) -> list[Need]:
    found: list[tuple[Decimal, Need]] = []
    field = cost_field(data.found.need("customers"))
    for row in data.found.need("customers").rows:
        customer, amount = str(row["customer"]), cost(row, field)
        limit = data.limits.of(customer)
        share = amount / limit if limit else Decimal(0)
        if limit is None or share < WARN:
            continue
        over = share >= 1
        why = f"{_money(amount, data)} of {fmt.money_round(limit, data.currency)} in {fmt.month(data.days.first)}"
        title = f"{_name(customer, data)} at {fmt.ratio(share, places=0)} of its budget"
        href = f"/customers/{quote(customer, safe='')}"
        found.append((share, Need(1 if over else 3, title, why, href, "bad" if over else "warn")))
    worst = sorted(found, key=lambda item: -item[0])
    shown = [need for _, need in worst[:2]]
    if len(worst) > 2:
        title = f"{fmt.plural(len(worst) - 2, 'more customer')} at 80% or more of a budget"
        shown.append(Need(4, title, "All of them, with their gauges", "/customers?sort=-used"))
    return shown


def _data_needs(data: MonthToDate) -> list[Need]:
    found: list[Need] = []
    for source in data.sources:
        if source.late:
            last = fmt.day(source.day - timedelta(days=1), today=data.now.today)
            found.append(Need(2, f"{source.name} is behind", f"Delivered up to {last}", "/settings/health"))
    quarantined = excluded_rows(data.spend, "quarantined")
    if quarantined:
        title = f"{fmt.plural(quarantined, 'line')} in quarantine"
        found.append(
            Need(3, title, "They could not be read and are in no total", "/settings/health#quarantine")
        )
    if data.unknown != 0:
        why = f"{_money(data.unknown, data)} counted, model not recognised"
        found.append(Need(5, "A SKU is unknown", why, "/settings/unknown", icon="info"))
    untagged = data.customers.untagged or Decimal(0)
    if data.total and untagged / data.total > Decimal("0.05"):
        href = explore_link(data.days, by="service", where={"customer": UNTAGGED})
        why = f"{_money(untagged, data)}, {fmt.percent(untagged, data.total)} of the month"
        found.append(Need(4, "Spend without a customer", why, href, icon="info"))
    return found
