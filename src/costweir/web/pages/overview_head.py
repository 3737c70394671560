"""The first card of the overview: month to date, forecast, budget, used and elapsed, and the weir gauge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from costweir.insights.breakdown import within
from costweir.insights.forecast import Forecast
from costweir.web import format as fmt
from costweir.web.pages.month import MonthToDate


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure with its note; `badge` is a state in words with its `tone`."""

    label: str
    value: str
    small: str = ""
    note: str = ""
    badge: str = ""
    tone: str = ""
    strong: str = ""


@dataclass(frozen=True, slots=True)
class Weir:
    """Positions in percent of the width, for pixels; `label` says the same in money."""

    label: str
    settled: str
    held_from: str = ""
    held: str = ""
    range_from: str = ""
    range: str = ""
    limit: str = ""
    limit_text: str = ""
    limit_anchor: str = "end"
    pace: str = ""
    pace_text: str = ""
    pace_anchor: str = "middle"
    range_end: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """The tiles and the gauge below them; no gauge without anything to measure against."""

    tiles: tuple[Tile, ...]
    weir: Weir | None


def headline(data: MonthToDate) -> Headline:
    """Everything in words; nothing is coloured unless a limit is passed or likely to be."""
    tiles = [_spent(data), _forecast(data), _budget(data), _used(data)]
    return Headline(tuple(tiles), _weir(data))


def _spent(data: MonthToDate) -> Tile:
    label = "The month" if data.is_over else "Month to date"
    value = fmt.money(data.total, data.currency, places=2)
    if data.compared is None:
        why = "no day of it is over" if data.metered else "no day has been delivered by all sources"
        return Tile(label, value, note=f"Not compared: {why}")
    before = data.found.need("lines_before")
    if not before.rows:
        nothing = "No call was metered in" if data.metered else "Nothing is loaded for"
        return Tile(label, value, note=f"{nothing} {data.base}")
    after = Decimal(data.found.need("lines").total)
    delta = fmt.delta(after, Decimal(before.total), base=data.base, currency=data.currency)
    share = f" ({delta.percent})" if delta.percent else ""
    return Tile(
        label,
        value,
        strong=f"{delta.arrow} {delta.amount.lstrip('+' + fmt.MINUS)}{share}".strip(),
        note=f"{data.compared_text} vs {data.base}".strip(),
    )


def _forecast(data: MonthToDate) -> Tile:
    end = fmt.day(data.month.following.first - timedelta(days=1), today=data.now.today)
    guess = data.forecast
    if not isinstance(guess, Forecast):
        when = fmt.day(guess.day, today=data.now.today)
        return Tile(f"Forecast for {end}", f"from {when}", note="It needs 14 complete days")
    if data.is_over:
        return Tile("Forecast", fmt.NOTHING, note=f"{fmt.month(data.days.first)} is over")
    missed = ", ".join(fmt.ratio(miss.error).removesuffix("%") for miss in guess.misses)
    note = f"80% range. Last {len(guess.misses)} missed by {missed}%" if missed else "80% range"
    return Tile(f"Forecast for {end}", fmt.money_range(guess.low, guess.high, data.currency), note=note)


def _budget(data: MonthToDate) -> Tile:
    limit = data.limits.firm
    if limit is None:
        return Tile("Budget", "none set", note="Add one with an empty scope to the configuration")
    value = fmt.money_round(limit, data.currency)
    guess = data.forecast
    if data.total > limit:
        over = fmt.money_round((data.total - limit).quantize(Decimal(1)), data.currency)
        return Tile("Budget", value, badge=f"Over, by {over}", tone="bad")
    if isinstance(guess, Forecast) and not data.is_over and guess.high > limit:
        word = "Likely over" if guess.low > limit or guess.expected > limit else "May go over"
        over = fmt.money_round((guess.high - limit).quantize(Decimal(1)), data.currency)
        return Tile("Budget", value, badge=f"{word}, by up to {over}", tone="warn")
    left = fmt.money(limit - data.total, data.currency, places=2)
    return Tile("Budget", value, badge="Kept" if data.is_over else "Holds", tone="ok", note=f"{left} left")


def _elapsed(data: MonthToDate) -> Decimal:
    return Decimal(data.days.count) / data.month.days


def _used(data: MonthToDate) -> Tile:
    limit, elapsed = data.limits.firm, _elapsed(data)
    if limit is not None and data.is_over:
        return Tile("Used", fmt.percent(data.total, limit), note="of the budget of the month")
    gone = f"{fmt.ratio(elapsed)} of the month elapsed"
    if limit is None:
        return Tile("Elapsed", fmt.ratio(elapsed), note=f"day {data.days.count} of {data.month.days}")
    ahead = data.total - limit * elapsed
    pace = f"{fmt.money(abs(ahead), data.currency, places=0)} {'ahead' if ahead > 0 else 'behind'}"
    return Tile("Used and elapsed", fmt.percent(data.total, limit), small="used", note=f"{gone} · {pace}")


def _weir(data: MonthToDate) -> Weir | None:
    limit, guess = data.limits.firm, data.forecast
    ahead = guess if isinstance(guess, Forecast) and not data.is_over else None
    if limit is None and ahead is None:
        return None
    full = max(data.total, limit or Decimal(0), ahead.high if ahead else Decimal(0)) * Decimal("1.06")
    if full <= 0:
        return None

    def at(amount: Decimal) -> str:
        return f"{max(amount, Decimal(0)) / full * 100:.2f}%"

    held = min(within(data.daily, data.open_from, data.days.last), max(data.total, Decimal(0)))
    pace = limit * _elapsed(data) if limit is not None and not data.is_over else None
    words = [f"{fmt.money(data.total, data.currency)} spent"]
    if limit is not None:
        words.append(f"of a {fmt.money_round(limit, data.currency)} budget")
    if pace is not None:
        words.append(f"; an even pace would be {fmt.money(pace, data.currency, places=0)} by now")
    if ahead:
        words.append(f"; forecast {fmt.money_range(ahead.low, ahead.high, data.currency)}")
    return Weir(
        label=" ".join(words).replace(" ;", ";") + ".",
        settled=at(data.total - held),
        held_from=at(data.total - held),
        held=at(held) if held > 0 else "",
        range_from=at(ahead.low) if ahead else "",
        range=at(ahead.high - ahead.low) if ahead else "",
        range_end=at(ahead.high) if ahead and not _near(ahead.high, pace, full) else "",
        limit=at(limit) if limit is not None else "",
        limit_text=f"Budget {fmt.money_round(limit, data.currency)}" if limit is not None else "",
        limit_anchor="start" if limit is not None and limit / full < Decimal("0.2") else "end",
        pace=at(pace) if pace is not None else "",
        pace_text=f"Even pace {fmt.money(pace, data.currency, places=0)}" if pace is not None else "",
        pace_anchor=_anchor(pace / full) if pace is not None else "middle",
    )


def _near(end: Decimal, pace: Decimal | None, full: Decimal) -> bool:
    """True where the label of the range, ending at `end`, would run into that of the pace."""
    return pace is not None and abs(end - pace) / full < Decimal("0.17")


def _anchor(share: Decimal) -> str:
    """Keeps a label inside the gauge near either end."""
    return "start" if share < Decimal("0.2") else "end" if share > Decimal("0.8") else "middle"
