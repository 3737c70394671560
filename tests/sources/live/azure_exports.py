"""Cost exports as Azure lays them into a container, made of the sample bills."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[3] / "samples" / "azure"
SCOPE = "/subscriptions/7e1f0c52-9b0a-4d7c-8a55-0a2f4d1c9e01"


@dataclass
class Container:
    """Writes runs of exports into an object store, or whatever else has its `put`."""

    store: Any
    runs: int = 0
    written: list[str] = field(default_factory=list)

    def run(
        self,
        parts: dict[str, bytes],
        *,
        export: str = "exports/daily",
        days: str = "20261001-20261031",
        at: str = "2026-11-01T04:00:00",
        kind: str = "ActualCost",
        manifest: bool = True,
        lost: int = 0,
        scope: str = SCOPE,
    ) -> str:
        """One run; `lost` leaves out its last parts. Returns its folder."""
        self.runs += 1
        run = f"{self.runs:08d}-0000-4000-8000-000000000000"
        folder = f"{export}/{days}/{at[:16].replace('-', '').replace('T', '').replace(':', '')}/{run}"
        for name, data in list(parts.items())[: len(parts) - lost]:
            self.put(f"{folder}/{name}", data)
        if manifest:
            blobs = [
                {
                    "blobName": f"{folder}/{name}",
                    "byteCount": len(data),
                    "dataRowCount": data.count(b"\n") - 1,
                }
                for name, data in parts.items()
            ]
            content = {
                "manifestVersion": "2024-04-01",
                "exportConfig": {
                    "exportName": export.rpartition("/")[2],
                    "resourceId": f"{scope}/providers/Microsoft.CostManagement/exports/{export.rpartition('/')[2]}",
                    "type": kind,
                    "granularity": "Daily",
                },
                "runInfo": {"executionType": "Scheduled", "submittedTime": f"{at}.1234567Z", "runId": run},
                "blobs": blobs,
            }
            self.put(f"{folder}/manifest.json", json.dumps(content).encode())
        return folder

    def put(self, path: str, data: bytes) -> None:
        self.store.put(path, data)
        self.written.append(path)


def halves(name: str = "ea_2026-10.csv") -> dict[str, bytes]:
    """A sample bill as the two parts that partitioning makes of it."""
    lines = (SAMPLES / name).read_bytes().splitlines(keepends=True)
    middle = len(lines) // 2
    return {
        "part_0_0001.csv": b"".join(lines[:middle]),
        "part_1_0001.csv": b"".join([lines[0], *lines[middle:]]),
    }
