"""The page with the figures: what was measured, how, and what is left out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

Row = Mapping[str, object]
TITLES = {
    "nginx": "nginx, plain reverse proxy",
    "bare": "bare pass-through of Costweir's own stack",
    "costweir": "**Costweir**, strict budgets on six scopes, fsync",
    "tensorzero": "TensorZero embedded gateway",
    "portkey": "Portkey gateway",
    "litellm": "LiteLLM proxy, no budget",
    "litellm-budget": "LiteLLM proxy, one key with a budget",
    "direct": "the provider itself, no gateway",
}
NOTES = Path(__file__).with_name("notes.md")


def page(results: Sequence[Row], versions: Mapping[str, str], facts: Mapping[str, object]) -> str:
    names = [name for name in TITLES if any(row["name"] == name for row in results)]
    parts = [
        "# What the gateway costs\n",
        (
            f"`{facts['command']}` on {facts['when']}, commit {facts['commit']}, {facts['minutes']:.1f} minutes; "
            f"{facts['machine']}; {facts['load']:.2f} cores busy on average, the benchmark itself included."
        ),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".\n",
        "## Calls\n",
        throughput(results, names),
        "## What it adds to a call of 50 ms, 50 calls a second (µs)\n",
        latency(results, [name for name in names if name != "direct"]),
        strain(results),
        verdicts(results),
        NOTES.read_text(encoding="utf-8"),
    ]
    return "\n".join(part for part in parts if part)


def of(results: Sequence[Row], name: str, **wanted: object) -> list[Row]:
    return [row for row in results if row["name"] == name and all(row.get(k) == v for k, v in wanted.items())]


def middle(rows: Sequence[Row], value: Callable[[Row], float]) -> float:
    return statistics.median(value(row) for row in rows) if rows else 0


def number(value: float) -> str:
    return f"{value:,.0f}" if value else "–"


WANTED = (
    {"connections": 1, "stream": False},
    {"connections": 16, "stream": False},
    {"connections": 64, "stream": False},
    {"connections": 16, "stream": True},
)


def throughput(results: Sequence[Row], names: Sequence[str]) -> str:
    head = "| server | " + " | ".join(f"{c} conn.: calls/s | per CPU s" for c in (1, 16, 64))
    lines = [head + " | 16 streams: per s | per CPU s | RSS MB | PSS MB | errors |", "|---|" + "--:|" * 11]
    lines += [
        line(TITLES[name], of(results, name, kind="closed"), "per_cpu_second", "rss_mb") for name in names
    ]
    if "costweir" in names:
        title = "Costweir, of that the process that serves calls"
        own = of(results, "costweir", kind="closed")
        lines.append(line(title, own, "per_serving_second", "rss_serving_mb"))
    return "\n".join(lines) + "\n"


def line(title: str, rows: Sequence[Row], rate: str, resident: str) -> str:
    cells: list[str] = []
    for wanted in WANTED:
        good = [row for row in rows if row["n"] and wanted.items() <= row.items()]
        cells += [number(middle(good, itemgetter(kind))) for kind in ("per_second", rate)]
    most = [max((float(row[kind]) for row in rows), default=0) for kind in (resident, "pss_mb")]
    errors = sum(int(row["errors"]) for row in rows)
    cells += [number(most[0]), number(most[1]) if resident == "rss_mb" else "", str(errors)]
    return f"| {title} | " + " | ".join(cells) + " |"


def latency(results: Sequence[Row], names: Sequence[str]) -> str:
    lines = [
        "| server | whole call p50 | p90 | p99 | stream, first byte p50 | p90 | p99 | stream, all of it p50 | errors |",
        "|---|" + "--:|" * 8,
    ]
    for name in names:
        whole, streamed = (
            of(results, name, kind="paced", stream=False),
            of(results, name, kind="paced", stream=True),
        )
        if not whole or not streamed:
            continue
        cells = [f"{value:,}" for value in whole[0]["added_whole"]]
        good = bool(streamed[0]["n"])
        cells += [f"{value:,}" if good else "–" for value in streamed[0]["added_first"]]
        cells.append(f"{streamed[0]['added_whole'][0]:,}" if good else "–")
        cells.append(str(whole[0]["errors"] + streamed[0]["errors"]))
        lines.append(f"| {TITLES[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def strain(results: Sequence[Row]) -> str:
    rows = [row for row in results if row["kind"] == "strain"]
    if not rows:
        return ""
    lines = [
        "## Costweir while it loads a bill of 400,000 lines and answers its heaviest question, over and over (µs)\n",
        "| | whole call p50 | p90 | p99 | added p50 | added p90 | added p99 | errors |", "|---|" + "--:|" * 7,
    ]  # fmt: skip
    for row in rows:
        cells = [f"{value:,.0f}" for value in row["whole"]] + [f"{value:,}" for value in row["added_whole"]]
        lines.append(f"| {row['phase']} | " + " | ".join(cells) + f" | {row['errors']} |")
    done = rows[-1]
    lines.append(
        f"\nNothing pinned; 50 calls a second; meanwhile {2 * done['pulls']} bills were loaded and {done['questions']} "
        f"questions answered. The provider itself, without Costweir, had a p99 of {done['direct'][2]:,.0f} µs then.\n"
    )
    return "\n".join(lines)


def verdicts(results: Sequence[Row]) -> str:
    """The goals and whether they hold."""

    def best(name: str) -> float:
        rows = [of(results, name, kind="closed", stream=False, connections=c) for c in (16, 64)]
        return max(middle(found, lambda row: row["per_cpu_second"]) for found in rows)

    ours = best("costweir")
    if not ours:
        return ""
    paced, streamed = (
        of(results, "costweir", kind="paced", stream=False),
        of(results, "costweir", kind="paced", stream=True),
    )
    strained = [row for row in results if row["kind"] == "strain" and row["phase"] == "while working"]
    memory, shared = (
        max(float(row[kind]) for row in of(results, "costweir", kind="closed"))
        for kind in ("rss_mb", "pss_mb")
    )
    goals: list[tuple[str, str, bool | None]] = [
        ("at least 6,000 calls per CPU second", number(ours), ours >= 6_000)
    ]
    for name, factor in (
        ("litellm", 50),
        ("litellm-budget", 50),
        ("portkey", 1),
        ("tensorzero", 1),
        ("nginx", 1 / 3),
    ):
        if best(name):
            said = f"{ours / best(name):.2f} x {number(best(name))}"
            wanted = (
                "a third of nginx (the mark after this one)"
                if name == "nginx"
                else f"{TITLES[name]}: {'ahead' if factor == 1 else f'{factor} x'}"
            )
            goals.append((wanted, said, ours >= factor * best(name)))
    if best("bare"):
        goals.append(("share of the bare pass-through", f"{ours / best('bare'):.0%}", None))
    p50, _, p99 = paced[0]["added_whole"]
    goals += [
        ("added p50 at most 800 µs", f"{p50:,}", p50 <= 800),
        ("added p99 at most 4,000 µs", f"{p99:,}", p99 <= 4_000),
    ]
    first = streamed[0]["added_first"][0]
    goals.append(("first byte of a stream at most 2,000 µs later", f"{first:,}", first <= 2_000))
    if strained:
        late = strained[0]["added_whole"][2]
        goals.append(
            (
                "added p99 at most 15,000 µs while a pull and the heaviest question run",
                f"{late:,}",
                late <= 15_000,
            )
        )
    goals += [
        (
            "below 200 MB under load, all processes, shared pages counted once (PSS)",
            f"{shared:,.0f}",
            shared < 200,
        ),
        ("the same with shared pages counted in each process (RSS)", f"{memory:,.0f}", memory < 200),
    ]
    mark = {True: "yes", False: "**no**", None: ""}
    lines = ["## Goals\n", "| goal | measured | holds |", "|---|--:|---|"]
    lines += [f"| {goal} | {said} | {mark[holds]} |" for goal, said, holds in goals]
    return "\n".join(lines) + "\n"
