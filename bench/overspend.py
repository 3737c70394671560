"""Can a budget be overspent? One adversarial provider with its own bill, before Costweir and before LiteLLM's proxy.

    python bench/overspend.py                    # everything, about ten minutes; writes docs/overspend.md
    python bench/overspend.py --quick            # a rehearsal that writes nothing
    python bench/overspend.py --only costweir

The crowd, the prices, the seed and the faults are the same for each gateway; only the provider's bill decides.
Exit 5 when Costweir's verdict does not hold.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from gateway.machine import described
from gateway.peers import LITELLM, PEERS
from overspending import report
from overspending.gateways import CostweirOnTrial, LiteLLMOnTrial
from overspending.scenarios import HEAVY, SCENARIOS, Scenario

from costweir import __version__

ROOT = Path(__file__).parents[1]
INSTALLED = Path(tempfile.gettempdir()) / "costweir-bench-peers"


def main() -> int:
    given = arguments()
    begun = time.monotonic()
    rows = uvloop.run(everything(given))
    facts = {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": described(),
        "command": "python " + " ".join(["bench/overspend.py", *sys.argv[1:]]),
        "minutes": (time.monotonic() - begun) / 60,
        "versions": f"Costweir {__version__}, LiteLLM {LITELLM}",
        "commit": subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip(),
    }
    text = report.page(rows, facts)
    print(text)
    if not given.quick and not given.only:
        (ROOT / "docs/overspend.md").write_text(text, encoding="utf-8")
    broken = [row for row in rows if row["gateway"] == "Costweir" and not row["holds"]]
    for row in broken:
        print(f"DOES NOT HOLD: {row}", file=sys.stderr)
    return 5 if broken else 0


async def everything(given: argparse.Namespace) -> list[dict]:
    chosen = [row for row in SCENARIOS if not given.scenario or row.name in given.scenario]
    if given.quick:
        chosen = [replace(row, clients=row.clients // 8, requests=row.requests // 8) for row in chosen]
    rows: list[dict] = []
    if given.only in ("", "costweir"):
        heavy = [] if given.quick or given.scenario else HEAVY
        rows += [await tried(CostweirOnTrial(), scenario) for scenario in [*chosen, *heavy]]
    if given.only in ("", "litellm"):
        INSTALLED.mkdir(exist_ok=True)
        PEERS["litellm"].install(INSTALLED)
        for fail_closed in (True, False):
            async with LiteLLMOnTrial.started(INSTALLED, fail_closed=fail_closed) as gateway:
                rows += [await tried(gateway, scenario) for scenario in chosen if not scenario.edits]
    return rows


async def tried(gateway: CostweirOnTrial | LiteLLMOnTrial, scenario: Scenario) -> dict:
    print(f"{gateway.name}: {scenario.name} ...", file=sys.stderr, flush=True)
    row = await gateway.try_scenario(scenario)
    print(f"  {row['said']}", file=sys.stderr, flush=True)
    return row | {"gateway": gateway.name, "scenario": scenario}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="an eighth of the crowd, no page")
    parser.add_argument("--only", default="", choices=["", "costweir", "litellm"])
    parser.add_argument(
        "--scenario", action="append", help="one of: " + ", ".join(row.name for row in SCENARIOS)
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
