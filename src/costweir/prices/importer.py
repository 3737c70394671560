"""Development-time import of genai-prices' data into our own table. It only ever appends rows (law L6).

Run as `python -m costweir.prices.importer [--known-from YYYY-MM-DD]` with the development dependency
installed. What the source says is compared with what our table says on the day of import; every difference
becomes a new row with the day we learned it. A row that exists is never edited, so a second run with the same
data writes nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from costweir.prices.rate import ALWAYS
from costweir.prices.table import STANDARD, Key, PriceList, Row, parse_list

DATA = Path(__file__).parent / "data"
PREFERRED = ("openai", "anthropic", "google", "aws", "azure", "mistral", "deepseek", "x-ai", "cohere", "meta")
#: Our bucket for a unit of the source, and how many units the source's price is for per one of our rate.
UNITS: Mapping[str, tuple[str, int]] = {
    "input_mtok": ("input", 1), "cache_read_mtok": ("cache_read", 1), "cache_write_mtok": ("cache_write", 1),
    "cache_write_1h_mtok": ("cache_write_1h", 1), "output_mtok": ("output", 1),
    "output_reasoning_mtok": ("reasoning", 1), "output_citation_mtok": ("output_citation", 1),
    "input_audio_mtok": ("input_audio", 1), "output_audio_mtok": ("output_audio", 1),
    "cache_audio_read_mtok": ("cache_read_audio", 1), "input_image_mtok": ("input_image", 1),
    "output_image_mtok": ("output_image", 1), "cache_image_read_mtok": ("cache_read_image", 1),
    "input_video_mtok": ("input_video", 1), "output_video_mtok": ("output_video", 1),
    "audio_hours": ("audio_seconds", 1), "input_audio_hours": ("audio_seconds", 1),
    "input_mchars": ("characters", 1), "requests_kcount": ("request", 1000),
    "web_searches_kcount": ("web_search", 1000), "storage_searches_kcount": ("storage_search", 1000),
    "input_document_kpages": ("pages", 1000), "input_annotated_document_kpages": ("annotated_pages", 1000),
    "input_text_messages_kcount": ("text_messages", 1000),
}  # fmt: skip
_URL = re.compile(r"https://[^\s),;]+")

Body = dict[str, Any]
#: What the source says about one model: for each condition the bodies with the day they take effect.
Schedule = dict[Key, list[tuple[date, Body]]]


def plain(value: Decimal) -> str:
    """A decimal without exponent or trailing zeros: `2.5`, `10`, `0.003625`."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def body_of(prices: Any) -> Body:
    """The rates and context bands of one price set of the source. ValueError for a unit that we have no
    bucket for.
    """
    rates: dict[str, str] = {}
    bands: dict[int, dict[str, str]] = {}
    stated = cast("dict[str, Any]", vars(prices))
    for unit, price in stated.items():
        if price is None:
            continue
        if unit not in UNITS:
            raise ValueError(f"{unit!r} has no bucket yet; add it to UNITS and rules/buckets.json")
        bucket, per = UNITS[unit]
        flat = isinstance(price, Decimal)
        text = plain((price if flat else price.base) / per)
        if rates.setdefault(bucket, text) != text:
            raise ValueError(f"two units of the source give different rates for {bucket!r}")
        for tier in () if flat else price.tiers:
            bands.setdefault(tier.start, {})[bucket] = plain(tier.price / per)
    body: Body = {"rates": rates}
    if bands:
        body["bands"] = [{"above": above, "rates": bands[above]} for above in sorted(bands)]
    return body


def _condition(when: Mapping[str, str]) -> Key | None:
    ((kind, value),) = when.items()
    if kind == "route":
        return Key(STANDARD, value, "")
    if kind == "search_type":
        return Key(f"search-{value}", "", "")
    if kind in ("processing", "service_tier", "speed"):
        return None if value == "default" else Key(value, "", "")
    raise ValueError(f"the source has a condition {kind!r} that has no meaning here yet")


def schedule_of(model: Any) -> Schedule:
    """What the source says about a model, by condition. Time-of-day prices start with the dated price before
    them.
    """
    schedule: Schedule = {}
    stated: Any = model.prices
    entries = cast("list[Any]", stated if isinstance(stated, list) else [model])
    started = ALWAYS
    for entry in entries:
        constraint: Any = getattr(entry, "constraint", None)
        key = Key(STANDARD, "", "")
        if hasattr(constraint, "start_date"):
            started = constraint.start_date
        elif constraint is not None:
            edges = (constraint.start_time, constraint.end_time)
            if any(edge.tzinfo not in (None, UTC) for edge in edges):
                raise ValueError(f"the hours of {model.id!r} are not in UTC")
            key = Key(STANDARD, "", "-".join(f"{edge:%H:%M}" for edge in edges))
        body = body_of(entry.prices)
        if body["rates"]:
            schedule.setdefault(key, []).append((started, body))
    for variant in model.price_variants or ():
        key, body = _condition(variant.when), body_of(variant.prices)
        if key is None or not body["rates"]:
            continue
        effective = variant.constraint.start_date if variant.constraint is not None else ALWAYS
        schedule.setdefault(key, []).append((effective, body))
    for rows in schedule.values():
        rows.sort(key=lambda item: item[0])
    return schedule


def _said(row: Row | None) -> Body | None:
    if row is None:
        return None
    body: Body = {"rates": dict(row.rates)}
    if row.bands:
        body["bands"] = [{"above": above, "rates": dict(rates)} for above, rates in row.bands]
    return body


def _latest_for(rows: Sequence[Row], effective: date) -> Row | None:
    same = [row for row in rows if row.effective == effective]
    return max(same, key=lambda row: row.known_from, default=None)


def new_rows(model: str, schedule: Schedule, book: PriceList, known_from: date) -> Iterator[Body]:
    """The rows that our table needs so that it says what the source says, each with the day we learned it.

    A dated price is taken over with its day. A price that the source changed without a day counts from the
    day we saw it, so what was priced before stays. A condition that the source dropped ends on that day.
    """
    for key in dict.fromkeys((*book.series(model), *schedule)):
        wanted, have = schedule.get(key, []), list(book.series(model).get(key, ()))
        in_place = bool(have) and not any(ALWAYS < day <= known_from for day, _ in wanted)
        added: list[tuple[date, Body]] = []
        for effective, body in wanted:
            if not (in_place and effective == ALWAYS) and _said(_latest_for(have, effective)) != body:
                added.append((effective, body))
        points = sorted({known_from, *(day for day, _ in wanted if day > known_from)})
        for point in points:
            says = next((body for day, body in reversed(wanted) if day <= point), None)
            if _believed(book, model, key, point, added) != says:
                added.append((point, says or {"ended": True}))
        for effective, body in added:
            yield _row(model, key, effective, known_from) | body


def _believed(
    book: PriceList, model: str, key: Key, on: date, added: Iterable[tuple[date, Body]]
) -> Body | None:
    row = book.current(model, key, on=on, known_on=date.max)
    series = book.series(model).get(key, ())
    last = max((item.effective for item in series if item.effective <= on), default=None)
    later = [(day, body) for day, body in added if day <= on and (last is None or day >= last)]
    if later:
        body = max(later, key=lambda item: item[0])[1]
        return None if body.get("ended") else body
    return _said(row)


def _row(model: str, key: Key, effective: date, known_from: date) -> Body:
    row: Body = {"model": model, "known_from": known_from.isoformat()}
    if effective != ALWAYS:
        row["effective"] = effective.isoformat()
    if key.tier != STANDARD:
        row["tier"] = key.tier
    if key.routing:
        row["routing"] = key.routing
    if key.hours:
        row["hours"] = key.hours
    return row


def _rule(clause: Any) -> Body:
    stated = cast("dict[str, Any]", vars(clause))
    ((name, value),) = stated.items()
    if name in ("or_", "and_"):
        return {name[:-1]: [_rule(part) for part in value]}
    return {name: value}


def import_provider(provider: Any, raw: Body, *, known_from: date, source: str) -> Body:
    """`raw` (a price list as JSON) with what the source newly says appended. The same object when nothing is
    new.
    """
    book = parse_list(raw)
    models: list[Body] = []
    rates: list[Body] = []
    latest = {entry["id"]: entry for entry in raw["models"]}
    for model in provider.models:
        entry: Body = {"id": model.id, "known_from": known_from.isoformat(), "match": _rule(model.match)}
        if model.context_window:
            entry["context"] = model.context_window
        before = latest.get(model.id)
        if before is None or any(before.get(name) != entry.get(name) for name in ("match", "context")):
            models.append(entry)
        link = _URL.search(model.price_comments or "")
        said = {"source": source} | ({"evidence": link[0].rstrip(".")} if link else {})
        rates.extend(row | said for row in new_rows(model.id, schedule_of(model), book, known_from))
    listed = {model.id for model in provider.models}
    for gone in [model for model in book.models if model not in listed]:
        rates.extend(row | {"source": source} for row in new_rows(gone, {}, book, known_from))
    order = [model.id for model in provider.models]
    orders = list(raw.get("order", ()))
    if not orders or orders[-1]["ids"] != order:
        orders.append({"known_from": known_from.isoformat(), "ids": order})
    if not models and not rates and orders == list(raw.get("order", ())):
        return raw
    sources = dict(raw.get("sources", {}))
    sources.setdefault(source, {"name": source, "evidence": (provider.pricing_urls or [""])[0]})
    return raw | {
        "sources": sources,
        "order": orders,
        "models": raw["models"] + models,
        "rates": raw["rates"] + rates,
    }


def index_entry(provider: Any, known_from: date) -> Body:
    """The provider's entry of the index: name, whose prices it falls back to, which models point at it."""
    entry: Body = {"id": provider.id, "name": provider.name, "known_from": known_from.isoformat()}
    if provider.fallback_model_providers:
        entry["fallback"] = list(provider.fallback_model_providers)
    if provider.model_match is not None:
        entry["match"] = _rule(provider.model_match)
    return entry


def render(raw: Mapping[str, Any]) -> str:
    """JSON with one row a line, so that an import reads as a list of added lines."""
    parts: list[str] = []
    for name, value in raw.items():
        if isinstance(value, list):
            lines = ",\n".join("  " + _compact(item) for item in cast("list[object]", value))
            parts.append(f'"{name}": [\n{lines}\n]' if lines else f'"{name}": []')
        else:
            parts.append(f'"{name}": {_compact(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def import_all(providers: Sequence[Any], folder: Path, *, known_from: date, source: str) -> dict[str, int]:
    """Writes what is new into `folder` and returns the number of added rate rows per provider that
    changed.
    """
    added: dict[str, int] = {}
    index_path = folder / "index.json"
    entries: list[Body] = (
        json.loads(index_path.read_text("utf-8"))["providers"] if index_path.is_file() else []
    )
    rank = {name: position for position, name in enumerate(PREFERRED)}
    for provider in sorted(providers, key=lambda item: (rank.get(item.id, len(rank)), item.id)):
        path = folder / f"{provider.id}.json"
        empty: Body = {"provider": provider.id, "sources": {}, "order": [], "models": [], "rates": []}
        raw = json.loads(path.read_text("utf-8")) if path.is_file() else empty
        merged = import_provider(provider, raw, known_from=known_from, source=source)
        if merged is not raw:
            path.write_text(render(merged), "utf-8")
            added[provider.id] = len(merged["rates"]) - len(raw["rates"])
        entry = index_entry(provider, known_from)
        before = next((old for old in reversed(entries) if old["id"] == provider.id), None)
        if before is None or {**before, "known_from": ""} != {**entry, "known_from": ""}:
            entries.append(entry)
    text = render({"providers": entries})
    if not index_path.is_file() or index_path.read_text("utf-8") != text:
        index_path.write_text(text, "utf-8")
    return added


def main(arguments: Sequence[str] | None = None) -> int:
    """Imports the installed genai-prices release; prints what was added."""
    parser = argparse.ArgumentParser(description="Append what genai-prices newly says to the price book.")
    parser.add_argument("--known-from", type=date.fromisoformat, default=datetime.now(UTC).date())
    parser.add_argument("--folder", type=Path, default=DATA)
    options = parser.parse_args(arguments)
    from genai_prices.data import providers

    source = f"genai-prices {version('genai-prices')}"
    options.folder.mkdir(parents=True, exist_ok=True)
    added = import_all(providers, options.folder, known_from=options.known_from, source=source)
    for provider, count in added.items():
        sys.stdout.write(f"{provider}: {count} new rows\n")
    sys.stdout.write(f"{sum(added.values())} new rows from {source}, known from {options.known_from}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
